namespace StorageDaemon.Core.Qom

open StorageDaemon.Core

/// Base64 (RFC 4648) as the real daemon reads it: line feeds may stand between the characters, padding may be wrong,
/// and what is left behind the last whole group of four is dropped.
module Base64 =
    /// The six bits of a character, none for padding; anything else is foreign.
    let private sextet (c: byte) : struct (bool * int) =
        let isIn (first: char) (last: char) = c >= byte first && c <= byte last

        if isIn 'A' 'Z' then struct (true, int c - int 'A')
        elif isIn 'a' 'z' then struct (true, int c - int 'a' + 26)
        elif isIn '0' '9' then struct (true, int c - int '0' + 52)
        elif c = byte '+' then struct (true, 62)
        elif c = byte '/' then struct (true, 63)
        else struct (c = byte '=', 0)

    /// The bytes that a group of four characters stands for: padding in its third or fourth place has none.
    let private group (a: byte, b: byte, c: byte, d: byte) : byte list =
        let bits character =
            let struct (_, value) = sextet character
            value

        let whole = (bits a <<< 18) ||| (bits b <<< 12) ||| (bits c <<< 6) ||| bits d

        [
            byte (whole >>> 16)
            if c <> byte '=' then
                byte (whole >>> 8)
            if d <> byte '=' then
                byte whole
        ]

    /// Decodes text in ASCII.
    let decode (text: byte array) : Result<byte array, QapiError> =
        let isForeign (c: byte) =
            let struct (known, _) = sextet c
            not known && c <> byte '\n'

        if Array.exists isForeign text then
            QapiError.fail "Base64 data contains invalid characters"
        else
            text
            |> Array.filter (fun c -> c <> byte '\n')
            |> Array.chunkBySize 4
            |> Array.collect (fun chunk ->
                if chunk.Length = 4 then
                    Array.ofList (group (chunk[0], chunk[1], chunk[2], chunk[3]))
                else
                    [||])
            |> Ok

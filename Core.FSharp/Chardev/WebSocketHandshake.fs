namespace StorageDaemon.Core.Chardev

open System
open System.Text
open StorageDaemon.Core

/// The opening handshake of a WebSocket server (RFC 6455, section 4.2), with the replies of the real daemon.
module WebSocketHandshake =
    /// The request must end within so many bytes.
    [<Literal>]
    let MaxRequestBytes = 4096

    [<Literal>]
    let private MaxHeaders = 32

    /// Length of a key: 16 bytes in base64.
    [<Literal>]
    let private KeyLength = 24

    [<Literal>]
    let private AcceptGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

    let private days = [| "Sun"; "Mon"; "Tue"; "Wed"; "Thu"; "Fri"; "Sat" |]

    let private months = [|
        "Jan"
        "Feb"
        "Mar"
        "Apr"
        "May"
        "Jun"
        "Jul"
        "Aug"
        "Sep"
        "Oct"
        "Nov"
        "Dec"
    |]

    let private twoDigits (value: int) =
        (if value < 10 then "0" else "") + string<int> value

    /// A date of HTTP (RFC 9110, section 5.6.7), UTC.
    let httpDate (now: DateTime) =
        days[int now.DayOfWeek]
        + ", "
        + twoDigits now.Day
        + " "
        + months[now.Month - 1]
        + " "
        + string<int> now.Year
        + " "
        + twoDigits now.Hour
        + ":"
        + twoDigits now.Minute
        + ":"
        + twoDigits now.Second
        + " GMT"

    /// The value of `Sec-WebSocket-Accept` for a key.
    let accept (key: string) =
        Encoding.Latin1.GetBytes(key + AcceptGuid)
        |> fun bytes -> Convert.ToBase64String(Sha1.compute (ReadOnlySpan bytes))

    let private reply (now: DateTime) (status: string) (lines: string list) =
        let head = [ "HTTP/1.1 " + status; "Server: QEMU VNC"; "Date: " + httpDate now ]
        let lines = head @ lines |> List.map (fun line -> line + "\r\n")
        Encoding.Latin1.GetBytes(String.Concat lines)

    /// The real daemon leaves the empty line at its end out.
    let private badRequest now =
        reply now "400 Bad Request" [ "Connection: close"; "Sec-WebSocket-Version: 13" ]

    let private notFound now =
        reply now "404 Not Found" [ "Connection: close"; "" ]

    /// The reply to a request that does not end.
    let tooLarge now =
        reply now "403 Request Entity Too Large" [ "Connection: close"; "" ]

    let private switching now key hasProtocol =
        reply
            now
            "101 Switching Protocols"
            ([
                "Upgrade: websocket"
                "Connection: Upgrade"
                "Sec-WebSocket-Accept: " + accept key
             ]
             @ (if hasProtocol then
                    [ "Sec-WebSocket-Protocol: binary" ]
                else
                    [])
             @ [ "" ])

    let private header (line: string) =
        match line.IndexOf ':' with
        | -1 -> None
        | colon -> Some(line.Substring(0, colon).ToLowerInvariant(), line.Substring(colon + 1).TrimStart ' ')

    let private headers (lines: string array) =
        let read = lines |> Array.choose header

        if lines.Length > MaxHeaders || read.Length < lines.Length then
            None
        else
            Some read

    /// The first value of a header.
    let private find (name: string) (headers: (string * string) array) =
        headers
        |> Array.tryPick (fun (key, value) -> if key = name then Some value else None)

    let private equals (expected: string) (text: string) =
        String.Equals(text, expected, StringComparison.OrdinalIgnoreCase)

    let private isUpgrade (connection: string) =
        connection.Split ','
        |> Array.exists (fun token -> equals "Upgrade" (token.Trim ' '))

    /// The key of an acceptable request and whether it names protocols.
    let private acceptable headers =
        let value name = find name headers
        let protocols = value "sec-websocket-protocol"

        match value "sec-websocket-version", value "sec-websocket-key", value "connection", value "upgrade" with
        | Some "13", Some key, Some connection, Some upgrade when
            key.Length = KeyLength
            && isUpgrade connection
            && equals "websocket" upgrade
            && (value "host").IsSome
            && protocols
               |> Option.forall (fun text -> text.Contains("binary", StringComparison.Ordinal))
            ->
            Some(key, protocols.IsSome)
        | _ -> None

    /// Answers a request, given without the empty line at its end: the reply, and whether the connection goes on.
    let answer (now: DateTime) (request: ReadOnlySpan<byte>) : struct (byte[] * bool) =
        let lines = Encoding.Latin1.GetString(request).Split "\r\n"

        match lines[0].Split(' ', 3) with
        // The real daemon closes without a reply there.
        | [| _ |] when lines.Length > 1 -> struct ([||], false)
        | [| "GET"; path; _ |] when path <> "/" -> struct (notFound now, false)
        | [| "GET"; _; "HTTP/1.1" |] ->
            match headers lines[1..] |> Option.bind acceptable with
            | Some(key, hasProtocol) -> struct (switching now key hasProtocol, true)
            | None -> struct (badRequest now, false)
        | _ -> struct (badRequest now, false)

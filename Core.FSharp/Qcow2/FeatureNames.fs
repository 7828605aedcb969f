namespace StorageDaemon.Core.Qcow2

open System
open System.Text

/// One entry of the feature name table ("Feature name table").
[<Struct>]
type FeatureName = {
    /// 0 incompatible, 1 compatible, 2 autoclear.
    Class: byte
    /// 0 to 63.
    Bit: byte
    /// At most 46 bytes in UTF-8; longer ones are cut.
    Name: string
}

/// Names that an image gives its features, for programs that do not know them.
module FeatureNames =
    /// Bytes of an entry.
    [<Literal>]
    let entryBytes = 48

    [<Literal>]
    let private nameBytes = 46

    /// The entries up to the first without a name. One that the end cuts short is taken as if zeroes followed.
    let entries (table: byte[]) : FeatureName list =
        let rec next start found =
            if start + 2 >= table.Length then
                List.rev found
            else
                let name = ReadOnlySpan(table, start + 2, min nameBytes (table.Length - start - 2))
                let zero = name.IndexOf 0uy

                if zero = 0 then
                    List.rev found
                else
                    let entry = {
                        Class = table[start]
                        Bit = table[start + 1]
                        Name = Encoding.UTF8.GetString(if zero < 0 then name else name.Slice(0, zero))
                    }

                    next (start + entryBytes) (entry :: found)

        next 0 []

    let encode (names: FeatureName list) : byte[] =
        let table: byte[] = Array.zeroCreate (names.Length * entryBytes)

        names
        |> List.iteri (fun i entry ->
            let start = i * entryBytes
            table[start] <- entry.Class
            table[start + 1] <- entry.Bit
            let name = Encoding.UTF8.GetBytes entry.Name
            Array.blit name 0 table (start + 2) (min name.Length nameBytes))

        table

    /// What new images carry: all features of the specification, in the real daemon's words and order.
    let known: FeatureName list = [
        { Class = 0uy; Bit = 0uy; Name = "dirty bit" }
        { Class = 0uy; Bit = 1uy; Name = "corrupt bit" }
        { Class = 0uy; Bit = 2uy; Name = "external data file" }
        { Class = 0uy; Bit = 3uy; Name = "compression type" }
        { Class = 0uy; Bit = 4uy; Name = "extended L2 entries" }
        { Class = 1uy; Bit = 0uy; Name = "lazy refcounts" }
        { Class = 2uy; Bit = 0uy; Name = "bitmaps" }
        { Class = 2uy; Bit = 1uy; Name = "raw external data" }
    ]

    /// The words for unknown incompatible features: the table's names, and the rest as a number. A bit takes the
    /// first name that it has.
    let describe (unknown: uint64) (names: FeatureName list) : string =
        let takeName struct (rest: uint64, words: string list) (entry: FeatureName) =
            let bit = if entry.Bit < 64uy then 1UL <<< int entry.Bit else 0UL

            if entry.Class = 0uy && rest &&& bit <> 0UL then
                struct (rest &&& ~~~bit, entry.Name :: words)
            else
                struct (rest, words)

        let struct (rest, words) = List.fold takeName (struct (unknown, [])) names

        let words =
            if rest = 0UL then
                words
            else
                ("Unknown incompatible feature: " + rest.ToString "x") :: words

        String.Join(", ", List.rev words)

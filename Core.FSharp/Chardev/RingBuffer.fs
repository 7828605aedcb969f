namespace StorageDaemon.Core.Chardev

open System

/// The last bytes written to a device in memory. It belongs to one thread. Memory is taken as it fills.
[<Sealed>]
type RingBuffer(capacityBytes: int) =
    let mutable bytes: byte[] = Array.zeroCreate (min capacityBytes 4096)
    let mutable start = 0
    let mutable count = 0

    /// The capacity where none is given.
    static member DefaultBytes = 65536L

    /// The largest capacity.
    static member MaxBytes = 1L <<< 30

    /// How many bytes can be read.
    member _.Count = count

    /// Doubles the array until `needed` bytes fit, and begins it with the oldest byte.
    member private _.Grow needed =
        let mutable length = bytes.Length

        while length < needed do
            length <- min capacityBytes (length * 2)

        if length > bytes.Length then
            let larger = Array.zeroCreate length
            let first = min count (bytes.Length - start)
            Array.Copy(bytes, start, larger, 0, first)
            Array.Copy(bytes, 0, larger, first, count - first)
            bytes <- larger
            start <- 0

    /// Appends; what no longer fits pushes the oldest bytes out.
    member this.Write(data: ReadOnlySpan<byte>) =
        let data = data.Slice(max 0 (data.Length - capacityBytes))

        if data.Length > 0 then
            this.Grow(min capacityBytes (count + data.Length))
            let lost = max 0 (count + data.Length - bytes.Length)
            start <- (start + lost) % bytes.Length
            count <- count - lost
            let free = (start + count) % bytes.Length
            let first = min data.Length (bytes.Length - free)
            data.Slice(0, first).CopyTo(bytes.AsSpan free)
            data.Slice(first).CopyTo(bytes.AsSpan())
            count <- count + data.Length

    /// Takes the oldest bytes out, at most `limit` of them.
    member _.Read(limit: int64) : byte[] =
        let taken = int (min limit (int64 count))
        let first = min taken (bytes.Length - start)
        let result = Array.zeroCreate taken
        Array.Copy(bytes, start, result, 0, first)
        Array.Copy(bytes, 0, result, first, taken - first)
        start <- if taken = count then 0 else (start + taken) % bytes.Length
        count <- count - taken
        result

/// Sizes and contents of ring buffers as commands give them.
module RingBufferRules =
    /// The capacity, which must be a power of two or 0. Errors: the real daemon's, and one for what is too large.
    let capacity (size: int64 option) : Result<int, string> =
        let size = Option.defaultValue RingBuffer.DefaultBytes size

        if size &&& (size - 1L) <> 0L then
            Error "size of ringbuf chardev must be power of two"
        elif size < 0L || size > RingBuffer.MaxBytes then
            Error(
                "size of ringbuf chardev must not be larger than "
                + string<int64> RingBuffer.MaxBytes
            )
        else
            Ok(int size)

    let private value (c: char) =
        if c >= 'A' && c <= 'Z' then int c - int 'A'
        elif c >= 'a' && c <= 'z' then int c - int 'a' + 26
        elif c >= '0' && c <= '9' then int c - int '0' + 52
        elif c = '+' then 62
        elif c = '/' then 63
        else 0

    let private isBase64 c =
        Char.IsAsciiLetterOrDigit c || c = '+' || c = '/' || c = '=' || c = '\n'

    /// Decodes base64 as leniently as the real daemon: padding may stand anywhere, and an incomplete group of four at
    /// the end is dropped. Line feeds are skipped; any other foreign character is an error.
    let decodeBase64 (text: string) : Result<byte[], string> =
        if not (Seq.forall isBase64 text) then
            Error "Base64 data contains invalid characters"
        else
            let output = ResizeArray<byte>(text.Length / 4 * 3)
            let mutable group = 0
            let mutable inGroup = 0
            let mutable previous = ' '

            for c in text do
                if c <> '\n' then
                    group <- (group <<< 6) ||| value c
                    inGroup <- inGroup + 1

                    if inGroup = 4 then
                        output.Add(byte (group >>> 16))

                        if previous <> '=' then
                            output.Add(byte (group >>> 8))

                        if c <> '=' then
                            output.Add(byte group)

                        group <- 0
                        inGroup <- 0

                    previous <- c

            Ok(output.ToArray())

namespace StorageDaemon.Core.Json

open System

/// Bytes that arrived in pieces, as a value. Each piece is longer than the one that follows it, so that n bytes are
/// held in O(log n) pieces and every byte is copied O(log n) times, however small the pieces in which they came.
type internal Chunks = {
    Length: int
    /// The newest first.
    Pieces: byte[] list
}

module internal Chunks =
    let empty = { Length = 0; Pieces = [] }

    let rec private push (pieces: byte[] list) (newest: byte[]) =
        match pieces with
        | previous :: older when previous.Length <= newest.Length -> push older (Array.append previous newest)
        | _ -> newest :: pieces

    /// Copies `bytes` to the end.
    let append (bytes: ReadOnlySpan<byte>) (chunks: Chunks) =
        if bytes.IsEmpty then
            chunks
        else
            {
                Length = chunks.Length + bytes.Length
                Pieces = push chunks.Pieces (bytes.ToArray())
            }

    /// All the bytes, followed by `last`.
    let joinWith (last: ReadOnlySpan<byte>) (chunks: Chunks) =
        let all = Array.zeroCreate<byte>(chunks.Length + last.Length)
        let mutable finish = chunks.Length
        last.CopyTo(all.AsSpan finish)

        for piece in chunks.Pieces do
            finish <- finish - piece.Length
            piece.CopyTo(all, finish)

        all

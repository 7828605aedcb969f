namespace StorageDaemon.Core.Io

/// I/O on a node's children, one request after another, as a value: how a node finds out what it is when it is opened.
/// The shell carries it out in a loop. Offsets and lengths are in bytes of the child; errors are Linux error numbers.
[<NoComparison; NoEquality>]
type IoScript<'T> =
    | Finished of 'T
    | ReadChild of child: int * offset: int64 * length: int * next: (Result<byte[], int> -> IoScript<'T>)
    | WriteChild of child: int * offset: int64 * data: byte[] * next: (Result<unit, int> -> IoScript<'T>)
    | FlushChild of child: int * next: (Result<unit, int> -> IoScript<'T>)
    /// Nobody needs these bytes any more; they may read as anything afterwards.
    | DiscardChild of child: int * offset: int64 * length: int64 * next: (Result<unit, int> -> IoScript<'T>)

/// What a node turned out to be.
[<NoComparison; NoEquality>]
type LayerOpened = {
    Machine: Layer
    /// Bytes.
    SizeBytes: int64
    /// Bytes; the unit of requests that the node asks for.
    AlignmentBytes: int
}

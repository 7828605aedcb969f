namespace StorageDaemon.Core.Io

/// How a file is made longer.
type GrowthMode =
    /// By its length alone.
    | Sparse
    /// Room for the new part is reserved.
    | Reserved
    /// The new part is written over with zeroes.
    | Zeroed

/// I/O on nodes, one request after another, as a value: how a node finds out what it is when it is opened, and the work
/// of jobs. The shell carries it out in a loop, and may end it between two requests. Offsets and lengths are in bytes of
/// the child; errors are Linux error numbers.
[<NoComparison; NoEquality>]
type IoScript<'T> =
    | Finished of 'T
    | ReadChild of child: int * offset: int64 * length: int * next: (Result<byte[], int> -> IoScript<'T>)
    | WriteChild of child: int * offset: int64 * data: byte[] * next: (Result<unit, int> -> IoScript<'T>)
    | FlushChild of child: int * next: (Result<unit, int> -> IoScript<'T>)
    /// How long the child is now, in bytes: what a file has, however long its node was when it was opened.
    | MeasureChild of child: int * next: (int64 -> IoScript<'T>)
    /// Gives the child a length; the error is a text for people. For the scripts of jobs only.
    | ResizeChild of child: int * bytes: int64 * mode: GrowthMode * next: (Result<unit, string> -> IoScript<'T>)
    /// Says how far the work has come, in units of the script's own.
    | Report of current: int64 * total: int64 * next: (unit -> IoScript<'T>)
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

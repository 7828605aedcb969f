namespace StorageDaemon.Core.Qcow2

open System
open System.Collections.Generic
open StorageDaemon.Core
open StorageDaemon.Core.Image
open StorageDaemon.Core.Io

/// What the parts of a check share.
[<NoComparison; NoEquality>]
type internal CheckWalk = {
    /// The number of the child that holds the image, and its bytes.
    Child: int
    FileBytes: int64
    Header: Header
    Geometry: Geometry
    Fix: CheckFix
    Tally: Tally
    Budget: CheckBudget
    References: References
    /// Where repairs of mapping tables must not write: all other metadata.
    Protected: List<FileRange>
}

/// How a check reads and writes.
module internal CheckWalk =
    /// Entries of a table that are read at once.
    [<Literal>]
    let private pieceEntries = 8192L

    let clusterBytes (walk: CheckWalk) : int64 = 1L <<< walk.Header.ClusterBits

    /// So many bytes at any offset, with zeroes past the end of the file. Past the greatest length of a node reads
    /// fail, as they do in the real daemon.
    let read (walk: CheckWalk) (offset: int64) (lengthBytes: int) : IoScript<Result<byte[], CheckError>> =
        let inFile = int (max 0L (min (int64 lengthBytes) (walk.FileBytes - offset)))
        walk.Budget.TakeReading(int64 lengthBytes)

        if offset < 0L || offset > Raw.MaxLengthBytes - int64 lengthBytes then
            Finished(Error(IoFailed Errno.EIO))
        elif walk.Budget.IsExhausted then
            Finished(Error TooMuch)
        elif inFile = 0 then
            Finished(Ok(Array.zeroCreate lengthBytes))
        else
            ReadChild(
                walk.Child,
                offset,
                inFile,
                function
                | Ok bytes when inFile < lengthBytes ->
                    Finished(Ok(Array.append bytes (Array.zeroCreate (lengthBytes - inFile))))
                | Ok bytes -> Finished(Ok bytes)
                | Error errno -> Finished(Error(IoFailed errno))
            )

    let write (walk: CheckWalk) (offset: int64) (data: byte[]) : IoScript<Result<unit, CheckError>> =
        WriteChild(walk.Child, offset, data, (fun result -> Finished(Result.mapError IoFailed result)))

    let flush (walk: CheckWalk) : IoScript<Result<unit, CheckError>> =
        FlushChild(walk.Child, (fun result -> Finished(Result.mapError IoFailed result)))

    let skip: IoScript<Result<unit, CheckError>> = Finished(Ok())

    /// Visits the entries, of eight bytes, that are not zero, with their index, the piece of the table that they stand
    /// in and their byte in it. Memory is bounded by a piece; nothing is read past the end of the file.
    let forNonzero
        (walk: CheckWalk)
        (offset: int64)
        (entries: int64)
        (visit: int64 -> byte[] -> int -> IoScript<Result<unit, CheckError>>)
        : IoScript<Result<unit, CheckError>> =
        IoScript.forAll 0L ((entries + pieceEntries - 1L) / pieceEntries - 1L) (fun piece ->
            let first = piece * pieceEntries
            let start = offset + first * 8L
            let count = min pieceEntries (entries - first)

            if start >= walk.FileBytes && start <= Raw.MaxLengthBytes - count * 8L then
                skip
            else
                ioResult {
                    let! bytes = read walk start (int count * 8)

                    return!
                        IoScript.forAll 0L (count - 1L) (fun i ->
                            if BigEndian.readU64 (ReadOnlySpan bytes) (int i * 8) = 0UL then
                                skip
                            else
                                visit (first + i) bytes (int i * 8))
                })

    let private isClear (walk: CheckWalk) (offset: int64) (lengthBytes: int64) : bool =
        walk.Protected
        |> Seq.forall (fun range -> not (Overlap.overlaps range offset lengthBytes))

    /// Whether an L2 table may be repaired in place: where it stands there is no other metadata.
    let mayRepairL2 (walk: CheckWalk) (offset: int64) : bool =
        let cluster = clusterBytes walk

        let l1 = {
            Offset = walk.Header.L1Offset
            LengthBytes = int64 walk.Header.L1Entries * 8L
        }

        offset &&& (cluster - 1L) = 0L
        && offset < walk.FileBytes
        && not (Overlap.overlaps l1 offset cluster)
        && isClear walk offset cluster

    /// The same for the active L1 table.
    let mayRepairL1 (walk: CheckWalk) : bool =
        isClear walk walk.Header.L1Offset (int64 walk.Header.L1Entries * 8L)

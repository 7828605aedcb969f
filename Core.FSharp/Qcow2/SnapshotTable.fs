namespace StorageDaemon.Core.Qcow2

open System
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// Reading a snapshot table from the file, window by window. `read` gives bytes at an offset, with zeroes past the end
/// of the file.
module internal SnapshotTable =
    /// Bytes that are read at once.
    [<Literal>]
    let private windowBytes = 65536

    let rec private readEntry
        (read: int64 -> int -> IoScript<Result<byte[], 'E>>)
        (refuse: QapiError -> 'E)
        (index: int)
        (window: byte[])
        (windowStart: int64)
        (at: int64)
        =
        let start = int (at - windowStart)

        match Snapshots.decode index (ReadOnlySpan(window, start, window.Length - start)) with
        | Complete(snapshot, length) -> Finished(Ok struct (snapshot, length, window, windowStart))
        | Refused error -> Finished(Error(refuse error))
        | NeedBytes bytes ->
            ioResult {
                let! window = read at (max windowBytes bytes)
                return! readEntry read refuse index window at at
            }

    /// Visits the entries with their index; the bytes of the whole table, which `tooLong` ends early.
    let visit
        (read: int64 -> int -> IoScript<Result<byte[], 'E>>)
        (refuse: QapiError -> 'E)
        (tooLong: 'E)
        (header: Header)
        (visit: int64 -> Snapshot -> unit)
        : IoScript<Result<int64, 'E>> =
        let start = header.SnapshotTableOffset
        let window = ref Array.empty<byte>
        let windowStart = ref start
        let at = ref start

        ioResult {
            do!
                IoScript.forAll 0L (int64 header.SnapshotCount - 1L) (fun index ->
                    ioResult {
                        let! struct (snapshot, length, nextWindow, nextStart) =
                            readEntry read refuse (int index) window.Value windowStart.Value at.Value

                        window.Value <- nextWindow
                        windowStart.Value <- nextStart
                        at.Value <- at.Value + int64 length
                        visit index snapshot

                        if at.Value - start > Snapshots.tableBytesMax then
                            return! Finished(Error tooLong)
                    })

            return at.Value - start
        }

namespace StorageDaemon.Core.Qcow2

open StorageDaemon.Core
open StorageDaemon.Core.Io

/// The check of an image that is open and in use. It sees the metadata as they were at its beginning (`MetadataView`),
/// so that requests neither wait for it nor show in its verdict. A repair needs the image for itself; it follows only
/// where the check has found something to repair.
module OnlineCheck =
    /// Findings are for people: the first of them tell what has happened.
    let private limits = { Check.defaultLimits with Findings = 100 }

    /// How much is read between two reports of progress.
    [<Literal>]
    let private ReportBytes = 0x100000L

    /// Begins a view. No request is under way. Of an image that can be written to no longer the file is all there is.
    let beginView (image: Image) : IoScript<Result<MetadataView, int>> =
        ioResult {
            if not image.IsFenced then
                do! Settling.settle image

            return! MeasureChild(0, (fun bytes -> Finished(Ok(image.BeginView bytes))))
        }

    /// Whether the header has a mark that only a repair takes away.
    let isMarked (image: Image) : bool =
        image.IsFenced
        || image.Header.Incompatible &&& (Feature.dirty ||| Feature.corrupt) <> 0UL

    /// Bytes of metadata that a check reads, about: tables that map are read twice.
    let estimate (image: Image) : int64 =
        let g = image.Geometry
        let clusterBytes = int64 image.ClusterBytes
        let tables =
            image.L1
            |> Array.sumBy (fun entry -> if L1Entry.l2Offset entry <> 0L then 1L else 0L)
        let blocks = Geometry.refcountTableIndex &g image.FileClusters + 1L

        2L * (tables * clusterBytes + int64 image.L1.Length * 8L)
        + blocks * clusterBytes
        + 2L * clusterBytes

    /// Lets a script see what the view tells, and tells itself how far it has come. `total` is an estimate: the last
    /// report may be short of it, but none goes beyond it.
    let rec private through
        (view: MetadataView)
        (total: int64)
        (reported: int64)
        (bytes: int64)
        (script: IoScript<'T>)
        : IoScript<'T> =
        match script with
        | ReadChild(child, offset, length, next) ->
            ReadChild(
                child,
                offset,
                length,
                fun result ->
                    match result with
                    | Ok data -> view.Overlay(offset, data)
                    | Error _ -> ()

                    let read = bytes + int64 length
                    let rest = next result

                    if read - reported >= ReportBytes then
                        Report(min read (total - 1L), total, (fun () -> through view total read read rest))
                    else
                        through view total reported read rest
            )
        | Finished _ -> script
        // A check that repairs nothing does nothing but read.
        | _ -> invalidOp "A check through a view only reads."

    /// The check through a view. `total` is the work in the unit of its progress, bytes.
    let run (view: MetadataView) (total: int64) : IoScript<Result<CheckReport, CheckError>> =
        Report(
            0L,
            total,
            fun () ->
                Check.run limits CheckFix.Nothing 0 view.FileBytes
                |> through view (max 1L total) 0L 0L
                |> IoScript.bind (fun result ->
                    if view.IsBroken then
                        "The image was changed as a whole, or too much, while it was checked"
                        |> QapiError.generic
                        |> Unreadable
                        |> Error
                        |> Finished
                    else
                        Finished result)
        )

    /// Whether a repair has something to do.
    let needsRepair (isMarked: bool) (report: CheckReport) : bool =
        isMarked
        || report.Corruptions > 0L
        || report.Leaks > 0L
        || report.CheckErrors > 0L

    /// Writes everything that is only in memory, as far as the image may still be written to: before a repair.
    let prepareRepair (image: Image) : IoScript<Result<unit, int>> =
        if image.IsFenced then
            Finished(Ok())
        else
            Settling.settle image

    /// Repairs the file of an image that is prepared and that nobody uses. The image in memory is of no use afterwards,
    /// however this ends: it is to be opened anew.
    let repair (image: Image) (fix: CheckFix) : IoScript<Result<CheckReport, CheckError>> =
        image.Retire()
        MeasureChild(0, (fun bytes -> Check.run limits fix 0 bytes))

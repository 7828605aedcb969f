namespace StorageDaemon.Core.Daemon

open StorageDaemon.Core
open StorageDaemon.Core.Filter
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Io
open StorageDaemon.Core.Qapi
open StorageDaemon.Core.Qcow2

/// What the machines of nodes report: events for monitors, and lines for people.
module Notices =
    [<Literal>]
    let private SectorBytes = 512L

    /// First sector and number of sectors of a range.
    let private sectors (offset: int64) (length: int64) : struct (int64 * int64) =
        let first = offset / SectorBytes
        struct (first, (offset + length + SectorBytes - 1L) / SectorBytes - first)

    let private failed (quorum: Node) (offset: int64) (length: int64) : Effect =
        let struct (first, count) = sectors offset length

        let data: QuorumFailure = {
            Reference = quorum.Name
            SectorNum = first
            SectorsCount = count
        }

        Emit(Events.quorumFailure.Name, StructCodec.encode Events.quorumFailure.Data data)

    let private bad
        (errorText: int -> string)
        (graph: Graph)
        (quorum: Node)
        child
        operation
        error
        offset
        length
        : Effect list =
        // The graph may have changed since.
        match
            List.tryItem child quorum.Children
            |> Option.bind (fun c -> Graph.tryNode c.Node graph)
        with
        | None -> []
        | Some node ->
            let struct (first, count) = sectors offset length

            let data: QuorumReportBad = {
                Type =
                    match operation with
                    | QuorumRead -> QuorumOpType.Read
                    | QuorumWrite -> QuorumOpType.Write
                    | QuorumFlush -> QuorumOpType.Flush
                Error = if error = 0 then None else Some(errorText error)
                NodeName = node.Name
                SectorNum = first
                SectorsCount = count
            }

            [
                Emit(Events.quorumReportBad.Name, StructCodec.encode Events.quorumReportBad.Data data)
            ]

    let private kindName (kind: RequestKind) =
        match kind with
        | RequestKind.Read -> "read"
        | RequestKind.Write -> "write"
        | _ -> "write zeroes"

    let private range (offset: int64) (length: int64) =
        "offset=" + string offset + " bytes=" + string length

    let private effects (errorText: int -> string) (graph: Graph) (node: Node) (notice: LayerNotice) : Effect list =
        match notice with
        | :? QuorumNotice as notice ->
            match notice with
            | QuorumFailed(offset, length) -> [ failed node offset length ]
            | QuorumBad(child, operation, error, offset, length) ->
                bad errorText graph node child operation error offset length
            | QuorumDiffers(offset, length) -> [
                Complain(
                    "quorum: "
                    + range offset length
                    + ": the two images of '"
                    + node.Name
                    + "' differ"
                )
              ]
        | :? CorruptionNotice as notice ->
            let ifKnown value =
                if value >= 0L then Some value else None

            let data: BlockImageCorrupted = {
                Device = ""
                NodeName = Some node.Name
                Msg = notice.Message
                Offset = ifKnown notice.Offset
                Size = ifKnown notice.LengthBytes
                Fatal = notice.IsFatal
            }

            [
                Announce("qcow2: " + notice.LogText)
                Emit(Events.blockImageCorrupted.Name, StructCodec.encode Events.blockImageCorrupted.Data data)
            ]
        | :? BlkVerifyNotice as notice ->
            let text =
                match notice with
                | OutcomesDiffer(kind, offset, length, raw, test) ->
                    kindName kind
                    + " "
                    + range offset length
                    + " return value mismatch "
                    + string test
                    + " != "
                    + string raw
                | ContentsDiffer(offset, length, at) ->
                    "read " + range offset length + " contents mismatch at offset " + string at

            [ Complain("blkverify: " + text) ]
        | _ -> []

    /// What the machine of a node, which may be gone, has to say. `errorText` is the C library's for an errno.
    let told (errorText: int -> string) (state: State) (id: NodeId) (notices: LayerNotice list) : Transition =
        match Graph.tryNode id state.Graph with
        | None -> Transition.ok state []
        | Some node -> Transition.ok state (notices |> List.collect (effects errorText state.Graph node))

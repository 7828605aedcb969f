namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/block-core.json and qapi/transaction.json: commands that change the graph or show its shape.
module BlockGraphCodecs =
    let private listOf inner = Codec.list (StructCodec.codec inner)

    let blockdevReopen: StructCodec<BlockdevReopen> =
        object "BlockdevReopenArgs" {
            let! options = required "options" (listOf BlockCodecs.blockdevOptions) _.Options
            return fun m -> { Options = options m }
        }

    let blockdevSetActive: StructCodec<BlockdevSetActive> =
        object "BlockdevSetActiveArgs" {
            let! nodeName = optional "node-name" Codec.str _.NodeName
            let! active = required "active" Codec.bool _.Active
            return fun m -> { NodeName = nodeName m; Active = active m }
        }

    let blockdevSnapshot: StructCodec<BlockdevSnapshot> =
        object "BlockdevSnapshot" {
            let! node = required "node" Codec.str _.Node
            let! overlay = required "overlay" Codec.str _.Overlay
            return fun m -> { Node = node m; Overlay = overlay m }
        }

    let private newImageMode: Codec<NewImageMode> =
        Codec.enum "NewImageMode" [
            NewImageMode.Existing, "existing"
            NewImageMode.AbsolutePaths, "absolute-paths"
        ]

    let blockdevSnapshotSync: StructCodec<BlockdevSnapshotSync> =
        object "BlockdevSnapshotSync" {
            let! device = optional "device" Codec.str _.Device
            let! nodeName = optional "node-name" Codec.str _.NodeName
            let! snapshotFile = required "snapshot-file" Codec.str _.SnapshotFile
            let! snapshotNodeName = optional "snapshot-node-name" Codec.str _.SnapshotNodeName
            let! format = optional "format" Codec.str _.Format
            let! mode = optional "mode" newImageMode _.Mode

            return
                fun m -> {
                    Device = device m
                    NodeName = nodeName m
                    SnapshotFile = snapshotFile m
                    SnapshotNodeName = snapshotNodeName m
                    Format = format m
                    Mode = mode m
                }
        }

    let private transactionAction: StructCodec<TransactionAction> =
        StructCodec.union "TransactionAction" "type" "TransactionActionKind" [
            branch
                "abort"
                (StructCodec.wrapped "AbortWrapper" StructCodec.empty)
                (fun () -> TransactionAction.Abort)
                (function
                 | TransactionAction.Abort -> ValueSome()
                 | _ -> ValueNone)
            branch
                "blockdev-snapshot"
                (StructCodec.wrapped "BlockdevSnapshotWrapper" blockdevSnapshot)
                TransactionAction.Snapshot
                (function
                 | TransactionAction.Snapshot snapshot -> ValueSome snapshot
                 | _ -> ValueNone)
            branch
                "blockdev-snapshot-sync"
                (StructCodec.wrapped "BlockdevSnapshotSyncWrapper" blockdevSnapshotSync)
                TransactionAction.SnapshotSync
                (function
                 | TransactionAction.SnapshotSync snapshot -> ValueSome snapshot
                 | _ -> ValueNone)
        ]

    let private completionMode: Codec<ActionCompletionMode> =
        Codec.enum "ActionCompletionMode" [
            ActionCompletionMode.Individual, "individual"
            ActionCompletionMode.Grouped, "grouped"
        ]

    let private transactionProperties: StructCodec<TransactionProperties> =
        object "TransactionProperties" {
            let! completionMode = optional "completion-mode" completionMode _.CompletionMode
            return fun m -> { CompletionMode = completionMode m }
        }

    let transaction: StructCodec<TransactionArguments> =
        object "TransactionArgs" {
            let! actions = required "actions" (listOf transactionAction) _.Actions
            let! properties = optional "properties" (StructCodec.codec transactionProperties) _.Properties

            return fun m -> { Actions = actions m; Properties = properties m }
        }

    let xBlockdevChange: StructCodec<BlockdevChange> =
        object "BlockdevChangeArgs" {
            let! parent = required "parent" Codec.str _.Parent
            let! child = optional "child" Codec.str _.Child
            let! node = optional "node" Codec.str _.Node

            return fun m -> { Parent = parent m; Child = child m; Node = node m }
        }

    /// A name or null.
    let private strOrNull: Codec<string option> =
        Alternate.alternate "StrOrNull" [
            Alternate.alternative Codec.str Some (function
                | Some text -> ValueSome text
                | None -> ValueNone)
            Alternate.alternative Codec.nothing (fun () -> None) (function
                | None -> ValueSome()
                | Some _ -> ValueNone)
        ]

    let xBlockdevSetIothread: StructCodec<BlockdevSetIothread> =
        object "BlockdevSetIothreadArgs" {
            let! nodeName = required "node-name" Codec.str _.NodeName
            let! iothread = required "iothread" strOrNull _.Iothread
            let! force = optional "force" Codec.bool _.Force

            return
                fun m -> {
                    NodeName = nodeName m
                    Iothread = iothread m
                    Force = force m
                }
        }

    let blockSetWriteThreshold: StructCodec<BlockSetWriteThreshold> =
        object "BlockSetWriteThresholdArgs" {
            let! nodeName = required "node-name" Codec.str _.NodeName
            let! writeThreshold = required "write-threshold" Codec.uint64 _.WriteThreshold

            return fun m -> { NodeName = nodeName m; WriteThreshold = writeThreshold m }
        }

    let blockWriteThreshold: StructCodec<BlockWriteThreshold> =
        object "BlockWriteThresholdData" {
            let! nodeName = required "node-name" Codec.str _.NodeName
            let! amountExceeded = required "amount-exceeded" Codec.uint64 _.AmountExceeded
            let! writeThreshold = required "write-threshold" Codec.uint64 _.WriteThreshold

            return
                fun m -> {
                    NodeName = nodeName m
                    AmountExceeded = amountExceeded m
                    WriteThreshold = writeThreshold m
                }
        }

    let changeBackingFile: StructCodec<ChangeBackingFile> =
        object "ChangeBackingFileArgs" {
            let! device = required "device" Codec.str _.Device
            let! imageNodeName = required "image-node-name" Codec.str _.ImageNodeName
            let! backingFile = required "backing-file" Codec.str _.BackingFile

            return
                fun m -> {
                    Device = device m
                    ImageNodeName = imageNodeName m
                    BackingFile = backingFile m
                }
        }

    let private nodeType: Codec<DebugBlockGraphNodeType> =
        Codec.enum "XDbgBlockGraphNodeType" [
            DebugBlockGraphNodeType.BlockBackend, "block-backend"
            DebugBlockGraphNodeType.BlockJob, "block-job"
            DebugBlockGraphNodeType.BlockDriver, "block-driver"
        ]

    let private graphNode: StructCodec<DebugBlockGraphNode> =
        object "XDbgBlockGraphNode" {
            let! id = required "id" Codec.uint64 _.Id
            let! nodeType = required "type" nodeType _.Type
            let! name = required "name" Codec.str _.Name

            return fun m -> { Id = id m; Type = nodeType m; Name = name m }
        }

    let private permission: Codec<BlockPermission> =
        Codec.enum "BlockPermission" [
            BlockPermission.ConsistentRead, "consistent-read"
            BlockPermission.Write, "write"
            BlockPermission.WriteUnchanged, "write-unchanged"
            BlockPermission.Resize, "resize"
        ]

    let private graphEdge: StructCodec<DebugBlockGraphEdge> =
        object "XDbgBlockGraphEdge" {
            let! parent = required "parent" Codec.uint64 _.Parent
            let! child = required "child" Codec.uint64 _.Child
            let! name = required "name" Codec.str _.Name
            let! perm = required "perm" (Codec.list permission) _.Perm
            let! sharedPerm = required "shared-perm" (Codec.list permission) _.SharedPerm

            return
                fun m -> {
                    Parent = parent m
                    Child = child m
                    Name = name m
                    Perm = perm m
                    SharedPerm = sharedPerm m
                }
        }

    let debugBlockGraph: StructCodec<DebugBlockGraph> =
        object "XDbgBlockGraph" {
            let! nodes = required "nodes" (listOf graphNode) _.Nodes
            let! edges = required "edges" (listOf graphEdge) _.Edges
            return fun m -> { Nodes = nodes m; Edges = edges m }
        }

namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/block-core.json and qapi/transaction.json: commands that change the graph or show its shape.
module BlockGraphCodecs =
    let private listOf inner = Codec.list (StructCodec.codec inner)

    let blockdevReopen: StructCodec<BlockdevReopen> =
        record "BlockdevReopenArgs" "Arguments of blockdev-reopen." {
            let! options =
                doc
                    "All options of each node. What is left out goes back to its default."
                    (required "options" (listOf BlockCodecs.blockdevOptions) _.Options)
            return fun m -> { Options = options m }
        }

    let blockdevSetActive: StructCodec<BlockdevSetActive> =
        record "BlockdevSetActiveArgs" "Arguments of blockdev-set-active." {
            let! nodeName = doc "The node; all of them by default." (optional "node-name" Codec.str _.NodeName)
            let! active = doc "Whether it is to be active." (required "active" Codec.bool _.Active)
            return fun m -> { NodeName = nodeName m; Active = active m }
        }

    let blockdevSnapshot: StructCodec<BlockdevSnapshot> =
        record "BlockdevSnapshot" "Arguments of blockdev-snapshot." {
            let! node = doc "The node that becomes the backing one." (required "node" Codec.str _.Node)
            let! overlay =
                doc
                    "The node that is put on top. It must not have a backing node yet."
                    (required "overlay" Codec.str _.Overlay)
            return fun m -> { Node = node m; Overlay = overlay m }
        }

    let blockdevSnapshotInternal: StructCodec<BlockdevSnapshotInternal> =
        record "BlockdevSnapshotInternal" "Arguments of blockdev-snapshot-internal-sync." {
            let! device = doc "The node." (required "device" Codec.str _.Device)
            let! name = doc "The name of the snapshot." (required "name" Codec.str _.Name)
            return fun m -> { Device = device m; Name = name m }
        }

    let blockdevSnapshotDeleteInternal: StructCodec<BlockdevSnapshotDeleteInternal> =
        record "BlockdevSnapshotDeleteInternalArgs" "Arguments of blockdev-snapshot-delete-internal-sync." {
            let! device = doc "The node." (required "device" Codec.str _.Device)
            let! id = doc "The id of the snapshot." (optional "id" Codec.str _.Id)
            let! name = doc "Its name." (optional "name" Codec.str _.Name)
            return fun m -> { Device = device m; Id = id m; Name = name m }
        }

    let private newImageMode: Codec<NewImageMode> =
        Codec.enum "NewImageMode" [
            NewImageMode.Existing, "existing"
            NewImageMode.AbsolutePaths, "absolute-paths"
        ]
        |> Codec.documented "Whether an image has to be made." [
            "existing", "It exists, and its header stays as it is."
            "absolute-paths", "It is made, and names its backing file by an absolute path."
        ]

    let blockdevSnapshotSync: StructCodec<BlockdevSnapshotSync> =
        record "BlockdevSnapshotSync" "Arguments of blockdev-snapshot-sync." {
            let! device = doc "A guest device. There is none." (optional "device" Codec.str _.Device)
            let! nodeName = doc "The node." (optional "node-name" Codec.str _.NodeName)
            let! snapshotFile = doc "The file of the new image." (required "snapshot-file" Codec.str _.SnapshotFile)
            let! snapshotNodeName =
                doc "The name of the new node." (optional "snapshot-node-name" Codec.str _.SnapshotNodeName)
            let! format = doc "The format of the new image; qcow2 by default." (optional "format" Codec.str _.Format)
            let! mode =
                doc "Whether the image has to be made; it is by default." (optional "mode" newImageMode _.Mode)

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
                "blockdev-snapshot-internal-sync"
                (StructCodec.wrapped "BlockdevSnapshotInternalWrapper" blockdevSnapshotInternal)
                TransactionAction.SnapshotInternal
                (function
                 | TransactionAction.SnapshotInternal snapshot -> ValueSome snapshot
                 | _ -> ValueNone)
            branch
                "blockdev-snapshot-sync"
                (StructCodec.wrapped "BlockdevSnapshotSyncWrapper" blockdevSnapshotSync)
                TransactionAction.SnapshotSync
                (function
                 | TransactionAction.SnapshotSync snapshot -> ValueSome snapshot
                 | _ -> ValueNone)
        ]
        |> about "One action of a transaction."

    let private completionMode: Codec<ActionCompletionMode> =
        Codec.enum "ActionCompletionMode" [
            ActionCompletionMode.Individual, "individual"
            ActionCompletionMode.Grouped, "grouped"
        ]
        |> Codec.documented "How the actions of a transaction depend on each other once they run." [
            "individual", "Each ends for itself."
            "grouped", "When one fails the others are cancelled."
        ]

    let private transactionProperties: StructCodec<TransactionProperties> =
        record "TransactionProperties" "How the actions of a transaction depend on each other." {
            let! completionMode =
                doc "Individual by default." (optional "completion-mode" completionMode _.CompletionMode)
            return fun m -> { CompletionMode = completionMode m }
        }

    let transaction: StructCodec<TransactionArguments> =
        record "TransactionArgs" "Arguments of transaction." {
            let! actions = doc "The actions, in order." (required "actions" (listOf transactionAction) _.Actions)
            let! properties =
                doc
                    "How they depend on each other."
                    (optional "properties" (StructCodec.codec transactionProperties) _.Properties)

            return fun m -> { Actions = actions m; Properties = properties m }
        }

    let xBlockdevChange: StructCodec<BlockdevChange> =
        record "BlockdevChangeArgs" "Arguments of x-blockdev-change." {
            let! parent = doc "The node whose children change." (required "parent" Codec.str _.Parent)
            let! child =
                doc "The child to take away, by its name among the children." (optional "child" Codec.str _.Child)
            let! node = doc "The node to add as a child." (optional "node" Codec.str _.Node)

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
        |> Codec.documented "A name, or null for none." []

    let xBlockdevSetIothread: StructCodec<BlockdevSetIothread> =
        record "BlockdevSetIothreadArgs" "Arguments of x-blockdev-set-iothread." {
            let! nodeName = doc "The node." (required "node-name" Codec.str _.NodeName)
            let! iothread =
                doc "The iothread, or null for the main context." (required "iothread" strOrNull _.Iothread)
            let! force = doc "Whether to do it although the node has users." (optional "force" Codec.bool _.Force)

            return
                fun m -> {
                    NodeName = nodeName m
                    Iothread = iothread m
                    Force = force m
                }
        }

    let blockSetWriteThreshold: StructCodec<BlockSetWriteThreshold> =
        record "BlockSetWriteThresholdArgs" "Arguments of block-set-write-threshold." {
            let! nodeName = doc "The node." (required "node-name" Codec.str _.NodeName)
            let! writeThreshold =
                doc
                    "The offset in bytes; 0 takes the threshold away."
                    (required "write-threshold" Codec.uint64 _.WriteThreshold)

            return fun m -> { NodeName = nodeName m; WriteThreshold = writeThreshold m }
        }

    let blockWriteThreshold: StructCodec<BlockWriteThreshold> =
        record "BlockWriteThresholdData" "Data of BLOCK_WRITE_THRESHOLD." {
            let! nodeName = doc "The node." (required "node-name" Codec.str _.NodeName)
            let! amountExceeded =
                doc "Bytes by which the write went beyond." (required "amount-exceeded" Codec.uint64 _.AmountExceeded)
            let! writeThreshold =
                doc "The threshold in bytes." (required "write-threshold" Codec.uint64 _.WriteThreshold)

            return
                fun m -> {
                    NodeName = nodeName m
                    AmountExceeded = amountExceeded m
                    WriteThreshold = writeThreshold m
                }
        }

    let blockImageCorrupted: StructCodec<BlockImageCorrupted> =
        record "BlockImageCorruptedData" "Data of BLOCK_IMAGE_CORRUPTED." {
            let! device = doc "The guest device; empty, for there is none." (required "device" Codec.str _.Device)
            let! nodeName = doc "The node." (optional "node-name" Codec.str _.NodeName)
            let! msg = doc "The damage, in words." (required "msg" Codec.str _.Msg)
            let! offset = doc "Where it would have led to write, in bytes." (optional "offset" Codec.int64 _.Offset)
            let! size = doc "How much, in bytes." (optional "size" Codec.int64 _.Size)
            let! fatal = doc "Whether the image cannot be used any more." (required "fatal" Codec.bool _.Fatal)

            return
                fun m -> {
                    Device = device m
                    NodeName = nodeName m
                    Msg = msg m
                    Offset = offset m
                    Size = size m
                    Fatal = fatal m
                }
        }

    let changeBackingFile: StructCodec<ChangeBackingFile> =
        record "ChangeBackingFileArgs" "Arguments of change-backing-file." {
            let! device =
                doc "A node from which the image's node can be reached." (required "device" Codec.str _.Device)
            let! imageNodeName = doc "The node of the image." (required "image-node-name" Codec.str _.ImageNodeName)
            let! backingFile = doc "The name to write." (required "backing-file" Codec.str _.BackingFile)

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
        |> Codec.documented "What a vertex of the graph is." [
            "block-backend", "A user such as an export."
            "block-job", "A job."
            "block-driver", "A node."
        ]

    let private graphNode: StructCodec<DebugBlockGraphNode> =
        record "XDbgBlockGraphNode" "A vertex." {
            let! id = doc "Its number." (required "id" Codec.uint64 _.Id)
            let! nodeType = doc "What it is." (required "type" nodeType _.Type)
            let! name = doc "Its name." (required "name" Codec.str _.Name)

            return fun m -> { Id = id m; Type = nodeType m; Name = name m }
        }

    let private quorumOpType: Codec<QuorumOpType> =
        Codec.enum "QuorumOpType" [
            QuorumOpType.Read, "read"
            QuorumOpType.Write, "write"
            QuorumOpType.Flush, "flush"
        ]
        |> Codec.documented "What a copy was asked for." [
            "read", "To read."
            "write", "To write."
            "flush", "To flush."
        ]

    let quorumFailure: StructCodec<QuorumFailure> =
        record "QuorumFailureData" "Too few copies of a quorum agree." {
            let! reference = doc "The quorum." (required "reference" Codec.str _.Reference)
            let! sectorNum = doc "Where, in sectors of 512 bytes." (required "sector-num" Codec.int64 _.SectorNum)
            let! sectorsCount = doc "How many sectors." (required "sectors-count" Codec.int64 _.SectorsCount)

            return
                fun m -> {
                    Reference = reference m
                    SectorNum = sectorNum m
                    SectorsCount = sectorsCount m
                }
        }

    let quorumReportBad: StructCodec<QuorumReportBad> =
        record "QuorumReportBadData" "One copy of a quorum has failed, or has other data than the majority." {
            let! opType = doc "What it was asked for." (required "type" quorumOpType _.Type)
            let! error = doc "Its error; none where its data differ." (optional "error" Codec.str _.Error)
            let! nodeName = doc "The copy." (required "node-name" Codec.str _.NodeName)
            let! sectorNum = doc "Where, in sectors of 512 bytes." (required "sector-num" Codec.int64 _.SectorNum)
            let! sectorsCount = doc "How many sectors." (required "sectors-count" Codec.int64 _.SectorsCount)

            return
                fun m -> {
                    Type = opType m
                    Error = error m
                    NodeName = nodeName m
                    SectorNum = sectorNum m
                    SectorsCount = sectorsCount m
                }
        }

    let private graphEdge: StructCodec<DebugBlockGraphEdge> =
        record "XDbgBlockGraphEdge" "One use of a node." {
            let! parent = doc "The vertex that uses." (required "parent" Codec.uint64 _.Parent)
            let! child = doc "The vertex that is used." (required "child" Codec.uint64 _.Child)
            let! name = doc "What the child is called by its parent." (required "name" Codec.str _.Name)
            let! perm = doc "What the parent may do." (required "perm" (Codec.list BlockCodecs.permission) _.Perm)
            let! sharedPerm =
                doc "What it lets others do." (required "shared-perm" (Codec.list BlockCodecs.permission) _.SharedPerm)

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
        record "XDbgBlockGraph" "The graph." {
            let! nodes = doc "Its vertices." (required "nodes" (listOf graphNode) _.Nodes)
            let! edges = doc "Who uses whom." (required "edges" (listOf graphEdge) _.Edges)
            return fun m -> { Nodes = nodes m; Edges = edges m }
        }

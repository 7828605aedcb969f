namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/block-export.json.
module ExportCodecs =
    let private nbdServerOptionsOver name addr : StructCodec<NbdServerOptions> =
        record name "The NBD server." {
            let! handshakeMaxSeconds =
                doc
                    "How long a client may take to choose an export; 10 by default, 0 for any time."
                    (optional "handshake-max-seconds" Codec.uint32 _.HandshakeMaxSeconds)
            let! tlsCreds = doc "The id of TLS credentials." (optional "tls-creds" Codec.str _.TlsCreds)
            let! tlsAuthz =
                doc
                    "The id of the object that decides about names in certificates."
                    (optional "tls-authz" Codec.str _.TlsAuthz)
            let! maxConnections =
                doc
                    "The most clients at a time; 100 by default, 0 for any number."
                    (optional "max-connections" Codec.uint32 _.MaxConnections)
            let! addr = doc "The address to listen at." (required "addr" (StructCodec.codec addr) _.Addr)

            return
                fun m -> {
                    HandshakeMaxSeconds = handshakeMaxSeconds m
                    TlsCreds = tlsCreds m
                    TlsAuthz = tlsAuthz m
                    MaxConnections = maxConnections m
                    Addr = addr m
                }
        }

    /// `NbdServerOptions`: `--nbd-server`.
    let nbdServerOptions = nbdServerOptionsOver "NbdServerOptions" SocketCodecs.socketAddress

    /// `NbdServerOptionsLegacy`: arguments of `nbd-server-start`.
    let nbdServerOptionsLegacy =
        nbdServerOptionsOver "NbdServerOptionsLegacy" SocketCodecs.socketAddressLegacy

    let nbdServerAddOptions: StructCodec<NbdServerAddOptions> =
        record "NbdServerAddOptions" "Arguments of nbd-server-add." {
            let! name =
                doc "The name that clients ask for; the node's by default." (optional "name" Codec.str _.Name)
            let! description =
                doc "A text for people, at most 4096 bytes." (optional "description" Codec.str _.Description)
            let! device = doc "The node." (required "device" Codec.str _.Device)
            let! writable =
                doc "Whether clients may write; not by default." (optional "writable" Codec.bool _.Writable)

            return
                fun m -> {
                    Name = name m
                    Description = description m
                    Device = device m
                    Writable = writable m
                }
        }

    let private removeMode: Codec<BlockExportRemoveMode> =
        Codec.enum "BlockExportRemoveMode" [ BlockExportRemoveMode.Safe, "safe"; BlockExportRemoveMode.Hard, "hard" ]
        |> Codec.documented "What becomes of clients when an export is taken away." [
            "safe", "Connected clients make the command fail."
            "hard", "Connected clients are cut off."
        ]

    let nbdServerRemove: StructCodec<NbdServerRemove> =
        record "NbdServerRemoveArgs" "Arguments of nbd-server-remove." {
            let! name = doc "The export." (required "name" Codec.str _.Name)
            let! mode = doc "What becomes of connected clients; safe by default." (optional "mode" removeMode _.Mode)
            return fun m -> { Name = name m; Mode = mode m }
        }

    /// The iothreads of an export: one as the real daemon has it, or several.
    let private iothread: Codec<ExportIothread> =
        let ofOne iothread =
            match iothread with
            | ExportIothread.One id -> ValueSome id
            | ExportIothread.Many _ -> ValueNone

        let ofMany iothread =
            match iothread with
            | ExportIothread.Many ids -> ValueSome ids
            | ExportIothread.One _ -> ValueNone

        Alternate.alternate "BlockExportIothread" [
            Alternate.alternative Codec.str ExportIothread.One ofOne
            Alternate.alternative (Codec.list Codec.str) ExportIothread.Many ofMany
        ]
        |> Codec.documented "One iothread or several." []

    let private nbdOptions: StructCodec<BlockExportOptionsNbd> =
        record "BlockExportOptionsNbd" "An export over NBD; the server has to be started before." {
            let! name =
                doc "The name that clients ask for; the node's by default." (optional "name" Codec.str _.Name)
            let! description =
                doc "A text for people, at most 4096 bytes." (optional "description" Codec.str _.Description)
            return fun m -> { Name = name m; Description = description m }
        }

    let private allowOther: Codec<FuseExportAllowOther> =
        Codec.enum "FuseExportAllowOther" [
            FuseExportAllowOther.Off, "off"
            FuseExportAllowOther.On, "on"
            FuseExportAllowOther.Auto, "auto"
        ]
        |> Codec.documented "Whether other users than the daemon's have access to a FUSE export." [
            "off", "They have none."
            "on", "They have what the file's mode and owner give them; an error where that cannot be had."
            "auto", "As on, or off where that cannot be had."
        ]

    let private fuseOptions: StructCodec<BlockExportOptionsFuse> =
        record "BlockExportOptionsFuse" "An export as a file, over FUSE." {
            let! mountpoint =
                doc
                    "The regular file to mount it on. It may be the image's own."
                    (required "mountpoint" Codec.str _.Mountpoint)
            let! growable =
                doc
                    "Whether writes beyond the end make the node longer; not by default."
                    (optional "growable" Codec.bool _.Growable)
            let! allowOther =
                doc
                    "Whether other users than the daemon's have access; auto by default."
                    (optional "allow-other" allowOther _.AllowOther)

            return
                fun m -> {
                    Mountpoint = mountpoint m
                    Growable = growable m
                    AllowOther = allowOther m
                }
        }

    let private vhostUserBlkOptions: StructCodec<BlockExportOptionsVhostUserBlk> =
        record "BlockExportOptionsVhostUserBlk" "An export as a disk of a virtual machine, over vhost-user." {
            let! addr =
                doc
                    "The socket to listen at: of type unix or fd."
                    (required "addr" (StructCodec.codec SocketCodecs.socketAddress) _.Addr)
            let! logicalBlockSize =
                doc
                    "The smallest unit of the disk, in bytes; 512 by default."
                    (optional "logical-block-size" Codec.size _.LogicalBlockSize)
            let! numQueues =
                doc "How many queues the disk has; 1 by default." (optional "num-queues" Codec.uint16 _.NumQueues)

            return
                fun m -> {
                    Addr = addr m
                    LogicalBlockSize = logicalBlockSize m
                    NumQueues = numQueues m
                }
        }

    let private commonOptions: Fields<BlockExportOptions, BlockExportBranch -> BlockExportOptions> =
        fields {
            let! id = doc "A new id." (required "id" Codec.str _.Id)
            let! fixedIothread =
                doc
                    "Whether the node has to be moved to the iothread; otherwise only an attempt is made."
                    (optional "fixed-iothread" Codec.bool _.FixedIothread)
            let! iothread =
                doc
                    "The iothread that serves it, or a list of several. Without it the daemon's own threads do."
                    (optional "iothread" iothread _.Iothread)
            let! nodeName = doc "The node." (required "node-name" Codec.str _.NodeName)
            let! writable =
                doc "Whether clients may write; not by default." (optional "writable" Codec.bool _.Writable)
            let! writethrough =
                doc
                    "Whether each write is made durable before it is answered."
                    (optional "writethrough" Codec.bool _.Writethrough)
            let! allowInactive =
                doc "Whether the node may be inactive." (optional "allow-inactive" Codec.bool _.AllowInactive)

            return
                fun m exportType -> {
                    Id = id m
                    FixedIothread = fixedIothread m
                    Iothread = iothread m
                    NodeName = nodeName m
                    Writable = writable m
                    Writethrough = writethrough m
                    AllowInactive = allowInactive m
                    Type = exportType
                }
        }

    /// `BlockExportOptions`: arguments of `block-export-add`, and `--export`.
    let blockExportOptions: StructCodec<BlockExportOptions> =
        let branches = [
            branch "nbd" nbdOptions BlockExportBranch.Nbd (function
                | BlockExportBranch.Nbd options -> ValueSome options
                | _ -> ValueNone)
            branch "vhost-user-blk" vhostUserBlkOptions BlockExportBranch.VhostUserBlk (function
                | BlockExportBranch.VhostUserBlk options -> ValueSome options
                | _ -> ValueNone)
            branch "fuse" fuseOptions BlockExportBranch.Fuse (function
                | BlockExportBranch.Fuse options -> ValueSome options
                | _ -> ValueNone)
        ]

        StructCodec.unionWith "BlockExportOptions" "type" "BlockExportType" branches commonOptions _.Type
        |> about "An export: the node, and how it is offered."

    let blockExportDel: StructCodec<BlockExportDel> =
        record "BlockExportDelArgs" "Arguments of block-export-del." {
            let! id = doc "The export." (required "id" Codec.str _.Id)
            let! mode = doc "What becomes of connected clients; safe by default." (optional "mode" removeMode _.Mode)
            return fun m -> { Id = id m; Mode = mode m }
        }

    let private exportTypes = [
        BlockExportType.Nbd, "nbd"
        BlockExportType.VhostUserBlk, "vhost-user-blk"
        BlockExportType.Fuse, "fuse"
    ]

    let exportTypeName (exportType: BlockExportType) : string =
        exportTypes |> List.find (fun (listed, _) -> listed = exportType) |> snd

    let internal exportType: Codec<BlockExportType> =
        Codec.enum "BlockExportType" exportTypes
        |> Codec.documented "Protocols of exports." [
            "nbd", "Network Block Device."
            "vhost-user-blk", "A disk of a virtual machine, over vhost-user."
            "fuse", "A file, over FUSE."
        ]

    let blockExportInfo: StructCodec<BlockExportInfo> =
        record "BlockExportInfo" "An export." {
            let! id = doc "Its id." (required "id" Codec.str _.Id)
            let! exportType = doc "Its protocol." (required "type" exportType _.Type)
            let! nodeName = doc "The node that it offers." (required "node-name" Codec.str _.NodeName)
            let! shuttingDown =
                doc "Whether it is about to end." (required "shutting-down" Codec.bool _.ShuttingDown)

            return
                fun m -> {
                    Id = id m
                    Type = exportType m
                    NodeName = nodeName m
                    ShuttingDown = shuttingDown m
                }
        }

    let blockExportDeleted: StructCodec<BlockExportDeleted> =
        record "BlockExportDeletedData" "Data of BLOCK_EXPORT_DELETED." {
            let! id = doc "The export that is gone." (required "id" Codec.str _.Id)
            return fun m -> { Id = id m }
        }

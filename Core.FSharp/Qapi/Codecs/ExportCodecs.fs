namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/block-export.json.
module ExportCodecs =
    let private nbdServerOptionsOver name addr : StructCodec<NbdServerOptions> =
        object name {
            let! handshakeMaxSeconds = optional "handshake-max-seconds" Codec.uint32 _.HandshakeMaxSeconds
            let! tlsCreds = optional "tls-creds" Codec.str _.TlsCreds
            let! tlsAuthz = optional "tls-authz" Codec.str _.TlsAuthz
            let! maxConnections = optional "max-connections" Codec.uint32 _.MaxConnections
            let! addr = required "addr" (StructCodec.codec addr) _.Addr

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
        object "NbdServerAddOptions" {
            let! name = optional "name" Codec.str _.Name
            let! description = optional "description" Codec.str _.Description
            let! device = required "device" Codec.str _.Device
            let! writable = optional "writable" Codec.bool _.Writable

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

    let nbdServerRemove: StructCodec<NbdServerRemove> =
        object "NbdServerRemoveArgs" {
            let! name = required "name" Codec.str _.Name
            let! mode = optional "mode" removeMode _.Mode
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

    let private nbdOptions: StructCodec<BlockExportOptionsNbd> =
        object "BlockExportOptionsNbd" {
            let! name = optional "name" Codec.str _.Name
            let! description = optional "description" Codec.str _.Description
            return fun m -> { Name = name m; Description = description m }
        }

    let private commonOptions: Fields<BlockExportOptions, BlockExportBranch -> BlockExportOptions> =
        fields {
            let! id = required "id" Codec.str _.Id
            let! fixedIothread = optional "fixed-iothread" Codec.bool _.FixedIothread
            let! iothread = optional "iothread" iothread _.Iothread
            let! nodeName = required "node-name" Codec.str _.NodeName
            let! writable = optional "writable" Codec.bool _.Writable
            let! writethrough = optional "writethrough" Codec.bool _.Writethrough
            let! allowInactive = optional "allow-inactive" Codec.bool _.AllowInactive

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
                | BlockExportBranch.Nbd options -> ValueSome options)
        ]

        StructCodec.unionWith "BlockExportOptions" "type" "BlockExportType" branches commonOptions _.Type

    let blockExportDel: StructCodec<BlockExportDel> =
        object "BlockExportDelArgs" {
            let! id = required "id" Codec.str _.Id
            let! mode = optional "mode" removeMode _.Mode
            return fun m -> { Id = id m; Mode = mode m }
        }

    let private exportType: Codec<BlockExportType> =
        Codec.enum "BlockExportType" [ BlockExportType.Nbd, "nbd" ]

    let blockExportInfo: StructCodec<BlockExportInfo> =
        object "BlockExportInfo" {
            let! id = required "id" Codec.str _.Id
            let! exportType = required "type" exportType _.Type
            let! nodeName = required "node-name" Codec.str _.NodeName
            let! shuttingDown = required "shutting-down" Codec.bool _.ShuttingDown

            return
                fun m -> {
                    Id = id m
                    Type = exportType m
                    NodeName = nodeName m
                    ShuttingDown = shuttingDown m
                }
        }

    let blockExportDeleted: StructCodec<BlockExportDeleted> =
        object "BlockExportDeletedData" {
            let! id = required "id" Codec.str _.Id
            return fun m -> { Id = id m }
        }

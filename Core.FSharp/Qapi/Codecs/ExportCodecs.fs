namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/block-export.json.
module ExportCodecs =
    let private nbdServerOptionsOver name addr : StructCodec<NbdServerOptions> =
        object name {
            let! handshakeMaxSeconds = optional "handshake-max-seconds" Codec.uint32 _.HandshakeMaxSeconds
            and! tlsCreds = optional "tls-creds" Codec.str _.TlsCreds
            and! tlsAuthz = optional "tls-authz" Codec.str _.TlsAuthz
            and! maxConnections = optional "max-connections" Codec.uint32 _.MaxConnections
            and! addr = required "addr" (StructCodec.codec addr) _.Addr

            return {
                HandshakeMaxSeconds = handshakeMaxSeconds
                TlsCreds = tlsCreds
                TlsAuthz = tlsAuthz
                MaxConnections = maxConnections
                Addr = addr
            }
        }

    /// `NbdServerOptions`: `--nbd-server`.
    let nbdServerOptions =
        nbdServerOptionsOver "NbdServerOptions" SocketCodecs.socketAddress

    /// `NbdServerOptionsLegacy`: arguments of `nbd-server-start`.
    let nbdServerOptionsLegacy =
        nbdServerOptionsOver "NbdServerOptionsLegacy" SocketCodecs.socketAddressLegacy

    let nbdServerAddOptions: StructCodec<NbdServerAddOptions> =
        object "NbdServerAddOptions" {
            let! name = optional "name" Codec.str _.Name
            and! description = optional "description" Codec.str _.Description
            and! device = required "device" Codec.str _.Device
            and! writable = optional "writable" Codec.bool _.Writable

            return {
                Name = name
                Description = description
                Device = device
                Writable = writable
            }
        }

    let private removeMode: Codec<BlockExportRemoveMode> =
        Codec.enum "BlockExportRemoveMode" [ BlockExportRemoveMode.Safe, "safe"; BlockExportRemoveMode.Hard, "hard" ]

    let nbdServerRemove: StructCodec<NbdServerRemove> =
        object "NbdServerRemoveArgs" {
            let! name = required "name" Codec.str _.Name
            and! mode = optional "mode" removeMode _.Mode
            return { Name = name; Mode = mode }
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
            and! description = optional "description" Codec.str _.Description
            return { Name = name; Description = description }
        }

    let private commonOptions: Fields<BlockExportOptions, BlockExportBranch -> BlockExportOptions> =
        fields {
            let! id = required "id" Codec.str _.Id
            and! fixedIothread = optional "fixed-iothread" Codec.bool _.FixedIothread
            and! iothread = optional "iothread" iothread _.Iothread
            and! nodeName = required "node-name" Codec.str _.NodeName
            and! writable = optional "writable" Codec.bool _.Writable
            and! writethrough = optional "writethrough" Codec.bool _.Writethrough
            and! allowInactive = optional "allow-inactive" Codec.bool _.AllowInactive

            return
                fun exportType -> {
                    Id = id
                    FixedIothread = fixedIothread
                    Iothread = iothread
                    NodeName = nodeName
                    Writable = writable
                    Writethrough = writethrough
                    AllowInactive = allowInactive
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
            and! mode = optional "mode" removeMode _.Mode
            return { Id = id; Mode = mode }
        }

    let private exportType: Codec<BlockExportType> =
        Codec.enum "BlockExportType" [ BlockExportType.Nbd, "nbd" ]

    let blockExportInfo: StructCodec<BlockExportInfo> =
        object "BlockExportInfo" {
            let! id = required "id" Codec.str _.Id
            and! exportType = required "type" exportType _.Type
            and! nodeName = required "node-name" Codec.str _.NodeName
            and! shuttingDown = required "shutting-down" Codec.bool _.ShuttingDown

            return {
                Id = id
                Type = exportType
                NodeName = nodeName
                ShuttingDown = shuttingDown
            }
        }

    let blockExportDeleted: StructCodec<BlockExportDeleted> =
        object "BlockExportDeletedData" {
            let! id = required "id" Codec.str _.Id
            return { Id = id }
        }

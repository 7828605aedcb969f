namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/control.json.
module MiscCodecs =
    let private capability: Codec<QmpCapability> = Codec.enum "QMPCapability" [ QmpCapability.Oob, "oob" ]

    let qmpCapabilities: StructCodec<QmpCapabilities> =
        object "QmpCapabilitiesArgs" {
            let! enable = optional "enable" (Codec.list capability) _.Enable
            return fun m -> { Enable = enable m }
        }

    let private versionTriple: StructCodec<VersionTriple> =
        object "VersionTriple" {
            // In the order in which the real daemon prints them.
            let! micro = required "micro" Codec.int64 _.Micro
            let! minor = required "minor" Codec.int64 _.Minor
            let! major = required "major" Codec.int64 _.Major

            return fun m -> { Major = major m; Minor = minor m; Micro = micro m }
        }

    /// `VersionInfo`: also the `version` of the greeting.
    let versionInfo: StructCodec<VersionInfo> =
        object "VersionInfo" {
            let! qemu = required "qemu" (StructCodec.codec versionTriple) _.Qemu
            let! package = required "package" Codec.str _.Package
            return fun m -> { Qemu = qemu m; Package = package m }
        }

    let commandInfo: StructCodec<CommandInfo> =
        object "CommandInfo" {
            let! name = required "name" Codec.str _.Name
            return fun m -> { Name = name m }
        }

    let private monitorMode: Codec<MonitorMode> =
        Codec.enum "MonitorMode" [ MonitorMode.Readline, "readline"; MonitorMode.Control, "control" ]

    /// `MonitorOptions`: `--monitor`.
    let monitorOptions: StructCodec<MonitorOptions> =
        object "MonitorOptions" {
            let! id = optional "id" Codec.str _.Id
            let! mode = optional "mode" monitorMode _.Mode
            let! pretty = optional "pretty" Codec.bool _.Pretty
            let! chardev = required "chardev" Codec.str _.Chardev

            return
                fun m -> {
                    Id = id m
                    Mode = mode m
                    Pretty = pretty m
                    Chardev = chardev m
                }
        }

    /// `--metrics`: where to listen. The option is this daemon's own.
    let metricsOptions: StructCodec<SocketAddress> =
        object "MetricsOptions" {
            let! addr = required "addr" (StructCodec.codec SocketCodecs.socketAddress) id
            return addr
        }

namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/control.json.
module MiscCodecs =
    let private capability: Codec<QmpCapability> =
        Codec.enum "QMPCapability" [ QmpCapability.Oob, "oob" ]

    let qmpCapabilities: StructCodec<QmpCapabilities> =
        object "QmpCapabilitiesArgs" {
            let! enable = optional "enable" (Codec.list capability) _.Enable
            return { Enable = enable }
        }

    let private versionTriple: StructCodec<VersionTriple> =
        object "VersionTriple" {
            let! major = required "major" Codec.int64 _.Major
            and! minor = required "minor" Codec.int64 _.Minor
            and! micro = required "micro" Codec.int64 _.Micro

            return {
                Major = major
                Minor = minor
                Micro = micro
            }
        }

    /// `VersionInfo`: also the `version` of the greeting.
    let versionInfo: StructCodec<VersionInfo> =
        object "VersionInfo" {
            let! qemu = required "qemu" (StructCodec.codec versionTriple) _.Qemu
            and! package = required "package" Codec.str _.Package
            return { Qemu = qemu; Package = package }
        }

    let commandInfo: StructCodec<CommandInfo> =
        object "CommandInfo" {
            let! name = required "name" Codec.str _.Name
            return { Name = name }
        }

    let private monitorMode: Codec<MonitorMode> =
        Codec.enum "MonitorMode" [ MonitorMode.Readline, "readline"; MonitorMode.Control, "control" ]

    /// `MonitorOptions`: `--monitor`.
    let monitorOptions: StructCodec<MonitorOptions> =
        object "MonitorOptions" {
            let! id = optional "id" Codec.str _.Id
            and! mode = optional "mode" monitorMode _.Mode
            and! pretty = optional "pretty" Codec.bool _.Pretty
            and! chardev = required "chardev" Codec.str _.Chardev

            return {
                Id = id
                Mode = mode
                Pretty = pretty
                Chardev = chardev
            }
        }

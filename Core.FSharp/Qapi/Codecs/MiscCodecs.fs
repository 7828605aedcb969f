namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/control.json.
module MiscCodecs =
    let private capability: Codec<QmpCapability> =
        Codec.enum "QMPCapability" [ QmpCapability.Oob, "oob" ]
        |> Codec.documented "What a client can enable." [
            "oob", "Commands out of band. No command of this daemon runs so."
        ]

    let qmpCapabilities: StructCodec<QmpCapabilities> =
        record "QmpCapabilitiesArgs" "Arguments of qmp_capabilities." {
            let! enable =
                doc
                    "What to enable of that which the greeting offers."
                    (optional "enable" (Codec.list capability) _.Enable)
            return fun m -> { Enable = enable m }
        }

    let private versionTriple: StructCodec<VersionTriple> =
        record "VersionTriple" "A version of three numbers." {
            let! major = doc "The first." (required "major" Codec.int64 _.Major)
            let! minor = doc "The second." (required "minor" Codec.int64 _.Minor)
            let! micro = doc "The third." (required "micro" Codec.int64 _.Micro)

            return fun m -> { Major = major m; Minor = minor m; Micro = micro m }
        }

    /// `VersionInfo`: also the `version` of the greeting.
    let versionInfo: StructCodec<VersionInfo> =
        record "VersionInfo" "The version." {
            let! qemu =
                doc
                    "The version of QEMU whose interface this is."
                    (required "qemu" (StructCodec.codec versionTriple) _.Qemu)
            let! package = doc "The version of this program." (required "package" Codec.str _.Package)
            return fun m -> { Qemu = qemu m; Package = package m }
        }

    let commandInfo: StructCodec<CommandInfo> =
        record "CommandInfo" "A command." {
            let! name = doc "Its name." (required "name" Codec.str _.Name)
            return fun m -> { Name = name m }
        }

    let private monitorMode: Codec<MonitorMode> =
        Codec.enum "MonitorMode" [ MonitorMode.Readline, "readline"; MonitorMode.Control, "control" ]
        |> Codec.documented "Protocols of monitors." [
            "readline", "A human's command line, which the daemon does not have."
            "control", "QMP."
        ]

    /// `MonitorOptions`: `--monitor`.
    let monitorOptions: StructCodec<MonitorOptions> =
        record "MonitorOptions" "A monitor." {
            let! id = doc "Its id." (optional "id" Codec.str _.Id)
            let! mode = doc "Its protocol; control is the only one." (optional "mode" monitorMode _.Mode)
            let! pretty = doc "Whether replies are spread over lines." (optional "pretty" Codec.bool _.Pretty)
            let! chardev = doc "The character device to speak on." (required "chardev" Codec.str _.Chardev)

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
        record "MetricsOptions" "Where metrics are served." {
            let! addr =
                doc "The address to listen at." (required "addr" (StructCodec.codec SocketCodecs.socketAddress) id)
            return addr
        }

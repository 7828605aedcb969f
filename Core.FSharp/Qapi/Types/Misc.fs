namespace StorageDaemon.Core.Qapi

/// `QMPCapability` of qapi/control.json.
[<RequireQualifiedAccess>]
type QmpCapability = | Oob

/// Arguments of `qmp_capabilities`.
type QmpCapabilities = { Enable: QmpCapability list option }

/// `VersionTriple` of qapi/control.json.
type VersionTriple = { Major: int64; Minor: int64; Micro: int64 }

/// `VersionInfo` of qapi/control.json.
type VersionInfo = { Qemu: VersionTriple; Package: string }

/// `CommandInfo` of qapi/control.json.
type CommandInfo = { Name: string }

/// `MonitorMode` of qapi/control.json.
[<RequireQualifiedAccess>]
type MonitorMode =
    | Readline
    | Control

/// `MonitorOptions` of qapi/control.json: `--monitor`.
type MonitorOptions = {
    Id: string option
    Mode: MonitorMode option
    Pretty: bool option
    Chardev: string
}

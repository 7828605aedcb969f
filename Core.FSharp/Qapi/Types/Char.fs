namespace StorageDaemon.Core.Qapi

/// `ChardevCommon` of qapi/char.json: the log of everything that passes.
type ChardevCommon = { Logfile: string option; Logappend: bool option }

/// `ChardevFile` of qapi/char.json.
type ChardevFile = {
    Common: ChardevCommon
    In: string option
    Out: string
    Append: bool option
}

/// `ChardevSocket` of qapi/char.json.
type ChardevSocket = {
    Common: ChardevCommon
    Addr: SocketAddress
    TlsCreds: string option
    TlsAuthz: string option
    Server: bool option
    Wait: bool option
    Nodelay: bool option
    Telnet: bool option
    Tn3270: bool option
    Websocket: bool option
    /// Seconds; deprecated.
    Reconnect: int64 option
    /// Milliseconds.
    ReconnectMs: int64 option
}

/// `ChardevStdio` of qapi/char.json.
type ChardevStdio = { Common: ChardevCommon; Signal: bool option }

/// `ChardevPty` of qapi/char.json.
type ChardevPty = {
    Common: ChardevCommon
    /// A symbolic link to be made to the terminal.
    Path: string option
}

/// `ChardevHostdev` of qapi/char.json: a device of the host, or the name of a pipe.
type ChardevHostdev = { Common: ChardevCommon; Device: string }

/// `ChardevUdp` of qapi/char.json.
type ChardevUdp = {
    Common: ChardevCommon
    Remote: SocketAddress
    /// Where datagrams come in; any free port if absent.
    Local: SocketAddress option
}

/// `ChardevMux` of qapi/char.json.
type ChardevMux = {
    Common: ChardevCommon
    /// The id of the device that is shared.
    Chardev: string
}

/// `ChardevHub` of qapi/char.json.
type ChardevHub = {
    Common: ChardevCommon
    /// The ids of the devices that get all output.
    Chardevs: string list
}

/// `ChardevRingbuf` of qapi/char.json.
type ChardevRingbuf = {
    Common: ChardevCommon
    /// Bytes, a power of two; 65536 if absent.
    Size: int64 option
}

/// `ChardevBackend` of qapi/char.json.
[<RequireQualifiedAccess>]
type ChardevBackend =
    | File of ChardevFile
    | Socket of ChardevSocket
    | Pty of ChardevPty
    | Null of ChardevCommon
    | Stdio of ChardevStdio
    | Serial of ChardevHostdev
    | Parallel of ChardevHostdev
    | Pipe of ChardevHostdev
    | Udp of ChardevUdp
    | Mux of ChardevMux
    | Hub of ChardevHub
    | Ringbuf of ChardevRingbuf
    /// The old name of `Ringbuf`.
    | Memory of ChardevRingbuf
    | Unavailable of UnavailableBranch

/// Arguments of `chardev-add` and `chardev-change`.
type ChardevAdd = { Id: string; Backend: ChardevBackend }

/// `ChardevReturn` of qapi/char.json.
type ChardevReturn = {
    /// The name of the terminal that a `pty` made.
    Pty: string option
}

/// Arguments of `chardev-remove`.
type ChardevRemove = { Id: string }

/// Arguments of `chardev-send-break`.
type ChardevSendBreak = { Id: string }

/// `DataFormat` of qapi/char.json.
[<RequireQualifiedAccess>]
type DataFormat =
    | Utf8
    | Base64

/// Arguments of `ringbuf-read`.
type RingbufRead = {
    Device: string
    /// The most bytes to read.
    Size: int64
    Format: DataFormat option
}

/// Arguments of `ringbuf-write`.
type RingbufWrite = { Device: string; Data: string; Format: DataFormat option }

/// `ChardevInfo` of qapi/char.json.
type ChardevInfo = { Label: string; Filename: string; FrontendOpen: bool }

/// `ChardevBackendInfo` of qapi/char.json.
type ChardevBackendInfo = { Name: string }

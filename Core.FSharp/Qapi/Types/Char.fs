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

/// `ChardevBackend` of qapi/char.json.
[<RequireQualifiedAccess>]
type ChardevBackend =
    | File of ChardevFile
    | Socket of ChardevSocket
    | Pty of ChardevPty
    | Null of ChardevCommon
    | Stdio of ChardevStdio
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

/// `ChardevInfo` of qapi/char.json.
type ChardevInfo = { Label: string; Filename: string; FrontendOpen: bool }

/// `ChardevBackendInfo` of qapi/char.json.
type ChardevBackendInfo = { Name: string }

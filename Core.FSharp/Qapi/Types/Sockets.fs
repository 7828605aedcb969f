namespace StorageDaemon.Core.Qapi

/// `InetSocketAddress` of qapi/sockets.json.
type InetSocketAddress = {
    Host: string
    /// A port number or a service name.
    Port: string
    /// The host is an address and the port a number: no look-up.
    Numeric: bool option
    /// The highest port that a listener may try.
    To: uint16 option
    Ipv4: bool option
    Ipv6: bool option
    KeepAlive: bool option
    Mptcp: bool option
}

/// `UnixSocketAddress` of qapi/sockets.json.
type UnixSocketAddress = {
    Path: string
    /// The address is in Linux's abstract name space, not in the file system.
    Abstract: bool option
    /// Whether the length of an abstract address ends with the path (the default) or covers all of `sun_path`.
    Tight: bool option
}

/// `VsockSocketAddress` of qapi/sockets.json. Both are decimal numbers in text.
type VsockSocketAddress = { Cid: string; Port: string }

/// `SocketAddress` of qapi/sockets.json; `SocketAddressLegacy` is the same value in another spelling.
[<RequireQualifiedAccess>]
type SocketAddress =
    | Inet of InetSocketAddress
    | Unix of UnixSocketAddress
    | Vsock of VsockSocketAddress
    /// The number of an inherited descriptor, or the name of one that a monitor client has sent.
    | Fd of str: string

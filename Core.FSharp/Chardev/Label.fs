namespace StorageDaemon.Core.Chardev

open StorageDaemon.Core.Qapi

/// A socket address as the `filename` of query-chardev shows it.
[<NoComparison>]
type LabelAddress =
    | UnixLabel of path: string * isAbstract: bool * tight: bool
    | InetLabel of host: string * port: string
    | VsockLabel of cid: string * port: string
    | FdLabel of name: string

/// What runs on top of a socket character device's stream.
type SocketProtocol =
    | Plain = 0
    | Telnet = 1
    | WebSocket = 2

/// One end of an established connection.
[<NoComparison>]
type ConnectionEnd =
    /// `path` is what stands before the first NUL byte of sun_path: empty for an abstract or unnamed socket.
    | UnixEnd of path: string
    /// `host` is numeric.
    | InetEnd of host: string * port: int * isIpv6: bool
    | OtherEnd

/// The `filename` labels of query-chardev and of the "waiting for connection" line.
module Label =
    let private serverSuffix isServer = if isServer then ",server=on" else ""

    let private scheme protocol =
        match protocol with
        | SocketProtocol.Telnet -> "telnet"
        | SocketProtocol.WebSocket -> "websocket"
        | _ -> "tcp"

    /// A socket without a peer. The real daemon shows no ",server=on" for vsock.
    let disconnected protocol (address: LabelAddress) (isServer: bool) : string =
        let body =
            match address with
            | UnixLabel(path, isAbstract, tight) ->
                "unix:"
                + path
                + (if not isAbstract then ""
                   elif tight then ",abstract=on,tight=on"
                   else ",abstract=on")
                + serverSuffix isServer
            | InetLabel(host, port) -> scheme protocol + ":" + host + ":" + port + serverSuffix isServer
            | VsockLabel(cid, port) -> "vsock:" + cid + ":" + port
            | FdLabel name -> "fd:" + name + serverSuffix isServer

        "disconnected:" + body

    let private endText host (port: int) isIpv6 =
        (if isIpv6 then "[" + host + "]" else host) + ":" + port.ToString()

    /// A socket with a peer. A server of the unix family is named by its own path, a client by its peer's.
    let connected protocol (local: ConnectionEnd) (peer: ConnectionEnd) (isServer: bool) : string =
        match local, peer with
        | UnixEnd own, UnixEnd other -> "unix:" + (if isServer then own else other) + serverSuffix isServer
        | InetEnd(host, port, v6), InetEnd(peerHost, peerPort, peerV6) ->
            scheme protocol
            + ":"
            + endText host port v6
            + serverSuffix isServer
            + " <-> "
            + endText peerHost peerPort peerV6
        | _ -> "unknown"

    let pty (slavePath: string) = "pty:" + slavePath

    /// The address of a listening socket as QAPI has it: where it is bound, however it was asked for.
    let toAddress (bound: LabelAddress) : SocketAddress =
        match bound with
        | UnixLabel(path, isAbstract, tight) ->
            SocketAddress.Unix {
                Path = path
                Abstract = if isAbstract then Some true else None
                Tight = if isAbstract then Some tight else None
            }
        | InetLabel(host, port) ->
            let isIpv6 = host.Contains ':'

            SocketAddress.Inet {
                Host = host
                Port = port
                Numeric = None
                To = None
                Ipv4 = if isIpv6 then None else Some true
                Ipv6 = if isIpv6 then Some true else None
                KeepAlive = None
                Mptcp = None
            }
        | VsockLabel(cid, port) -> SocketAddress.Vsock { Cid = cid; Port = port }
        | FdLabel name -> SocketAddress.Fd name

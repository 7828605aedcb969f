namespace StorageDaemon.Core.Daemon

open StorageDaemon.Core
open StorageDaemon.Core.Options
open StorageDaemon.Core.Qapi

/// Between what `--chardev` says and the schema's `ChardevBackend`.
module ChardevMapping =
    let private address (address: ChardevAddress) : SocketAddress =
        match address with
        | ChardevAddress.Unix(path, isAbstract, tight) ->
            SocketAddress.Unix {
                Path = path
                Abstract = Some isAbstract
                Tight = Some tight
            }
        | ChardevAddress.Inet inet ->
            SocketAddress.Inet {
                Host = inet.Host
                Port = inet.Port
                Numeric = None
                To = inet.To
                Ipv4 = inet.Ipv4
                Ipv6 = inet.Ipv6
                KeepAlive = None
                Mptcp = None
            }
        | ChardevAddress.Fd str -> SocketAddress.Fd str
        | ChardevAddress.Vsock(cid, port) -> SocketAddress.Vsock { Cid = cid; Port = port }

    let private socket (common: ChardevCommon) (o: SocketChardev) : ChardevSocket = {
        Common = common
        Addr = address o.Address
        TlsCreds = o.TlsCreds
        TlsAuthz = o.TlsAuthz
        Server = Some o.Server
        Wait = o.Wait
        Nodelay = Some o.NoDelay
        Telnet = Some o.Telnet
        Tn3270 = Some o.Tn3270
        Websocket = Some o.Websocket
        Reconnect = o.Reconnect
        ReconnectMs = o.ReconnectMs
    }

    /// The arguments of chardev-add that do what the option asks for.
    let ofOption (chardev: Options.Chardev) : Result<ChardevAdd, QapiError> =
        let common: ChardevCommon = {
            Logfile = chardev.LogFile
            Logappend = if chardev.LogFile.IsSome then Some chardev.LogAppend else None
        }

        let backend =
            match chardev.Backend with
            | Options.ChardevBackend.Socket o -> Ok(ChardevBackend.Socket(socket common o))
            | Options.ChardevBackend.Stdio signal -> Ok(ChardevBackend.Stdio { Common = common; Signal = Some signal })
            | Options.ChardevBackend.Null -> Ok(ChardevBackend.Null common)
            | Options.ChardevBackend.File(path, inputPath, append) ->
                Ok(
                    ChardevBackend.File {
                        Common = common
                        In = inputPath
                        Out = path
                        Append = Some append
                    }
                )
            | Options.ChardevBackend.Pty path -> Ok(ChardevBackend.Pty { Common = common; Path = path })
            | Options.ChardevBackend.NotBuilt name -> Error(ChardevOptions.unknownType name)

        match backend with
        | Ok _ when chardev.Mux -> Error(ChardevOptions.unknownType "mux")
        | Ok backend -> Ok { Id = chardev.Id; Backend = backend }
        | Error error -> Error error

    let private addressBack (address: SocketAddress) : ChardevAddress =
        match address with
        | SocketAddress.Fd str -> ChardevAddress.Fd str
        | SocketAddress.Vsock vsock -> ChardevAddress.Vsock(vsock.Cid, vsock.Port)
        | SocketAddress.Unix path ->
            ChardevAddress.Unix(path.Path, path.Abstract = Some true, path.Tight <> Some false)
        | SocketAddress.Inet inet ->
            ChardevAddress.Inet {
                Host = inet.Host
                Port = inet.Port
                To = inet.To
                Ipv4 = inet.Ipv4
                Ipv6 = inet.Ipv6
            }

    /// The socket's options with their defaults, for the checks that both ways of giving them share.
    let settled (o: ChardevSocket) : SocketChardev = {
        Address = addressBack o.Addr
        Server = defaultArg o.Server true
        Wait = o.Wait
        NoDelay = o.Nodelay = Some true
        Telnet = o.Telnet = Some true
        Tn3270 = o.Tn3270 = Some true
        Websocket = o.Websocket = Some true
        TlsCreds = o.TlsCreds
        TlsAuthz = o.TlsAuthz
        Reconnect = o.Reconnect
        ReconnectMs = o.ReconnectMs
    }

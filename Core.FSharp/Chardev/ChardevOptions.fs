namespace StorageDaemon.Core.Chardev

open StorageDaemon.Core
open StorageDaemon.Core.Options
open StorageDaemon.Core.Qapi

/// What a --chardev option asks for.
[<RequireQualifiedAccess>]
type ChardevRequest =
    /// The arguments of chardev-add that do the same. With `shared`, the device is made under `ChardevOptions.baseId`
    /// and gets a `mux` of the id itself.
    | Create of ChardevAdd * shared: bool
    /// Print `typeHelpText` and exit with status 0.
    | ListTypes
    /// Print `optionHelpText` and exit with status 1.
    | ListOptions

/// --chardev: from its options to the arguments of chardev-add. Whoever opens the device looks up the TLS credentials
/// and calls `validateSocket`, in this order: so do the errors of the real daemon come.
module ChardevOptions =
    let private group =
        let ofType optionType names = [ for name in names -> name, optionType ]

        {
            Name = "chardev"
            ImpliedKey = "backend"
            Types =
                Map.ofList (
                    ofType OptionType.Text [
                        "backend"
                        "path"
                        "input-path"
                        "host"
                        "port"
                        "fd"
                        "localaddr"
                        "localport"
                        "tls-creds"
                        "tls-authz"
                        "name"
                        "logfile"
                        "chardev"
                        "chardevs.0"
                        "chardevs.1"
                        "chardevs.2"
                        "chardevs.3"
                    ]
                    @ ofType OptionType.Bool [
                        "ipv4"
                        "ipv6"
                        "wait"
                        "server"
                        "delay"
                        "nodelay"
                        "telnet"
                        "tn3270"
                        "websocket"
                        "mux"
                        "signal"
                        "append"
                        "logappend"
                        "mouse"
                        "clipboard"
                        "tight"
                        "abstract"
                    ]
                    @ ofType OptionType.Number [
                        "to"
                        "reconnect"
                        "reconnect-ms"
                        "width"
                        "height"
                        "cols"
                        "rows"
                        "debug"
                    ]
                    @ ofType OptionType.Size [ "size" ]
                )
        }

    /// The types that can be made, in the order of the real daemon's list.
    let private types = [
        "pty"
        "file"
        "udp"
        "memory"
        "stdio"
        "socket"
        "ringbuf"
        "null"
        "parallel"
        "pipe"
        "mux"
        "serial"
        "hub"
    ]

    /// What `--chardev help` prints.
    let typeHelpText =
        let lines = types |> List.map (fun name -> "  " + name + "\n")
        "Available chardev backend types: \n" + System.String.Concat lines

    /// What `--chardev TYPE,help` prints; the same for every type.
    let optionHelpText = QemuOpts.helpText group

    let unknownType name =
        QapiError.generic ("'" + name + "' is not a valid char driver name")

    /// The id of the device below the `mux` that `mux=on` makes.
    let baseId (id: string) = id + "-base"

    let private flagOr fallback name options =
        QemuOpts.flag name options |> Option.defaultValue fallback

    let private address options =
        let path = QemuOpts.text "path" options
        let fd = QemuOpts.text "fd" options
        let host = QemuOpts.text "host" options

        match path, host, fd with
        | Some path, None, None ->
            SocketAddress.Unix {
                Path = path
                Abstract = Some(flagOr false "abstract" options)
                Tight = Some(flagOr true "tight" options)
            }
            |> Ok
        | None, Some host, None ->
            match QemuOpts.text "port" options with
            | None -> QapiError.fail "chardev: socket: no port given"
            | Some port ->
                SocketAddress.Inet {
                    Host = host
                    Port = port
                    Numeric = None
                    To = QemuOpts.number "to" options |> Option.map uint16
                    Ipv4 = QemuOpts.flag "ipv4" options
                    Ipv6 = QemuOpts.flag "ipv6" options
                    KeepAlive = None
                    Mptcp = None
                }
                |> Ok
        | None, None, fd -> Ok(SocketAddress.Fd(Option.defaultValue "" fd))
        | _ -> QapiError.fail "None or one of 'path', 'fd' or 'host' option required."

    let private noDelay options =
        match QemuOpts.flag "delay" options, QemuOpts.flag "nodelay" options with
        | Some _, Some _ -> QapiError.fail "'delay' and 'nodelay' are mutually exclusive"
        | Some delay, None -> Ok(not delay)
        | None, noDelay -> Ok(Option.defaultValue false noDelay)

    let private socket common options =
        result {
            let! address = address options
            let! noDelay = noDelay options
            let server = flagOr false "server" options
            let wait = QemuOpts.flag "wait" options

            return
                ChardevBackend.Socket {
                    Common = common
                    Addr = address
                    Server = Some server
                    Wait = (if server && wait.IsNone then Some true else wait)
                    Nodelay = Some noDelay
                    Telnet = Some(flagOr false "telnet" options)
                    Tn3270 = Some(flagOr false "tn3270" options)
                    Websocket = Some(flagOr false "websocket" options)
                    TlsCreds = QemuOpts.text "tls-creds" options
                    TlsAuthz = QemuOpts.text "tls-authz" options
                    Reconnect = QemuOpts.number "reconnect" options |> Option.map int64
                    ReconnectMs = QemuOpts.number "reconnect-ms" options |> Option.map int64
                }
        }

    let private file common options =
        match QemuOpts.text "path" options with
        | None -> QapiError.fail "chardev: file: no filename given"
        | Some path ->
            ChardevBackend.File {
                Common = common
                In = QemuOpts.text "input-path" options
                Out = path
                Append = Some(flagOr false "append" options)
            }
            |> Ok

    let private hostdev typeName what common options : Result<ChardevHostdev, QapiError> =
        match QemuOpts.text "path" options with
        | None -> QapiError.fail ("chardev: " + typeName + ": no " + what + " given")
        | Some device -> Ok { Common = common; Device = device }

    /// A text that counts as absent when it is empty.
    let private filled name options =
        QemuOpts.text name options |> Option.filter (fun text -> text <> "")

    let private inet host port ipv4 ipv6 =
        SocketAddress.Inet {
            Host = host
            Port = port
            Numeric = None
            To = None
            Ipv4 = ipv4
            Ipv6 = ipv6
            KeepAlive = None
            Mptcp = None
        }

    let private udp common options =
        match filled "port" options with
        | None -> QapiError.fail "chardev: udp: remote port not specified"
        | Some port ->
            let host = filled "host" options |> Option.defaultValue "localhost"

            let local =
                match QemuOpts.text "localaddr" options, QemuOpts.text "localport" options with
                | None, None -> None
                | host, port ->
                    let port = port |> Option.filter (fun text -> text <> "") |> Option.defaultValue "0"
                    Some(inet (Option.defaultValue "" host) port None None)

            ChardevBackend.Udp {
                Common = common
                Remote = inet host port (QemuOpts.flag "ipv4" options) (QemuOpts.flag "ipv6" options)
                Local = local
            }
            |> Ok

    let private mux common options =
        match QemuOpts.text "chardev" options with
        | None -> QapiError.fail "chardev: mux: no chardev given"
        | Some chardev -> Ok(ChardevBackend.Mux { Common = common; Chardev = chardev })

    /// The devices end with the first that is not given.
    let private hub common options : ChardevBackend =
        let chardevs =
            [ 0..3 ]
            |> List.map (fun index -> QemuOpts.text ("chardevs." + string<int> index) options)
            |> List.takeWhile Option.isSome
            |> List.choose id

        ChardevBackend.Hub { Common = common; Chardevs = chardevs }

    let private ringbuf common options : ChardevRingbuf = {
        Common = common
        Size =
            QemuOpts.size "size" options
            |> Option.filter (fun size -> size <> 0UL)
            |> Option.map int64
    }

    let private backend typeName options =
        let logFile = QemuOpts.text "logfile" options

        let common: ChardevCommon = {
            Logfile = logFile
            Logappend =
                if logFile.IsSome then
                    Some(flagOr false "logappend" options)
                else
                    None
        }

        match typeName with
        | "socket" -> socket common options
        | "stdio" ->
            Ok(
                ChardevBackend.Stdio {
                    Common = common
                    Signal = Some(flagOr true "signal" options)
                }
            )
        | "null" -> Ok(ChardevBackend.Null common)
        | "file" -> file common options
        | "pty" -> Ok(ChardevBackend.Pty { Common = common; Path = QemuOpts.text "path" options })
        | "serial" ->
            hostdev "serial/tty" "device path" common options
            |> Result.map ChardevBackend.Serial
        | "parallel" ->
            hostdev typeName "device path" common options
            |> Result.map ChardevBackend.Parallel
        | "pipe" -> hostdev typeName "device path" common options |> Result.map ChardevBackend.Pipe
        | "udp" -> udp common options
        | "mux" -> mux common options
        | "hub" -> Ok(hub common options)
        | "ringbuf" -> Ok(ChardevBackend.Ringbuf(ringbuf common options))
        | "memory" -> Ok(ChardevBackend.Memory(ringbuf common options))
        | other -> Error(unknownType other)

    let private create (options: ParsedOptions) =
        match options.Id, QemuOpts.text "backend" options with
        | _, Some("help" | "?") -> Ok ChardevRequest.ListTypes
        | None, _ -> QapiError.fail "chardev: no id specified"
        | Some id, None -> QapiError.fail ("chardev: \"" + id + "\" missing backend")
        | Some id, Some typeName ->
            backend typeName options
            |> Result.map (fun backend ->
                ChardevRequest.Create({ Id = id; Backend = backend }, flagOr false "mux" options))

    /// Reads the value of a --chardev option.
    let parse (text: string) : struct (Warning list * Result<ChardevRequest, QapiError>) =
        match QemuOpts.parse group text with
        | struct (warnings, Ok(OptionsOutcome.Options options)) -> struct (warnings, create options)
        | struct (warnings, Ok OptionsOutcome.Help) -> struct (warnings, Ok ChardevRequest.ListOptions)
        | struct (warnings, Error error) -> struct (warnings, Error error)

    /// Combinations that contradict each other. Over QMP too; the TLS credentials have been looked up before.
    let validateSocket (socket: ChardevSocket) : Result<unit, QapiError> =
        let isServer = defaultArg socket.Server true

        let isFd =
            match socket.Addr with
            | SocketAddress.Fd _ -> true
            | _ -> false

        if isFd && socket.Reconnect.IsSome then
            QapiError.fail "'reconnect' option is incompatible with 'fd' address type"
        elif socket.TlsAuthz.IsSome && socket.TlsCreds.IsNone then
            QapiError.fail "'tls_authz' option requires 'tls_creds' option"
        elif socket.Websocket = Some true && not isServer then
            QapiError.fail "Websocket client is not implemented"
        elif isServer && socket.Reconnect.IsSome then
            QapiError.fail "'reconnect' option is incompatible with socket in server listen mode"
        elif not isServer && socket.Wait.IsSome then
            QapiError.fail "'wait' option is incompatible with socket in client connect mode"
        elif socket.Reconnect.IsSome && socket.ReconnectMs.IsSome then
            QapiError.fail "'reconnect' and 'reconnect-ms' are mutually exclusive"
        else
            Ok()

    /// How long a client waits before it connects again; 0 if it does not.
    let reconnectDelayMs (socket: ChardevSocket) : int64 =
        let seconds = max 0L (Option.defaultValue 0L socket.Reconnect)
        let milliseconds = max 0L (Option.defaultValue 0L socket.ReconnectMs)
        max (min seconds (System.Int64.MaxValue / 1000L) * 1000L) milliseconds

    /// The number of a descriptor, decimal; whether it is a socket is for the opener to see.
    let parseFd (text: string) =
        let trimmed = text.TrimStart(' ', '\t', '\n', '\v', '\f', '\r')

        let digits =
            if trimmed.StartsWith '-' || trimmed.StartsWith '+' then
                trimmed.Substring 1
            else
                trimmed

        match System.Int32.TryParse trimmed with
        | true, fd when Seq.forall System.Char.IsAsciiDigit digits -> Ok fd
        | _ -> QapiError.fail ("Unable to parse FD number " + text)

namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/char.json.
module CharCodecs =
    let common: StructCodec<ChardevCommon> =
        object "ChardevCommon" {
            let! logfile = optional "logfile" Codec.str _.Logfile
            and! logappend = optional "logappend" Codec.bool _.Logappend
            return { Logfile = logfile; Logappend = logappend }
        }

    let file: StructCodec<ChardevFile> =
        object "ChardevFile" {
            let! common = inherits common _.Common
            and! input = optional "in" Codec.str _.In
            and! output = required "out" Codec.str _.Out
            and! append = optional "append" Codec.bool _.Append

            return {
                Common = common
                In = input
                Out = output
                Append = append
            }
        }

    let socket: StructCodec<ChardevSocket> =
        object "ChardevSocket" {
            let! common = inherits common _.Common
            and! addr = required "addr" (StructCodec.codec SocketCodecs.socketAddressLegacy) _.Addr
            and! tlsCreds = optional "tls-creds" Codec.str _.TlsCreds
            and! tlsAuthz = optional "tls-authz" Codec.str _.TlsAuthz
            and! server = optional "server" Codec.bool _.Server
            and! wait = optional "wait" Codec.bool _.Wait
            and! nodelay = optional "nodelay" Codec.bool _.Nodelay
            and! telnet = optional "telnet" Codec.bool _.Telnet
            and! tn3270 = optional "tn3270" Codec.bool _.Tn3270
            and! websocket = optional "websocket" Codec.bool _.Websocket
            and! reconnect = optionalWith [ Feature.Deprecated ] "reconnect" Codec.int64 _.Reconnect
            and! reconnectMs = optional "reconnect-ms" Codec.int64 _.ReconnectMs

            return {
                Common = common
                Addr = addr
                TlsCreds = tlsCreds
                TlsAuthz = tlsAuthz
                Server = server
                Wait = wait
                Nodelay = nodelay
                Telnet = telnet
                Tn3270 = tn3270
                Websocket = websocket
                Reconnect = reconnect
                ReconnectMs = reconnectMs
            }
        }

    let stdio: StructCodec<ChardevStdio> =
        object "ChardevStdio" {
            let! common = inherits common _.Common
            and! signal = optional "signal" Codec.bool _.Signal
            return { Common = common; Signal = signal }
        }

    let pty: StructCodec<ChardevPty> =
        object "ChardevPty" {
            let! common = inherits common _.Common
            and! path = optional "path" Codec.str _.Path
            return { Common = common; Path = path }
        }

    /// The types that the schema lists although no such device is built in, with the members of their own.
    let private unavailable: Branch<ChardevBackend> list =
        let ofUnavailable backend =
            match backend with
            | ChardevBackend.Unavailable unavailable -> ValueSome unavailable
            | _ -> ValueNone

        let listed case name own =
            let log = [ Unavailable.may "logfile" Codec.str; Unavailable.may "logappend" Codec.bool ]
            let data = StructCodec.wrapped (name + "Wrapper") (Unavailable.members name (log @ own))
            Unavailable.branchWith [] case data ChardevBackend.Unavailable ofUnavailable

        [
            listed "msmouse" "ChardevCommon" []
            listed "wctablet" "ChardevCommon" []
            listed "braille" "ChardevCommon" []
            listed "testdev" "ChardevCommon" []
            listed "spicevmc" "ChardevSpiceChannel" [ Unavailable.must "type" Codec.str ]
            listed "spiceport" "ChardevSpicePort" [ Unavailable.must "fqdn" Codec.str ]
            listed "qemu-vdagent" "ChardevQemuVDAgent" [
                Unavailable.may "mouse" Codec.bool
                Unavailable.may "clipboard" Codec.bool
            ]
            listed "dbus" "ChardevDBus" [ Unavailable.must "name" Codec.str ]
            listed "vc" "ChardevVC" [
                Unavailable.may "width" Codec.int64
                Unavailable.may "height" Codec.int64
                Unavailable.may "cols" Codec.int64
                Unavailable.may "rows" Codec.int64
            ]
        ]

    let private built: Branch<ChardevBackend> list = [
        branch "file" (StructCodec.wrapped "ChardevFileWrapper" file) ChardevBackend.File (function
            | ChardevBackend.File file -> ValueSome file
            | _ -> ValueNone)
        branch "socket" (StructCodec.wrapped "ChardevSocketWrapper" socket) ChardevBackend.Socket (function
            | ChardevBackend.Socket socket -> ValueSome socket
            | _ -> ValueNone)
        branch "pty" (StructCodec.wrapped "ChardevPtyWrapper" pty) ChardevBackend.Pty (function
            | ChardevBackend.Pty pty -> ValueSome pty
            | _ -> ValueNone)
        branch "null" (StructCodec.wrapped "ChardevCommonWrapper" common) ChardevBackend.Null (function
            | ChardevBackend.Null common -> ValueSome common
            | _ -> ValueNone)
        branch "stdio" (StructCodec.wrapped "ChardevStdioWrapper" stdio) ChardevBackend.Stdio (function
            | ChardevBackend.Stdio stdio -> ValueSome stdio
            | _ -> ValueNone)
    ]

    /// The names of the types that are built.
    let builtTypes = built |> List.map _.Case.Name

    let backend: StructCodec<ChardevBackend> =
        StructCodec.union "ChardevBackend" "type" "ChardevBackendKind" (built @ unavailable)

    let chardevAdd: StructCodec<ChardevAdd> =
        object "ChardevAddArgs" {
            let! id = required "id" Codec.str _.Id
            and! backend = required "backend" (StructCodec.codec backend) _.Backend
            return { Id = id; Backend = backend }
        }

    let chardevReturn: StructCodec<ChardevReturn> =
        object "ChardevReturn" {
            let! pty = optional "pty" Codec.str _.Pty
            return { Pty = pty }
        }

    let chardevRemove: StructCodec<ChardevRemove> =
        object "ChardevRemoveArgs" {
            let! id = required "id" Codec.str _.Id
            return { Id = id }
        }

    let chardevInfo: StructCodec<ChardevInfo> =
        object "ChardevInfo" {
            let! label = required "label" Codec.str _.Label
            and! filename = required "filename" Codec.str _.Filename
            and! frontendOpen = required "frontend-open" Codec.bool _.FrontendOpen

            return {
                Label = label
                Filename = filename
                FrontendOpen = frontendOpen
            }
        }

    let chardevBackendInfo: StructCodec<ChardevBackendInfo> =
        object "ChardevBackendInfo" {
            let! name = required "name" Codec.str _.Name
            return { Name = name }
        }

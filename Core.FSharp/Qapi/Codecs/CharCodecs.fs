namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/char.json.
module CharCodecs =
    let common: StructCodec<ChardevCommon> =
        object "ChardevCommon" {
            let! logfile = optional "logfile" Codec.str _.Logfile
            let! logappend = optional "logappend" Codec.bool _.Logappend
            return fun m -> { Logfile = logfile m; Logappend = logappend m }
        }

    let file: StructCodec<ChardevFile> =
        object "ChardevFile" {
            let! common = inherits common _.Common
            let! input = optional "in" Codec.str _.In
            let! output = required "out" Codec.str _.Out
            let! append = optional "append" Codec.bool _.Append

            return
                fun m -> {
                    Common = common m
                    In = input m
                    Out = output m
                    Append = append m
                }
        }

    let socket: StructCodec<ChardevSocket> =
        object "ChardevSocket" {
            let! common = inherits common _.Common
            let! addr = required "addr" (StructCodec.codec SocketCodecs.socketAddressLegacy) _.Addr
            let! tlsCreds = optional "tls-creds" Codec.str _.TlsCreds
            let! tlsAuthz = optional "tls-authz" Codec.str _.TlsAuthz
            let! server = optional "server" Codec.bool _.Server
            let! wait = optional "wait" Codec.bool _.Wait
            let! nodelay = optional "nodelay" Codec.bool _.Nodelay
            let! telnet = optional "telnet" Codec.bool _.Telnet
            let! tn3270 = optional "tn3270" Codec.bool _.Tn3270
            let! websocket = optional "websocket" Codec.bool _.Websocket
            let! reconnect = optionalWith [ Feature.Deprecated ] "reconnect" Codec.int64 _.Reconnect
            let! reconnectMs = optional "reconnect-ms" Codec.int64 _.ReconnectMs

            return
                fun m -> {
                    Common = common m
                    Addr = addr m
                    TlsCreds = tlsCreds m
                    TlsAuthz = tlsAuthz m
                    Server = server m
                    Wait = wait m
                    Nodelay = nodelay m
                    Telnet = telnet m
                    Tn3270 = tn3270 m
                    Websocket = websocket m
                    Reconnect = reconnect m
                    ReconnectMs = reconnectMs m
                }
        }

    let stdio: StructCodec<ChardevStdio> =
        object "ChardevStdio" {
            let! common = inherits common _.Common
            let! signal = optional "signal" Codec.bool _.Signal
            return fun m -> { Common = common m; Signal = signal m }
        }

    let pty: StructCodec<ChardevPty> =
        object "ChardevPty" {
            let! common = inherits common _.Common
            let! path = optional "path" Codec.str _.Path
            return fun m -> { Common = common m; Path = path m }
        }

    let hostdev: StructCodec<ChardevHostdev> =
        object "ChardevHostdev" {
            let! common = inherits common _.Common
            let! device = required "device" Codec.str _.Device
            return fun m -> { Common = common m; Device = device m }
        }

    let udp: StructCodec<ChardevUdp> =
        object "ChardevUdp" {
            let! common = inherits common _.Common
            let! remote = required "remote" (StructCodec.codec SocketCodecs.socketAddressLegacy) _.Remote
            let! local = optional "local" (StructCodec.codec SocketCodecs.socketAddressLegacy) _.Local

            return fun m -> { Common = common m; Remote = remote m; Local = local m }
        }

    let mux: StructCodec<ChardevMux> =
        object "ChardevMux" {
            let! common = inherits common _.Common
            let! chardev = required "chardev" Codec.str _.Chardev
            return fun m -> { Common = common m; Chardev = chardev m }
        }

    let hub: StructCodec<ChardevHub> =
        object "ChardevHub" {
            let! common = inherits common _.Common
            let! chardevs = required "chardevs" (Codec.list Codec.str) _.Chardevs
            return fun m -> { Common = common m; Chardevs = chardevs m }
        }

    let ringbuf: StructCodec<ChardevRingbuf> =
        object "ChardevRingbuf" {
            let! common = inherits common _.Common
            let! size = optional "size" Codec.int64 _.Size
            return fun m -> { Common = common m; Size = size m }
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
        branch "serial" (StructCodec.wrapped "ChardevHostdevWrapper" hostdev) ChardevBackend.Serial (function
            | ChardevBackend.Serial hostdev -> ValueSome hostdev
            | _ -> ValueNone)
        branch "parallel" (StructCodec.wrapped "ChardevHostdevWrapper" hostdev) ChardevBackend.Parallel (function
            | ChardevBackend.Parallel hostdev -> ValueSome hostdev
            | _ -> ValueNone)
        branch "pipe" (StructCodec.wrapped "ChardevHostdevWrapper" hostdev) ChardevBackend.Pipe (function
            | ChardevBackend.Pipe hostdev -> ValueSome hostdev
            | _ -> ValueNone)
        branch "udp" (StructCodec.wrapped "ChardevUdpWrapper" udp) ChardevBackend.Udp (function
            | ChardevBackend.Udp udp -> ValueSome udp
            | _ -> ValueNone)
        branch "mux" (StructCodec.wrapped "ChardevMuxWrapper" mux) ChardevBackend.Mux (function
            | ChardevBackend.Mux mux -> ValueSome mux
            | _ -> ValueNone)
        branch "hub" (StructCodec.wrapped "ChardevHubWrapper" hub) ChardevBackend.Hub (function
            | ChardevBackend.Hub hub -> ValueSome hub
            | _ -> ValueNone)
        branch "ringbuf" (StructCodec.wrapped "ChardevRingbufWrapper" ringbuf) ChardevBackend.Ringbuf (function
            | ChardevBackend.Ringbuf ringbuf -> ValueSome ringbuf
            | _ -> ValueNone)
        branchWith [ Feature.Deprecated ] "memory" (StructCodec.wrapped "ChardevRingbufWrapper" ringbuf) ChardevBackend.Memory (function
            | ChardevBackend.Memory ringbuf -> ValueSome ringbuf
            | _ -> ValueNone)
    ]

    /// The names of the types that are built.
    let builtTypes = built |> List.map _.Case.Name

    let backend: StructCodec<ChardevBackend> =
        StructCodec.union "ChardevBackend" "type" "ChardevBackendKind" (built @ unavailable)

    let chardevAdd: StructCodec<ChardevAdd> =
        object "ChardevAddArgs" {
            let! id = required "id" Codec.str _.Id
            let! backend = required "backend" (StructCodec.codec backend) _.Backend
            return fun m -> { Id = id m; Backend = backend m }
        }

    let chardevReturn: StructCodec<ChardevReturn> =
        object "ChardevReturn" {
            let! pty = optional "pty" Codec.str _.Pty
            return fun m -> { Pty = pty m }
        }

    let chardevRemove: StructCodec<ChardevRemove> =
        object "ChardevRemoveArgs" {
            let! id = required "id" Codec.str _.Id
            return fun m -> { Id = id m }
        }

    let chardevSendBreak: StructCodec<ChardevSendBreak> =
        object "ChardevSendBreakArgs" {
            let! id = required "id" Codec.str _.Id
            return fun m -> { Id = id m }
        }

    let private dataFormat: Codec<DataFormat> =
        Codec.enum "DataFormat" [ DataFormat.Utf8, "utf8"; DataFormat.Base64, "base64" ]

    let ringbufRead: StructCodec<RingbufRead> =
        object "RingbufReadArgs" {
            let! device = required "device" Codec.str _.Device
            let! size = required "size" Codec.int64 _.Size
            let! format = optional "format" dataFormat _.Format

            return fun m -> { Device = device m; Size = size m; Format = format m }
        }

    let ringbufWrite: StructCodec<RingbufWrite> =
        object "RingbufWriteArgs" {
            let! device = required "device" Codec.str _.Device
            let! data = required "data" Codec.str _.Data
            let! format = optional "format" dataFormat _.Format

            return fun m -> { Device = device m; Data = data m; Format = format m }
        }

    let chardevInfo: StructCodec<ChardevInfo> =
        object "ChardevInfo" {
            let! label = required "label" Codec.str _.Label
            let! filename = required "filename" Codec.str _.Filename
            let! frontendOpen = required "frontend-open" Codec.bool _.FrontendOpen

            return
                fun m -> {
                    Label = label m
                    Filename = filename m
                    FrontendOpen = frontendOpen m
                }
        }

    let chardevBackendInfo: StructCodec<ChardevBackendInfo> =
        object "ChardevBackendInfo" {
            let! name = required "name" Codec.str _.Name
            return fun m -> { Name = name m }
        }

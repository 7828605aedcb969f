namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/char.json.
module CharCodecs =
    let common: StructCodec<ChardevCommon> =
        record "ChardevCommon" "Nothing is connected: input never comes, output is dropped." {
            let! logfile = doc "A file that gets a copy of the output." (optional "logfile" Codec.str _.Logfile)
            let! logappend =
                doc
                    "Whether that file is continued instead of begun anew."
                    (optional "logappend" Codec.bool _.Logappend)
            return fun m -> { Logfile = logfile m; Logappend = logappend m }
        }

    let file: StructCodec<ChardevFile> =
        record "ChardevFile" "Files of the host." {
            let! common = inherits common _.Common
            let! input = doc "The file to read from; there is no input without it." (optional "in" Codec.str _.In)
            let! output = doc "The file to write to." (required "out" Codec.str _.Out)
            let! append =
                doc "Whether that file is continued instead of begun anew." (optional "append" Codec.bool _.Append)

            return
                fun m -> {
                    Common = common m
                    In = input m
                    Out = output m
                    Append = append m
                }
        }

    let socket: StructCodec<ChardevSocket> =
        record "ChardevSocket" "A stream socket that listens or connects." {
            let! common = inherits common _.Common
            let! addr =
                doc "The address." (required "addr" (StructCodec.codec SocketCodecs.socketAddressLegacy) _.Addr)
            let! tlsCreds = doc "The id of TLS credentials." (optional "tls-creds" Codec.str _.TlsCreds)
            let! tlsAuthz =
                doc
                    "The id of the object that decides about names in certificates."
                    (optional "tls-authz" Codec.str _.TlsAuthz)
            let! server = doc "Whether it listens; it does by default." (optional "server" Codec.bool _.Server)
            let! wait =
                doc "Whether the daemon stands still until a client has come." (optional "wait" Codec.bool _.Wait)
            let! nodelay = doc "Whether TCP sends small pieces at once." (optional "nodelay" Codec.bool _.Nodelay)
            let! telnet = doc "Whether the client speaks telnet." (optional "telnet" Codec.bool _.Telnet)
            let! tn3270 =
                doc "Whether the client speaks telnet as a 3270 terminal." (optional "tn3270" Codec.bool _.Tn3270)
            let! websocket = doc "Whether the client speaks WebSocket." (optional "websocket" Codec.bool _.Websocket)
            let! reconnect =
                doc
                    "Seconds after which a lost connection is made again; 0 for never."
                    (optionalWith [ Feature.Deprecated ] "reconnect" Codec.int64 _.Reconnect)
            let! reconnectMs = doc "The same in milliseconds." (optional "reconnect-ms" Codec.int64 _.ReconnectMs)

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
        record "ChardevStdio" "Standard input and output of the daemon." {
            let! common = inherits common _.Common
            let! signal = doc "Whether the keys that end programs do so." (optional "signal" Codec.bool _.Signal)
            return fun m -> { Common = common m; Signal = signal m }
        }

    let pty: StructCodec<ChardevPty> =
        record "ChardevPty" "A new pseudo-terminal." {
            let! common = inherits common _.Common
            let! path = doc "A symbolic link to make, which leads to it." (optional "path" Codec.str _.Path)
            return fun m -> { Common = common m; Path = path m }
        }

    let hostdev: StructCodec<ChardevHostdev> =
        record "ChardevHostdev" "A device or file of the host." {
            let! common = inherits common _.Common
            let! device = doc "Its path." (required "device" Codec.str _.Device)
            return fun m -> { Common = common m; Device = device m }
        }

    let udp: StructCodec<ChardevUdp> =
        record "ChardevUdp" "Datagrams to and from one peer." {
            let! common = inherits common _.Common
            let! remote =
                doc
                    "Where datagrams go."
                    (required "remote" (StructCodec.codec SocketCodecs.socketAddressLegacy) _.Remote)
            let! local =
                doc
                    "Where datagrams are received; any port if absent."
                    (optional "local" (StructCodec.codec SocketCodecs.socketAddressLegacy) _.Local)

            return fun m -> { Common = common m; Remote = remote m; Local = local m }
        }

    let mux: StructCodec<ChardevMux> =
        record "ChardevMux" "A device that several users share by turns." {
            let! common = inherits common _.Common
            let! chardev = doc "The id of the shared device." (required "chardev" Codec.str _.Chardev)
            return fun m -> { Common = common m; Chardev = chardev m }
        }

    let hub: StructCodec<ChardevHub> =
        record "ChardevHub" "Several devices that one user has as one." {
            let! common = inherits common _.Common
            let! chardevs = doc "Their ids, four at most." (required "chardevs" (Codec.list Codec.str) _.Chardevs)
            return fun m -> { Common = common m; Chardevs = chardevs m }
        }

    let ringbuf: StructCodec<ChardevRingbuf> =
        record "ChardevRingbuf" "A buffer in memory that keeps the newest output." {
            let! common = inherits common _.Common
            let! size = doc "Bytes, a power of two; 65536 by default." (optional "size" Codec.int64 _.Size)
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
        branchWith
            [ Feature.Deprecated ]
            "memory"
            (StructCodec.wrapped "ChardevRingbufWrapper" ringbuf)
            ChardevBackend.Memory
            (function
             | ChardevBackend.Memory ringbuf -> ValueSome ringbuf
             | _ -> ValueNone)
    ]

    /// The names of the types that are built.
    let builtTypes = built |> List.map _.Case.Name

    let backend: StructCodec<ChardevBackend> =
        StructCodec.union "ChardevBackend" "type" "ChardevBackendKind" (built @ unavailable)
        |> about "A kind of character device with its options."

    let chardevAdd: StructCodec<ChardevAdd> =
        record "ChardevAddArgs" "Arguments of chardev-add and chardev-change." {
            let! id = doc "The id." (required "id" Codec.str _.Id)
            let! backend = doc "The device." (required "backend" (StructCodec.codec backend) _.Backend)
            return fun m -> { Id = id m; Backend = backend m }
        }

    let chardevReturn: StructCodec<ChardevReturn> =
        record "ChardevReturn" "What can only be known when a device is open." {
            let! pty = doc "The path of the pseudo-terminal." (optional "pty" Codec.str _.Pty)
            return fun m -> { Pty = pty m }
        }

    let chardevRemove: StructCodec<ChardevRemove> =
        record "ChardevRemoveArgs" "Arguments of chardev-remove." {
            let! id = doc "The id." (required "id" Codec.str _.Id)
            return fun m -> { Id = id m }
        }

    let chardevSendBreak: StructCodec<ChardevSendBreak> =
        record "ChardevSendBreakArgs" "Arguments of chardev-send-break." {
            let! id = doc "The id." (required "id" Codec.str _.Id)
            return fun m -> { Id = id m }
        }

    let private dataFormat: Codec<DataFormat> =
        Codec.enum "DataFormat" [ DataFormat.Utf8, "utf8"; DataFormat.Base64, "base64" ]
        |> Codec.documented "How data stand in JSON." [
            "utf8", "As text; what is no UTF-8 is lost."
            "base64", "In base64."
        ]

    let ringbufRead: StructCodec<RingbufRead> =
        record "RingbufReadArgs" "Arguments of ringbuf-read." {
            let! device = doc "The id of the ring buffer." (required "device" Codec.str _.Device)
            let! size = doc "The most bytes to take." (required "size" Codec.int64 _.Size)
            let! format = doc "How to write them; utf8 by default." (optional "format" dataFormat _.Format)

            return fun m -> { Device = device m; Size = size m; Format = format m }
        }

    let ringbufWrite: StructCodec<RingbufWrite> =
        record "RingbufWriteArgs" "Arguments of ringbuf-write." {
            let! device = doc "The id of the ring buffer." (required "device" Codec.str _.Device)
            let! data = doc "What to write." (required "data" Codec.str _.Data)
            let! format = doc "How it is written; utf8 by default." (optional "format" dataFormat _.Format)

            return fun m -> { Device = device m; Data = data m; Format = format m }
        }

    let chardevInfo: StructCodec<ChardevInfo> =
        record "ChardevInfo" "A character device." {
            let! label = doc "Its id." (required "label" Codec.str _.Label)
            let! filename = doc "What it is connected to, for people." (required "filename" Codec.str _.Filename)
            let! frontendOpen =
                doc "Whether a user of the device has it open." (required "frontend-open" Codec.bool _.FrontendOpen)

            return
                fun m -> {
                    Label = label m
                    Filename = filename m
                    FrontendOpen = frontendOpen m
                }
        }

    let chardevBackendInfo: StructCodec<ChardevBackendInfo> =
        record "ChardevBackendInfo" "A type of character devices." {
            let! name = doc "Its name." (required "name" Codec.str _.Name)
            return fun m -> { Name = name m }
        }

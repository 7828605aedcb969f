namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/common.json and qapi/sockets.json.
module SocketCodecs =
    let onOffAuto: Codec<OnOffAuto> =
        Codec.enum "OnOffAuto" [ OnOffAuto.Auto, "auto"; OnOffAuto.On, "on"; OnOffAuto.Off, "off" ]
        |> Codec.documented "A switch with a choice of the daemon's own." [
            "auto", "The daemon decides."
            "on", "On."
            "off", "Off."
        ]

    let inetSocketAddress: StructCodec<InetSocketAddress> =
        record "InetSocketAddress" "A TCP port." {
            let! host = doc "A name or an address; empty for all of this host's." (required "host" Codec.str _.Host)
            let! port = doc "A number or the name of a service." (required "port" Codec.str _.Port)
            let! numeric =
                doc "Whether the host is an address that needs no resolution." (optional "numeric" Codec.bool _.Numeric)
            let! highestPort = doc "The highest port to try, for a listener." (optional "to" Codec.uint16 _.To)
            let! ipv4 = doc "Whether to use IPv4." (optional "ipv4" Codec.bool _.Ipv4)
            let! ipv6 = doc "Whether to use IPv6." (optional "ipv6" Codec.bool _.Ipv6)
            let! keepAlive = doc "Whether to probe idle connections." (optional "keep-alive" Codec.bool _.KeepAlive)
            let! mptcp = doc "Whether to use Multipath TCP." (optional "mptcp" Codec.bool _.Mptcp)

            return
                fun m -> {
                    Host = host m
                    Port = port m
                    Numeric = numeric m
                    To = highestPort m
                    Ipv4 = ipv4 m
                    Ipv6 = ipv6 m
                    KeepAlive = keepAlive m
                    Mptcp = mptcp m
                }
        }

    let unixSocketAddress: StructCodec<UnixSocketAddress> =
        record "UnixSocketAddress" "A Unix socket." {
            let! path = doc "Its path, or its name among the abstract ones." (required "path" Codec.str _.Path)
            let! isAbstract =
                doc "Whether it is abstract: a name without a file." (optional "abstract" Codec.bool _.Abstract)
            let! tight =
                doc
                    "Whether an abstract name ends with its last character instead of being filled up with NUL bytes; it does by default."
                    (optional "tight" Codec.bool _.Tight)
            return fun m -> { Path = path m; Abstract = isAbstract m; Tight = tight m }
        }

    let vsockSocketAddress: StructCodec<VsockSocketAddress> =
        record "VsockSocketAddress" "A port between a virtual machine and its host." {
            let! cid = doc "The number of the machine." (required "cid" Codec.str _.Cid)
            let! port = doc "The number of the port." (required "port" Codec.str _.Port)
            return fun m -> { Cid = cid m; Port = port m }
        }

    /// `FdSocketAddress`.
    let fdSocketAddress: StructCodec<string> =
        record "FdSocketAddress" "A socket that is open already." {
            let! str =
                doc
                    "On the command line the number of a descriptor; everywhere the name of one that a supervisor has passed."
                    (required "str" Codec.str id)
            return str
        }

    let private ofInet address =
        match address with
        | SocketAddress.Inet inet -> ValueSome inet
        | _ -> ValueNone

    let private ofUnix address =
        match address with
        | SocketAddress.Unix path -> ValueSome path
        | _ -> ValueNone

    let private ofVsock address =
        match address with
        | SocketAddress.Vsock vsock -> ValueSome vsock
        | _ -> ValueNone

    let private ofFd address =
        match address with
        | SocketAddress.Fd str -> ValueSome str
        | _ -> ValueNone

    /// `SocketAddress`: the members of the branch stand beside the tag.
    let socketAddress: StructCodec<SocketAddress> =
        StructCodec.union "SocketAddress" "type" "SocketAddressType" [
            branch "inet" inetSocketAddress SocketAddress.Inet ofInet
            branch "unix" unixSocketAddress SocketAddress.Unix ofUnix
            branch "vsock" vsockSocketAddress SocketAddress.Vsock ofVsock
            branch "fd" fdSocketAddress SocketAddress.Fd ofFd
        ]
        |> about "Where to listen or connect."

    /// `SocketAddressLegacy`: the members of the branch are inside `data`.
    let socketAddressLegacy: StructCodec<SocketAddress> =
        let data name codec = StructCodec.wrapped name codec

        StructCodec.union "SocketAddressLegacy" "type" "SocketAddressType" [
            branch "inet" (data "InetSocketAddressWrapper" inetSocketAddress) SocketAddress.Inet ofInet
            branch "unix" (data "UnixSocketAddressWrapper" unixSocketAddress) SocketAddress.Unix ofUnix
            branch "vsock" (data "VsockSocketAddressWrapper" vsockSocketAddress) SocketAddress.Vsock ofVsock
            branch "fd" (data "FdSocketAddressWrapper" fdSocketAddress) SocketAddress.Fd ofFd
        ]
        |> about "Where to listen or connect, in the older spelling."

namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core.Qapi.Describe

/// Descriptions of qapi/common.json and qapi/sockets.json.
module SocketCodecs =
    let onOffAuto: Codec<OnOffAuto> =
        Codec.enum "OnOffAuto" [ OnOffAuto.Auto, "auto"; OnOffAuto.On, "on"; OnOffAuto.Off, "off" ]

    let inetSocketAddress: StructCodec<InetSocketAddress> =
        object "InetSocketAddress" {
            let! host = required "host" Codec.str _.Host
            let! port = required "port" Codec.str _.Port
            let! numeric = optional "numeric" Codec.bool _.Numeric
            let! highestPort = optional "to" Codec.uint16 _.To
            let! ipv4 = optional "ipv4" Codec.bool _.Ipv4
            let! ipv6 = optional "ipv6" Codec.bool _.Ipv6
            let! keepAlive = optional "keep-alive" Codec.bool _.KeepAlive
            let! mptcp = optional "mptcp" Codec.bool _.Mptcp

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
        object "UnixSocketAddress" {
            let! path = required "path" Codec.str _.Path
            let! isAbstract = optional "abstract" Codec.bool _.Abstract
            let! tight = optional "tight" Codec.bool _.Tight
            return fun m -> { Path = path m; Abstract = isAbstract m; Tight = tight m }
        }

    let vsockSocketAddress: StructCodec<VsockSocketAddress> =
        object "VsockSocketAddress" {
            let! cid = required "cid" Codec.str _.Cid
            let! port = required "port" Codec.str _.Port
            return fun m -> { Cid = cid m; Port = port m }
        }

    /// `FdSocketAddress`.
    let fdSocketAddress: StructCodec<string> =
        object "FdSocketAddress" {
            let! str = required "str" Codec.str id
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

    /// `SocketAddressLegacy`: the members of the branch are inside `data`.
    let socketAddressLegacy: StructCodec<SocketAddress> =
        let data name codec = StructCodec.wrapped name codec

        StructCodec.union "SocketAddressLegacy" "type" "SocketAddressType" [
            branch "inet" (data "InetSocketAddressWrapper" inetSocketAddress) SocketAddress.Inet ofInet
            branch "unix" (data "UnixSocketAddressWrapper" unixSocketAddress) SocketAddress.Unix ofUnix
            branch "vsock" (data "VsockSocketAddressWrapper" vsockSocketAddress) SocketAddress.Vsock ofVsock
            branch "fd" (data "FdSocketAddressWrapper" fdSocketAddress) SocketAddress.Fd ofFd
        ]

namespace StorageDaemon.Core.Qapi

/// The object types of qapi/qom.json that the schema lists although a storage daemon is built without them. Their
/// members are checked before the type is refused, so they are described.
module UnavailableObjects =
    open Unavailable

    let private onOffAuto = SocketCodecs.onOffAuto

    let private netFilterDirection: Codec<string> =
        Codec.enum "NetFilterDirection" [ "all", "all"; "rx", "rx"; "tx", "tx" ]
        |> Codec.documented "Directions of network filters, which are not built." [
            "all", "A direction."
            "rx", "A direction."
            "tx", "A direction."
        ]

    let private netfilterInsert: Codec<string> =
        Codec.enum "NetfilterInsert" [ "before", "before"; "behind", "behind" ]
        |> Codec.documented "Places of network filters, which are not built." [
            "before", "A place."
            "behind", "A place."
        ]

    let private hostMemPolicy: Codec<string> =
        Codec.enum "HostMemPolicy" [
            "default", "default"
            "preferred", "preferred"
            "bind", "bind"
            "interleave", "interleave"
        ]
        |> Codec.documented "Memory policies of objects that are not built." [
            "default", "A memory policy."
            "preferred", "A memory policy."
            "bind", "A memory policy."
            "interleave", "A memory policy."
        ]

    let private grabToggleKeys: Codec<string> =
        let keys = [
            "ctrl-ctrl"
            "alt-alt"
            "shift-shift"
            "meta-meta"
            "scrolllock"
            "ctrl-scrolllock"
        ]

        Codec.enum "GrabToggleKeys" (keys |> List.map (fun key -> key, key))
        |> Codec.documented
            "Keys of an input object that is not built."
            (keys |> List.map (fun key -> key, "A combination of keys."))

    let private tlsCredsEndpoint: Codec<string> =
        Codec.enum "QCryptoTLSCredsEndpoint" [ "client", "client"; "server", "server" ]
        |> Codec.documented "The side that TLS credentials are for." [
            "client", "The one that connects."
            "server", "The one that listens."
        ]

    let private acpi = [
        "acpi-generic-initiator",
        members "AcpiGenericInitiatorProperties" [ must "pci-dev" Codec.str; must "node" Codec.uint32 ]
        "acpi-generic-port", members "AcpiGenericPortProperties" [ must "pci-bus" Codec.str; must "node" Codec.uint32 ]
    ]

    let private authz = [ "authz-pam", members "AuthZPAMProperties" [ must "service" Codec.str ] ]

    let private can = [
        "can-bus", members "CanBusProperties" []
        "can-host-socketcan", members "CanHostSocketcanProperties" [ must "if" Codec.str; must "canbus" Codec.str ]
    ]

    let private coloCompare = [
        "colo-compare",
        members "ColoCompareProperties" [
            must "primary_in" Codec.str
            must "secondary_in" Codec.str
            must "outdev" Codec.str
            must "iothread" Codec.str
            may "notify_dev" Codec.str
            may "compare_timeout" Codec.uint64
            may "expired_scan_cycle" Codec.uint32
            may "max_queue_size" Codec.uint32
            may "vnet_hdr_support" Codec.bool
        ]
    ]

    let private cryptodev =
        let backend = [
            may "queues" Codec.uint32
            may "throttle-bps" Codec.uint64
            may "throttle-ops" Codec.uint64
        ]

        let plain = members "CryptodevBackendProperties" backend

        [
            "cryptodev-backend", plain
            "cryptodev-backend-builtin", plain
            "cryptodev-backend-lkcf", plain
            "cryptodev-vhost-user", members "CryptodevVhostUserProperties" (backend @ [ must "chardev" Codec.str ])
        ]

    let private dbusVmstate = [
        "dbus-vmstate", members "DBusVMStateProperties" [ must "addr" Codec.str; may "id-list" Codec.str ]
    ]

    let private netfilters =
        let netfilter = [
            must "netdev" Codec.str
            may "queue" netFilterDirection
            may "status" Codec.str
            may "position" Codec.str
            may "insert" netfilterInsert
        ]

        let vnetHeader = may "vnet_hdr_support" Codec.bool
        let filter name own = members name (netfilter @ own)

        [
            "filter-buffer", filter "FilterBufferProperties" [ must "interval" Codec.uint32 ]
            "filter-dump", filter "FilterDumpProperties" [ must "file" Codec.str; may "maxlen" Codec.uint32 ]
            "filter-mirror", filter "FilterMirrorProperties" [ must "outdev" Codec.str; vnetHeader ]
            "filter-redirector",
            filter "FilterRedirectorProperties" [ may "indev" Codec.str; may "outdev" Codec.str; vnetHeader ]
            "filter-replay", filter "NetfilterProperties" []
            "filter-rewriter", filter "FilterRewriterProperties" [ vnetHeader ]
        ]

    let private input = [
        "input-barrier",
        members "InputBarrierProperties" [
            must "name" Codec.str
            may "server" Codec.str
            may "port" Codec.str
            may "x-origin" Codec.str
            may "y-origin" Codec.str
            may "width" Codec.str
            may "height" Codec.str
        ]
        "input-linux",
        members "InputLinuxProperties" [
            must "evdev" Codec.str
            may "grab_all" Codec.bool
            may "repeat" Codec.bool
            may "grab-toggle" grabToggleKeys
        ]
    ]

    let private iommufd = [ "iommufd", members "IOMMUFDProperties" [ may "fd" Codec.str ] ]

    let private memoryBackends =
        let memoryBackend = [
            may "dump" Codec.bool
            may "host-nodes" (Codec.list Codec.uint16)
            may "merge" Codec.bool
            may "policy" hostMemPolicy
            may "prealloc" Codec.bool
            may "prealloc-threads" Codec.uint32
            may "prealloc-context" Codec.str
            may "share" Codec.bool
            may "reserve" Codec.bool
            must "size" Codec.size
            may "x-use-canonical-path-for-ramblock-id" Codec.bool
        ]

        let backend name own = members name (memoryBackend @ own)

        [
            "memory-backend-epc", backend "MemoryBackendEpcProperties" []
            "memory-backend-file",
            backend "MemoryBackendFileProperties" [
                may "align" Codec.size
                may "offset" Codec.size
                may "discard-data" Codec.bool
                must "mem-path" Codec.str
                may "pmem" Codec.bool
                may "readonly" Codec.bool
                may "rom" onOffAuto
            ]
            "memory-backend-memfd",
            backend "MemoryBackendMemfdProperties" [
                may "hugetlb" Codec.bool
                may "hugetlbsize" Codec.size
                may "seal" Codec.bool
            ]
            "memory-backend-ram", backend "MemoryBackendProperties" []
            "memory-backend-shm", backend "MemoryBackendShmProperties" []
        ]

    let private qtest = [
        "qtest", members "QtestProperties" [ must "chardev" Codec.str; may "log" Codec.str ]
    ]

    let private rng =
        let opened = mayWith [ Feature.Deprecated ] "opened" Codec.bool

        [
            "rng-builtin", members "RngProperties" [ opened ]
            "rng-egd", members "RngEgdProperties" [ opened; must "chardev" Codec.str ]
            "rng-random", members "RngRandomProperties" [ opened; may "filename" Codec.str ]
        ]

    let private sev =
        let common = [
            may "sev-device" Codec.str
            may "cbitpos" Codec.uint32
            must "reduced-phys-bits" Codec.uint32
            may "kernel-hashes" Codec.bool
        ]

        [
            "sev-guest",
            members
                "SevGuestProperties"
                (common
                 @ [
                     may "dh-cert-file" Codec.str
                     may "session-file" Codec.str
                     may "policy" Codec.uint32
                     may "handle" Codec.uint32
                     may "legacy-vm-type" onOffAuto
                 ])
            "sev-snp-guest",
            members
                "SevSnpGuestProperties"
                (common
                 @ [
                     may "policy" Codec.uint64
                     may "guest-visible-workarounds" Codec.str
                     may "id-block" Codec.str
                     may "id-auth" Codec.str
                     may "author-key-enabled" Codec.bool
                     may "host-data" Codec.str
                     may "vcek-disabled" Codec.bool
                 ])
        ]

    let private otherGuests = [
        "pef-guest", members "PefGuestProperties" []
        "s390-pv-guest", members "S390PvGuestProperties" []
    ]

    let private tlsCipherSuites = [
        "tls-cipher-suites",
        members "TlsCredsProperties" [
            may "verify-peer" Codec.bool
            may "dir" Codec.str
            may "endpoint" tlsCredsEndpoint
            may "priority" Codec.str
        ]
    ]

    let private unstable = [
        "x-remote-object", members "RemoteObjectProperties" [ must "fd" Codec.str; must "devid" Codec.str ]
        "x-vfio-user-server",
        members "VfioUserServerProperties" [
            must "socket" (StructCodec.codec SocketCodecs.socketAddress)
            must "device" Codec.str
        ]
    ]

    let branches: Branch<ObjectBranch> list =
        let ofUnavailable object =
            match object with
            | ObjectBranch.Unavailable unavailable -> ValueSome unavailable
            | _ -> ValueNone

        let branch features (case, codec) =
            branchWith features case codec ObjectBranch.Unavailable ofUnavailable

        let stable =
            List.concat [
                acpi
                authz
                can
                coloCompare
                cryptodev
                dbusVmstate
                netfilters
                input
                iommufd
                memoryBackends
                otherGuests
                qtest
                rng
                sev
                tlsCipherSuites
            ]

        (stable |> List.map (branch []))
        @ (unstable |> List.map (branch [ Feature.Unstable ]))

namespace StorageDaemon.Core.Options

/// One way to use an option, as --help shows it.
type OptionForm = {
    /// The option with its argument; lines behind the first go on with it.
    Usage: string list
    /// What it does, in lines of at most 55 characters.
    Help: string list
}

/// One option of the daemon: what the command line's reader, --help, the manual page and the completions know of it.
type OptionDescription = {
    Long: string
    Short: char voption
    TakesArgument: bool
    /// An option that the real daemon does not have.
    IsOwn: bool
    Forms: OptionForm list
    /// What the manual page says beyond the help, a paragraph each.
    Details: string list
}

module OptionDescriptions =
    let private form usage help : OptionForm = { Usage = usage; Help = help }

    let private described long forms details : OptionDescription = {
        Long = long
        Short = ValueNone
        TakesArgument = true
        IsOwn = false
        Forms = forms
        Details = details
    }

    let private socketForms = [
        "Addresses are flat: addr.type is inet (addr.host, addr.port), unix (addr.path, addr.abstract), vsock (addr.cid, addr.port) or fd (addr.str: the number of a descriptor that the parent has opened, or its name under socket activation)."
    ]

    let private help = {
        described "help" [ form [ "-h, --help" ] [ "print this text and exit" ] ] [] with
            Short = ValueSome 'h'
            TakesArgument = false
    }

    let private trace = {
        described "trace" [
            form [ "-T, --trace [[enable=]<pattern>][,events=<file>][,file=<file>]" ] [
                "choose the events to log, and where to"
            ]
        ] [
            "A pattern may hold * and ?; one that begins with a minus sign switches off what it matches. The file of events has a pattern in each line. Without file= lines go to standard error. --trace help lists the events."
        ] with
            Short = ValueSome 'T'
    }

    let private version = {
        described "version" [ form [ "-V, --version" ] [ "print the version and exit" ] ] [] with
            Short = ValueSome 'V'
            TakesArgument = false
    }

    let private blockdev =
        described "blockdev" [
            form [
                "--blockdev [driver=]<driver>[,node-name=<name>][,discard=ignore|unmap]"
                "           [,cache.direct=on|off][,cache.no-flush=on|off]"
                "           [,read-only=on|off][,auto-read-only=on|off]"
                "           [,force-share=on|off][,detect-zeroes=on|off|unmap]"
                "           [,<option of the driver>=<value>...]"
            ] [ "add a block node" ]
        ] [
            "Does what the QMP command blockdev-add does, whose arguments are the keys; those of nested objects are joined by dots."
        ]

    let private chardev =
        described "chardev" [
            form [ "--chardev <type>,id=<id>[,<option of the type>=<value>...]" ] [
                "add a character device; '--chardev help' lists the"
                "types, '--chardev <type>,help' the options"
            ]
        ] [
            "A descriptor of socket,fd=<fd> is a number, or under socket activation one of the names in LISTEN_FDNAMES."
        ]

    let private config = {
        described "config" [ form [ "--config <file>" ] [ "read further options from a JSON file" ] ] [
            "The file holds one JSON object. Its members are trace, object, chardev, blockdev, nbd-server, export, metrics and monitor; each is an object, or a list of objects, with the keys of the option of that name. They take effect in the order in which they are named here, at the place of --config on the command line. Errors name the file and the entry."
        ] with
            IsOwn = true
    }

    let private daemonize = {
        described "daemonize" [
            form [ "--daemonize" ] [
                "go on in the background; the command returns when"
                "everything has been set up"
            ]
        ] [
            "The exit status tells whether set-up has succeeded; errors appear on the terminal. The process leaves its directory, and its standard streams become /dev/null."
        ] with
            TakesArgument = false
    }

    let private export =
        described "export" [
            form [
                "--export [type=]nbd,id=<id>,node-name=<node>[,name=<export>]"
                "         [,writable=on|off][,description=<text>]"
            ] [ "offer a block node to NBD clients"; "(after --nbd-server)" ]
            form [
                "--export [type=]fuse,id=<id>,node-name=<node>,"
                "         mountpoint=<file>[,writable=on|off][,growable=on|off]"
                "         [,allow-other=on|off|auto]"
            ] [ "offer a block node as a file, over FUSE" ]
            form [
                "--export [type=]vhost-user-blk,id=<id>,node-name=<node>,"
                "         addr.type=unix,addr.path=<path>[,writable=on|off]"
                "         [,logical-block-size=<size>][,num-queues=<number>]"
            ] [ "offer a block node to a virtual machine,"; "over a socket at that path" ]
            form [
                "--export [type=]vhost-user-blk,id=<id>,node-name=<node>,"
                "         addr.type=fd,addr.str=<fd>[,writable=on|off]"
                "         [,logical-block-size=<size>][,num-queues=<number>]"
            ] [
                "offer a block node to a virtual machine,"
                "over a listening socket that was passed"
            ]
        ] [
            "Does what the QMP command block-export-add does, whose arguments are the keys."
        ]

    let private metrics = {
        described
            "metrics"
            [
                form [
                    "--metrics addr.type=unix,addr.path=<path>"
                    "--metrics addr.type=inet,addr.host=<host>,addr.port=<port>"
                ] [ "serve metrics for Prometheus over HTTP at /metrics" ]
            ]
            socketForms with
            IsOwn = true
    }

    let private monitor =
        described "monitor" [
            form [ "--monitor [chardev=]<id>[,mode=control][,pretty=on|off]" ] [ "speak QMP on a character device" ]
        ] [ "May be given several times. With pretty=on replies are spread over lines." ]

    let private nbdServer =
        described
            "nbd-server"
            [
                form [
                    "--nbd-server addr.type=inet,addr.host=<host>,addr.port=<port>"
                    "             [,max-connections=<n>][,handshake-max-seconds=<n>]"
                    "--nbd-server addr.type=unix,addr.path=<path>"
                    "             [,max-connections=<n>][,handshake-max-seconds=<n>]"
                ] [ "start the NBD server" ]
            ]
            socketForms

    let private object' =
        described "object" [
            form [ "--object help" ] [ "list the types of objects" ]
            form [ "--object <type>,help" ] [ "list the properties of a type" ]
            form [ "--object <type>,id=<id>[,<property>=<value>...]" ] [ "add an object" ]
        ] [ "Does what the QMP command object-add does, whose arguments are the keys." ]

    let private pidfile =
        described "pidfile" [ form [ "--pidfile <path>" ] [ "write the process id to a file once set up" ] ] [
            "The file is locked as long as the process lives, and removed at its end."
        ]

    /// All options, by their names.
    let all: OptionDescription list = [
        blockdev
        chardev
        config
        daemonize
        export
        help
        metrics
        monitor
        nbdServer
        object'
        pidfile
        trace
        version
    ]

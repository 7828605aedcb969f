namespace StorageDaemon.Core.Docs

open StorageDaemon.Core.Observe
open StorageDaemon.Core.Options

/// storage-daemon(1).
module ManualPage =
    let private option (description: OptionDescription) : string list =
        let term (form: OptionForm) =
            form.Usage
            |> List.map (fun line -> Roff.bold (line.Trim()))
            |> String.concat "\n.br\n"

        let forms =
            description.Forms
            |> List.collect (fun form -> Roff.item (term form) (String.concat " " form.Help + "."))

        forms @ (description.Details |> List.collect Roff.more)

    let private signals = [
        "SIGINT, SIGHUP, SIGTERM",
        "end the process in good order: exports with their events, the NBD server, nodes, monitors. The exit status is 0."
    ]

    let private environment = [
        "NOTIFY_SOCKET", "where to tell the supervisor that the daemon is ready, is ending, and what it does."
        "WATCHDOG_USEC, WATCHDOG_PID",
        "how often the supervisor wants a sign of life. It comes from the control thread, twice in each period, and stays away when that thread hangs."
        "LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES",
        "sockets that the supervisor has opened. Wherever the number of a descriptor is expected, one of these names may stand, over QMP too."
    ]

    let private items (list: (string * string) list) =
        list |> List.collect (fun (term, text) -> Roff.item (Roff.bold term) text)

    /// `source` is the program's name and version.
    let text (source: string) : string =
        Roff.page (
            List.concat [
                [
                    Roff.title "storage-daemon" 1 source "User Commands"
                    Roff.section "NAME"
                    "storage\\-daemon \\- serve block devices to other programs, controlled over QMP"
                    Roff.section "SYNOPSIS"
                    Roff.bold "storage-daemon" + " [" + Roff.italic "option" + "]..."
                    ".br"
                    Roff.bold "storage-daemon docs man" + "|" + Roff.bold "qmp-ref"
                    ".br"
                    Roff.bold "storage-daemon docs completions bash"
                    + "|"
                    + Roff.bold "zsh"
                    + "|"
                    + Roff.bold "fish"
                    Roff.section "DESCRIPTION"
                    Roff.escape
                        "Opens disk images and devices as block nodes and offers them to NBD clients, in a process of its own. The options and the QMP protocol are those of qemu-storage-daemon."
                ]
                Roff.paragraph
                    "Options take effect in the order in which they stand, except for --help, --version, --daemonize and --pidfile, which are looked for first. Long options may be shortened while they stay unambiguous; --config and --metrics may not. Keys of nested objects are joined by dots, a comma within a value is doubled, and lists have numbers as keys. Instead of keys and values, an option that adds something takes a JSON object."
                Roff.paragraph
                    "A command line that begins with the word docs prints documentation, which is made from the same descriptions as the interface itself."
                [ Roff.section "OPTIONS" ]
                OptionDescriptions.all |> List.collect option
                [
                    Roff.section "TRACE EVENTS"
                    Roff.escape (String.concat ", " TracePoints.all + ".")
                ]
                [ Roff.section "SIGNALS" ]
                items signals
                [ Roff.section "ENVIRONMENT" ]
                items environment
                [ Roff.section "EXIT STATUS" ]
                items [
                    "0", "the daemon has ended as it was told to."
                    "1", "an option could not be carried out."
                ]
                [ Roff.section "EXAMPLES" ]
                Roff.literal [
                    "storage-daemon \\"
                    "    --blockdev driver=file,node-name=disk,filename=disk.img \\"
                    "    --nbd-server addr.type=unix,addr.path=nbd.sock \\"
                    "    --export type=nbd,id=e0,node-name=disk,writable=on"
                ]
                Roff.paragraph "A qcow2 image as a file that holds what the guest sees:"
                Roff.literal [
                    "storage-daemon \\"
                    "    --blockdev driver=file,node-name=file,filename=disk.qcow2 \\"
                    "    --blockdev driver=qcow2,node-name=disk,file=file \\"
                    "    --export type=fuse,id=e0,node-name=disk,mountpoint=disk.raw,writable=on"
                ]
                [ Roff.section "SEE ALSO"; Roff.bold "storage-daemon-qmp-ref" + "(7)" ]
            ]
        )

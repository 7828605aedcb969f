namespace StorageDaemon.Core.Observe

/// The events that this daemon can log (`--trace`), by name. The names of the real daemon's events are its own inner
/// life; these are ours.
module TracePoints =
    [<Literal>]
    let QmpCommand = "qmp_command"

    [<Literal>]
    let QmpReply = "qmp_reply"

    [<Literal>]
    let QmpEvent = "qmp_event"

    [<Literal>]
    let NodeOpen = "node_open"

    [<Literal>]
    let NodeClose = "node_close"

    [<Literal>]
    let ExportAdd = "export_add"

    [<Literal>]
    let ExportStop = "export_stop"

    [<Literal>]
    let NbdServerStart = "nbd_server_start"

    [<Literal>]
    let NbdServerStop = "nbd_server_stop"

    [<Literal>]
    let NbdAccept = "nbd_accept"

    [<Literal>]
    let NbdHandshakeDone = "nbd_handshake_done"

    [<Literal>]
    let NbdHandshakeFail = "nbd_handshake_fail"

    [<Literal>]
    let NbdDisconnect = "nbd_disconnect"

    [<Literal>]
    let VhostUserConnect = "vhost_user_connect"

    [<Literal>]
    let VhostUserDisconnect = "vhost_user_disconnect"

    [<Literal>]
    let VhostUserRingBroken = "vhost_user_ring_broken"

    [<Literal>]
    let ChardevOpen = "chardev_open"

    [<Literal>]
    let ChardevClose = "chardev_close"

    [<Literal>]
    let IothreadStart = "iothread_start"

    [<Literal>]
    let IothreadStop = "iothread_stop"

    /// All of them, as `--trace help` lists them.
    let all = [
        QmpCommand
        QmpReply
        QmpEvent
        NodeOpen
        NodeClose
        ExportAdd
        ExportStop
        NbdServerStart
        NbdServerStop
        NbdAccept
        NbdHandshakeDone
        NbdHandshakeFail
        NbdDisconnect
        VhostUserConnect
        VhostUserDisconnect
        VhostUserRingBroken
        ChardevOpen
        ChardevClose
        IothreadStart
        IothreadStop
    ]

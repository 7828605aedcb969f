/// The commands of the random lists that drive the control plane.
module StorageDaemon.Tests.Reference.DaemonCommand

/// Names are numbers modulo a few, so that they collide.
type Command =
    | AddFile of name: byte * readOnly: bool * autoReadOnly: bool * isMissing: bool
    | AddNull of name: byte * sectors: byte
    | AddRaw of name: byte * child: byte * sectors: byte * readOnly: bool
    | AddRawInline of name: byte * child: byte * sectors: byte
    | Del of name: byte
    | Resize of name: byte * sectors: byte
    | ServerStart
    | ServerStop
    | ExportAdd of id: byte * node: byte * name: byte * writable: bool * iothread: byte
    | ServerAdd of device: byte * name: byte * writable: bool
    | ExportDel of id: byte * hard: bool * older: bool
    | Connect of index: byte * clients: byte
    | Disconnect of index: byte
    | ObjectAdd of id: byte * poolMax: byte
    | ObjectDel of id: byte
    | ObjectSet of id: byte * value: sbyte
    /// Into one of the threads or, every fourth number, none.
    | MoveNode of node: byte * thread: byte * force: bool
    | ChardevAdd of id: byte
    | ChardevRemove of id: byte
    | ChardevChange of id: byte
    | StartMonitor of id: byte

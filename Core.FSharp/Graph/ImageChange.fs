namespace StorageDaemon.Core.Graph

open System.Text
open StorageDaemon.Core.Io
open StorageDaemon.Core.Qcow2

/// Changes of an open image's metadata that commands ask for. Names and ids are bytes in UTF-8, as the file has them.
type ImageChange =
    /// Take a snapshot; its id is the next number.
    | TakeSnapshot of name: byte[]
    /// Delete the first snapshot that has this id, this name, or both where both are given.
    | DeleteSnapshot of id: byte[] voption * name: byte[] voption
    /// Put the name of another backing image in the header; none if it is empty.
    | NameBacking of name: byte[] * format: byte[]

module ImageChange =
    /// Bytes of a snapshot's name at most: the real daemon cuts longer ones.
    [<Literal>]
    let snapshotNameBytesMax = 255

    let nameBytes (name: string) : byte[] = Encoding.UTF8.GetBytes name

    /// What a node knows of an image.
    let facts (image: Image) : NodeFacts = {
        SizeBytes = image.Header.SizeBytes
        AlignmentBytes = 1
        Header = Some image.Header
        Snapshots = image.Snapshots
    }

    /// The script of a change, while no request is under way: what the node is afterwards. `seconds` and `nanoseconds`
    /// since the Epoch are when it happens. Without a guest the time that one has run is the clock's, too.
    let script
        (change: ImageChange)
        (seconds: uint32)
        (nanoseconds: uint32)
        (image: Image)
        : IoScript<Result<NodeFacts, int>> =
        ioResult {
            match change with
            | TakeSnapshot name ->
                let! _ =
                    InternalSnapshots.create image {
                        Id = [||]
                        Name = Array.truncate snapshotNameBytesMax name
                        Seconds = seconds
                        Nanoseconds = nanoseconds
                        GuestNs = uint64 seconds * 1_000_000_000UL + uint64 nanoseconds
                        Icount = ValueNone
                    }

                return facts image
            | DeleteSnapshot(id, name) ->
                let! _ = InternalSnapshots.delete image id name
                return facts image
            | NameBacking(name, format) ->
                do! Idle.nameBacking image name format
                return facts image
        }

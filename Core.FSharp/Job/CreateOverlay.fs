namespace StorageDaemon.Core.Job

open StorageDaemon.Core
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Io
open StorageDaemon.Core.Qapi

/// An image over a node, and the file that it is made in.
type OverlayCreation = {
    /// Created or emptied first, as `CreateFile` does.
    File: FileCreation
    Image: BlockdevCreateOptionsQcow2
    /// What people are told on standard error before it is made.
    Announcement: string
}

/// How blockdev-snapshot-sync makes a qcow2 overlay: all options at their defaults, but for the node below by its name
/// and its driver's.
module CreateOverlay =
    let plan (graph: Graph) (below: Node) (filename: string) : Result<OverlayCreation, QapiError> =
        let backing = Filename.ofNode graph below
        let driver = Driver.name below.Driver

        if backing = filename then
            QapiError.fail "Error: Trying to create an image with the same filename as the backing file"
        else
            Ok {
                File = {
                    Filename = filename
                    SizeBytes = 0L
                    Preallocation = PreallocMode.Off
                    WriteInPlace = false
                    ExtentSizeHint = None
                }
                Image = {
                    // The file above, whatever node stands for it.
                    File = BlockdevRef.Reference filename
                    DataFile = None
                    DataFileRaw = None
                    ExtendedL2 = None
                    Size = uint64 below.SizeBytes
                    Version = None
                    BackingFile = Some backing
                    BackingFmt = Some driver
                    ClusterSize = None
                    Preallocation = None
                    LazyRefcounts = None
                    RefcountBits = None
                    CompressionType = None
                }
                Announcement =
                    "Formatting '"
                    + filename
                    + "', fmt=qcow2 cluster_size=65536 extended_l2=off compression_type=zlib size="
                    + string below.SizeBytes
                    + " backing_file="
                    + backing
                    + " backing_fmt="
                    + driver
                    + " lazy_refcounts=off refcount_bits=16"
            }

    /// The work on the emptied file, child 0. A failure to open it is `CreateFile.openFailure`.
    let script (creation: OverlayCreation) (errorText: int -> string) : IoScript<Result<unit, string>> =
        CreateQcow2.script creation.Image None errorText

namespace StorageDaemon.Core.Graph

open StorageDaemon.Core
open StorageDaemon.Core.Io
open StorageDaemon.Core.Qcow2

/// Another length for an image, in three scripts, each of which is run when the one before has succeeded: over the disk
/// as it is, over what is below it, and over the disk as it will be. What was once behind the end never comes back.
[<NoComparison; NoEquality>]
type ImageLength = {
    Before: IoScript<Result<unit, int>>
    Change: Image -> IoScript<Result<unit, int>>
    After: IoScript<Result<unit, int>>
}

module ImageLength =
    /// Lets bytes of child 0 read as zeroes.
    let private clear (offset: int64) (lengthBytes: int64) : IoScript<Result<unit, int>> =
        if lengthBytes <= 0L then
            Finished(Ok())
        else
            ioResult {
                let! bytes = ReadChild(0, offset, int lengthBytes, Finished)

                if Array.exists ((<>) 0uy) bytes then
                    do! WriteChild(0, offset, Array.zeroCreate<byte> bytes.Length, Finished)
            }

    /// From an offset to the end of its cluster, but not beyond the end of the disk.
    let private restOfCluster (clusterBytes: int64) (offset: int64) (sizeBytes: int64) : IoScript<Result<unit, int>> =
        let clusterEnd = (offset + clusterBytes - 1L) / clusterBytes * clusterBytes
        clear offset (min clusterEnd sizeBytes - offset)

    /// Snapshots of version 2 do not tell how long the disk was.
    let private isFrozen (header: Header) =
        header.Version < 3 && header.SnapshotCount > 0

    let plan (header: Header) (newBytes: int64) : ImageLength =
        let clusterBytes = 1L <<< header.ClusterBits
        let nothing = Finished(Ok())

        if newBytes < header.SizeBytes then
            {
                Before =
                    // What cannot be shorter must not lose anything by the attempt.
                    if isFrozen header then
                        nothing
                    else
                        restOfCluster clusterBytes newBytes header.SizeBytes
                Change = fun image -> Idle.shrink image newBytes
                After = nothing
            }
        else
            {
                Before = nothing
                Change = fun image -> Idle.grow image newBytes
                After = restOfCluster clusterBytes header.SizeBytes newBytes
            }

    /// The error of a length that the image cannot have. `reason` is the C library's text.
    let error (header: Header) (errno: int) (reason: string) : QapiError =
        match errno with
        | Errno.ENOTSUP when isFrozen header -> QapiError.generic "Can't resize a v2 image which has snapshots"
        // The backing image would show through, for want of a zero flag.
        | Errno.ENOTSUP -> QapiError.generic ("Failed to zero out new clusters: " + reason)
        | Errno.EFBIG -> QapiError.generic ("Failed to grow the L1 table: " + reason)
        | _ -> QapiError.generic ("Failed to update the image size: " + reason)

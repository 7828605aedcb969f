namespace StorageDaemon.Core.Qcow2

open StorageDaemon.Core
open StorageDaemon.Core.Io

/// What is done to an open image as a whole, while no request is under way. Errors are Linux error numbers; after one
/// the image is as it was, or as it is to be.
module Idle =
    /// Writes everything that is only in memory. Afterwards the file has no cluster that nothing refers to but those that
    /// it had before.
    let settle (image: Image) : IoScript<Result<unit, int>> = Settling.settle image

    /// The last that is done to an image that was writable. It is not marked as dirty meanwhile, lazy refcounts or not:
    /// every checkpoint writes refcounts before what they count, so that no crash leaves them too small, and there is
    /// nothing to be repaired. The mark of an image whose repair left other damage goes here, as its refcounts are right.
    let close (image: Image) : IoScript<Result<unit, int>> =
        ioResult {
            do! Settling.settle image
            do! Settling.flush image

            if image.Header.Incompatible &&& Feature.dirty <> 0UL && not image.IsFenced then
                do!
                    HeaderUpdate.putFeatures image (fun header -> {
                        header with
                            Incompatible = header.Incompatible &&& ~~~Feature.dirty
                    })
        }

    /// Marks the image as corrupt, for good: it can be opened for writing only by a repair. Nothing of it is changed any
    /// more, in whichever way this ends. Version 2 has no place for the mark.
    let markCorrupt (image: Image) : IoScript<Result<unit, int>> =
        image.IsFenced <- true

        HeaderUpdate.putFeatures image (fun header -> {
            header with
                Incompatible = header.Incompatible ||| Feature.corrupt
        })

    /// Names another backing image and its format in the header; no image at all if the name is empty. At every moment the
    /// file has the old name or the new one. EINVAL for a name that is too long, ENOSPC where the first cluster has no
    /// room for both.
    let nameBacking (image: Image) (name: byte[]) (format: byte[]) : IoScript<Result<unit, int>> =
        BackingName.change image name format

    /// Makes the disk longer; the new bytes read as zeroes, but where the old end is within a cluster, which the caller
    /// has to see to. ENOTSUP in version 2 with snapshots, which do not tell how long the disk was, and over a backing
    /// image that is longer than the disk.
    let grow (image: Image) (sizeBytes: int64) : IoScript<Result<unit, int>> = Resizing.grow image sizeBytes

    /// Makes the disk shorter. What lies behind the new end is free afterwards; the bytes from there to the cluster's end
    /// stay, so that the caller zeroes them first. ENOTSUP in version 2 with snapshots.
    let shrink (image: Image) (sizeBytes: int64) : IoScript<Result<unit, int>> = Resizing.shrink image sizeBytes

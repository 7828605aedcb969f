namespace StorageDaemon.Core.Qcow2

open System
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// What becomes of an image before the first write to it, in the real daemon's order and with its words. Both steps may
/// be interrupted at any moment, and are done again at the next opening.
module internal WritableOpening =
    /// The autoclear bits that hold on while the image is written to.
    let private keptAutoclear (header: Header) : uint64 = header.Autoclear &&& Feature.autoclear

    let private failed (what: string) (errorText: int -> string) (errno: int) : QapiError =
        QapiError.generic (what + ": " + errorText errno)

    /// Takes away the autoclear bits of features that writes will not keep up.
    let private clearUnknown (errorText: int -> string) (header: Header) : IoScript<Result<unit, QapiError>> =
        let kept = keptAutoclear header

        if header.Version < 3 || kept = header.Autoclear then
            Finished(Ok())
        else
            let field = Array.zeroCreate<byte> 8
            BigEndian.writeU64 (Span field) 0 kept

            ioResult {
                do! WriteChild(0, int64 Header.autoclearFieldOffset, field, Finished)
                do! FlushChild(0, Finished)
            }
            |> IoScript.mapError (failed "Could not update qcow2 header" errorText)

    /// Bitmaps that were to follow all writes will not follow these: the directory says that they are in use, so that
    /// nobody takes them for complete. Other bitmaps stay valid. A flag is set in place: each sector is right before and
    /// after.
    let private suspendBitmaps (errorText: int -> string) (header: Header) : IoScript<Result<unit, QapiError>> =
        let clusterBytes = 1 <<< header.ClusterBits
        let suspends (entry: BitmapEntry) =
            entry.Flags &&& BitmapFlags.auto <> 0u && entry.Flags &&& BitmapFlags.inUse = 0u

        match Header.bitmaps header with
        | ValueNone -> Finished(Ok())
        | ValueSome pointer ->
            ioResult {
                let! bytes =
                    ReadChild(0, int64 pointer.DirectoryOffset, int (min pointer.DirectoryBytes 0x4000000UL), Finished)
                    |> IoScript.mapError (failed "Could not read bitmap directory" errorText)

                let! entries =
                    BitmapDirectory.decode clusterBytes header.SizeBytes pointer.Count (ReadOnlySpan bytes)
                    |> Finished

                if List.exists suspends entries then
                    let! directory =
                        entries
                        |> List.map (fun entry ->
                            if suspends entry then
                                { entry with Flags = entry.Flags ||| BitmapFlags.inUse }
                            else
                                entry)
                        |> BitmapDirectory.encode
                        |> Result.mapError (failed "Could not update bitmap directory" errorText)
                        |> Finished

                    do!
                        ioResult {
                            do! WriteChild(0, int64 pointer.DirectoryOffset, directory, Finished)
                            do! FlushChild(0, Finished)
                        }
                        |> IoScript.mapError (failed "Could not update bitmap directory" errorText)
            }

    let private repair (fileBytes: int64) (errorText: int -> string) : IoScript<Result<int64, QapiError>> =
        Check.run Check.defaultLimits CheckFix.All 0 fileBytes
        |> IoScript.bind (fun result ->
            let fail errno =
                Finished(Error(failed "Could not repair dirty image" errorText errno))

            match result with
            | Ok report when report.CheckErrors > 0L -> fail Errno.EIO
            | Ok report -> Finished(Ok(max fileBytes report.ImageEndOffset))
            | Error(IoFailed errno) -> fail errno
            | Error TooMuch -> fail Errno.EFBIG
            | Error NeedsRebuild -> fail Errno.EIO
            | Error(Unreadable _) -> fail Errno.EINVAL)

    /// Brings the header in order, and rebuilds the refcounts of a dirty image. The bytes of the file afterwards.
    let prepare
        (children: ImageChildren)
        (errorText: int -> string)
        (header: Header)
        : IoScript<Result<int64, QapiError>> =
        ioResult {
            do! clearUnknown errorText header
            do! suspendBitmaps errorText header

            if header.Incompatible &&& Feature.dirty <> 0UL then
                return! repair children.FileBytes errorText
            else
                return children.FileBytes
        }

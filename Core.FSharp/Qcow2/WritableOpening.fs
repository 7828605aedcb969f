namespace StorageDaemon.Core.Qcow2

open System
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// What becomes of an image before the first write to it, in the real daemon's order and with its words. Both steps may
/// be interrupted at any moment, and are done again at the next opening.
module internal WritableOpening =
    /// The autoclear bits that hold on while the image is written to. Whoever leaves the bitmaps as they are has to leave
    /// their bit away here.
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

            if header.Incompatible &&& Feature.dirty <> 0UL then
                return! repair children.FileBytes errorText
            else
                return children.FileBytes
        }

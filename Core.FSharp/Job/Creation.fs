namespace StorageDaemon.Core.Job

open StorageDaemon.Core
open StorageDaemon.Core.Qapi

/// An image to be made, one case for each driver that can. A driver's creation is a value here, its options a branch in
/// `CreateCodecs`, and how it goes a module beside `CreateFile`.
[<RequireQualifiedAccess>]
type Creation =
    | File of FileCreation
    | Qcow2 of BlockdevCreateOptionsQcow2

module Creation =
    let ofOptions (options: BlockdevCreateOptions) : Result<Creation, QapiError> =
        match options with
        | BlockdevCreateOptions.File options -> Ok(Creation.File(CreateFile.ofOptions options))
        | BlockdevCreateOptions.Qcow2 options -> Ok(Creation.Qcow2 options)
        // The one driver that the schema lists although it is built nowhere.
        | BlockdevCreateOptions.None "blkreplay" -> QapiError.fail "Block driver 'blkreplay' not found or not supported"
        | BlockdevCreateOptions.None _ -> QapiError.fail "Driver does not support blockdev-create"

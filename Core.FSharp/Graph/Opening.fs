namespace StorageDaemon.Core.Graph

open StorageDaemon.Core
open StorageDaemon.Core.Filter
open StorageDaemon.Core.Io

/// How nodes that have to read their children find out what they are.
module Opening =
    /// The script of a driver over children of these paths; `lengths` are those of the files below, in bytes.
    /// `errorText` is the C library's for an errno.
    let script
        (driver: Driver)
        (children: DataPath list)
        (lengths: int64 list)
        (errorText: System.Func<int, string>)
        : IoScript<Result<LayerOpened, QapiError>> =
        match driver, children, lengths with
        | BlkLogWrites options, [ file; _ ], [ _; logBytes ] ->
            LogWritesLayer.Open(options, file.SizeBytes, file.AlignmentBytes, logBytes, errorText.Invoke)
        | _ -> Finished(QapiError.fail ("'" + Driver.name driver + "' does not read its children"))

namespace StorageDaemon.Core.Qapi

/// All events of the daemon.
[<RequireQualifiedAccess>]
module Events =
    /// An export is gone for good; its id may be used again.
    let blockExportDeleted = Event.define "BLOCK_EXPORT_DELETED" ExportCodecs.blockExportDeleted

    /// What introspection lists.
    let schemas: EventSchema list = [ Event.schema blockExportDeleted ]

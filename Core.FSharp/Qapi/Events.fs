namespace StorageDaemon.Core.Qapi

/// All events of the daemon.
[<RequireQualifiedAccess>]
module Events =
    /// An export is gone for good; its id may be used again.
    let blockExportDeleted = Event.define "BLOCK_EXPORT_DELETED" ExportCodecs.blockExportDeleted

    /// A write has ended beyond a node's threshold, which is off from then on.
    let blockWriteThreshold = Event.define "BLOCK_WRITE_THRESHOLD" BlockGraphCodecs.blockWriteThreshold

    /// What introspection lists.
    let schemas: EventSchema list = [ Event.schema blockExportDeleted; Event.schema blockWriteThreshold ]

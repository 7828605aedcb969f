namespace StorageDaemon.Core.Qapi

/// All events of the daemon.
[<RequireQualifiedAccess>]
module Events =
    /// An export is gone for good; its id may be used again.
    let blockExportDeleted =
        Event.define "BLOCK_EXPORT_DELETED" ExportCodecs.blockExportDeleted
        |> Event.means "An export is gone, and its id is free again."

    /// A write has ended beyond a node's threshold, which is off from then on.
    let blockWriteThreshold =
        Event.define "BLOCK_WRITE_THRESHOLD" BlockGraphCodecs.blockWriteThreshold
        |> Event.means
            "A write went beyond the threshold of a node. It happens once for each block-set-write-threshold."

    /// A job has come to another state.
    let jobStatusChange =
        Event.define "JOB_STATUS_CHANGE" JobCodecs.jobStatusChange
        |> Event.means "A job has come further, to its end with \"concluded\" and away with \"null\"."

    /// Damage was met in an image.
    let blockImageCorrupted =
        Event.define "BLOCK_IMAGE_CORRUPTED" BlockGraphCodecs.blockImageCorrupted
        |> Event.means "A request has met damage in an image's metadata. It is told once."

    /// Too few children of a quorum agree.
    let quorumFailure =
        Event.define "QUORUM_FAILURE" BlockGraphCodecs.quorumFailure
        |> Event.means "Too few copies of a quorum agree on data or on an error. At most one in a second is told."

    /// A child of a quorum is not as the others.
    let quorumReportBad =
        Event.define "QUORUM_REPORT_BAD" BlockGraphCodecs.quorumReportBad
        |> Event.means
            "One copy of a quorum has failed, or has other data than the majority. At most one in a second is told of each copy."

    /// A helper of persistent reservations was connected to, or lost. Introspection does not list it, as in the real
    /// daemon, which sends it all the same.
    let prManagerStatusChanged =
        Event.define "PR_MANAGER_STATUS_CHANGED" ObjectCodecs.prManagerStatusChanged
        |> Event.means "The connection to a helper of persistent reservations came or went."

    /// What introspection lists.
    let schemas: EventSchema list = [
        Event.schema blockExportDeleted
        Event.schema blockImageCorrupted
        Event.schema blockWriteThreshold
        Event.schema jobStatusChange
        Event.schema quorumFailure
        Event.schema quorumReportBad
    ]

    /// All that clients may be sent.
    let all: EventSchema list = schemas @ [ Event.schema prManagerStatusChanged ]

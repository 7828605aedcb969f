namespace StorageDaemon.Core.Qapi

/// All commands of the daemon.
[<RequireQualifiedAccess>]
module Commands =
    open Command

    let private listOf inner = Codec.list (StructCodec.codec inner)
    let private deprecated command =
        withFeatures [ Feature.Deprecated ] command

    let private unstable command =
        withFeatures [ Feature.Unstable ] command

    let qmpCapabilities =
        action "qmp_capabilities" MiscCodecs.qmpCapabilities
        |> does "Ends the negotiation. It has to be the first command of a client."
    let queryVersion =
        query "query-version" (StructCodec.codec MiscCodecs.versionInfo)
        |> does "Tells the version."
    let queryCommands =
        query "query-commands" (listOf MiscCodecs.commandInfo)
        |> does "Lists the commands."
    let queryQmpSchema =
        query "query-qmp-schema" (listOf SchemaInfoCodecs.schemaInfo)
        |> does "Describes all commands, events and types, for programs."
    let quit = action "quit" StructCodec.empty |> does "Ends the daemon in good order."

    let blockdevAdd =
        action "blockdev-add" BlockCodecs.blockdevOptions
        |> does "Adds a node. Nodes that its options describe in place are added with it."
    let blockdevDel =
        action "blockdev-del" BlockCodecs.blockdevDel
        |> does "Removes a node that nothing uses."
    let blockResize =
        action "block_resize" BlockCodecs.blockResize
        |> does "Changes the length of a node."

    let blockdevReopen =
        action "blockdev-reopen" BlockGraphCodecs.blockdevReopen
        |> does "Gives nodes other options, and other children, while they are in use: all of them or none."
    let blockdevSetActive =
        action "blockdev-set-active" BlockGraphCodecs.blockdevSetActive
        |> does "Activates nodes, or deactivates them so that another process may use the images."

    let blockdevSnapshot =
        action "blockdev-snapshot" BlockGraphCodecs.blockdevSnapshot
        |> withFeatures [ "allow-write-only-overlay" ]
        |> does "Puts an existing node on top of another one, whose users then use it instead."

    let blockdevSnapshotSync =
        action "blockdev-snapshot-sync" BlockGraphCodecs.blockdevSnapshotSync
        |> does "Makes a new image over a node and puts it on top; writes go there from then on."

    let blockdevSnapshotInternalSync =
        action "blockdev-snapshot-internal-sync" BlockGraphCodecs.blockdevSnapshotInternal
        |> does "Takes a snapshot within the image of a node."

    let blockdevSnapshotDeleteInternalSync =
        define
            "blockdev-snapshot-delete-internal-sync"
            BlockGraphCodecs.blockdevSnapshotDeleteInternal
            (StructCodec.codec BlockInfoCodecs.snapshotInfo)
        |> does "Deletes a snapshot within the image of a node; tells what it was."

    let transaction =
        action "transaction" BlockGraphCodecs.transaction
        |> does "Carries several actions out at once: all of them or none."

    let xBlockdevChange =
        action "x-blockdev-change" BlockGraphCodecs.xBlockdevChange
        |> unstable
        |> does "Adds a child to a node, or takes one from it."

    let xBlockdevSetIothread =
        action "x-blockdev-set-iothread" BlockGraphCodecs.xBlockdevSetIothread
        |> unstable
        |> does "Moves a node to the context of an iothread, or back to the main one."

    let xDebugQueryBlockGraph =
        query "x-debug-query-block-graph" (StructCodec.codec BlockGraphCodecs.debugBlockGraph)
        |> unstable
        |> does "Shows nodes, their users and permissions, for debugging."

    let blockSetWriteThreshold =
        action "block-set-write-threshold" BlockGraphCodecs.blockSetWriteThreshold
        |> does "Asks for the event BLOCK_WRITE_THRESHOLD when a write goes beyond an offset."

    let changeBackingFile =
        action "change-backing-file" BlockGraphCodecs.changeBackingFile
        |> does "Changes the name of the backing file that is written in an image, and nothing else."

    let queryNamedBlockNodes =
        define "query-named-block-nodes" BlockCodecs.queryNamedBlockNodes (listOf BlockInfoCodecs.blockDeviceInfo)
        |> does "Describes nodes and their images."

    let queryBlock =
        query "query-block" (listOf BlockInfoCodecs.blockInfo)
        |> does "Lists guest devices. This daemon has none."

    let queryBlockstats =
        define "query-blockstats" BlockCodecs.queryBlockstats (listOf BlockStatsCodecs.blockStats)
        |> does "Tells what has been asked of nodes and exports so far."

    let blockdevCreate =
        action "blockdev-create" CreateCodecs.blockdevCreate
        |> does "Begins a job that makes an image. The job stays when it is over, until job-dismiss."

    let xBlockCheck =
        action "x-block-check" JobCodecs.blockCheck
        |> unstable
        |> does
            "Begins a job that checks an image while it is in use, and repairs it if that is asked for; only a repair lets clients wait. The job stays with its verdict (see query-jobs) when it is over, until job-dismiss."

    let queryJobs =
        query "query-jobs" (listOf JobCodecs.jobInfo)
        |> does "Lists jobs, the newest first."

    let jobPause =
        action "job-pause" JobCodecs.jobReference
        |> does "Lets a job rest as soon as it can."

    let jobResume =
        action "job-resume" JobCodecs.jobReference
        |> does "Lets a job go on after job-pause."

    let jobCancel =
        action "job-cancel" JobCodecs.jobReference
        |> does "Ends a job before its work takes effect. It is over when its event says so."

    let jobComplete = action "job-complete" JobCodecs.jobReference |> does "Ends a job that is ready."

    let jobFinalize =
        action "job-finalize" JobCodecs.jobReference
        |> does "Lets the work of a job that is pending take effect."

    let jobDismiss =
        action "job-dismiss" JobCodecs.jobReference
        |> does "Removes a job that is over; its id is free again."

    let blockExportAdd =
        action "block-export-add" ExportCodecs.blockExportOptions
        |> does "Offers a node to clients."
    let blockExportDel =
        action "block-export-del" ExportCodecs.blockExportDel
        |> does "Takes an export away. The event BLOCK_EXPORT_DELETED follows when it is gone."
    let queryBlockExports =
        query "query-block-exports" (listOf ExportCodecs.blockExportInfo)
        |> does "Lists exports, the newest first."
    let nbdServerStart =
        action "nbd-server-start" ExportCodecs.nbdServerOptionsLegacy
        |> does "Starts the NBD server, of which there is one."
    let nbdServerStop =
        action "nbd-server-stop" StructCodec.empty
        |> does "Ends all NBD exports and the server."
    let nbdServerAdd =
        action "nbd-server-add" ExportCodecs.nbdServerAddOptions
        |> deprecated
        |> does "Offers a node to NBD clients; block-export-add can do more."
    let nbdServerRemove =
        action "nbd-server-remove" ExportCodecs.nbdServerRemove
        |> deprecated
        |> does "Takes an NBD export away; block-export-del does the same."

    let objectAdd = action "object-add" ObjectCodecs.objectOptions |> does "Adds an object."
    let objectDel =
        action "object-del" ObjectCodecs.objectDel
        |> does "Removes an object that nothing uses."
    let qomList =
        define "qom-list" QomCodecs.qomList (listOf QomCodecs.objectPropertyInfo)
        |> does "Lists the properties of an object, the objects below it among them."
    let qomGet =
        define "qom-get" QomCodecs.qomGet Codec.any
        |> does "Reads a property of an object."
    let qomSet = action "qom-set" QomCodecs.qomSet |> does "Changes a property of an object."
    let qomListTypes =
        define "qom-list-types" QomCodecs.qomListTypes (listOf QomCodecs.objectTypeInfo)
        |> does "Lists types of objects."

    let qomListProperties =
        define "qom-list-properties" QomCodecs.qomListProperties (listOf QomCodecs.objectPropertyInfo)
        |> does "Lists the properties of a type."

    let chardevAdd =
        define "chardev-add" CharCodecs.chardevAdd (StructCodec.codec CharCodecs.chardevReturn)
        |> does "Adds a character device."

    let chardevChange =
        define "chardev-change" CharCodecs.chardevAdd (StructCodec.codec CharCodecs.chardevReturn)
        |> does "Opens another device under the id of one that exists. If that fails the old one stays."

    let chardevRemove =
        action "chardev-remove" CharCodecs.chardevRemove
        |> does "Removes a character device that nothing uses."
    let chardevSendBreak =
        action "chardev-send-break" CharCodecs.chardevSendBreak
        |> does "Sends a break to a character device."

    let ringbufRead =
        define "ringbuf-read" CharCodecs.ringbufRead Codec.str
        |> does "Takes data out of a ring buffer."

    let ringbufWrite =
        action "ringbuf-write" CharCodecs.ringbufWrite
        |> does "Puts data into a ring buffer; the oldest data make room."

    let queryChardev =
        query "query-chardev" (listOf CharCodecs.chardevInfo)
        |> does "Lists character devices."
    let queryChardevBackends =
        query "query-chardev-backends" (listOf CharCodecs.chardevBackendInfo)
        |> does "Lists the types of character devices."

    /// What introspection lists.
    let schemas: CommandSchema list = [
        schema qmpCapabilities
        schema queryVersion
        schema queryCommands
        schema queryQmpSchema
        schema quit
        schema blockdevAdd
        schema blockdevDel
        schema blockResize
        schema blockdevReopen
        schema blockdevSetActive
        schema blockdevSnapshot
        schema blockdevSnapshotSync
        schema blockdevSnapshotInternalSync
        schema blockdevSnapshotDeleteInternalSync
        schema transaction
        schema xBlockdevChange
        schema xBlockdevSetIothread
        schema xDebugQueryBlockGraph
        schema blockSetWriteThreshold
        schema changeBackingFile
        schema queryNamedBlockNodes
        schema queryBlock
        schema queryBlockstats
        schema blockdevCreate
        schema xBlockCheck
        schema queryJobs
        schema jobPause
        schema jobResume
        schema jobCancel
        schema jobComplete
        schema jobFinalize
        schema jobDismiss
        schema blockExportAdd
        schema blockExportDel
        schema queryBlockExports
        schema nbdServerStart
        schema nbdServerStop
        schema nbdServerAdd
        schema nbdServerRemove
        schema objectAdd
        schema objectDel
        schema qomList
        schema qomGet
        schema qomSet
        schema qomListTypes
        schema qomListProperties
        schema chardevAdd
        schema chardevChange
        schema chardevRemove
        schema chardevSendBreak
        schema ringbufRead
        schema ringbufWrite
        schema queryChardev
        schema queryChardevBackends
    ]

    /// What `query-commands` returns.
    let infos: CommandInfo list = schemas |> List.map (fun schema -> { Name = schema.Name })

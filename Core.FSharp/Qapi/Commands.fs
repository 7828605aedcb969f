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

    let qmpCapabilities = action "qmp_capabilities" MiscCodecs.qmpCapabilities
    let queryVersion = query "query-version" (StructCodec.codec MiscCodecs.versionInfo)
    let queryCommands = query "query-commands" (listOf MiscCodecs.commandInfo)
    let queryQmpSchema = query "query-qmp-schema" (listOf SchemaInfoCodecs.schemaInfo)
    let quit = action "quit" StructCodec.empty

    let blockdevAdd = action "blockdev-add" BlockCodecs.blockdevOptions
    let blockdevDel = action "blockdev-del" BlockCodecs.blockdevDel
    let blockResize = action "block_resize" BlockCodecs.blockResize

    let blockdevReopen = action "blockdev-reopen" BlockGraphCodecs.blockdevReopen
    let blockdevSetActive = action "blockdev-set-active" BlockGraphCodecs.blockdevSetActive

    let blockdevSnapshot =
        action "blockdev-snapshot" BlockGraphCodecs.blockdevSnapshot
        |> withFeatures [ "allow-write-only-overlay" ]

    let blockdevSnapshotSync = action "blockdev-snapshot-sync" BlockGraphCodecs.blockdevSnapshotSync
    let transaction = action "transaction" BlockGraphCodecs.transaction

    let xBlockdevChange = action "x-blockdev-change" BlockGraphCodecs.xBlockdevChange |> unstable

    let xBlockdevSetIothread =
        action "x-blockdev-set-iothread" BlockGraphCodecs.xBlockdevSetIothread
        |> unstable

    let xDebugQueryBlockGraph =
        query "x-debug-query-block-graph" (StructCodec.codec BlockGraphCodecs.debugBlockGraph)
        |> unstable

    let blockSetWriteThreshold = action "block-set-write-threshold" BlockGraphCodecs.blockSetWriteThreshold

    let changeBackingFile = action "change-backing-file" BlockGraphCodecs.changeBackingFile

    let queryNamedBlockNodes =
        define "query-named-block-nodes" BlockCodecs.queryNamedBlockNodes (listOf BlockInfoCodecs.blockDeviceInfo)

    let queryBlock = query "query-block" (listOf BlockInfoCodecs.blockInfo)

    let queryBlockstats =
        define "query-blockstats" BlockCodecs.queryBlockstats (listOf BlockStatsCodecs.blockStats)

    let blockExportAdd = action "block-export-add" ExportCodecs.blockExportOptions
    let blockExportDel = action "block-export-del" ExportCodecs.blockExportDel
    let queryBlockExports = query "query-block-exports" (listOf ExportCodecs.blockExportInfo)
    let nbdServerStart = action "nbd-server-start" ExportCodecs.nbdServerOptionsLegacy
    let nbdServerStop = action "nbd-server-stop" StructCodec.empty
    let nbdServerAdd = action "nbd-server-add" ExportCodecs.nbdServerAddOptions |> deprecated
    let nbdServerRemove = action "nbd-server-remove" ExportCodecs.nbdServerRemove |> deprecated

    let objectAdd = action "object-add" ObjectCodecs.objectOptions
    let objectDel = action "object-del" ObjectCodecs.objectDel
    let qomList = define "qom-list" QomCodecs.qomList (listOf QomCodecs.objectPropertyInfo)
    let qomGet = define "qom-get" QomCodecs.qomGet Codec.any
    let qomSet = action "qom-set" QomCodecs.qomSet
    let qomListTypes = define "qom-list-types" QomCodecs.qomListTypes (listOf QomCodecs.objectTypeInfo)

    let qomListProperties =
        define "qom-list-properties" QomCodecs.qomListProperties (listOf QomCodecs.objectPropertyInfo)

    let chardevAdd = define "chardev-add" CharCodecs.chardevAdd (StructCodec.codec CharCodecs.chardevReturn)

    let chardevChange =
        define "chardev-change" CharCodecs.chardevAdd (StructCodec.codec CharCodecs.chardevReturn)

    let chardevRemove = action "chardev-remove" CharCodecs.chardevRemove
    let chardevSendBreak = action "chardev-send-break" CharCodecs.chardevSendBreak
    let ringbufRead = define "ringbuf-read" CharCodecs.ringbufRead Codec.str
    let ringbufWrite = action "ringbuf-write" CharCodecs.ringbufWrite
    let queryChardev = query "query-chardev" (listOf CharCodecs.chardevInfo)
    let queryChardevBackends = query "query-chardev-backends" (listOf CharCodecs.chardevBackendInfo)

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
        schema transaction
        schema xBlockdevChange
        schema xBlockdevSetIothread
        schema xDebugQueryBlockGraph
        schema blockSetWriteThreshold
        schema changeBackingFile
        schema queryNamedBlockNodes
        schema queryBlock
        schema queryBlockstats
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

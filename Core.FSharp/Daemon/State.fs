namespace StorageDaemon.Core.Daemon

open StorageDaemon.Core
open StorageDaemon.Core.Json
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Job
open StorageDaemon.Core.Nbd
open StorageDaemon.Core.Qapi
open StorageDaemon.Core.Qom

/// An export that exists, possibly on its way out.
[<NoComparison; NoEquality>]
type Export = {
    Key: ExportKey
    Id: string
    Protocol: ExportProtocol
    Backend: BackendId
    Iothreads: string list
    Writethrough: bool
    ShuttingDown: bool
}

module Export =
    /// What an NBD client learns of it in the handshake.
    let nbdInfo (export: Export) : ExportInfo option =
        match export.Protocol with
        | ExportProtocol.Nbd info -> Some info
        | ExportProtocol.Fuse _
        | ExportProtocol.VhostUser _ -> None

/// A character device.
type Chardev = {
    /// The name of its type in the object tree.
    TypeName: string
    Backend: ChardevBackend
    /// How many monitors and other devices use it.
    Users: int
}

/// A character device that is being opened.
type ChardevOpening = {
    Id: string
    Backend: ChardevBackend
    /// Errors name the device.
    Named: bool
    /// The id of a `mux` that it gets.
    MuxId: string option
    /// The device that was made for it, and goes if it does not come about.
    MadeFor: string option
}

/// Everything the control plane knows: one value, on one thread.
[<NoComparison; NoEquality>]
type State = {
    Graph: Graph
    /// By key: in the order in which they were made. Changes go through `State.withExports`.
    Exports: Map<ExportKey, Export>
    /// What NBD clients may ask for, made once for all handshakes until the exports change.
    Offered: Lazy<ExportInfo list>
    ExportKeys: Map<string, ExportKey>
    /// By the user that the graph knows.
    ExportBackends: Map<BackendId, ExportKey>
    /// By the name that NBD clients use; without those on their way out.
    ExportNames: Map<string, ExportKey>
    NextExport: ExportKey
    NbdServer: NbdServerOptions option
    Objects: Map<string, UserObject>
    Chardevs: Map<string, Chardev>
    Jobs: JobTable
    /// The version text of this program, for `query-version`.
    Package: string
    Quitting: bool
}

module State =
    let private offered (exports: Map<ExportKey, Export>) =
        lazy
            (Map.foldBack
                (fun _ export listed ->
                    match Export.nbdInfo export with
                    | Some info when not export.ShuttingDown -> info :: listed
                    | _ -> listed)
                exports
                [])

    let withExports (exports: Map<ExportKey, Export>) (state: State) : State = {
        state with
            Exports = exports
            Offered = offered exports
    }

    /// `seed` feeds generated node names; `package` is this program's name and version.
    let create (seed: uint64) (package: string) : State = {
        Graph = Graph.create seed
        Exports = Map.empty
        Offered = offered Map.empty
        ExportKeys = Map.empty
        ExportBackends = Map.empty
        ExportNames = Map.empty
        NextExport = 1<exportKey>
        NbdServer = None
        Objects = Map.empty
        Chardevs = Map.empty
        Jobs = JobTable.empty
        Package = package
        Quitting = false
    }

    /// Exports, the newest first.
    let exports (state: State) : Export list =
        Map.fold (fun newest _ export -> export :: newest) [] state.Exports

    /// What NBD clients may ask for, in the order in which the real daemon lists it: oldest first.
    let nbdExports (state: State) : ExportInfo list = state.Offered.Value

    /// The export that an NBD client asks for by name, without making the list.
    let tryNbdExport (name: string) (state: State) : ExportInfo option =
        Map.tryFind name state.ExportNames
        |> Option.bind (fun key -> Export.nbdInfo state.Exports[key])

    /// Whether there is an iothread object of that id.
    let hasIothread (id: string) (state: State) : bool =
        match state.Objects.TryFind id with
        | Some(UserObject.Iothread _) -> true
        | _ -> false

    let tryExport (id: string) (state: State) : Export option =
        Map.tryFind id state.ExportKeys |> Option.map (fun key -> state.Exports[key])

/// What a command waits for, with all that it needs to go on.
[<NoComparison; NoEquality>]
type Continuation =
    | Adding of AddPurpose * AddStep
    /// The file of an overlay was made; it is to be opened as described.
    | OverlayMade of PendingTransaction * below: NodeId * BlockdevSpec
    /// The users of a node rest, for whose image a transaction takes a snapshot.
    | TransactionRests of PendingTransaction * TakenSnapshot
    | SnapshotTaken of PendingTransaction * TakenSnapshot
    /// The snapshot that was taken last is gone again; what else there is to be undone.
    | SnapshotUndone of PendingGraph * FileChange list * QapiError
    | ImageRests of PendingImage
    | ImageWasChanged of PendingImage
    | ResizeQuiesced of PendingResize
    | ResizeGranted of PendingResize
    | ResizeMeasured of PendingResize
    | SizesKnown of flat: bool
    | CountersKnown
    | NbdServerOpened of NbdServerOptions
    | GraphQuiesced of PendingGraph
    | GraphApplied of PendingGraph
    /// An image was read anew; more may be to come.
    | ImageReread of PendingGraph * NodeId * NodeId list
    | ExportQuiesced of PendingExport
    | ExportApplied of PendingExport
    | ExportStarted of PendingExport * Export
    | ExportCounted of id: string * hard: bool
    | ExportEnded of ExportKey
    | NbdExportsStopped of ExportKey list
    | NbdServerClosed
    | QuitExportsStopped of ExportKey list * isCommand: bool
    /// The listener is open, but the server cannot be: it is closed again.
    | NbdServerGivenUp of QapiError
    | ObjectStarted of id: string * UserObject
    | ObjectMoved of id: string * UserObject
    | ChardevIsOpen of ChardevOpening
    | RingWasRead of DataFormat
    | ChardevsDescribed
    | QomChardevsDescribed of QomGet
    | MonitorStarted of MonitorOptions
    | JobFileOpened of JobKey
    | JobNodesTaken of PendingJobNodes * JobNodesTaken
    | CheckQuiesced of PendingCheck
    | CheckViewed of PendingCheck
    | RepairQuiesced of PendingCheck
    | ImageRepaired of PendingCheck
    /// The repaired image was opened anew.
    | RepairReread of PendingCheck * Result<Qcow2.CheckReport, string>
    /// The daemon ends, by its own command or not.
    | QuitJobWorked of JobKey * isCommand: bool

/// A change of the graph on its way.
and [<NoComparison; NoEquality>] PendingGraph = {
    Change: GraphChange
    /// Exports whose paths change; they rest meanwhile.
    Exports: ExportKey list
    /// Nodes that are there for this change only, and go if it fails.
    Opened: NodeId list
    /// Jobs whose scripts rest meanwhile.
    Jobs: JobKey list
    /// Internal snapshots that go if it fails, the last one first.
    Taken: TakenSnapshot list
    /// A change of an image that follows, while all still rest.
    Then: PendingImage option
    /// What the command ends with.
    Result: Result<Json, QapiError>
}

/// An internal snapshot of a transaction.
and [<NoComparison; NoEquality>] TakenSnapshot = {
    Image: NodeId
    /// The node that the command named.
    Device: string
    Name: string
    /// Empty until it was taken.
    Id: byte[]
}

/// A change of an image for which its users rest.
and [<NoComparison; NoEquality>] PendingImage = {
    Image: NodeId
    Change: ImageChange
    Exports: ExportKey list
    Jobs: JobKey list
    /// Whether the node is writable for this change only.
    IsReopened: bool
    /// What the command returns, and how its error begins.
    Return: Json
    Failure: string
}

/// A change of a node's length.
and [<NoComparison; NoEquality>] PendingResize = {
    Plan: ResizePlan
    /// Exports and jobs that rest meanwhile.
    Exports: ExportKey list
    Jobs: JobKey list
}

/// What an addition waits for.
and [<NoComparison; NoEquality>] AddStep =
    /// Files with rules that its description names.
    | ConfigsRead of BlockdevSpec
    /// The files of its description.
    | FilesTried of AddPlan
    /// The files below a node that reads them.
    | LayerLocked of LayerOpening
    | LayerRead of LayerOpening
    | ImageProbed of ImageNaming
    /// The files of a child that an image names.
    | ChildFilesTried of AddCommit
    | NodesLocked of AddedNodes

/// What nodes are added for.
and [<NoComparison; NoEquality>] AddPurpose =
    /// blockdev-add.
    | ByCommand
    /// The overlay that a transaction puts on top of a node.
    | AsOverlay of PendingTransaction * below: NodeId
    /// A node that a job is to work on.
    | ForJob of PendingJobNodes

/// The nodes that a job is to work on, on their way.
and [<NoComparison; NoEquality>] PendingJobNodes = {
    Key: JobKey
    /// Still to be found or made.
    Rest: ChildSpec list
    Found: NodeId list
    /// Those of them that were made for the job, and go with it.
    Made: NodeId list
}

/// A check for which others rest, at its begin or for its repair.
and [<NoComparison; NoEquality>] PendingCheck = {
    Job: JobKey
    Check: ImageCheck
    Exports: ExportKey list
    Jobs: JobKey list
}

/// The nodes are the job's as soon as the image locks are taken.
and [<NoComparison; NoEquality>] JobNodesTaken = { Users: BackendId list; Change: GraphChange }

/// A transaction whose first actions are prepared.
and [<NoComparison; NoEquality>] PendingTransaction = {
    /// Nodes and the overlays that they get, the last one first.
    Overlaid: struct (NodeId * NodeId) list
    /// Overlays that were opened for it.
    Opened: NodeId list
    /// Internal snapshots, the last one first.
    Taken: TakenSnapshot list
    /// Exports and scripts that rest already, until the end: what follows shows the same moment.
    Exports: ExportKey list
    Jobs: JobKey list
    Rest: TransactionAction list
}

/// An export whose permissions are granted in the next graph.
and [<NoComparison; NoEquality>] PendingExport = {
    Options: BlockExportOptions
    Writable: bool
    Iothreads: string list
    /// What becomes of the graph: nodes may have to be activated first.
    Change: GraphChange
    Backend: BackendId
    Node: NodeId
    /// Other exports whose nodes are activated with it.
    Others: ExportKey list
}

/// How far a command has come.
[<NoComparison; NoEquality>]
type Outcome =
    | Done of Result<Json, QapiError>
    | Waiting of Call * Continuation

/// One step of the daemon: the next state, what to do now in this order, and how far the command has come.
[<NoComparison; NoEquality>]
type Transition = { State: State; Effects: Effect list; Outcome: Outcome }

module Transition =
    /// The shell has answered another question than it was asked.
    let unexpected = QapiError.generic "Internal error: unexpected answer"

    let finished state effects result = { State = state; Effects = effects; Outcome = Done result }

    /// The command has ended without a value.
    let ok state effects = finished state effects (Ok(Object []))
    let value state json = finished state [] (Ok json)
    let fail state error = finished state [] (Error error)

    /// Does something at once, and then asks.
    let waitAfter effects state call continuation = {
        State = state
        Effects = effects
        Outcome = Waiting(call, continuation)
    }

    /// Does something before what a transition does.
    let after (effects: Effect list) (transition: Transition) : Transition = {
        transition with
            Effects = effects @ transition.Effects
    }

    let wait state call continuation = waitAfter [] state call continuation

    /// Goes on with a value, or ends with its error.
    let bind state (result: Result<'T, QapiError>) (next: 'T -> Transition) =
        match result with
        | Ok value -> next value
        | Error error -> fail state error

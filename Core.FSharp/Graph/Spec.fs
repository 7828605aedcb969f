namespace StorageDaemon.Core.Graph

open StorageDaemon.Core
open StorageDaemon.Core.Filter
open StorageDaemon.Core.Image

/// A node as a user describes it (blockdev-add, --blockdev). What is not given is inherited by a child that is
/// described inside its parent, or takes its default.
[<NoComparison>]
type BlockdevSpec = {
    NodeName: string option
    Driver: Driver
    /// The children by name, in the driver's order.
    Children: (string * ChildSpec) list
    ReadOnly: bool option
    AutoReadOnly: bool option
    ForceShare: bool option
    Discard: DiscardMode option
    DetectZeroes: DetectZeroesMode option
    Direct: bool option
    NoFlush: bool option
    Active: bool option
    /// What was given, by dotted names, without the children.
    Given: Map<string, string>
    /// Why there cannot be such a node; told after its children are there.
    Mistake: QapiError option
}

/// A child: a node that exists, or one that is described in place and lives as long as it is used.
and [<NoComparison>] ChildSpec =
    | Reference of string
    | Inline of BlockdevSpec
    /// There is to be none, whatever the image says.
    | Nothing

module BlockdevSpec =
    /// A description with nothing but the driver and its children.
    let ofDriver (nodeName: string option) (driver: Driver) (children: (string * ChildSpec) list) : BlockdevSpec = {
        NodeName = nodeName
        Driver = driver
        Children = children
        ReadOnly = None
        AutoReadOnly = None
        ForceShare = None
        Discard = None
        DetectZeroes = None
        Direct = None
        NoFlush = None
        Active = None
        Given = Map.empty
        Mistake = None
    }

    /// The defaults of a node that no parent opens.
    let defaults: NodeOptions = {
        ReadOnly = false
        AutoReadOnly = false
        ForceShare = false
        Discard = DiscardIgnore
        DetectZeroes = DetectZeroesOff
        Direct = false
        NoFlush = false
        Active = true
    }

    /// What the backing child that is described in place takes from its parent: nobody writes to it.
    let inheritBacking (parent: NodeOptions) : NodeOptions = {
        parent with
            ReadOnly = true
            AutoReadOnly = false
            Discard = DiscardUnmap
            DetectZeroes = DetectZeroesOff
    }

    /// What a child described in place takes from its parent. Discards may always reach it: the parent stops those that
    /// are not to.
    let inheritOptions (parent: NodeOptions) : NodeOptions = {
        parent with
            Discard = DiscardUnmap
            DetectZeroes = DetectZeroesOff
    }

    /// What a child of that name takes from its parent.
    let inheritAs (name: string) (parent: NodeOptions) : NodeOptions =
        if name = Driver.BackingName then
            inheritBacking parent
        else
            inheritOptions parent

    /// The settled options of a node; `inherited` where a parent opens it.
    let settle (inherited: NodeOptions option) (spec: BlockdevSpec) : NodeOptions =
        let from = defaultArg inherited defaults

        {
            ReadOnly = defaultArg spec.ReadOnly from.ReadOnly
            AutoReadOnly = defaultArg spec.AutoReadOnly from.AutoReadOnly
            ForceShare = defaultArg spec.ForceShare from.ForceShare
            Discard = defaultArg spec.Discard from.Discard
            DetectZeroes = defaultArg spec.DetectZeroes from.DetectZeroes
            Direct = defaultArg spec.Direct from.Direct
            NoFlush = defaultArg spec.NoFlush from.NoFlush
            Active = defaultArg spec.Active from.Active
        }

    let checkDetectZeroes (options: NodeOptions) : Result<unit, QapiError> =
        if options.DetectZeroes = DetectZeroesUnmap && options.Discard <> DiscardUnmap then
            QapiError.fail "setting detect-zeroes to unmap is not allowed without setting discard operation to unmap"
        else
            Ok()

    /// The checks between the children and the node's name.
    let checkCommon (driver: Driver) (options: NodeOptions) : Result<unit, QapiError> =
        match driver with
        | _ when options.ForceShare && not options.ReadOnly ->
            QapiError.fail "force-share=on can only be used with read-only images"
        | File(_, file) when file.Filename = "" ->
            QapiError.fail ("The '" + Driver.name driver + "' block driver requires a file name")
        | _ -> checkDetectZeroes options

    let private outOfRange (name: string) (value: int64) =
        if value < 0L then
            QapiError.fail ("Value '" + string value + "' is out of range for parameter '" + name + "'")
        else
            Ok()

    /// The driver's checks before it opens anything.
    let checkDriver (graph: Graph) (driver: Driver) : Result<unit, QapiError> =
        match driver with
        | File(_, { PrManager = Some id }) ->
            match graph.PrManagers.TryFind id with
            | Some true -> Ok()
            | Some false -> QapiError.fail ("Object with id '" + id + "' is not a persistent reservation manager")
            | None -> QapiError.fail ("No persistent reservation manager with id '" + id + "'")
        | File _ -> Ok()
        | Null(_, { SizeBytes = Some size }) when size < 0L ->
            QapiError.fail ("Value '" + string size + "' is out of range for parameter 'size'")
        | Null(_, options) when options.LatencyNs > uint64 System.Int64.MaxValue ->
            QapiError.fail "latency-ns is invalid"
        | Null _ -> Ok()
        | Raw options -> Raw.checkOptions options
        | Preallocate options ->
            result {
                do! outOfRange "prealloc-align" options.AlignBytes
                do! outOfRange "prealloc-size" options.SizeBytes
            }
        | Throttle _
        | CopyOnRead _
        | Compress
        | Qcow2 _
        | Quorum _
        | BlkVerify
        | BlkDebug _
        | BlkLogWrites _ -> Ok()

    /// The driver's checks after its children are its own.
    let checkOpen (driver: Driver) : Result<unit, QapiError> =
        match driver with
        | BlkLogWrites options -> LogWritesOptions.check options
        | _ -> Ok()

namespace StorageDaemon.Core.Graph

open StorageDaemon.Core

/// A child of a planned node.
[<NoComparison>]
type PlannedTarget =
    | ExistingNode of id: NodeId * reference: string
    /// The number of another planned node.
    | PlannedNode of index: int

[<NoComparison>]
type PlannedNode = {
    Name: string option
    Driver: Driver
    Options: NodeOptions
    Children: (string * PlannedTarget) list
    /// Children that are looked for once the image has told what it is, as far as they were given.
    Later: (string * ChildSpec) list
    MonitorOwned: bool
    Given: Map<string, string>
}

/// How a description becomes nodes: children before parents. The files are to be opened in order; their outcomes go
/// to `Add.start`, whatever they are.
[<NoComparison>]
type AddPlan = {
    Opens: OpenRequest list
    Nodes: PlannedNode list
    /// A mistake in a parent, which is reported only after its children are there: their errors come first.
    Failure: QapiError option
}

module AddPlan =
    /// The deepest description: one level of JSON nesting each.
    [<Literal>]
    let MaxDepth = 1024

    [<NoComparison>]
    type private Planning = {
        /// The newest first.
        OpensReversed: OpenRequest list
        NodesReversed: PlannedNode list
        Count: int
        Names: Set<string>
    }

    [<NoComparison>]
    type private Stopped = { Error: QapiError; Sofar: Planning }

    let private stopOn (sofar: Planning) (check: Result<unit, QapiError>) : Result<unit, Stopped> =
        check |> Result.mapError (fun error -> { Error = error; Sofar = sofar })

    let private checkName (graph: Graph) (sofar: Planning) (name: string option) : Result<unit, QapiError> =
        match name with
        | None -> Ok()
        | Some name -> NodeName.check (fun taken -> graph.ByName.ContainsKey taken || sofar.Names.Contains taken) name

    let private planned (node: PlannedNode) (sofar: Planning) : Planning = {
        NodesReversed = node :: sofar.NodesReversed
        OpensReversed =
            match node.Driver with
            | File(kind, file) -> GraphChange.firstOpen kind file node.Options :: sofar.OpensReversed
            | _ -> sofar.OpensReversed
        Count = sofar.Count + 1
        Names =
            match node.Name with
            | Some name -> sofar.Names.Add name
            | None -> sofar.Names
    }

    /// A child that tolerates others because its parent does counts as told so, for a reopen.
    let private handForceShare (parent: BlockdevSpec) (child: BlockdevSpec) : BlockdevSpec =
        match parent.Given.TryFind "force-share" with
        | Some value when not (child.Given.ContainsKey "force-share") -> {
            child with
                Given = child.Given.Add("force-share", value)
          }
        | _ -> child

    /// Plans one node with everything below it; gives its number.
    let rec private walk
        (graph: Graph)
        (depth: int)
        (inherited: NodeOptions option)
        (spec: BlockdevSpec)
        (sofar: Planning)
        : Result<struct (int * Planning), Stopped> =
        let options = BlockdevSpec.settle inherited spec

        result {
            if depth > MaxDepth then
                do! stopOn sofar (QapiError.fail "Block nodes are nested too deeply")

            let later, first = spec.Children |> List.partition (fst >> Driver.opensLater spec.Driver)
            let! struct (children, below) = walkChildren graph depth options { spec with Children = first } sofar
            do! stopOn below (BlockdevSpec.checkCommon spec.Driver options)
            do! stopOn below (checkName graph below spec.NodeName)
            do! stopOn below (BlockdevSpec.checkDriver graph spec.Driver)
            do! stopOn below (spec.Mistake |> Option.map Error |> Option.defaultValue (Ok()))

            let node = {
                Name = spec.NodeName
                Driver = spec.Driver
                Options = options
                Children = children
                Later = later
                MonitorOwned = inherited.IsNone
                Given = spec.Given
            }

            return struct (below.Count, planned node below)
        }

    and private walkChildren
        (graph: Graph)
        (depth: int)
        (options: NodeOptions)
        (spec: BlockdevSpec)
        (sofar: Planning)
        : Result<struct ((string * PlannedTarget) list * Planning), Stopped> =
        // What was said of this node's own activity does not reach its children.
        let options =
            if spec.Active.IsSome then
                { options with Active = true }
            else
                options

        let step state (name, child) =
            result {
                let! struct (targets, sofar) = state
                let inherited = Some(BlockdevSpec.inheritAs name options)

                match child with
                | Reference reference ->
                    let! node =
                        Graph.findReference reference graph
                        |> Result.mapError (fun error -> { Error = error; Sofar = sofar })

                    return struct (targets @ [ name, ExistingNode(node.Id, reference) ], sofar)
                | Nothing -> return struct (targets, sofar)
                | Inline spec' ->
                    let described = handForceShare spec spec'
                    let! struct (index, sofar) = walk graph (depth + 1) inherited described sofar
                    return struct (targets @ [ name, PlannedNode index ], sofar)
            }

        List.fold step (Ok(struct ([], sofar))) spec.Children

    let private toPlan (sofar: Planning) failure = {
        Opens = List.rev sofar.OpensReversed
        Nodes = List.rev sofar.NodesReversed
        Failure = failure
    }

    /// Checks a description and lists the files to open: of a node that a parent opens, `depth` below the first one, with
    /// what it inherits, or of one that is to be by itself. An error here means that nothing has to be opened.
    let ofChild (depth: int) (inherited: NodeOptions option) (spec: BlockdevSpec) (graph: Graph) =
        let nothing = {
            OpensReversed = []
            NodesReversed = []
            Count = 0
            Names = Set.empty
        }

        match walk graph depth inherited spec nothing with
        | Ok struct (_, sofar) -> Ok(toPlan sofar None)
        | Error { Error = error; Sofar = sofar } when sofar.Count = 0 -> Error error
        | Error stopped -> Ok(toPlan stopped.Sofar (Some stopped.Error))

    /// The same for blockdev-add, whose node stays until it is deleted.
    let ofCommand (spec: BlockdevSpec) (graph: Graph) : Result<AddPlan, QapiError> =
        if spec.NodeName.IsNone then
            QapiError.fail "'node-name' must be specified for the root node"
        else
            ofChild 0 None spec graph

    /// The same for a node that stays as long as it has users; without a name it gets a generated one.
    let ofUsers (spec: BlockdevSpec) (graph: Graph) : Result<AddPlan, QapiError> =
        ofChild 0 None spec graph
        |> Result.map (fun plan -> {
            plan with
                Nodes = plan.Nodes |> List.map (fun node -> { node with MonitorOwned = false })
        })

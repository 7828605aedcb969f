namespace StorageDaemon.Core.Graph

open System.Collections.Generic
open StorageDaemon.Core
open StorageDaemon.Core.Image
open StorageDaemon.Core.Qcow2

/// blockdev-reopen: other options and children for nodes that exist. All nodes of one command change or none.
module Reopen =
    /// What one node becomes.
    [<NoComparison>]
    type private Entry = {
        Node: NodeId
        Options: NodeOptions
        Driver: Driver
        Given: Map<string, string>
        /// Children that another node takes the place of, or that go, by name.
        Children: (string * NodeId option) list
        /// Its length may be another.
        IsMeasured: bool
    }

    /// Options of every node that may be changed and left out.
    let private commonOptions =
        Set.ofList [
            "discard"
            "cache.direct"
            "cache.no-flush"
            "read-only"
            "auto-read-only"
            "detect-zeroes"
        ]

    let private checkReset (node: Node) (given: Map<string, string>) =
        let mayVanish =
            commonOptions
            + Set.ofList (Driver.mutableOptions node.Driver)
            + Set.ofList [ "driver"; "node-name" ]

        match
            node.Given
            |> Map.toList
            |> HashOrder.sort
            |> List.tryFind (fun (name, _) -> not (mayVanish.Contains name || given.ContainsKey name))
        with
        | Some(name, _) -> QapiError.fail ("Option '" + name + "' cannot be reset to its default value")
        | None -> Ok()

    let private cannotChange (name: string) =
        QapiError.fail ("Cannot change the option '" + name + "'")

    /// What is given for children that no reopen may replace: only "file" and "backing" have other nodes put in their
    /// place.
    let private fixedChildren (graph: Graph) (node: Node) (spec: BlockdevSpec) : (string * bool) list =
        spec.Children
        |> List.collect (fun (name, child) ->
            match child, Children.tryFind name node with
            | _ when name = "file" || name = Driver.BackingName -> []
            | Reference reference, Some present -> [ name, (Graph.node present.Node graph).Name = reference ]
            | Reference _, None -> [ name, false ]
            | Nothing, _ -> []
            | Inline _, Some present when (Graph.node present.Node graph).InheritsFrom = Some node.Id -> []
            | Inline child, _ -> child.Given |> Map.toList |> List.map (fun (key, _) -> name + "." + key, false))

    let private checkUnchanged (graph: Graph) (node: Node) (spec: BlockdevSpec) =
        let mayChange =
            commonOptions
            + Set.ofList (Driver.mutableOptions node.Driver)
            + Set.ofList (Driver.stickyOptions node.Driver)
            // Activation has a command of its own; here the option is taken without effect.
            + Set.singleton "active"

        let isSame (name: string, value: string) =
            match name with
            // Not even with the value that it has.
            | "force-share" -> false
            | _ -> mayChange.Contains name || node.Given.TryFind name = Some value

        let given =
            spec.Given.Remove("driver").Remove "node-name"
            |> Map.toList
            |> List.map (fun (name, value) -> name, isSame (name, value))

        let own = [
            "driver", Driver.name spec.Driver = Driver.name node.Driver
            if spec.NodeName.IsSome then
                "node-name", spec.NodeName = Some node.Name
        ]

        match
            own @ given @ fixedChildren graph node spec
            |> HashOrder.sort
            |> List.tryFind (fun (_, same) -> not same)
        with
        | Some(name, _) -> cannotChange name
        | None -> Ok()

    let private checkReopens (node: Node) =
        if Driver.supportsReopen node.Driver then
            Ok()
        else
            "Block format '"
            + Driver.name node.Driver
            + "' used by node '"
            + node.Name
            + "' does not support reopening files"
            |> QapiError.fail

    /// The driver's own look at its new options; the child that matters is the present one.
    let private checkDriver (graph: Graph) (node: Node) (driver: Driver) =
        match driver, node.Children with
        | Raw options, child :: _ ->
            result {
                do! Raw.checkOptions options
                let! _ = Raw.settle options (Graph.node child.Node graph).SizeBytes
                return ()
            }
        | Qcow2 options, _ ->
            match node.Header with
            | Some header -> Qcow2Options.settle header options |> Result.map ignore
            | None -> Ok()
        | Throttle group, _ when not (graph.ThrottleGroups.ContainsKey group) ->
            QapiError.fail ("Throttle group '" + group + "' does not exist")
        | _ -> Ok()

    /// An image that names a backing image is not to lose its backing child by oversight.
    let private checkBacking (node: Node) (spec: BlockdevSpec) =
        let isGiven = spec.Children |> List.exists (fun (name, _) -> name = Driver.BackingName)

        if node.AutoBackingFile.IsSome && not isGiven then
            QapiError.fail ("backing is missing for '" + node.Name + "'")
        else
            Ok()

    /// Another node for a child, if the reference means another; none where there is to be none.
    let private newChild (graph: Graph) (node: Node) (name: string, child: ChildSpec) =
        match child, Children.tryFind name node with
        // `fixedChildren` are looked at with the other options.
        | _ when name <> "file" && name <> Driver.BackingName -> Ok None
        | Nothing, Some _ when name = Driver.BackingName -> Ok(Some(name, None))
        | Nothing, None -> Ok None
        | Reference reference, present when present.IsSome || name = Driver.BackingName ->
            result {
                let! target = Graph.find None (Some reference) graph

                if present |> Option.exists (fun child -> child.Node = target.Id) then
                    return None
                else
                    do! Children.checkCycle node name target graph
                    return Some(name, Some target.Id)
            }
        | Inline _, Some present when (Graph.node present.Node graph).InheritsFrom = Some node.Id -> Ok None
        | _ -> cannotChange (name + ".driver")

    let private prepareChildren (graph: Graph) (node: Node) (spec: BlockdevSpec) =
        spec.Children
        |> List.fold
            (fun found child ->
                result {
                    let! found = found
                    let! next = newChild graph node child
                    return Option.toList next @ found
                })
            (Ok [])

    let private prepare (graph: Graph) (queued: QueuedReopen) : Result<Entry, QapiError> =
        let node = queued.Node
        let spec = queued.Spec

        result {
            do! BlockdevSpec.checkDetectZeroes queued.Options
            do! checkReopens node
            do! checkReset node spec.Given

            if Driver.name spec.Driver = Driver.name node.Driver then
                do! checkDriver graph node spec.Driver

            do! checkBacking node spec
            let! children = prepareChildren graph node spec
            do! checkUnchanged graph node spec

            return {
                Node = node.Id
                Options = {
                    queued.Options with
                        Active = node.Options.Active
                        ForceShare = node.Options.ForceShare
                }
                Driver =
                    // Rules stay in force with what has become of them: none of their options may change.
                    match node.Driver, spec.Driver with
                    | BlkDebug _, _ -> node.Driver
                    | Qcow2 present, Qcow2 next -> Qcow2 { next with GivesDataFile = present.GivesDataFile }
                    | _ -> spec.Driver
                Given = spec.Given
                Children = children
                IsMeasured = not queued.IsKept
            }
        }

    let private each (step: 'S -> 'T -> Result<'S, QapiError>) (start: 'S) (items: 'T list) =
        items
        |> List.fold (fun state item -> Result.bind (fun s -> step s item) state) (Ok start)

    let private setOptions (graph: Graph) (entry: Entry) : Graph =
        let node = Graph.node entry.Node graph

        Graph.putNode
            {
                node with
                    Options = entry.Options
                    Driver = entry.Driver
                    Given = entry.Given
                    ExactFilename =
                        match entry.Driver with
                        | Null(_, options) -> Filename.ofNull entry.Driver options
                        | _ -> node.ExactFilename
            }
            graph

    let private setChildren (graph: Graph) (entry: Entry) : Result<Graph, QapiError> =
        entry.Children
        |> each
            (fun graph (name, target) ->
                match Children.tryFind name (Graph.node entry.Node graph), target with
                | Some old, Some target -> Children.replace entry.Node old target graph
                | Some old, None -> Ok(Children.detach entry.Node old graph)
                | None, Some target -> Children.attach entry.Node name target graph
                | None, None -> Ok graph)
            graph

    /// Nodes that this change makes read-only.
    let private turned (old: Graph) (next: Graph) (id: NodeId) =
        (Graph.node id next).Options.ReadOnly
        && not (Graph.node id old).Options.ReadOnly

    /// The children that others take the place of.
    let private leaving (old: Graph) (entries: Entry list) : NodeId list =
        entries
        |> List.collect (fun entry ->
            entry.Children
            |> List.choose (fun (name, _) -> Children.tryFind name (Graph.node entry.Node old))
            |> List.map _.Node)

    /// Children that lost their only user go with the change.
    let private release (gone: NodeId list) (change: GraphChange) : GraphChange =
        gone
        |> List.fold (fun change id -> GraphChange.append change (Remove.release id change.Graph)) change

    /// The change that the descriptions ask for.
    let plan (specs: BlockdevSpec list) (graph: Graph) : Result<GraphChange, QapiError> =
        result {
            let! queue = ReopenQueue.build specs graph

            let! entries =
                queue
                |> each (fun entries queued -> prepare graph queued |> Result.map (fun entry -> entry :: entries)) []
                |> Result.map List.rev

            let! next = entries |> each setChildren (List.fold setOptions graph entries)
            let ids = entries |> List.map _.Node |> List.distinct

            let next =
                entries
                |> List.filter _.IsMeasured
                |> List.fold (fun graph entry -> Children.refreshAbove entry.Node graph) next

            let! next = Permissions.recheck (turned graph next) ids next
            let gone = leaving graph entries
            // What is left behind gives its locks back.
            let change = GraphChange.between true (ids @ gone) graph next
            return release gone { change with Touched = ids }
        }

    let private withReadOnly (readOnly: bool) (id: NodeId) (graph: Graph) : Result<GraphChange, QapiError> =
        let given = ReopenQueue.asGiven graph (Graph.node id graph)

        plan
            [
                {
                    given with
                        ReadOnly = Some readOnly
                        Given = given.Given.Add("read-only", (if readOnly then "true" else "false"))
                }
            ]
            graph

    /// Lets nobody write to a node any more, nor to what was described in it.
    let makeReadOnly (id: NodeId) (graph: Graph) : Result<GraphChange, QapiError> = withReadOnly true id graph

    /// The contrary.
    let makeWritable (id: NodeId) (graph: Graph) : Result<GraphChange, QapiError> = withReadOnly false id graph

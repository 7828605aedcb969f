namespace StorageDaemon.Core.Graph

open System.Collections.Generic
open StorageDaemon.Core
open StorageDaemon.Core.Image

/// blockdev-reopen: other options and children for nodes that exist. All nodes of one command change or none.
module Reopen =
    /// What one node becomes.
    [<NoComparison>]
    type private Entry = {
        Node: NodeId
        Options: NodeOptions
        Driver: Driver
        Given: Map<string, string>
        /// Children that another node takes the place of, by name.
        Children: (string * NodeId) list
    }

    /// Options of every node that may be changed and left out.
    let private commonOptions =
        Set.ofList [
            "driver"
            "node-name"
            "discard"
            "cache.direct"
            "cache.no-flush"
            "read-only"
            "auto-read-only"
            "detect-zeroes"
        ]

    let private checkReset (node: Node) (given: Map<string, string>) =
        let mayVanish = commonOptions + Set.ofList (Driver.mutableOptions node.Driver)

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

    let private checkUnchanged (node: Node) (given: Map<string, string>) =
        let mayChange =
            commonOptions
            + Set.ofList (Driver.mutableOptions node.Driver)
            + Set.ofList (Driver.stickyOptions node.Driver)
            // Activation has a command of its own; here the option is taken without effect.
            + Set.singleton "active"

        match
            given
            |> Map.toList
            |> HashOrder.sort
            |> List.tryFind (fun (name, value) ->
                not (mayChange.Contains name) && node.Given.TryFind name <> Some value)
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
        | Throttle group, _ when not (graph.ThrottleGroups.Contains group) ->
            QapiError.fail ("Throttle group '" + group + "' does not exist")
        | _ -> Ok()

    /// Another node for a child, if the reference means another.
    let private newChild (graph: Graph) (node: Node) (name: string, child: ChildSpec) =
        match child, Children.tryFind name node with
        | Reference reference, Some present ->
            result {
                let! target = Graph.find None (Some reference) graph

                if target.Id = present.Node then
                    return None
                else
                    do! Children.checkCycle node name target graph
                    return Some(name, target.Id)
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

    let private prepare
        (graph: Graph)
        (node: Node)
        (options: NodeOptions)
        (spec: BlockdevSpec)
        : Result<Entry, QapiError> =
        result {
            do! BlockdevSpec.checkDetectZeroes options

            if Driver.name spec.Driver <> Driver.name node.Driver then
                return! cannotChange "driver"
            else
                do! checkReopens node
                do! checkReset node spec.Given
                do! checkDriver graph node spec.Driver
                let! children = prepareChildren graph node spec
                do! checkUnchanged node spec.Given

                return {
                    Node = node.Id
                    Options = {
                        options with
                            Active = node.Options.Active
                            ForceShare = node.Options.ForceShare
                    }
                    Driver =
                        // Rules stay in force with what has become of them: none of their options may change.
                        if node.Driver.IsBlkDebug then node.Driver else spec.Driver
                    Given = spec.Given
                    Children = children
                }
        }

    /// The node and the children that are described in it, parents first. The recursion is as deep as the description.
    let rec private queue (graph: Graph) (inherited: NodeOptions option) (node: Node) (spec: BlockdevSpec) =
        let options = BlockdevSpec.settle inherited spec

        let below =
            spec.Children
            |> List.collect (fun (name, child) ->
                match child, Children.tryFind name node with
                | Inline childSpec, Some present ->
                    let childNode = Graph.node present.Node graph

                    if childNode.InheritsFrom = Some node.Id then
                        let inherited = BlockdevSpec.inheritOptions options present.Role
                        queue graph (Some inherited) childNode childSpec
                    else
                        []
                | _ -> [])

        (node, options, spec) :: below

    let private lookUp (graph: Graph) (spec: BlockdevSpec) : Result<Node, QapiError> =
        match spec.NodeName with
        | None -> QapiError.fail "node-name not specified"
        | Some name -> Graph.findNode name graph

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
                match Children.tryFind name (Graph.node entry.Node graph) with
                | Some old -> Children.replace entry.Node old target graph
                | None -> Ok graph)
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
            let! queued =
                specs
                |> each
                    (fun queued spec ->
                        lookUp graph spec
                        |> Result.map (fun node -> queued @ queue graph None node spec))
                    []

            let! entries =
                queued
                |> each
                    (fun entries (node, options, spec) ->
                        prepare graph node options spec |> Result.map (fun entry -> entries @ [ entry ]))
                    []

            let! next = entries |> each setChildren (List.fold setOptions graph entries)
            let ids = entries |> List.map _.Node |> List.distinct
            let next = ids |> List.fold (fun graph id -> Children.refreshAbove id graph) next
            let! next = Permissions.recheck (turned graph next) ids next
            let gone = leaving graph entries
            // What is left behind gives its locks back.
            let change = GraphChange.between true (ids @ gone) graph next
            return release gone { change with Touched = ids }
        }

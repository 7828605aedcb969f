namespace StorageDaemon.Core.Graph

open System.Collections.Generic

/// How much one request to a node may carry.
module TransferLimit =
    let private own (driver: Driver) : uint64 =
        match driver with
        | BlkDebug options -> options.Limits.MaxTransfer
        | _ -> 0UL

    /// Bytes: the least that the node, or one that it stands on, names; nothing where none does.
    let ofNode (graph: Graph) (id: NodeId) : uint64 voption =
        let seen = HashSet<NodeId>()
        let waiting = Stack<NodeId>([ id ])
        let mutable least = ValueNone

        while waiting.Count > 0 do
            let id = waiting.Pop()

            if seen.Add id then
                let node = Graph.node id graph

                match own node.Driver, least with
                | 0UL, _ -> ()
                | bytes, ValueSome sofar when sofar <= bytes -> ()
                | bytes, _ -> least <- ValueSome bytes

                // What a node keeps besides the data is not written by its users' requests.
                node.Children
                |> List.filter (fun child -> not (child.Role.HasFlag ChildRole.Metadata))
                |> List.iter (fun child -> waiting.Push child.Node)

        least

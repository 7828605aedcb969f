namespace StorageDaemon.Core.Graph

open StorageDaemon.Core

/// x-blockdev-change: children that come and go while their parent stays. Only a quorum has such.
module QuorumChildren =
    let private numberOf (child: Child) : int =
        match System.Int32.TryParse(child.Name.Substring(Driver.quorumChildName(0).Length - 1)) with
        | true, number -> number
        | _ -> 0

    let private nextName (parent: Node) : string =
        let last = parent.Children |> List.fold (fun last child -> max last (numberOf child)) -1
        Driver.quorumChildName (last + 1)

    let private touched (parent: Node) (roots: NodeId list) (old: Graph) (next: Graph) : GraphChange = {
        GraphChange.between true roots old next with
            Touched = [ parent.Id ]
    }

    let add (parent: Node) (child: Node) (graph: Graph) : Result<GraphChange, QapiError> =
        match parent.Driver with
        | Quorum options when options.BlkVerify -> QapiError.fail "Cannot add a child to a quorum in blkverify mode"
        | Quorum _ when parent.Children.Length >= Filter.Quorum.MaxChildren -> QapiError.fail "Too many children"
        | Quorum _ ->
            result {
                let name = nextName parent
                do! Children.checkCycle parent name child graph
                let! next = Children.attach parent.Id name child.Id graph
                return touched parent [ child.Id ] graph next
            }
        | _ -> QapiError.fail ("The node " + parent.Name + " does not support adding a child")

    let remove (parent: Node) (child: Child) (graph: Graph) : Result<GraphChange, QapiError> =
        match parent.Driver with
        | Quorum options when int64 parent.Children.Length <= options.VoteThreshold ->
            QapiError.fail (
                "The number of children cannot be lower than the vote threshold "
                + string options.VoteThreshold
            )
        | Quorum _ ->
            let next = Children.detach parent.Id child graph
            let change = touched parent [ child.Node ] graph next
            Ok(GraphChange.append change (Remove.release child.Node change.Graph))
        | _ -> QapiError.fail ("The node " + parent.Name + " does not support removing a child")

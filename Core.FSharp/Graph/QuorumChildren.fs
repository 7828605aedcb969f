namespace StorageDaemon.Core.Graph

open StorageDaemon.Core

/// x-blockdev-change: children that come and go while their parent stays. Only a quorum has such.
module QuorumChildren =
    let private touched (parent: Node) (roots: NodeId list) (old: Graph) (next: Graph) : GraphChange = {
        GraphChange.between true roots old next with
            Touched = [ parent.Id ]
    }

    let add (parent: Node) (child: Node) (graph: Graph) : Result<GraphChange, QapiError> =
        match parent.Driver with
        | Quorum _ when not child.Parents.IsEmpty -> QapiError.fail ("The node " + child.Name + " already has a parent")
        | Quorum options when options.BlkVerify -> QapiError.fail "Cannot add a child to a quorum in blkverify mode"
        | Quorum _ when parent.Children.Length >= Filter.Quorum.MaxChildren -> QapiError.fail "Too many children"
        | Quorum _ ->
            result {
                let name = Driver.quorumChildName parent.NextChild
                do! Children.checkCycle parent name child graph

                let! next =
                    graph
                    |> Graph.putNode { parent with NextChild = parent.NextChild + 1 }
                    |> Children.attach parent.Id name child.Id

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
            // Only the number that was given last is given again.
            let given =
                if child.Name = Driver.quorumChildName (parent.NextChild - 1) then
                    parent.NextChild - 1
                else
                    parent.NextChild

            let next =
                graph
                |> Graph.putNode { parent with NextChild = given }
                |> Children.detach parent.Id child

            let change = touched parent [ child.Node ] graph next
            Ok(GraphChange.append change (Remove.release child.Node change.Graph))
        | _ -> QapiError.fail ("The node " + parent.Name + " does not support removing a child")

/// Which throttle nodes stand in the way of requests.
module StorageDaemon.Tests.Properties.ThrottlePathTests

open Expecto
open StorageDaemon.Core.Graph
open StorageDaemon.Tests.Reference.GraphChecks

let private throttle name group child =
    BlockdevSpec.ofDriver (Some name) (Throttle group) [ "file", child ]

/// Two groups over one file; `limiting` says which of them limit anything.
let private paths (limiting: bool) : DataPath =
    let groups = Map.ofList [ "free", false; "tight", limiting ]

    let add (graph: Graph) (spec: BlockdevSpec) =
        match AddPlan.ofCommand spec graph with
        | Ok plan ->
            match commit plan [] graph with
            | Ok added -> added.Change.Graph
            | Error error -> failtest error.Desc
        | Error error -> failtest error.Desc

    let options: NullOptions = {
        SizeBytes = Some 4096L
        LatencyNs = 0UL
        ReadZeroes = None
    }

    let graph =
        [
            BlockdevSpec.ofDriver (Some "n") (Null(NullCo, options)) []
            throttle "t1" "free" (Reference "n")
            throttle "t2" "tight" (Reference "t1")
            throttle "t3" "free" (Reference "t2")
        ]
        |> List.fold add { Graph.create 1UL with ThrottleGroups = groups }

    Path.compile graph graph.ByName["t3"]

[<Tests>]
let tests =
    testList "throttle paths" [
        test "nodes of groups without limits only pass requests on" {
            let path = paths false
            Expect.isTrue path.Leaf.IsNullLeaf "no layer"
            Expect.equal path.Passes.Length 4 "each is counted"
        }

        test "a group with limits is met" {
            match (paths true).Leaf with
            | LayerLeaf(_, Throttle "tight", [ below ]) -> Expect.isTrue below.Leaf.IsNullLeaf "one layer"
            | _ -> failtest "a layer"
        }
    ]

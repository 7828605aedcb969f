/// Changes of nodes that are in use: snapshots, activation, what exports notice.
module StorageDaemon.Tests.Properties.GraphChangeTests

open Expecto
open StorageDaemon.Core
open StorageDaemon.Core.Graph
open StorageDaemon.Tests.Reference.GraphChecks

/// Every node may have a backing image: what qcow2 will be.
let private everyNode (_: Driver) = true

let private exportOf name writable world =
    get (export name (Perm.forDeviceExport writable) world)

let private snapshot node overlay (world: World) : Result<World, string> =
    planSnapshot everyNode node overlay world.Graph
    |> Result.map (fun change -> apply change world)
    |> Result.mapError _.Desc

let private chain = [
    file "f" "a.raw"
    raw "r" "f"
    file "g" "b.raw"
    raw "o" "g"
    file "h" "c.raw"
    raw "p" "h"
]

let private snapshotTests =
    testList "snapshots" [
        test "users follow, and the node below is only read" {
            let id, w = exportOf "r" true (world chain)
            let w = get (snapshot "r" "o" w)
            checkInvariants w
            Expect.equal w.Graph.Backends[id].Node (node "o" w).Id "the export is on the overlay"
            let below = Node.perms (node "r" w)
            Expect.isFalse (Perm.has Perm.Write below.Used) "nobody writes below"
            Expect.isTrue (Perm.has Perm.Write (Node.perms (node "g" w)).Used) "the overlay's file is written"
            Expect.isFalse (Perm.has Perm.Write (Node.perms (node "f" w)).Used) "the old file is not"

            let again = get (snapshot "o" "p" w)
            checkInvariants again
            Expect.equal again.Graph.Backends[id].Node (node "p" again).Id "and on the next one"
        }

        test "golden errors" {
            let w = world chain
            snapshot "nope" "o" w |> fails "Cannot find device='nope' nor node-name='nope'"
            snapshot "r" "nope" w |> fails "Cannot find device='nope' nor node-name='nope'"
            let once = get (snapshot "r" "o" w)

            snapshot "r" "p" once
            |> fails "Node 'r' is busy: node is used as backing hd of 'o'"

            snapshot "o" "o" w
            |> fails "Making 'o' a backing child of 'o' would create a cycle"
            let _, used = exportOf "o" false w
            snapshot "r" "o" used |> fails "The overlay is already in use"

            planSnapshot Driver.supportsBacking "r" "o" w.Graph
            |> Result.mapError _.Desc
            |> Result.map ignore
            |> fails "The overlay does not support backing images"
        }

        testProperty "any number of users follow"
        <| fun (users: bool list) ->
            let ids, w =
                users
                |> List.truncate 20
                |> List.fold
                    (fun (ids, w) writable ->
                        let id, next = exportOf "r" writable w
                        id :: ids, next)
                    ([], world chain)

            let w = get (snapshot "r" "o" w)
            checkInvariants w

            for id in ids do
                Expect.equal w.Graph.Backends[id].Node (node "o" w).Id "on the overlay"

            Expect.equal (node "r" w).BackendCount 0 "none stays below"
    ]

let private attachWith allowInactive writable (w: World) : BackendId * World =
    let spec: BackendSpec = {
        Perms = Perm.forNbdExport writable
        Label = Backend.UnnamedLabel
        FixedContext = false
        AllowInactive = allowInactive
    }

    match Backends.attachExport (node "r" w).Id spec w.Graph with
    | Ok attached -> attached.Id, apply attached.Change w
    | Error error -> failtest error.Desc

let private change (plan: Graph -> Result<GraphChange, QapiError>) (w: World) : Result<World, string> =
    plan w.Graph
    |> Result.map (fun change -> apply change w)
    |> Result.mapError _.Desc

let private activationTests =
    testList "activation" [
        testProperty "resting users have no permissions and get them back"
        <| fun (writable: bool) ->
            let id, w = attachWith true writable (world chain)
            let resting = get (change Activate.deactivateAll w)
            checkInvariants resting

            for KeyValue(_, node) in resting.Graph.Nodes do
                Expect.isFalse node.Options.Active "inactive"
                Expect.equal (Node.perms node).Used Perm.None "nobody uses anything"

            for KeyValue(_, host) in resting.Files do
                Expect.isEmpty host.Locked "another process may take over"

            let woken = get (change Activate.all resting)
            checkInvariants woken
            Expect.isTrue (Perm.same woken.Graph.Backends[id].Perms w.Graph.Backends[id].Perms) "as before"
            Expect.equal woken.Files w.Files "locks, too"

        test "golden errors" {
            let w = world chain
            change (Activate.deactivate (node "f" w).Id) w
            |> fails "Node has active parent node"
            let _, busy = attachWith false true w

            change (Activate.deactivate (node "r" busy).Id) busy
            |> fails "Failed to inactivate node: Operation not permitted"

            change Activate.deactivateAll busy
            |> fails "Failed to inactivate all nodes: Operation not permitted"

            let _, reading = attachWith false false w
            Expect.isOk (change (Activate.deactivate (node "r" reading).Id) reading) "a reader rests"
        }
    ]

let private debugTests =
    test "numbers of the debug graph are those of first sight" {
        let _, w = exportOf "r" true (world [ file "f" "a.raw"; file "g" "b.raw"; raw "r" "f" ])
        let shown = DebugGraph.ofGraph w.Graph

        let names =
            shown.Vertices
            |> List.map (fun (number, vertex) ->
                match vertex with
                | BackendVertex _ -> number, ""
                | NodeVertex id -> number, w.Graph.Nodes[id].Name)

        Expect.equal names [ 2L, "r"; 4L, "g"; 3L, "f"; 1L, "" ] "vertices"

        Expect.equal
            (shown.Edges |> List.map (fun edge -> edge.Parent, edge.Child, edge.Name))
            [ 2L, 3L, "file"; 1L, 2L, "root" ]
            "edges"
    }

let private pathTests =
    test "a hundred layers that pass requests on are one step" {
        let layers = [
            for i in 1..100 -> raw ("r" + string i) (if i = 1 then "f" else "r" + string (i - 1))
        ]
        let w = world (file "f" "a.raw" :: layers)
        let path = Path.compile w.Graph (node "r100" w).Id
        Expect.equal path.Passes.Length 101 "all nodes count"

        match path.Leaf with
        | FileLeaf id -> Expect.equal id (node "f" w).Id "the file at once"
        | _ -> failtest "no layer is left"
    }

[<Tests>]
let tests = testList "graph changes" [ snapshotTests; activationTests; debugTests; pathTests ]

/// When a file grows ahead of its data, and when it is cut to them.
module StorageDaemon.Tests.Properties.PreallocationTests

open Expecto
open StorageDaemon.Core
open StorageDaemon.Core.Filter
open StorageDaemon.Core.Graph
open StorageDaemon.Tests.Reference.GraphChecks

let private preallocate name child =
    BlockdevSpec.ofDriver (Some name) (Preallocate PreallocateOptions.defaults) [ "file", child ]

let private logging name file log =
    let options: LogWritesOptions = { SectorBytes = None; Append = false; SuperInterval = None }

    BlockdevSpec.ofDriver (Some name) (BlkLogWrites options) [ "file", file; "log", log ]

/// The log's file grows: through a raw node, too.
let private logged = [
    file "f" "a.raw"
    file "l" "log"
    preallocate "p" (Reference "l")
    raw "r" "p"
    logging "w" (Reference "f") (Reference "r")
]

let private names (w: World) (change: GraphChange) =
    change.Files
    |> List.choose (fun file ->
        file.Cut
        |> Option.map (fun node -> w.Graph.Nodes[node].Name, w.Graph.Nodes[file.Node].Name))

let private planned result : GraphChange =
    match result with
    | Ok change -> change
    | Error(error: QapiError) -> failtest error.Desc

let private isLayer (w: World) (name: string) =
    match (Path.compile w.Graph (node name w).Id).Leaf with
    | LayerLeaf(_, Preallocate _, _) -> true
    | _ -> false

[<Tests>]
let tests =
    testList "preallocation" [
        test "a parent that writes and resizes makes a layer of it" {
            let w = world logged
            checkInvariants w
            Expect.isTrue (isLayer w "p") "it grows"

            match (Path.compile w.Graph (node "w" w).Id).Leaf with
            | LayerLeaf(_, BlkLogWrites _, [ _; log ]) ->
                Expect.isTrue log.Leaf.IsLayerLeaf "the log grows ahead"
                Expect.equal log.SizeBytes Path.GrowingBytes "and takes writes beyond its end"
            | _ -> failtest "a layer"
        }

        test "exports and slices do not" {
            let _, w = get (export "p" (Perm.forNbdExport true) (world (List.truncate 3 logged)))
            Expect.isFalse (isLayer w "p") "an export does not resize"

            let sliced =
                world [
                    file "f" "a.raw"
                    file "l" "log"
                    rawOver "s" (Reference "l") (Some 512L) None
                    preallocate "p" (Reference "s")
                    logging "w" (Reference "f") (Reference "p")
                ]

            Expect.isFalse (isLayer sliced "p") "a slice does not grow"
        }

        test "the file is cut when the parent goes, also with the whole tree" {
            let w = world logged
            let change = planned (Remove.node "w" w.Graph)
            Expect.equal (names w change) [ "p", "l" ] "cut"
            let after = apply change w
            checkInvariants after
            Expect.isFalse (isLayer after "p") "it passes requests on again"
            Expect.isEmpty (planned (Remove.node "r" after.Graph)).Files "nothing is cut twice"

            let inline' =
                world [
                    file "f" "a.raw"
                    logging "w" (Reference "f") (Inline(preallocate "p" (inlineFile "l")))
                ]

            let change = planned (Remove.node "w" inline'.Graph)
            Expect.equal (names inline' change) [ "p", "l" ] "cut before it is closed"
            Expect.hasLength change.Close 3 "all of it goes"
            checkInvariants (apply change inline')
        }

        test "an export that goes cuts nothing" {
            let w = world logged
            let id, used = get (export "w" (Perm.forNbdExport true) w)
            Expect.isEmpty (names used (Remove.backend id used.Graph)) "the parent stays"
        }

        test "inactive nodes hold no space" {
            let w = world logged

            match Activate.deactivate (node "p" w).Id w.Graph with
            | Ok _ -> failtest "its parent is active"
            | Error error -> Expect.equal error.Desc "Node has active parent node" "text"

            let change = planned (Activate.deactivate (node "w" w).Id w.Graph)
            Expect.equal (names w change) [ "p", "l" ] "cut"
            let resting = apply change w
            checkInvariants resting
            Expect.isFalse (isLayer resting "p") "it rests"
            Expect.equal ((Node.perms (node "l" resting)).Used &&& Perm.writing) Perm.None "nobody writes to the log"
            let woken = apply (planned (Activate.node (node "w" resting).Id resting.Graph)) resting
            checkInvariants woken
            Expect.equal woken.Files w.Files "locks as before"
            Expect.isTrue (isLayer woken "p") "it grows again"
        }

        test "a quorum that rewrites cannot rest" {
            let options: QuorumOptions = {
                VoteThreshold = 1L
                BlkVerify = false
                RewriteCorrupted = true
                ReadPattern = None
            }

            let quorum =
                BlockdevSpec.ofDriver (Some "q") (Quorum options) [
                    "children.0", Reference "f"
                    "children.1", Reference "g"
                ]

            let w = world [ file "f" "a.raw"; file "g" "b.raw"; quorum ]

            match Activate.deactivate (node "q" w).Id w.Graph with
            | Ok _ -> failtest "its children are held for writing"
            | Error error -> Expect.equal error.Desc "Failed to inactivate node: Operation not permitted" "text"
        }

        test "at the end all files are cut" {
            let w = world logged

            Expect.equal
                (GraphChange.cuts w.Graph
                 |> List.map (fun file -> w.Graph.Nodes[file.Node].Name, file.Cut))
                [ "l", Some (node "p" w).Id ]
                "cut"

            Expect.isEmpty (GraphChange.cuts (world (List.truncate 3 logged)).Graph) "nothing grows"
        }
    ]

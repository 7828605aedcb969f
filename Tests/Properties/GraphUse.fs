/// Who may use a node for what, and what goes when nobody does.
module StorageDaemon.Tests.Properties.GraphUse

open Expecto
open StorageDaemon.Core.Graph
open StorageDaemon.Tests.Reference.GraphChecks

let private nbd = Perm.forNbdExport

let private permissionTests =
    testList "permissions" [
        test "golden conflicts" {
            let w = world [ file "f" "a.raw"; raw "r" "f" ]
            let id, w = get (export "r" (nbd false) w)

            resize "r" 1024L w
            |> fails
                "Permission conflict on node 'r': permissions 'resize' are both required by an unnamed block device (uses node 'r' as 'root' child) and unshared by an unnamed block device (uses node 'r' as 'root' child)."

            resize "f" 1024L w
            |> fails
                "Permission conflict on node 'f': permissions 'resize' are both required by an unnamed block device (uses node 'f' as 'root' child) and unshared by node 'r' (uses node 'f' as 'file' child)."

            Expect.isOk (resize "r" 1024L (detach id w)) "free again"
        }

        test "the newest user that does not share is named" {
            let slice name =
                rawOver name (Reference "o") (Some 512L) None

            let w = world [ file "o" "a.raw"; raw "ro" "o"; slice "r5"; slice "r6" ]

            resize "ro" 2048L w
            |> fails
                "Permission conflict on node 'o': permissions 'resize' are both required by node 'ro' (uses node 'o' as 'file' child) and unshared by node 'r6' (uses node 'o' as 'file' child)."

            resize "r6" 2048L w
            |> fails
                "Permission conflict on node 'o': permissions 'resize' are both required by node 'r6' (uses node 'o' as 'file' child) and unshared by node 'r5' (uses node 'o' as 'file' child)."
        }

        test "writing through a writable node over a read-only one" {
            let readOnly: BlockdevSpec = { file "f" "a.raw" with ReadOnly = Some true }

            let w = world [ readOnly; raw "r" "f"; raw "rr" "r" ]
            export "rr" (nbd true) w |> fails "Block node is read-only"
            Expect.isOk (export "rr" (nbd false) w) "reading"
        }

        test "a writer needs whole units" {
            let w =
                addWith
                    (fun _ ->
                        Opened {
                            Kind = PlainFile
                            SizeBytes = 1536L
                            AlignmentBytes = 4096
                        })
                    (file "f" "a.raw")
                    emptyWorld
                |> get

            export "f" (nbd true) w
            |> fails "Cannot get 'write' permission without 'resize': Image size is not a multiple of request alignment"

            Expect.isOk (export "f" (Perm.resizing (Perm.forDeviceExport true)) w) "who may resize may write"
        }

        test "force-share tolerates everything below, not above" {
            let shared: BlockdevSpec = {
                file "f" "a.raw" with
                    ReadOnly = Some true
                    ForceShare = Some true
            }

            let below = world [ shared; raw "r" "f" ] |> export "r" (nbd false) |> get |> snd
            Expect.equal (Locks.held (Node.perms (node "f" below))) [ 100L ] "a child"
            let above = world [ shared ] |> export "f" (nbd false) |> get |> snd
            Expect.equal (Locks.held (Node.perms (node "f" above))) [ 100L; 203L ] "the root"
        }

        test "locks of an export come in two steps, the first without hint" {
            let w = world [ file "f" "a.raw" ]

            let attached =
                Backends.attachExport
                    (node "f" w).Id
                    {
                        Perms = nbd true
                        Label = Backend.UnnamedLabel
                        FixedContext = false
                        AllowInactive = false
                    }
                    w.Graph

            match attached with
            | Ok { Change = { Files = [ file ] } } ->
                let text step =
                    match step with
                    | Take byte -> "take " + string byte
                    | Probe(byte, hinted) -> "probe " + string byte + (if hinted then " hinted" else "")

                Expect.equal
                    (List.map text file.Locks.Steps)
                    [
                        "take 100"
                        "take 101"
                        "probe 200"
                        "probe 201"
                        "take 203"
                        "probe 200 hinted"
                        "probe 201 hinted"
                        "probe 103 hinted"
                    ]
                    "steps"
            | _ -> failtest "one file"
        }

        test "auto-read-only opens for writing only for a writer" {
            let auto: BlockdevSpec = { file "f" "a.raw" with AutoReadOnly = Some true }

            let w = world [ auto; raw "r" "f" ]
            let writable (w: World) = w.Files[(node "f" w).Id].Writable
            Expect.isFalse (writable w) "nobody"
            let reader, w = get (export "r" (nbd false) w)
            Expect.isFalse (writable w) "a reader"
            let writer, w = get (export "r" (nbd true) w)
            Expect.isTrue (writable w) "a writer"
            let w = detach writer w
            Expect.isFalse (writable w) "a reader again"
            let w = get (resize "r" 1024L (detach reader w))
            Expect.isFalse (writable w) "after a resize"
        }

        test "locking=off takes no locks" {
            let unlocked =
                BlockdevSpec.ofDriver
                    (Some "f")
                    (File(RegularFile, { FileOptions.ofFilename "a.raw" with Locking = LockingOff }))
                    []

            let w = world [ unlocked ] |> export "f" (nbd true) |> get |> snd
            Expect.isEmpty w.Files[(node "f" w).Id].Locked "none"
        }
    ]

let private removalTests =
    testList "removal" [
        test "golden errors" {
            let w = world [ file "f" "a.raw"; raw "r" "f" ]
            let _, w = get (export "r" (nbd false) w)
            del "zz" w |> fails "Failed to find node with node-name='zz'"
            del "r" w |> fails "Node r is in use"
            del "f" w |> fails "Block device f is in use"
        }

        test "a child described in place goes with its last parent" {
            let w = world [ rawOver "r" (inlineFile "f") None None; raw "r2" "f" ]
            let w = get (del "r" w)
            del "f" w |> fails "Node f is not owned by the monitor"
            let w = get (del "r2" w)
            Expect.isTrue (w.Graph.Nodes.IsEmpty && w.Files.IsEmpty) "nothing left"
        }
    ]

let private resizeTests =
    testList "resize" [
        test "golden errors, in their order" {
            let readOnly: BlockdevSpec = { file "ro" "b.raw" with ReadOnly = Some true }

            let fixedSize = rawOver "s" (Reference "f") None (Some 512L)
            let w = world [ file "f" "a.raw"; fixedSize; readOnly; raw "over" "ro" ]
            resize "s" -1L w |> fails "Parameter 'size' expects a >0 size"
            resize "s" 512L w |> fails "Cannot resize fixed-size raw disks"
            resize "ro" 512L w |> fails "Image is read-only"
            resize "over" 512L w |> fails "Image is read-only"

            resize "ro" System.Int64.MaxValue w
            |> fails "offset(9223372036854775807) exceeds maximum(9223372035781033984)"

            let w = world [ file "f" "a.raw"; rawOver "o" (Reference "f") (Some 512L) None ]

            resize "o" 9223372035781033984L w
            |> fails "offset(9223372035781034496) exceeds maximum(9223372035781033984)"
        }

        test "only the nodes on the way learn of the new length" {
            let w = world [ file "f" "a.raw"; raw "r" "f"; raw "r2" "f"; raw "r3" "r" ]
            let sizes w =
                listing w |> List.map (fun (name, size, _) -> name, size / mib)
            let w = get (resize "f" (2L * mib) w)
            Expect.equal (sizes w) [ "r3", 1L; "r2", 1L; "r", 1L; "f", 2L ] "the file"
            let w = get (resize "r3" (3L * mib) w)
            Expect.equal (sizes w) [ "r3", 3L; "r2", 1L; "r", 3L; "f", 3L ] "from the top"
        }

        test "a device must be long enough already" {
            let w =
                addWith
                    (fun _ ->
                        Opened {
                            Kind = BlockDevice
                            SizeBytes = mib
                            AlignmentBytes = 512
                        })
                    (BlockdevSpec.ofDriver (Some "h") (File(HostDevice, FileOptions.ofFilename "/dev/sda")) [])
                    emptyWorld
                |> get

            match Resize.plan (node "h" w) (2L * mib) w.Graph with
            | Error error -> failtest error.Desc
            | Ok plan ->
                match Resize.commit plan mib plan.Grant.Graph, Resize.commit plan (3L * mib) plan.Grant.Graph with
                | Error short, Ok grown ->
                    Expect.equal short.Desc "Cannot grow device files" "too short"
                    Expect.equal (Graph.node (node "h" w).Id grown.Graph).SizeBytes (3L * mib) "its real length"
                | _ -> failtest "expected an error and a change"
        }
    ]

[<Tests>]
let tests = testList "GraphUse" [ permissionTests; removalTests; resizeTests ]

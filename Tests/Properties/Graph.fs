module StorageDaemon.Tests.Properties.Graph

open Expecto
open StorageDaemon.Core.Graph
open StorageDaemon.Tests.Reference.GraphChecks

let private get result =
    match result with
    | Ok value -> value
    | Error text -> failtest text

let private world (specs: BlockdevSpec list) =
    List.fold (fun world spec -> get (add spec world)) emptyWorld specs

let private fails expected result =
    match result with
    | Ok _ -> failtest ("expected: " + expected)
    | Error text -> Expect.equal text expected "text"

let private node name (world: World) =
    (Graph.tryByName name world.Graph).Value

let private inlineFile name =
    Inline(file name "a.raw")

let private withoutName spec : BlockdevSpec = { spec with NodeName = None }

let private notFound =
    addWith (fun _ -> NotOpened "No such file or directory")

let private nbd = Perm.forNbdExport

let private nameTests =
    testList "names" [
        test "golden errors, in their order" {
            let w = world [ file "f" "a.raw" ]
            let long = String.replicate 32 "a"
            let add spec = notFound spec w

            add (withoutName (file "" "a.raw"))
            |> fails "'node-name' must be specified for the root node"

            add (file "#x" "a.raw") |> fails "Invalid node-name: '#x'"
            add (file "" "a.raw") |> fails "Invalid node-name: ''"
            add (file "x,y" "a.raw") |> fails "Invalid node-name: 'x,y'"
            add (file long "a.raw") |> fails "Node name too long"
            add (file ("a b" + long) "a.raw") |> fails ("Invalid node-name: 'a b" + long + "'")
            add (file "f" "a.raw") |> fails "Duplicate nodes with node-name='f'"
            add (file "x" "a.raw") |> fails "Could not open 'a.raw': No such file or directory"
            add (raw "1y" "nope") |> fails "Cannot find device='nope' nor node-name='nope'"
            add (raw "f" "") |> fails "Cannot find device='' nor node-name=''"
        }

        test "a parent's mistakes come after its child's file" {
            let bad = rawOver "1y" (inlineFile "g") None None
            notFound bad emptyWorld |> fails "Could not open 'a.raw': No such file or directory"
            add bad emptyWorld |> fails "Invalid node-name: '1y'"

            add (rawOver "y" (inlineFile "y") None None) emptyWorld
            |> fails "Duplicate nodes with node-name='y'"

            add (rawOver "1y" (inlineFile "y") None (Some 1000L)) emptyWorld
            |> fails "Invalid node-name: '1y'"

            add (rawOver "y" (inlineFile "g") None (Some 1000L)) emptyWorld
            |> fails "Specified size is not multiple of 512"
        }

        test "listings begin with the newest; generated names have a counter and two digits" {
            let unnamed = Inline(withoutName (file "" "b.raw"))
            let w = world [ file "f" "a.raw"; raw "r" "f"; rawOver "r2" unnamed None None ]

            match Graph.nodes w.Graph |> List.map _.Name with
            | [ "r2"; generated; "r"; "f" ] ->
                Expect.stringStarts generated "#block0" "counter"
                Expect.equal generated.Length 9 "digits"
                del generated w |> fails ("Node " + generated + " is not owned by the monitor")
            | names -> failtest (String.concat " " names)
        }

        test "look-ups" {
            let w = world [ file "r" "a.raw" ]

            let find device name =
                Graph.find device name w.Graph
                |> Result.map _.Name
                |> Result.mapError _.Desc

            find None (Some "nope") |> fails "Cannot find device='' nor node-name='nope'"
            find (Some "r") None |> fails "Cannot find device='r' nor node-name=''"
            find None None |> fails "Cannot find device='' nor node-name=''"
            Expect.equal (find (Some "r") (Some "r")) (Ok "r") "both"
        }
    ]

let private optionTests =
    testList "options" [
        test "golden errors, in their order" {
            let forceShare spec : BlockdevSpec = { spec with ForceShare = Some true }

            let unmapZeroes spec : BlockdevSpec = {
                spec with
                    DetectZeroes = Some DetectZeroesUnmap
            }

            let native kind name =
                let options = {
                    FileOptions.ofFilename name with
                        Aio = AioNative
                }

                BlockdevSpec.ofDriver (Some "x") (File(kind, options)) []

            let refused = "force-share=on can only be used with read-only images"

            let unmapText =
                "setting detect-zeroes to unmap is not allowed without setting discard operation to unmap"

            notFound (forceShare (file "1x" "a.raw")) emptyWorld |> fails refused

            notFound (forceShare (rawOver "x" (inlineFile "g") None None)) emptyWorld
            |> fails refused

            notFound (unmapZeroes (file "1x" "a.raw")) emptyWorld |> fails unmapText

            notFound (unmapZeroes (file "x" "")) emptyWorld
            |> fails "The 'file' block driver requires a file name"

            add (native HostDevice "a.raw") emptyWorld
            |> fails "aio=native was specified, but it requires cache.direct=on, which was not specified."
        }

        test "kinds of files" {
            let device kind =
                addWith (fun _ ->
                    Opened {
                        Kind = kind
                        SizeBytes = 0L
                        AlignmentBytes = 1
                    })

            let host kind =
                BlockdevSpec.ofDriver (Some "h") (File(kind, FileOptions.ofFilename "/dev/null")) []

            device CharacterDevice (file "f" "/dev/null") emptyWorld
            |> fails "'file' driver requires '/dev/null' to be a regular file"

            device PlainFile (host HostDevice) emptyWorld
            |> fails "'host_device' driver requires '/dev/null' to be either a character or block device"

            Expect.isOk (device CharacterDevice (host HostCdrom) emptyWorld) "a device"
        }

        test "null nodes" {
            let nulls size latency zeroes =
                let options: NullOptions = {
                    SizeBytes = size
                    LatencyNs = latency
                    ReadZeroes = zeroes
                }

                BlockdevSpec.ofDriver (Some "n") (Null(NullCo, options)) []

            let named spec =
                let w = world [ spec ]
                Filename.ofNode w.Graph (node "n" w), (node "n" w).SizeBytes

            Expect.equal (named (nulls None 5UL None)) ("null-co://", 1073741824L) "default"

            Expect.equal
                (named (nulls (Some 1000L) 0UL (Some true)))
                ("json:{\"read-zeroes\": true, \"driver\": \"null-co\", \"size\": 1000}", 1024L)
                "options"

            add (nulls None 9223372036854775808UL None) emptyWorld |> fails "latency-ns is invalid"

            add (nulls (Some System.Int64.MaxValue) 0UL None) emptyWorld
            |> fails "Could not refresh total sector count: File too large"

            add (nulls (Some -1L) 0UL None) emptyWorld
            |> fails "Value '-1' is out of range for parameter 'size'"

            resize "n" 1024L (world [ nulls None 0UL None ])
            |> fails "Image format driver does not support resize"
        }

        test "what a child described in place inherits" {
            let child offset =
                let spec: BlockdevSpec = {
                    rawOver "r" (inlineFile "f") offset None with
                        ReadOnly = Some true
                        ForceShare = Some true
                        Direct = Some true
                        NoFlush = Some true
                        DetectZeroes = Some DetectZeroesOn
                        Active = Some false
                }

                (node "f" (world [ spec ])).Options

            let filtered = child None
            Expect.isTrue (filtered.ReadOnly && filtered.ForceShare && filtered.Direct && filtered.NoFlush) "taken"
            Expect.isTrue filtered.Active "not taken"
            Expect.equal filtered.DetectZeroes DetectZeroesOff "not taken"
            Expect.equal filtered.Discard DiscardIgnore "a filter's child does as the filter"
            Expect.equal (child (Some 512L)).Discard DiscardUnmap "a format's file takes discards"
        }

        test "file names" {
            let filename specs =
                let w = world specs
                Filename.ofNode w.Graph (Graph.nodes w.Graph).Head

            let inFile = "{\"driver\": \"file\", \"filename\": \"a.raw\"}"
            Expect.equal (filename [ file "f" "a.raw"; raw "r" "f" ]) "a.raw" "pass through"

            Expect.equal
                (filename [ file "f" "a.raw"; rawOver "r" (Reference "f") (Some 0L) (Some 512L) ])
                ("json:{\"offset\": 0, \"driver\": \"raw\", \"size\": 512, \"file\": " + inFile + "}")
                "slice"

            Expect.equal
                (filename [ file "f" "a.raw"; raw "r" "f"; raw "r2" "r" ])
                ("json:{\"driver\": \"raw\", \"file\": {\"driver\": \"raw\", \"file\": " + inFile + "}}")
                "a format in a format"

            Expect.equal
                (filename [ file "f" "q\"é.raw"; rawOver "r" (Reference "f") (Some 0L) None ])
                "json:{\"offset\": 0, \"driver\": \"raw\", \"file\": {\"driver\": \"file\", \"filename\": \"q\\\"\\u00E9.raw\"}}"
                "escapes"

            let deep =
                [ 1..150 ]
                |> List.map (fun i -> rawOver ("n" + string i) (Reference("n" + string (i - 1))) (Some 0L) None)

            let name = filename (file "n0" "a.raw" :: deep)
            Expect.equal name.Length 4095 "as long as can be"
            Expect.stringEnds name "\"driver\": \"raw\", ..." "cut"
        }
    ]

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

            let w = world [ file "o" "a.raw"; raw "ro"  "o"; slice "r5"; slice "r6" ]

            resize "ro" 2048L w
            |> fails
                "Permission conflict on node 'o': permissions 'resize' are both required by node 'ro' (uses node 'o' as 'file' child) and unshared by node 'r6' (uses node 'o' as 'file' child)."

            resize "r6" 2048L w
            |> fails
                "Permission conflict on node 'o': permissions 'resize' are both required by node 'r6' (uses node 'o' as 'file' child) and unshared by node 'r5' (uses node 'o' as 'file' child)."
        }

        test "writing through a writable node over a read-only one" {
            let readOnly: BlockdevSpec = {
                file "f" "a.raw" with
                    ReadOnly = Some true
            }

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
            |> fails
                "Cannot get 'write' permission without 'resize': Image size is not a multiple of request alignment"

            Expect.isOk (export "f" (Perm.forFuseExport true false) w) "who may resize may write"
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
            let auto: BlockdevSpec = {
                file "f" "a.raw" with
                    AutoReadOnly = Some true
            }

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
                    (File(
                        RegularFile,
                        {
                            FileOptions.ofFilename "a.raw" with
                                Locking = LockingOff
                        }
                    ))
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
            let readOnly: BlockdevSpec = {
                file "ro" "b.raw" with
                    ReadOnly = Some true
            }

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
            let sizes w = listing w |> List.map (fun (name, size, _) -> name, size / mib)
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

let private pathTests =
    testList "path" [
        test "a chain is one offset" {
            let w =
                world [
                    file "f" "a.raw"
                    rawOver "r" (Reference "f") (Some 4096L) None
                    rawOver "r2" (Reference "r") (Some 512L) (Some 1024L)
                ]

            let path = Path.compile w.Graph (node "r2" w).Id
            Expect.equal path.BaseOffset 4608L "offset"
            Expect.equal path.SizeBytes 1024L "size"
            Expect.isTrue path.Leaf.IsFileLeaf "leaf"
        }

        test "discards need every layer, no-flush only the leaf" {
            let path raws files =
                let below: BlockdevSpec = {
                    file "f" "a.raw" with
                        Discard = Some files
                        NoFlush = Some false
                }

                let above: BlockdevSpec = {
                    rawOver "r" (Inline below) None None with
                        Discard = Some raws
                        NoFlush = Some true
                        DetectZeroes = Some(if raws = DiscardUnmap then DetectZeroesUnmap else DetectZeroesOn)
                }

                let w = world [ above ]
                Path.compile w.Graph (node "r" w).Id

            let both = path DiscardUnmap DiscardUnmap
            Expect.isTrue both.Discard "both"
            Expect.equal both.DetectZeroes DetectZeroesUnmap "unmap"
            let upper = path DiscardUnmap DiscardIgnore
            Expect.isFalse upper.Discard "upper"
            Expect.equal upper.DetectZeroes DetectZeroesOn "zeroes are written"
            Expect.isFalse (path DiscardIgnore DiscardUnmap).Discard "lower"
            Expect.isFalse both.NoFlush "the leaf flushes"
        }
    ]

let private contextTests =
    testList "contexts" [
        test "connected nodes move together, tied users hold them" {
            let w = world [ file "f" "a.raw"; raw "r" "f" ]
            let id = (node "r" w).Id

            let move thread graph =
                Contexts.move id thread graph |> Result.mapError _.Desc

            let moved = get (move (Some "t0") w.Graph)
            Expect.equal (Graph.node (node "f" w).Id moved).Context (Some "t0") "the child moved too"

            let tied =
                Backends.attachExport
                    (node "f" w).Id
                    {
                        Perms = nbd false
                        Label = Backend.UnnamedLabel
                        FixedContext = true
                    }
                    moved

            match tied with
            | Ok attached ->
                move (Some "t1") attached.Change.Graph
                |> fails "Cannot change iothread of active block backend"

                Expect.isOk (move (Some "t0") attached.Change.Graph) "where it is already"

                Contexts.setIothread "f" (Some "t0") false attached.Change.Graph
                |> Result.mapError _.Desc
                |> fails
                    "Node f is associated with a BlockBackend and could be in use (use force=true to override this check)"

                let world = {
                    w with
                        World.Graph = attached.Change.Graph
                }

                let w = get (add (raw "r2" "f") world)
                Expect.equal (node "r2" w).Context (Some "t0") "a new parent follows its child"
            | Error error -> failtest error.Desc
        }
    ]

let private scaleTests =
    testList "scale" [
        test "thousands of nodes, a chain of thousands, thousands of users of one node" {
            let count = 5000
            let flat = [ 1..count ] |> List.map (fun i -> file ("f" + string i) "a.raw")
            Expect.equal (world flat).Graph.Nodes.Count count "flat"

            let chain =
                [ 1..count ]
                |> List.map (fun i -> raw ("n" + string i) ("n" + string (i - 1)))

            let w = world (file "n0" "a.raw" :: chain)
            let top = "n" + string count
            Expect.equal (Path.compile w.Graph (node top w).Id).SizeBytes mib "a long chain"
            let _, w = get (export top (nbd true) w)
            Expect.equal (Locks.held (Node.perms (node "n0" w))) [ 100L; 101L; 203L ] "down to the file"

            let users =
                List.fold (fun w _ -> snd (get (export "n1" (nbd false) w))) w [ 1..count ]

            Expect.equal (node "n1" users).BackendCount count "users"
        }
    ]

[<Tests>]
let tests =
    testList "Graph" [
        nameTests
        optionTests
        permissionTests
        removalTests
        resizeTests
        pathTests
        contextTests
        scaleTests
    ]

module StorageDaemon.Tests.Properties.Graph

open Expecto
open StorageDaemon.Core.Graph
open StorageDaemon.Tests.Reference.GraphChecks

let private notFound = addWith (fun _ -> NotOpened "No such file or directory")

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
            add (file ("a b" + long) "a.raw")
            |> fails ("Invalid node-name: 'a b" + long + "'")
            add (file "f" "a.raw") |> fails "Duplicate nodes with node-name='f'"
            add (file "x" "a.raw")
            |> fails "Could not open 'a.raw': No such file or directory"
            add (raw "1y" "nope") |> fails "Cannot find device='nope' nor node-name='nope'"
            add (raw "f" "") |> fails "Cannot find device='' nor node-name=''"
        }

        test "a parent's mistakes come after its child's file" {
            let bad = rawOver "1y" (inlineFile "g") None None
            notFound bad emptyWorld
            |> fails "Could not open 'a.raw': No such file or directory"
            add bad emptyWorld |> fails "Invalid node-name: '1y'"

            add (rawOver "y" (inlineFile "y") None None) emptyWorld
            |> fails "Duplicate nodes with node-name='y'"

            add (rawOver "1y" (inlineFile "y") None (Some 1000L)) emptyWorld
            |> fails "Invalid node-name: '1y'"

            add (rawOver "y" (inlineFile "g") None (Some 1000L)) emptyWorld
            |> fails "Specified size is not multiple of 512"

            let slice = Inline(rawOver "s" (Reference "f") None (Some 1000L))

            add (rawOver "1y" slice None None) (world [ file "f" "a.raw" ])
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
                Graph.find device name w.Graph |> Result.map _.Name |> Result.mapError _.Desc

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

            let unmapZeroes spec : BlockdevSpec = { spec with DetectZeroes = Some DetectZeroesUnmap }

            let native kind name =
                let options = { FileOptions.ofFilename name with Aio = AioNative }

                BlockdevSpec.ofDriver (Some "x") (File(kind, options)) []

            let refused = "force-share=on can only be used with read-only images"

            let unmapText =
                "setting detect-zeroes to unmap is not allowed without setting discard operation to unmap"

            notFound (forceShare (file "1x" "a.raw")) emptyWorld |> fails refused

            notFound (forceShare (rawOver "x" (inlineFile "g") None None)) emptyWorld
            |> fails refused

            notFound (forceShare (raw "x" "nope")) emptyWorld
            |> fails "Cannot find device='nope' nor node-name='nope'"

            notFound (unmapZeroes (file "1x" "a.raw")) emptyWorld |> fails unmapText

            notFound (unmapZeroes (file "x" "")) emptyWorld
            |> fails "The 'file' block driver requires a file name"

            add (native HostDevice "a.raw") emptyWorld
            |> fails "aio=native was specified, but it requires cache.direct=on, which was not specified."
        }

        test "kinds of files" {
            let device kind =
                addWith (fun _ -> Opened { Kind = kind; SizeBytes = 0L; AlignmentBytes = 1 })

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

            add (nulls None 9223372036854775808UL None) emptyWorld
            |> fails "latency-ns is invalid"

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
            Expect.equal filtered.Discard DiscardUnmap "discards may reach what is below"
            Expect.equal (child (Some 512L)).Discard DiscardUnmap "whatever is above"
        }

        test "file names" {
            let filename specs =
                let w = world specs
                Filename.ofNode w.Graph (Graph.nodes w.Graph).Head

            let inFile = "{\"driver\": \"file\", \"filename\": \"a.raw\"}"
            Expect.equal (filename [ file "f" "a.raw"; raw "r" "f" ]) "a.raw" "pass through"

            Expect.equal
                (filename [ file "f" "a.raw"; rawOver "r" (Reference "f") (Some 0L) (Some 512L) ])
                ("json:{\"offset\": 0, \"driver\": \"raw\", \"size\": 512, \"file\": "
                 + inFile
                 + "}")
                "slice"

            Expect.equal
                (filename [ file "f" "a.raw"; raw "r" "f"; raw "r2" "r" ])
                ("json:{\"driver\": \"raw\", \"file\": {\"driver\": \"raw\", \"file\": "
                 + inFile
                 + "}}")
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
                        DetectZeroes =
                            Some(
                                if raws = DiscardUnmap then
                                    DetectZeroesUnmap
                                else
                                    DetectZeroesOn
                            )
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
                        Perms = Perm.forNbdExport false
                        Label = Backend.UnnamedLabel
                        FixedContext = true
                        AllowInactive = false
                    }
                    moved

            match tied with
            | Ok attached ->
                move (Some "t1") attached.Change.Graph
                |> fails "Cannot change iothread of active block backend"

                Expect.isOk (move (Some "t0") attached.Change.Graph) "where it is already"

                Contexts.checkMovable (Graph.node (node "f" w).Id attached.Change.Graph) false
                |> Result.mapError _.Desc
                |> fails
                    "Node f is associated with a BlockBackend and could be in use (use force=true to override this check)"

                let world = { w with World.Graph = attached.Change.Graph }

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

            let chain = [ 1..count ] |> List.map (fun i -> raw ("n" + string i) ("n" + string (i - 1)))

            let w = world (file "n0" "a.raw" :: chain)
            let top = "n" + string count
            Expect.equal (Path.compile w.Graph (node top w).Id).SizeBytes mib "a long chain"
            let _, w = get (export top (Perm.forNbdExport true) w)
            Expect.equal (Locks.held (Node.perms (node "n0" w))) [ 100L; 101L; 203L ] "down to the file"

            let users = List.fold (fun w _ -> snd (get (export "n1" (Perm.forNbdExport false) w))) w [ 1..count ]

            Expect.equal (node "n1" users).BackendCount count "users"
        }
    ]

[<Tests>]
let tests = testList "Graph" [ nameTests; optionTests; pathTests; contextTests; scaleTests ]

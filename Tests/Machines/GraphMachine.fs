/// Random lists of graph commands: after each one the graph is what the naive graph says, fits together, and the
/// host's files are locked and open as the graph wants them.
module StorageDaemon.Tests.Machines.GraphMachine

open Expecto
open FsCheck
open StorageDaemon.Core.Graph
open StorageDaemon.Tests.Reference
open StorageDaemon.Tests.Reference.GraphChecks

/// Names are numbers modulo a few, so that they collide.
type Command =
    | AddFile of name: byte * readOnly: bool * autoReadOnly: bool
    | AddFileThatFails of name: byte
    | AddRaw of name: byte * child: byte * sectors: byte * readOnly: bool
    | AddRawInline of name: byte * child: byte * sectors: byte * fails: bool
    | Del of name: byte
    | Attach of name: byte * kind: byte
    | Detach of index: byte
    | Resize of name: byte * sectors: uint16
    | Reopen of name: byte * child: byte * sectors: byte * readOnly: bool

[<NoComparison; NoEquality>]
type private Machine = {
    World: World
    Naive: NaiveGraph.NaiveGraph
    /// The users that are attached: the naive key and the real number.
    Users: (int * BackendId) list
    NextKey: int
}

let private name (number: byte) = "n" + string (number % 7uy)

/// Most raw nodes pass everything through, some are slices.
let private offsetOf (sectors: byte) =
    if sectors < 160uy then
        None
    else
        Some(int64 (sectors % 3uy) * 512L)

let private permsOf (kind: byte) =
    match kind % 5uy with
    | 0uy -> Perm.forNbdExport false
    | 1uy -> Perm.forNbdExport true
    | 2uy -> Perm.forDeviceExport true
    | 3uy -> Perm.resizing (Perm.forDeviceExport true)
    | _ -> Perm.forDeviceExport false

/// Compares the outcomes of one command; a failed one must have changed nothing.
let private settle (machine: Machine) (real: Result<World, string>) (naive: NaiveGraph.NaiveGraph option) : Machine =
    match real, naive with
    | Ok world, Some naive -> { machine with World = world; Naive = naive }
    | Error _, None -> machine
    | Ok _, None -> failtest "the graph allowed what the naive graph refuses"
    | Error text, Some _ -> failtest ("the graph refused what the naive graph allows: " + text)

let private naiveFile name readOnly : NaiveGraph.NaiveNode = {
    Name = name
    ReadOnly = readOnly
    Child = None
    Offset = 0L
    Bytes = mib
    MonitorOwned = true
    DescribedBy = None
}

let private naiveRaw name child offset readOnly : NaiveGraph.NaiveNode = {
    naiveFile name readOnly with
        Child = Some child
        Offset = defaultArg offset 0L
}

let private withReadOnly readOnly spec : BlockdevSpec = { spec with ReadOnly = Some readOnly }

let private refused = fun _ -> NotOpened "Permission denied"

let private addCommand (machine: Machine) (command: Command) : Machine =
    let world = machine.World

    match command with
    | AddFile(number, readOnly, auto) ->
        let spec: BlockdevSpec = {
            withReadOnly readOnly (file (name number) "a.raw") with
                AutoReadOnly = Some auto
        }

        settle machine (add spec world) (NaiveGraph.add [ naiveFile (name number) readOnly ] machine.Naive)
    | AddFileThatFails number -> settle machine (addWith refused (file (name number) "a.raw") world) None
    | AddRaw(number, child, sectors, readOnly) ->
        let offset = offsetOf sectors

        let spec =
            rawOver (name number) (Reference(name child)) offset None
            |> withReadOnly readOnly

        settle
            machine
            (add spec world)
            (NaiveGraph.add [ naiveRaw (name number) (name child) offset readOnly ] machine.Naive)
    | AddRawInline(number, child, sectors, fails) ->
        let offset = offsetOf sectors
        let spec = rawOver (name number) (Inline(file (name child) "b.raw")) offset None

        let nodes = [
            {
                naiveFile (name child) false with
                    MonitorOwned = false
                    DescribedBy = Some(name number)
            }
            naiveRaw (name number) (name child) offset false
        ]

        if fails then
            settle machine (addWith refused spec world) None
        else
            settle machine (add spec world) (NaiveGraph.add nodes machine.Naive)
    | _ -> machine

let private userCommand (machine: Machine) (command: Command) : Machine =
    match command with
    | Attach(number, kind) ->
        let user: NaiveGraph.NaiveUser = {
            Key = machine.NextKey
            Node = name number
            Perms = permsOf kind
        }

        let real = export user.Node user.Perms machine.World

        let next = settle machine (Result.map snd real) (NaiveGraph.attach user machine.Naive)

        match real with
        | Ok(id, _) -> {
            next with
                Users = (user.Key, id) :: machine.Users
                NextKey = user.Key + 1
          }
        | Error _ -> next
    | Detach index when not machine.Users.IsEmpty ->
        let key, id = machine.Users[int index % machine.Users.Length]

        let next = settle machine (Ok(detach id machine.World)) (Some(NaiveGraph.detach key machine.Naive))

        {
            next with
                Users = machine.Users |> List.filter (fun (other, _) -> other <> key)
        }
    | _ -> machine

let private run (machine: Machine) (command: Command) : Machine =
    let next =
        match command with
        | AddFile _
        | AddFileThatFails _
        | AddRaw _
        | AddRawInline _ -> addCommand machine command
        | Attach _
        | Detach _ -> userCommand machine command
        | Del number -> settle machine (del (name number) machine.World) (NaiveGraph.del (name number) machine.Naive)
        | Resize(number, sectors) ->
            let bytes = int64 sectors * 512L

            settle
                machine
                (resize (name number) bytes machine.World)
                (NaiveGraph.resize (name number) bytes machine.Naive)
        | Reopen(number, child, sectors, readOnly) ->
            let offset = offsetOf sectors

            let spec =
                rawOver (name number) (Reference(name child)) offset None
                |> withReadOnly readOnly

            settle
                machine
                (reopen spec machine.World)
                (NaiveGraph.reopen (name number) (name child) (defaultArg offset 0L) readOnly machine.Naive)

    checkInvariants next.World
    Expect.equal (GraphChecks.listing next.World) (NaiveGraph.listing next.Naive) "listings"
    next

let private start = {
    World = emptyWorld
    Naive = NaiveGraph.empty
    Users = []
    NextKey = 0
}

let private config = {
    FsCheckConfig.defaultConfig with
        maxTest = 400
        endSize = 120
}

[<Tests>]
let tests =
    testList "GraphMachine" [
        testPropertyWithConfig config "the graph is the naive graph, only faster"
        <| fun (commands: Command list) -> List.fold run start commands |> ignore

        test "a long life" {
            // The same number always: a test of many commands in one graph rather than of many graphs.
            let mutable state = 88172645463325252UL

            let next () =
                state <- state ^^^ (state <<< 13)
                state <- state ^^^ (state >>> 7)
                state <- state ^^^ (state <<< 17)
                byte (state >>> 24)

            let command () =
                match next () % 14uy with
                | 0uy
                | 1uy -> AddFile(next (), next () < 50uy, next () < 128uy)
                | 2uy -> AddFileThatFails(next ())
                | 3uy
                | 4uy -> AddRaw(next (), next (), next (), next () < 50uy)
                | 5uy -> AddRawInline(next (), next (), next (), next () < 50uy)
                | 6uy -> Del(next ())
                | 7uy
                | 8uy -> Attach(next (), next ())
                | 9uy
                | 10uy -> Detach(next ())
                | 11uy
                | 12uy -> Reopen(next (), next (), next (), next () < 50uy)
                | _ -> Resize(next (), uint16 (next ()) * 16us)

            Seq.init 3000 (fun _ -> command ()) |> Seq.fold run start |> ignore
        }
    ]

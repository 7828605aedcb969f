module StorageDaemon.Tests.Properties.Daemon

open Expecto
open StorageDaemon.Core
open StorageDaemon.Core.Daemon
open StorageDaemon.Core.Json
open StorageDaemon.Core.Nbd
open StorageDaemon.Core.Options
open StorageDaemon.Tests.Reference
open StorageDaemon.Tests.Reference.FakeShell

let private mib = 1048576L
let private files = [ "images/r.raw", mib; "images/b.raw", mib ]

/// A daemon that has run these commands, all of which must succeed.
let private after (commands: (string * string) list) : struct (FakeShell * State) =
    let shell = FakeShell files

    let run state (name, arguments) =
        match JsonParser.parse arguments with
        | Ok(Object members) ->
            match shell.Settle(Step.execute state name members) with
            | struct (next, Ok _) -> next
            | struct (_, Error error) -> failtest (name + ": " + error.Desc)
        | _ -> failtest arguments

    struct (shell, List.fold run (State.create 1UL "test") commands)

let private server (more: string) =
    "nbd-server-start", """{"addr": {"type": "unix", "data": {"path": "/s"}}""" + more + "}"

let private export = "block-export-add", """{"type": "nbd", "id": "e", "node-name": "n"}"""
let private nullNode = "blockdev-add", """{"driver": "null-co", "node-name": "n"}"""

let private execute (shell: FakeShell) state name arguments =
    match JsonParser.parse arguments with
    | Ok(Object members) -> shell.Settle(Step.execute state name members)
    | _ -> failtest arguments

let private error (struct (_, result): struct (State * Result<Json, QapiError>)) =
    match result with
    | Ok _ -> failtest "an error"
    | Error error -> error

/// The steps of a command line, until the first error.
let private startup (steps: StartupStep list) : Result<State, string> =
    let shell = FakeShell files

    let run state step =
        state
        |> Result.bind (fun state ->
            match Startup.step state step with
            | struct (_, Run transition) ->
                match shell.Settle transition with
                | struct (next, Ok _) -> Ok next
                | struct (_, Error error) -> Error error.Desc
            | struct (_, Print(text, _)) -> Error text
            | struct (_, SetTrace _)
            | struct (_, ReadConfig _)
            | struct (_, ServeMetrics _) -> Ok state)

    List.fold run (Ok(State.create 1UL "test")) steps

let private fails steps expected =
    match startup steps with
    | Ok _ -> failtest expected
    | Error text -> Expect.equal text expected "text"

let private startupTests =
    let nullDevice = StartupStep.Chardev "null,id=x"

    testList "command line" [
        test "a device's id is taken" {
            fails [ nullDevice; nullDevice ] "attempt to add duplicate property 'x' to object (type 'container')"

            fails
                [ StartupStep.Chardev "null,id=type" ]
                "attempt to add duplicate property 'type' to object (type 'container')"
        }

        test "monitors" {
            fails [ StartupStep.Monitor "y" ] "chardev \"y\" not found"
            fails [ nullDevice; StartupStep.Monitor "x,mode=readline" ] "Only QMP is supported"
            fails [ nullDevice; StartupStep.Monitor "x"; StartupStep.Monitor "x" ] "chardev 'x' is already in use"
            fails [ nullDevice; StartupStep.Monitor "x"; StartupStep.Monitor "x,mode=readline" ] "Only QMP is supported"
        }

        test "a shared device takes four monitors, and stands below its mux" {
            let shared = StartupStep.Chardev "null,id=x,mux=on"
            let monitors count =
                List.replicate count (StartupStep.Monitor "x")
            Expect.isOk (startup (shared :: monitors 4)) "four"
            fails (shared :: monitors 5) "too many uses of multiplexed chardev 'x' (maximum is 4)"
            fails [ shared; StartupStep.Monitor "x-base" ] "chardev 'x-base' is already in use"

            match startup [ nullDevice; StartupStep.Chardev "null,id=y" ] with
            | Ok state ->
                match Startup.step state (StartupStep.Chardev "null,id=x,mux=on") with
                | struct (_, Run { Outcome = Waiting(_, continuation) }) ->
                    let after = Step.resume state continuation (ChardevOpened { Pty = None })
                    Expect.equal (Seq.toList after.State.Chardevs.Keys) [ "x"; "y" ] "the base goes with it"
                    Expect.isNonEmpty after.Effects "it is closed"
                | _ -> failtest "the base is opened first"
            | Error text -> failtest text
        }

        test "monitors may have any id" {
            let steps = [
                nullDevice
                StartupStep.Chardev "null,id=z"
                StartupStep.Monitor "x,id=1"
                StartupStep.Monitor "z,id=1"
            ]

            Expect.isOk (startup steps) "both"
        }

        test "errors are bare" {
            fails [ StartupStep.Chardev "socket,id=x,path=/s,server=on,tls-creds=zz" ] "No TLS credentials with id 'zz'"

            fails [ StartupStep.NbdServer "addr.type=unix,addr.path=/s,tls-creds=x" ] "No TLS credentials with id 'x'"
            fails [ StartupStep.Blockdev "null-co" ] "'node-name' must be specified for the root node"

            fails [ StartupStep.Export "nbd,id=a,node-name=b" ] "Cannot find device='' nor node-name='b'"

            fails
                [ StartupStep.Object "iothread,id=a"; StartupStep.Object "iothread,id=a" ]
                "attempt to add duplicate property 'a' to object (type 'container')"

            fails [ StartupStep.Object "nope,id=a" ] "Parameter 'qom-type' does not accept value 'nope'"
        }
    ]

let private exportTests =
    testList "exports" [
        test "one connection at most: no client may think of two" {
            let multiConn more =
                let struct (_, state) = after [ server more; nullNode; export ]
                (State.nbdExports state).Head.TransmissionFlags

            let flag = Wire.NBD_FLAG_CAN_MULTI_CONN
            Expect.equal (multiConn """, "max-connections": 1""" &&& flag) 0us "one"
            Expect.equal (multiConn """, "max-connections": 2""" &&& flag) flag "two"
            Expect.equal (multiConn """, "max-connections": 0""" &&& flag) flag "no limit"
            Expect.equal (multiConn "" &&& flag) flag "a hundred"
        }

        test "names and descriptions have a limit, in this order" {
            let struct (shell, state) = after [ server ""; nullNode; export ]
            let text length = String.replicate length "x"

            let add id name description =
                execute
                    shell
                    state
                    "block-export-add"
                    ("{\"type\": \"nbd\", \"node-name\": \"n\", \"id\": \""
                     + id
                     + "\", \"name\": \""
                     + name
                     + "\", \"description\": \""
                     + description
                     + "\"}")

            let long = text 4097
            Expect.equal (error (add "f" long long)).Desc ("export name '" + long + "' too long") "name"
            Expect.equal (error (add "f" "n" long)).Desc ("description '" + long + "' too long") "description"
            Expect.equal (error (add "f" "n" "")).Desc "NBD server already has export named 'n'" "taken"
            let struct (_, ok) = add "f" (text 4096) (text 4096)
            Expect.isOk ok "just fits"
        }

        test "in bytes, not in characters" {
            let struct (shell, state) = after [ server ""; nullNode ]

            let arguments =
                "{\"type\": \"nbd\", \"node-name\": \"n\", \"id\": \"f\", \"name\": \""
                + String.replicate 2049 "ü"
                + "\"}"

            Expect.stringEnds (error (execute shell state "block-export-add" arguments)).Desc "too long" "4098"
        }

        test "the command line learns what a monitor does not" {
            let struct (shell, state) = after [ server ""; nullNode; export ]
            shell.Connect(1<exportKey>, 1)
            let refused = error (execute shell state "block-export-del" """{"id": "e"}""")
            Expect.equal refused.Hint (Some "Use mode='hard' to force client disconnect") "hint"
        }

        test "several threads serve one export" {
            let struct (shell, state) =
                after [
                    "object-add", """{"qom-type": "iothread", "id": "t1"}"""
                    "object-add", """{"qom-type": "iothread", "id": "t2"}"""
                    server ""
                    nullNode
                    "block-export-add", """{"type": "nbd", "id": "e", "node-name": "n", "iothread": ["t1", "t2"]}"""
                ]

            Expect.equal state.Exports[1<exportKey>].Iothreads [ "t1"; "t2" ] "both"

            let add text =
                error (
                    execute
                        shell
                        state
                        "block-export-add"
                        ("{\"type\": \"nbd\", \"id\": \"f\", \"node-name\": \"n\", \"iothread\": "
                         + text
                         + "}")
                )

            Expect.equal (add "[]").Desc "The list of iothreads is empty" "none"
            Expect.equal (add """["t1", "t3"]""").Desc "iothread \"t3\" not found" "the second is missing"

            Expect.equal
                (error (execute shell state "object-del" """{"id": "t2"}""")).Desc
                "object 't2' is in use, can not be deleted"
                "a thread in use stays"
        }

        test "exports follow their node into its thread" {
            let struct (shell, state) =
                after [
                    "object-add", """{"qom-type": "iothread", "id": "t1"}"""
                    "object-add", """{"qom-type": "iothread", "id": "t2"}"""
                    server ""
                    nullNode
                    "blockdev-add", """{"driver": "raw", "node-name": "r", "file": "n"}"""
                    "block-export-add", """{"type": "nbd", "id": "own", "node-name": "r", "name": "own"}"""
                    "block-export-add",
                    """{"type": "nbd", "id": "one", "node-name": "n", "name": "one", "iothread": "t1"}"""
                    "block-export-add",
                    """{"type": "nbd", "id": "many", "node-name": "n", "name": "many", "iothread": ["t1", "t2"]}"""
                ]

            let threads (state: State) =
                State.exports state |> List.rev |> List.map (fun export -> export.Iothreads)

            let move thread state =
                let text = "{\"node-name\": \"n\", \"force\": true, \"iothread\": " + thread + "}"
                let struct (next, result) = execute shell state "x-blockdev-set-iothread" text
                Expect.isOk result thread
                next

            Expect.equal (threads state) [ []; [ "t1" ]; [ "t1"; "t2" ] ] "at first"
            let inSecond = move "\"t2\"" state
            Expect.equal (threads inSecond) [ [ "t2" ]; [ "t2" ]; [ "t1"; "t2" ] ] "all but the one with several"

            Expect.equal (threads (move "null" inSecond)) [ []; []; [ "t1"; "t2" ] ] "back to the daemon's own"
        }
    ]

/// A chain of commands over many nodes and exports: the time must grow with their number, not with its square.
let private manyTests =
    test "thousands of nodes and exports" {
        let count = 5000

        let numbered (name: string) (text: string) = [ for i in 1..count -> name, text.Replace("%", string i) ]

        let clock = System.Diagnostics.Stopwatch.StartNew()

        let struct (shell, state) =
            after [
                server ""
                "blockdev-add", """{"driver": "file", "node-name": "f", "filename": "images/r.raw"}"""
                yield! numbered "blockdev-add" """{"driver": "raw", "node-name": "r%", "file": "f"}"""
                yield! numbered "block-export-add" """{"type": "nbd", "id": "e%", "node-name": "r%"}"""
            ]

        Expect.hasLength (State.nbdExports state) count "all are there"

        for i in 1..count do
            Expect.isSome (State.tryNbdExport ("r" + string i) state) "found by name"

        let struct (_, nodes) = execute shell state "query-named-block-nodes" "{}"
        Expect.isOk nodes "listed"
        let struct (state, stopped) = execute shell state "nbd-server-stop" "{}"
        Expect.isOk stopped "stopped"
        Expect.hasLength shell.Events count "an event each"
        Expect.isEmpty state.Exports "none is left"
        Expect.isLessThan clock.Elapsed.TotalSeconds 20.0 "in time"
    }

[<Tests>]
let tests =
    testList "Daemon" [
        testList "as the real daemon" (Transcript.tests "daemon.transcript" files)
        startupTests
        exportTests
        manyTests
    ]

/// Objects in the daemon's state: what is kept of them, who uses them, what the shell is asked.
module StorageDaemon.Tests.Properties.Objects

open Expecto
open StorageDaemon.Core
open StorageDaemon.Core.Daemon
open StorageDaemon.Core.Json
open StorageDaemon.Core.Qom
open StorageDaemon.Tests.Reference.FakeShell

let private files = [ "images/r.raw", 1048576L ]

let private execute (shell: FakeShell) state (name, arguments) =
    match JsonParser.parse arguments with
    | Ok(Object members) -> shell.Settle(Step.execute state name members)
    | _ -> failtest arguments

/// A daemon that has run these commands, all of which must succeed.
let private after (commands: (string * string) list) : struct (FakeShell * State) =
    let shell = FakeShell files

    let run state command =
        match execute shell state command with
        | struct (next, Ok _) -> next
        | struct (_, Error error) -> failtest (snd command + ": " + error.Desc)

    struct (shell, List.fold run (State.create 1UL "test") commands)

let private add arguments = "object-add", arguments

let private errorOf (shell: FakeShell) state command =
    match execute shell state command with
    | struct (_, Ok _) -> failtest "an error"
    | struct (_, Error error) -> error.Desc

[<Tests>]
let tests =
    testList "Objects" [
        test "a secret is given to the shell and not kept" {
            let state = State.create 1UL "test"

            let transition =
                Step.execute state "object-add" [
                    "qom-type", String "secret"
                    "id", String "s"
                    "data", String "hidden"
                    "iv", String "v"
                ]

            match transition.Outcome with
            | Waiting(LoadSecret(id, order), (ObjectStarted(_, object) as next)) ->
                Expect.equal id "s" "id"
                Expect.equal order.Source (SecretSource.Data "hidden") "data"
                Expect.isNone (UserObject.tryGet "data" object) "not to be read"
                Expect.equal (UserObject.tryGet "iv" object) (Some(String "v")) "the vector is no secret"

                match (Step.resume transition.State next Finished).Outcome with
                | Done result -> Expect.isOk result "added"
                | _ -> failtest "it has come to its end"
            | _ -> failtest "the shell is asked"
        }

        test "a key is looked for among secrets" {
            let masterOf keyId (state: State) =
                let given = [
                    "qom-type", String "secret"
                    "id", String "s"
                    "data", String "x"
                    "keyid", String keyId
                ]

                match (Step.execute state "object-add" given).Outcome with
                | Waiting(LoadSecret(_, { Master = Some master }), _) -> master
                | _ -> failtest "the shell is asked"

            let struct (_, state) =
                after [
                    add """{"qom-type": "secret", "id": "k", "data": "x"}"""
                    add """{"qom-type": "secret_keyring", "id": "r", "serial": 5}"""
                    add """{"qom-type": "iothread", "id": "t"}"""
                ]

            let error keyId =
                QapiError.fail keyId: Result<string, QapiError>

            Expect.equal (masterOf "k" state) (Ok "k") "a secret"
            Expect.equal (masterOf "r" state) (Ok "r") "another kind of secret"
            Expect.equal (masterOf "t" state) (error "Object with id 't' is not a secret") "no secret"
            Expect.equal (masterOf "n" state) (error "No secret with id 'n'") "nothing"
            Expect.equal (masterOf "s" state) (error "Secret with id 's' has no data") "itself"
        }

        test "one main loop, for good" {
            let struct (shell, state) = after [ add """{"qom-type": "main-loop", "id": "m"}""" ]
            let error = errorOf shell state

            Expect.equal
                (error (add """{"qom-type": "main-loop", "id": "n"}"""))
                "only one main-loop instance allowed"
                "another"

            Expect.equal
                (error ("object-del", """{"id": "m"}"""))
                "object 'm' is in use, can not be deleted"
                "it is in use"
        }

        test "a node uses its manager of persistent reservations" {
            let node id =
                "blockdev-add",
                """{"driver": "file", "node-name": "n", "filename": "images/r.raw", "pr-manager": """
                + "\""
                + id
                + "\"}"

            let struct (shell, state) =
                after [
                    add """{"qom-type": "pr-manager-helper", "id": "p", "path": "/s"}"""
                    add """{"qom-type": "iothread", "id": "t"}"""
                ]

            Expect.equal shell.Events.Length 1 "connected"

            Expect.equal
                (errorOf shell state (node "t"))
                "Object with id 't' is not a persistent reservation manager"
                "another object"

            Expect.equal (errorOf shell state (node "q")) "No persistent reservation manager with id 'q'" "no object"

            match execute shell state (node "p") with
            | struct (used, Ok _) ->
                Expect.equal
                    (errorOf shell used ("object-del", """{"id": "p"}"""))
                    "object 'p' is in use, can not be deleted"
                    "it is in use"

                match execute shell used ("blockdev-del", """{"node-name": "n"}""") with
                | struct (free, Ok _) ->
                    match execute shell free ("object-del", """{"id": "p"}""") with
                    | struct (gone, Ok _) ->
                        Expect.equal
                            (errorOf shell gone (node "p"))
                            "No persistent reservation manager with id 'p'"
                            "it is gone"
                    | struct (_, Error error) -> failtest error.Desc
                | struct (_, Error error) -> failtest error.Desc
            | struct (_, Error error) -> failtest error.Desc
        }

        test "a file of rules that turns bad lets nobody in until it is good again" {
            let struct (shell, state) =
                after [ add """{"qom-type": "authz-list-file", "id": "a", "filename": "f"}""" ]

            let read content state =
                let struct (next, _) = shell.Settle(Step.authzFileRead state "a" content)
                next

            let isAllowed (state: State) = Authz.isAllowed state.Objects["a"] "x"

            Expect.isFalse (isAllowed state) "deny is the default"
            let good = read (Ok """{"policy": "allow"}"""B) state
            Expect.isTrue (isAllowed good) "the file says so"
            Expect.isEmpty shell.Warnings "all is well"
            let bad = read (Ok "{"B) good
            Expect.isFalse (isAllowed bad) "bad"
            let missing = read (Error "gone") good
            Expect.isFalse (isAllowed missing) "not there"
            Expect.hasLength shell.Warnings 2 "both are told"
            Expect.isTrue (isAllowed (read (Ok """{"policy": "allow"}"""B) bad)) "good again"
            read (Ok "{}"B) (State.create 1UL "test") |> ignore
        }

        test "both names of the list in a file make the same object" {
            let struct (_, state) =
                after [
                    add """{"qom-type": "authz-list-file", "id": "a", "filename": "f", "refresh": false}"""
                    add """{"qom-type": "authz-listfile", "id": "b", "filename": "f", "refresh": false}"""
                ]

            for id in [ "a"; "b" ] do
                Expect.equal (UserObject.typeName state.Objects[id]) "authz-list-file" id
        }

        test "a thread is asked to move, and shows where it may run" {
            let struct (shell, state) = after [ add """{"qom-type": "thread-context", "id": "c"}""" ]
            let get name =
                UserObject.tryGet name state.Objects["c"]
            Expect.equal (get "thread-id") (Some(Int 1L)) "as the shell says"
            Expect.equal (get "cpu-affinity") (Some(List [ Int 0L ])) "as the shell says"
            Expect.isNone (get "node-affinity") "not to be read"

            let set property value =
                execute
                    shell
                    state
                    ("qom-set",
                     """{"path": "c", "property": """
                     + "\""
                     + property
                     + "\", \"value\": "
                     + value
                     + "}")

            let ok (struct (_, result)) = Result.isOk result
            Expect.isTrue (ok (set "cpu-affinity" "[1]")) "processors"
            Expect.isTrue (ok (set "node-affinity" "[0]")) "nodes"
            Expect.isFalse (ok (set "cpu-affinity" "[]")) "none"
            Expect.isFalse (ok (set "thread-id" "1")) "not to be set"
        }
    ]

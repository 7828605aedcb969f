/// Objects of the published daemon: nothing shows a secret, changed files of rules are read again, helpers are used.
module StorageDaemon.Tests.EndToEnd.Objects

open System
open System.IO
open Expecto
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.Disk
open StorageDaemon.Tests.Harness.QmpClient

let private hidden =
    testCase "no secret is shown or logged" (fun () ->
        use directory = new TempDir.TempDir()
        let word = "hidden-word"
        File.WriteAllText(directory.File "file", word)

        use child =
            Daemon.start
                Binaries.daemon.Value
                directory.Path
                (Daemon.monitor (directory.File "q.sock")
                 @ [
                     "--object"
                     $"secret,id=a,data={word}"
                     "--object"
                     "secret,id=b,file=file"
                     "--trace"
                     "*,file=log"
                 ])

        use qmp = QmpClient.Negotiated(directory.File "q.sock")

        qmp.Execute("object-add", $"""{{"qom-type": "secret", "id": "c", "data": "{word}"}}""")
        |> ignore

        qmp.Execute("qom-set", $"""{{"path": "c", "property": "data", "value": "{word}"}}""")
        |> ignore

        for id in [ "a"; "b"; "c" ] do
            for property in [ "type"; "iv"; "keyid"; "format"; "file"; "data" ] do
                let _, reply =
                    qmp.Request
                        $"""{{"execute": "qom-get", "arguments": {{"path": "{id}", "property": "{property}"}}}}"""

                Expect.isFalse (reply.Contains word) property

        Expect.equal (Daemon.stop child) 0 "exit code"
        let log = File.ReadAllText(directory.File "log")
        Expect.stringContains log "qmp_command object-add" "it is a log"
        Expect.isFalse (log.Contains word) "the log"
        Expect.isFalse (child.Error.Contains word) "standard error")

let private decrypted =
    testCase "an encrypted secret needs its key" (fun () ->
        use disk = new Disk(MiB)
        use qmp = disk.Qmp()
        let openssl = Requires.tool "openssl"
        let key = Convert.ToBase64String(Array.create 32 (byte 'k'))
        let iv = Convert.ToBase64String(Array.create 16 (byte 'v'))
        File.WriteAllText(disk.Directory.File "plain", "letmein")

        let cipher =
            ChildProcess.runOk disk.Directory.Path openssl [
                "enc"
                "-aes-256-cbc"
                "-K"
                String.replicate 32 "6b"
                "-iv"
                String.replicate 16 "76"
                "-a"
                "-A"
                "-in"
                "plain"
            ]

        let add id keyId =
            qmp.Request
                $"""{{"execute": "object-add", "arguments": {{"qom-type": "secret", "id": "{id}", "data": "{cipher.Trim()}", "format": "base64", "keyid": "{keyId}", "iv": "{iv}"}}}}"""
            |> snd

        qmp.Execute("object-add", $"""{{"qom-type": "secret", "id": "k", "data": "{key}", "format": "base64"}}""")
        |> ignore

        qmp.Execute(
            "object-add",
            """{"qom-type": "secret", "id": "bad", "data": "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkK"}"""
        )
        |> ignore

        Expect.stringContains (add "s" "nope") "No secret with id 'nope'" "no key"
        Expect.stringContains (add "s" "bad") "found on decrypted data" "another key"
        Expect.stringContains (add "s" "k") "return" "the key"
        disk.Stop())

let private rules =
    testCase "a file of rules that turns bad is told of" (fun () ->
        use directory = new TempDir.TempDir()
        let path = directory.File "rules.json"
        File.WriteAllText(path, "{}")

        use child =
            Daemon.start Binaries.daemon.Value directory.Path [
                "--object"
                "authz-list-file,id=a,filename=rules.json"
            ]

        let isTold (text: string) =
            Wait.orFail Wait.defaultTimeout text (fun () -> child.Error.Contains text)

        File.WriteAllText(path, "[")
        isTold "warning: object 'a' lets nobody in: Unable to parse 'rules.json'"
        File.WriteAllText(path, """{"policy": "allow"}""")
        File.Move(path, path + ".old")
        File.WriteAllText(path + ".new", """{"polcy": "allow"}""")
        File.Move(path + ".new", path)
        isTold "Parameter 'polcy' is unexpected"
        Expect.equal (Daemon.stop child) 0 "exit code")

let private reservations =
    testCase "a node with a helper of persistent reservations" (fun () ->
        let helper = Requires.tool "qemu-pr-helper"
        use disk = new Disk(MiB)
        use child =
            new ChildProcess.Child(
                ChildProcess.options helper [ "-k"; disk.Directory.File "pr.sock" ] disk.Directory.Path
            )

        Wait.orFail Wait.defaultTimeout "the helper" (fun () ->
            child.HasExited || File.Exists(disk.Directory.File "pr.sock"))

        if child.HasExited then
            Requires.skip "qemu-pr-helper does not run here"

        use qmp = disk.Qmp()
        TempDir.sparse (disk.Directory.File "more.raw") MiB
        let path = disk.Directory.File "pr.sock"

        let events, reply =
            qmp.Request
                $"""{{"execute": "object-add", "arguments": {{"qom-type": "pr-manager-helper", "id": "p", "path": "{path}"}}}}"""

        Expect.stringContains reply "return" "added"
        Expect.exists events (fun event -> event.Contains "PR_MANAGER_STATUS_CHANGED") "connected"
        let file = disk.Directory.File "more.raw"

        qmp.Execute(
            "blockdev-add",
            $"""{{"driver": "file", "node-name": "m", "filename": "{file}", "pr-manager": "p"}}"""
        )
        |> ignore

        let delete () =
            qmp.Request """{"execute": "object-del", "arguments": {"id": "p"}}""" |> snd

        Expect.stringContains (delete ()) "object 'p' is in use" "a node uses it"
        qmp.Execute("blockdev-del", """{"node-name": "m"}""") |> ignore
        Expect.stringContains (delete ()) "return" "nobody uses it"
        disk.Stop())

[<Tests>]
let tests =
    testSequenced
    <| testList "end to end: objects" [ hidden; decrypted; rules; reservations ]

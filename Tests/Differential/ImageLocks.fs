/// The bytes of an image that each daemon locks, and that two daemons keep each other off one image.
module StorageDaemon.Tests.Differential.ImageLocks

open System
open System.IO
open Expecto
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.QmpClient
open StorageDaemon.Tests.Differential.Compare

/// The locks on a file as /proc/locks lists them: kind, mode and the single bytes, sorted. Neighbouring locks of one
/// owner are merged by the kernel or not, so ranges are taken apart.
let private locks (path: string) : string list =
    let inode = (ChildProcess.runOk "/" (Requires.tool "stat") [ "-L"; "-c"; "%i"; path ]).Trim()

    File.ReadAllLines "/proc/locks"
    |> Seq.map (fun line -> line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
    |> Seq.filter (fun fields -> fields.Length = 8 && fields[5].EndsWith(":" + inode))
    |> Seq.collect (fun fields ->
        match fields[7] with
        | "EOF" -> [ $"{fields[1]} {fields[3]} {fields[6]}-EOF" ]
        | last -> [
            for at in int64 fields[6] .. min (int64 last) 1000L -> $"{fields[1]} {fields[3]} {at}"
          ])
    |> Seq.sort
    |> List.ofSeq

let private image = "r.raw"
let private server = Daemon.nbdServer "n.sock"

/// Uses of an image, and the options for them.
let private configurations: (string * string list) list = [
    "file", [ "--blockdev"; "file,node-name=f,filename=r.raw" ]
    "file, read-only", [ "--blockdev"; "file,node-name=f,filename=r.raw,read-only=on" ]
    "raw over file", Daemon.rawNode "r" image ""
    "raw over file, read-only", Daemon.rawNode "r" image ",read-only=on"
    "raw over writable file, read-only",
    [
        "--blockdev"
        "file,node-name=f,filename=r.raw"
        "--blockdev"
        "raw,node-name=r,file=f,read-only=on"
    ]
    "export", Daemon.rawNode "r" image "" @ server @ [ "--export"; "nbd,id=e,node-name=r" ]
    "export, writable",
    Daemon.rawNode "r" image ""
    @ server
    @ [ "--export"; "nbd,id=e,node-name=r,writable=on" ]
    "export, read-only",
    Daemon.rawNode "r" image ",read-only=on"
    @ server
    @ [ "--export"; "nbd,id=e,node-name=r" ]
    "export of the file",
    [ "--blockdev"; "file,node-name=f,filename=r.raw" ]
    @ server
    @ [ "--export"; "nbd,id=e,node-name=f" ]
    "export of the file, writable",
    [ "--blockdev"; "file,node-name=f,filename=r.raw" ]
    @ server
    @ [ "--export"; "nbd,id=e,node-name=f,writable=on" ]
    "two exports",
    Daemon.rawNode "r" image ""
    @ server
    @ [
        "--export"
        "nbd,id=e,node-name=r,writable=on"
        "--export"
        "nbd,id=f,node-name=r,name=g"
    ]
    "locking=off",
    [ "--blockdev"; "file,node-name=f,filename=r.raw,locking=off" ]
    @ server
    @ [ "--export"; "nbd,id=e,node-name=f,writable=on" ]
    "locking=on",
    [ "--blockdev"; "file,node-name=f,filename=r.raw,locking=on" ]
    @ server
    @ [ "--export"; "nbd,id=e,node-name=f,writable=on" ]
    "force-share",
    Daemon.rawNode "r" image ",read-only=on,force-share=on"
    @ server
    @ [ "--export"; "nbd,id=e,node-name=r" ]
    "offset and size",
    [
        "--blockdev"
        "file,node-name=f,filename=r.raw"
        "--blockdev"
        "raw,node-name=r,file=f,offset=512,size=65536"
    ]
    @ server
    @ [ "--export"; "nbd,id=e,node-name=r,writable=on" ]
    "raw over raw",
    Daemon.rawNode "r" image ""
    @ [ "--blockdev"; "raw,node-name=s,file=r" ]
    @ server
    @ [ "--export"; "nbd,id=e,node-name=s,writable=on" ]
    "cache.direct",
    Daemon.rawNode "r" image ",cache.direct=on"
    @ server
    @ [ "--export"; "nbd,id=e,node-name=r,writable=on" ]
]

let private bytesOf (name: string, arguments: string list) : Test =
    differential $"bytes: {name}" (fun subject ->
        TempDir.sparse (subject.Directory.File image) 4194304L
        use child = Daemon.start subject.Binary subject.Path arguments
        locks (subject.Directory.File image) |> List.iter subject.Note
        Daemon.stop child |> ignore
        subject.Note $"after the end: {locks (subject.Directory.File image)}")

/// Locks come and go with what happens over QMP.
let private overTime =
    differential "bytes while exports come and go" (fun subject ->
        TempDir.sparse (subject.Directory.File image) 4194304L

        use _ =
            Daemon.start subject.Binary subject.Path (Daemon.rawNode "r" image "" @ server @ Daemon.monitor "qmp.sock")

        use qmp = QmpClient.Negotiated(subject.Directory.File "qmp.sock")

        let look (what: string) =
            subject.Note $"{what}: {locks (subject.Directory.File image)}"

        look "at first"

        for command, arguments in
            [
                "block-export-add", """{"type": "nbd", "id": "a", "node-name": "r", "name": "a"}"""
                "block-export-add", """{"type": "nbd", "id": "b", "node-name": "r", "name": "b", "writable": true}"""
                "block-export-del", """{"id": "a"}"""
                "block-export-del", """{"id": "b"}"""
                "block_resize", """{"node-name": "r", "size": 8388608}"""
                "blockdev-add", """{"driver": "raw", "node-name": "s", "file": "r"}"""
                "blockdev-del", """{"node-name": "s"}"""
                "blockdev-del", """{"node-name": "r"}"""
                "blockdev-del", """{"node-name": "r-file"}"""
            ] do
            qmp.Execute(command, arguments) |> ignore
            look command)

/// The uses of an image that daemons try against each other.
let private uses: (string * string list) list = [
    "writable",
    Daemon.rawNode "r" image ""
    @ server
    @ [ "--export"; "nbd,id=e,node-name=r,writable=on" ]
    "read-only",
    Daemon.rawNode "r" image ",read-only=on"
    @ server
    @ [ "--export"; "nbd,id=e,node-name=r" ]
    "shared",
    Daemon.rawNode "r" image ",read-only=on,force-share=on"
    @ server
    @ [ "--export"; "nbd,id=e,node-name=r" ]
    "unlocked",
    [ "--blockdev"; "file,node-name=r,filename=r.raw,locking=off" ]
    @ server
    @ [ "--export"; "nbd,id=e,node-name=r,writable=on" ]
    "not exported", Daemon.rawNode "r" image ""
]

/// Starts a daemon on an image that somebody else may hold and lets it resize the image; what came of both.
let private rival (binary: string) (imagePath: string) (arguments: string list) : string =
    use directory = new TempDir.TempDir()
    File.CreateSymbolicLink(directory.File image, imagePath) |> ignore
    let arguments = arguments @ Daemon.monitor "qmp.sock" @ Daemon.pidFileArguments

    match Daemon.startWith (ChildProcess.options binary arguments directory.Path) with
    | Daemon.Exited(_, _, error) -> Normalise.text error
    | Daemon.Running child ->
        use child = child
        use qmp = QmpClient.Negotiated(directory.File "qmp.sock")
        let resize = """{"execute": "block_resize", "arguments": {"node-name": "r", "size": 4194304}}"""
        let _, reply = qmp.Request resize
        Daemon.stop child |> ignore
        $"starts, and block_resize answers {Normalise.message reply}"

/// Every pair of uses, the first daemon holding the image while the second tries.
let private encounters (first: string) (second: string) : string list =
    use directory = new TempDir.TempDir()
    TempDir.sparse (directory.File image) 4194304L

    [
        for holds, holder in uses do
            use child = Daemon.start first directory.Path holder

            for wants, arguments in uses do
                $"{wants} while another daemon has it {holds}: {rival second (directory.File image) arguments}"

            Daemon.stop child |> ignore
    ]

/// Two of ours, and ours against the real one in both orders, meet as two of the real ones do.
let private pairs: Test list =
    let ours () = Binaries.daemon.Value
    let real () = Requires.realDaemon ()

    [
        "ours and ours", ours, ours
        "ours, then the real one", ours, real
        "the real one, then ours", real, ours
    ]
    |> List.map (fun (name, first, second) ->
        testCase name (fun () ->
            let expected = encounters (real ()) (real ())
            Expect.exists expected (fun line -> line.Contains "Failed to get") "the locks of the real daemons"
            Expect.equal (encounters (first ()) (second ())) expected "what came of it"))

/// The image tools respect the locks of either daemon alike.
let private tools =
    differential "image tools against a daemon" (fun subject ->
        TempDir.sparse (subject.Directory.File image) 4194304L
        let qemuImg, qemuIo = Requires.tool "qemu-img", Requires.tool "qemu-io"

        for holds, holder in uses do
            use child = Daemon.start subject.Binary subject.Path holder

            for tool, arguments in
                [
                    qemuImg, [ "info"; "-f"; "raw"; image ]
                    qemuImg, [ "resize"; "-f"; "raw"; image; "4M" ]
                    qemuImg, [ "create"; "-f"; "raw"; image; "4M" ]
                    qemuIo, [ "-f"; "raw"; "-c"; "write 0 512"; image ]
                    qemuIo, [ "-r"; "-f"; "raw"; "-c"; "length"; image ]
                ] do
                let result = ChildProcess.run subject.Path tool arguments
                let shown = String.concat " " arguments
                subject.Note $"{holds}: {shown}: {result.ExitCode} {result.Error}"

            Daemon.stop child |> ignore)

[<Tests>]
let tests =
    testSequenced
    <| testList "differential locks" [
        testList "bytes" (configurations |> List.map bytesOf)
        overTime
        tools
        testList "two daemons" pairs
    ]

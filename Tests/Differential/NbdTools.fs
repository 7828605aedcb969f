/// What ordinary NBD clients and image tools say about both daemons' exports.
module StorageDaemon.Tests.Differential.NbdTools

open System.IO
open Expecto
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Differential.Compare

let private serve (subject: Subject) : ChildProcess.Child =
    TempDir.striped (subject.Directory.File "r.raw") 32
    TempDir.patterned (subject.Directory.File "odd.raw") 1000001L
    TempDir.sparse (subject.Directory.File "big.raw") (1L <<< 40)
    // Data up to an end that is no multiple of a sector, after a hole.
    TempDir.striped (subject.Directory.File "ends.raw") 4
    File.AppendAllText(subject.Directory.File "ends.raw", "the end")

    Daemon.rawNode "q" "r.raw" ",discard=unmap"
    @ Daemon.rawNode "odd" "odd.raw" ",read-only=on"
    @ Daemon.rawNode "big" "big.raw" ""
    @ [
        "--blockdev"
        "raw,node-name=window,file=odd-file,offset=1024,size=65536,read-only=on"
    ]
    @ [ "--blockdev"; "null-co,node-name=null" ]
    @ [ "--blockdev"; "file,node-name=direct,filename=ends.raw,cache.direct=on" ]
    @ Daemon.nbdServer "n.sock"
    @ List.collect (fun export -> [ "--export"; "type=nbd," + export ]) [
        "id=e0,node-name=q,name=q,description=hello,writable=on"
        "id=e1,node-name=odd"
        "id=e2,node-name=big,writable=on,writethrough=on"
        "id=e3,node-name=null,name="
        "id=e4,node-name=window"
        "id=e5,node-name=direct"
    ]
    |> Daemon.start subject.Binary subject.Path

let private exports = [ "q"; "odd"; "big"; ""; "window"; "direct" ]
let private uri (export: string) : string = $"nbd+unix:///{export}?socket=n.sock"

let private note (subject: Subject) (tool: string) (arguments: string list) : unit =
    let result = ChildProcess.run subject.Path tool arguments
    let shown = String.concat " " arguments
    // One line a run, so that a known difference does not shift what follows.
    let output = (result.Output + result.Error).TrimEnd().Replace("\n", " | ")
    subject.Note $"$ {Path.GetFileName tool} {shown}: {result.ExitCode}: {output}"

let private forExports (tool: string) (arguments: (string -> string list) list) (subject: Subject) : unit =
    let tool = Requires.tool tool
    use _ = serve subject

    for export in exports do
        for make in arguments do
            note subject tool (make (uri export))

let private flags = [
    "cache"
    "df"
    "fast-zero"
    "flush"
    "fua"
    "multi-conn"
    "trim"
    "write"
    "zero"
    "structured-reply"
]

[<Tests>]
let tests =
    testSequenced
    <| testList "differential tools" [
        differential "nbdinfo" (forExports "nbdinfo" [ (fun uri -> [ uri ]) ])
        differential "nbdinfo --json" (forExports "nbdinfo" [ (fun uri -> [ "--json"; uri ]) ])
        differential
            "nbdinfo --map and --size"
            (forExports "nbdinfo" [
                (fun uri -> [ "--map"; uri ])
                (fun uri -> [ "--map"; "--totals"; uri ])
                (fun uri -> [ "--size"; uri ])
            ])
        differential
            "nbdinfo --can and --is"
            (forExports
                "nbdinfo"
                ([
                    (fun uri -> [ "--is"; "read-only"; uri ])
                    (fun uri -> [ "--is"; "rotational"; uri ])
                 ]
                 @ (flags |> List.map (fun flag uri -> [ "--can"; flag; uri ]))))
        differential "nbdinfo --list" (fun subject ->
            let tool = Requires.tool "nbdinfo"
            use _ = serve subject
            note subject tool [ "--list"; "nbd+unix:///?socket=n.sock" ]
            note subject tool [ "nbd+unix:///nope?socket=n.sock" ])
        differential
            "qemu-img map"
            (forExports "qemu-img" [
                (fun uri -> [ "map"; "--output=json"; "-f"; "raw"; uri ])
                (fun uri -> [ "map"; "-f"; "raw"; uri ])
            ])
        differential
            "qemu-img info"
            (forExports "qemu-img" [
                (fun uri -> [ "info"; "--output=json"; "-f"; "raw"; uri ])
                (fun uri -> [ "info"; uri ])
            ])
    ]

/// The servers that run against each other, all of them serving one image.
module StorageDaemon.Bench.Contestants

open System.IO
open StorageDaemon.Tests.Harness

/// What clients talk to.
type Front =
    | Nbd
    /// Over a disk with two queues.
    | VhostUser

/// How an image is served.
type Serving = {
    Image: string
    Front: Front
    /// O_DIRECT instead of the page cache.
    Direct: bool
}

[<NoComparison; NoEquality>]
type Contestant = {
    Name: string
    /// True for those that speak QMP: not nbdkit.
    IsDaemon: bool
    /// True for daemons with nothing but their defaults; QMP does not care for the rest.
    IsDefault: bool
    File: string
    /// Whether it can serve this way.
    Can: Serving -> bool
    /// Arguments for an export at the socket `n.sock` (vhost-user: `v.sock`) and, of a daemon, a monitor at `q.sock`.
    Arguments: Serving -> string list
}

let private daemon (name: string) (file: string) (fileOptions: string) (more: string list) (exportOptions: string) = {
    Name = name
    IsDaemon = true
    IsDefault = (fileOptions = "")
    File = file
    Can = fun _ -> true
    Arguments =
        fun serving ->
            let direct = if serving.Direct then ",cache.direct=on" else ""

            more
            @ [
                "--blockdev"
                $"driver=file,node-name=f,filename={serving.Image}{direct}{fileOptions}"
                "--blockdev"
                $"driver=raw,node-name=r,file=f{direct}"
                "--export"
                match serving.Front with
                | Nbd -> $"type=nbd,id=e,node-name=r,name=,writable=on{exportOptions}"
                | VhostUser ->
                    "type=vhost-user-blk,id=e,node-name=r,writable=on,num-queues=2,"
                    + $"addr.type=unix,addr.path=v.sock{exportOptions}"
            ]
}

/// This daemon comes first; the order of the rest is that of the report.
let all (ours: string) (real: string option) : Contestant list = [
    daemon "ours" ours "" [] ""
    match real with
    | Some real ->
        daemon "real" real "" [] ""
        daemon "real io_uring" real ",aio=io_uring" [] ""
        daemon "real io_uring+iothread" real ",aio=io_uring" [ "--object"; "iothread,id=t" ] ",iothread=t"
    | None -> ()
    match ChildProcess.find "nbdkit" with
    | Some nbdkit -> {
        Name = "nbdkit"
        IsDaemon = false
        IsDefault = false
        File = nbdkit
        Can = fun serving -> serving.Front = Nbd && not serving.Direct
        Arguments = fun serving -> [ "-f"; "-U"; "n.sock"; "file"; serving.Image ]
      }
    | None -> ()
]

/// A contestant at work.
type Running(contestant: Contestant, serving: Serving) =
    let directory = new TempDir.TempDir()

    let arguments =
        if contestant.IsDaemon then
            Daemon.monitor "q.sock"
            @ Daemon.nbdServer "n.sock"
            @ contestant.Arguments serving
        else
            contestant.Arguments serving

    let child = new ChildProcess.Child(ChildProcess.options contestant.File arguments directory.Path)
    member _.Contestant = contestant
    member _.Serving = serving
    member _.Pid = child.Pid
    member _.NbdSocket = Path.Combine(directory.Path, "n.sock")
    member _.VhostUserSocket = Path.Combine(directory.Path, "v.sock")
    /// Where its clients connect to.
    member this.Socket =
        match serving.Front with
        | Nbd -> this.NbdSocket
        | VhostUser -> this.VhostUserSocket
    member _.QmpSocket = Path.Combine(directory.Path, "q.sock")
    member this.Uri = $"nbd+unix:///?socket={this.NbdSocket}"
    /// What it said, for when it does not answer.
    member _.Error = child.Error

    interface System.IDisposable with
        member _.Dispose() =
            (child :> System.IDisposable).Dispose()
            (directory :> System.IDisposable).Dispose()

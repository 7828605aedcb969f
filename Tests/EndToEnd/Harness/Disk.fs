/// The usual subject of an end-to-end test: a daemon that exports one raw image, with a monitor.
module StorageDaemon.Tests.Harness.Disk

open System
open System.IO
open StorageDaemon.Tests.Harness.NbdClient
open StorageDaemon.Tests.Harness.QmpClient
open StorageDaemon.Tests.Harness.TempDir

let MiB: int64 = 1L <<< 20

/// `disk.raw` with the pattern of `TempDir.pattern`, exported as `disk` at `n.sock`, writable, with discard=unmap;
/// a monitor at `q.sock`. `more` are further options.
type Disk(length: int64, more: string list, limits: string list) =
    let directory = new TempDir()
    let image = directory.File "disk.raw"
    do patterned image length

    let arguments =
        Daemon.rawNode "disk" "disk.raw" ",discard=unmap"
        @ Daemon.nbdServer "n.sock"
        @ Daemon.writableExport "disk"
        @ Daemon.monitor "q.sock"
        @ more

    let child =
        Daemon.startOptions {
            ChildProcess.options Binaries.daemon.Value arguments directory.Path with
                Limits = limits
        }

    new(length: int64) = new Disk(length, [], [])
    member _.Directory = directory
    member _.Image = image
    member _.Child = child
    member _.Socket = directory.File "n.sock"
    member _.Uri = $"nbd+unix:///disk?socket={directory.Path}/n.sock"

    /// A client in transmission.
    member this.Client(mode: Mode) : NbdClient =
        let client = NbdClient.Connect this.Socket
        client.Go(mode, "disk") |> ignore
        client

    member _.Qmp() : QmpClient =
        QmpClient.Negotiated(directory.File "q.sock")

    /// Fails the test unless a fresh client is served: what happened to others must not have harmed the daemon.
    member this.MustBeHealthy(what: string) : unit =
        if child.HasExited then
            failwith $"after {what}: the daemon ended: {child.Error}"

        use client = this.Client Structured
        let data = client.Read(4096UL, 4096)

        if data <> pattern 4096L 4096 then
            failwith $"after {what}: wrong data"

        client.Disconnect()

    /// Ends the daemon by SIGTERM, which must go well.
    member _.Stop() : unit =
        match Daemon.stop child with
        | 0 -> ()
        | code -> failwith $"exit code {code}: {child.Error}"

    interface IDisposable with
        member _.Dispose() =
            (child :> IDisposable).Dispose()
            (directory :> IDisposable).Dispose()

/// True when the daemon under test is the real one: it is known to fail some tests.
let isRealDaemon: Lazy<bool> =
    lazy (Path.GetFileName(Binaries.daemon.Value).StartsWith("qemu-", StringComparison.Ordinal))

/// Skips a test that the real daemon is known to fail when that one is under test.
let exceptReal (reason: string) : unit =
    if isRealDaemon.Value then
        Requires.skip $"the real daemon fails this: {reason}"

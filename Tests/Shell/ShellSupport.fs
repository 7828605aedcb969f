/// What the tests of the shell share: driving the loop, temporary folders, counting descriptors.
module StorageDaemon.Tests.Shell.ShellSupport

open System
open System.IO
open System.Diagnostics
open System.Net.Sockets
open System.Threading
open StorageDaemon.Shell.Control

/// Turns the loop until a condition holds; fails after five seconds.
let pumpUntil (reactor: Reactor) (what: string) (condition: unit -> bool) =
    let clock = Stopwatch.StartNew()

    while not (condition ()) do
        if clock.ElapsedMilliseconds > 5000L then
            failwith ("timed out waiting until " + what)

        reactor.RunOnce 10

/// Turns the loop for a while.
let pumpFor (reactor: Reactor) (milliseconds: int64) =
    let clock = Stopwatch.StartNew()

    while clock.ElapsedMilliseconds < milliseconds do
        reactor.RunOnce 5

let withReactor (body: Reactor -> unit) =
    use reactor = new Reactor()
    body reactor

/// Runs a test in a folder of its own, removed afterwards.
let withFolder (body: string -> unit) =
    let folder = Directory.CreateTempSubdirectory "sd-"

    try
        body folder.FullName
    finally
        folder.Delete true

let private countFds () =
    DirectoryInfo("/proc/self/fd").GetFileSystemInfos().Length

/// Fails when a body leaves more descriptors open than it found. The first run warms up what the runtime opens once.
let leavesNoDescriptors (body: unit -> unit) =
    body ()
    let before = countFds ()

    for _ in 1..5 do
        body ()

    // Sockets of the test's own clients go with the collector.
    GC.Collect()
    GC.WaitForPendingFinalizers()
    let after = countFds ()

    if after > before then
        failwith ("descriptors before: " + string before + ", after: " + string after)

/// A client of a unix socket that times out instead of hanging.
let connectUnix (path: string) =
    let socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)
    socket.ReceiveTimeout <- 3000
    socket.Connect(UnixDomainSocketEndPoint path)
    socket

/// Waits without turning any loop.
let sleepMs (milliseconds: int) = Thread.Sleep milliseconds

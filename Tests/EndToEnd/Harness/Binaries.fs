/// Which daemons the tests run: the one of this project and, where it is installed, the one it replaces.
module StorageDaemon.Tests.Harness.Binaries

open System
open System.IO

/// The directory with the solution file, found upwards from the test program.
let repositoryRoot: string =
    let rec up (directory: DirectoryInfo) =
        if isNull directory then
            failwith "the solution file was not found above the test program"
        elif File.Exists(Path.Combine(directory.FullName, "StorageDaemon.sln")) then
            directory.FullName
        else
            up directory.Parent

    up (DirectoryInfo AppContext.BaseDirectory)

let private newestSource () : DateTime =
    [ "Core.FSharp"; "Shell.CSharp" ]
    |> Seq.collect (fun project ->
        Directory.EnumerateFiles(Path.Combine(repositoryRoot, project), "*.*s*", SearchOption.AllDirectories))
    |> Seq.filter (fun file -> not (file.Contains "/obj/" || file.Contains "/bin/"))
    |> Seq.map File.GetLastWriteTimeUtc
    |> Seq.fold max DateTime.MinValue

let private publish (binary: string) : unit =
    eprintfn "publishing %s" binary

    let start =
        ChildProcess.options
            "dotnet"
            [ "publish"; "Shell.CSharp"; "-c"; "Release"; "-o"; "artifacts"; "--nologo" ]
            repositoryRoot

    // Under `dotnet test` the build's own variables are set and would steer the inner build.
    let inherited =
        Environment.GetEnvironmentVariables().Keys
        |> Seq.cast<string>
        |> Seq.filter (fun name -> name.StartsWith("MSBUILD", StringComparison.OrdinalIgnoreCase))
        |> Seq.map (fun name -> name, null)
        |> List.ofSeq

    use child = new ChildProcess.Child({ start with Environment = inherited })
    child.CloseInput()

    match child.WaitExit(TimeSpan.FromMinutes 10.0) with
    // An unchanged output keeps its time; without a new one it would count as stale for ever.
    | Some 0 when File.Exists binary -> File.SetLastWriteTimeUtc(binary, DateTime.UtcNow)
    | code -> failwith $"dotnet publish failed ({code}):\n{child.Output}{child.Error}"

/// The program that the test project's own build made: it runs just in time, and needs no linker.
let private justInTime () : string =
    let folder = Path.Combine(repositoryRoot, "Shell.CSharp", "bin")

    Directory.EnumerateFiles(folder, "storage-daemon", SearchOption.AllDirectories)
    |> Seq.sortByDescending File.GetLastWriteTimeUtc
    |> Seq.tryHead
    |> Option.defaultWith (fun () -> failwith "there is neither a published daemon nor one that was built")

/// The daemon under test: STORAGE_DAEMON_BINARY, or artifacts/storage-daemon, published anew when a source is newer.
/// Publishing links native code with gcc; on a machine that has none, the tests take the program as it was built.
let daemon: Lazy<string> =
    lazy
        (match Environment.GetEnvironmentVariable "STORAGE_DAEMON_BINARY" with
         | null
         | "" ->
             let binary = Path.Combine(repositoryRoot, "artifacts", "storage-daemon")

             if File.Exists binary && File.GetLastWriteTimeUtc binary >= newestSource () then
                 binary
             elif (ChildProcess.find "gcc").IsNone && (ChildProcess.find "clang").IsNone then
                 eprintfn "there is no gcc to link a native binary with: the tests run the daemon just in time"
                 justInTime ()
             else
                 publish binary
                 binary
         | path -> Path.GetFullPath path)

/// The real daemon: REAL_STORAGE_DAEMON, or qemu-storage-daemon on PATH.
let realDaemon: string option =
    match Environment.GetEnvironmentVariable "REAL_STORAGE_DAEMON" with
    | null
    | "" -> ChildProcess.find "qemu-storage-daemon"
    | path -> Some path

/// Minutes instead of seconds for the long loads, on request.
let isLongRun: bool =
    match Environment.GetEnvironmentVariable "LONG" with
    | null
    | ""
    | "0" -> false
    | _ -> true

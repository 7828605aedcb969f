/// Command lines: messages, exit code, and whether the daemon keeps running.
module StorageDaemon.Tests.Differential.CommandLineTests

open System
open System.IO
open Expecto
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Differential.Compare

let private prepare (subject: Subject) : unit =
    Directory.CreateDirectory(subject.Directory.File "img") |> ignore
    TempDir.sparse (subject.Directory.File "img/r.raw") 4194304L
    TempDir.sparse (subject.Directory.File "img/odd.raw") 1000001L
    TempDir.sparse (subject.Directory.File "img/empty.raw") 0L

    File.CreateSymbolicLink(subject.Directory.File "img/link.raw", "r.raw")
    |> ignore

    File.CreateSymbolicLink(subject.Directory.File "img/dangling.raw", "nothing")
    |> ignore

    File.WriteAllText(subject.Directory.File "img/events", "# two events\nnonexist_event\n\n-nonexist_too\n")

/// A daemon that went to the background is known by its pid file only.
let private endBackground (subject: Subject) : unit =
    let pidFile = subject.Directory.File "daemon.pid"

    if File.Exists pidFile then
        Native.kill (int (File.ReadAllText pidFile)) Native.SIGKILL |> ignore

/// Starts the daemon with these options and writes down how it went. The pid file, named before all others, tells when
/// the options are processed.
let private play (arguments: string list) (subject: Subject) : unit =
    prepare subject
    let pidFile = subject.Directory.File "daemon.pid"

    use child =
        new ChildProcess.Child(ChildProcess.options subject.Binary (Daemon.pidFileArguments @ arguments) subject.Path)

    let isUp () = File.Exists pidFile

    let isWaiting () =
        child.Error.Contains "waiting for connection"

    Wait.orFail Wait.defaultTimeout "the daemon to start, to wait or to end" (fun () ->
        child.HasExited || isUp () || isWaiting ())

    let state =
        if isUp () then "runs"
        elif isWaiting () then "waits for a connection"
        else "ended by itself"

    if state = "runs" then
        child.Signal Native.SIGTERM
    elif state = "waits for a connection" then
        child.Signal Native.SIGKILL

    let code = child.WaitExit Wait.defaultTimeout
    endBackground subject
    subject.Note state
    let shown = code |> Option.map string |> Option.defaultValue "none"
    subject.Note $"exit code {shown}"
    // One line, so that a known difference does not shift what follows.
    subject.Note((Normalise.text child.Error).Replace("\n", " | "))

let private group (name: string) (commandLines: string list) : Test =
    commandLines
    |> List.map (fun line -> differential $"{name}: {line}" (play (List.ofArray (line.Split ' '))))
    |> testList name

/// Output that lists what the daemon has differs with what is built; only its beginning and the exit code are compared.
let private listing (line: string) : Test =
    differential $"listing: {line}" (fun subject ->
        let result = ChildProcess.run subject.Path subject.Binary (List.ofArray (line.Split ' '))
        subject.Note $"exit code {result.ExitCode}"
        subject.Note(result.Output.Split('\n')[0])
        subject.Note(Normalise.text result.Error))

let private ownWords =
    testList "version and help" [
        testCase "-V names the version that management layers look for" (fun () ->
            let result = ChildProcess.run "/" Binaries.daemon.Value [ "-V"; "extra" ]
            Expect.equal result.ExitCode 0 "exit code"
            Expect.stringContains result.Output "version 10.0.2" "the version"
            Expect.equal result.Error "" "standard error")
        testCase "-h names every option" (fun () ->
            let result = ChildProcess.run "/" Binaries.daemon.Value [ "-h"; "extra" ]
            Expect.equal result.ExitCode 0 "exit code"

            for option in
                [
                    "--help"
                    "--trace"
                    "--version"
                    "--blockdev"
                    "--chardev"
                    "--daemonize"
                    "--export"
                ]
                @ [ "--monitor"; "--nbd-server"; "--object"; "--pidfile" ] do
                Expect.stringContains result.Output option "the help")
    ]

[<Tests>]
let tests =
    testSequenced
    <| testList "differential command lines" [
        group "options" CommandLineCases.options
        group "blockdev" CommandLineCases.blockdevs
        group "export" CommandLineCases.exports
        group "export over vhost-user" CommandLineCases.vhostUserExports
        group "chardev" CommandLineCases.chardevs
        group "object" CommandLineCases.objects
        testList "listings" [
            listing "--object help"
            listing "--object help,foo=1"
            listing "--object iothread,help"
            listing "--object secret,help"
            listing "--object secret_keyring,help"
            listing "--object main-loop,help"
            listing "--object thread-context,help"
            listing "--object authz-simple,help"
            listing "--object authz-list,help"
            listing "--object authz-list-file,help"
            listing "--object authz-listfile,help"
            listing "--object authz,help"
            listing "--object pr-manager-helper,help"
            listing "--chardev help"
            listing "--chardev bogus,help"
        ]
        ownWords
    ]

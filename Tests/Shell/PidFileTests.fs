module StorageDaemon.Tests.Shell.PidFileTests

open System
open System.Diagnostics
open System.IO
open Expecto
open StorageDaemon.Shell.Cli
open StorageDaemon.Tests.Shell.ShellSupport

let private errorOf path =
    let outcome = PidFile.Create path

    if isNull outcome.Error then
        outcome.Value.Dispose()
        "created"
    else
        outcome.Error

[<Tests>]
let tests =
    testSequenced
    <| testList "Shell.PidFile" [
        test "holds our id, for the owner only, and goes at the end" {
            withFolder (fun folder ->
                let path = Path.Combine(folder, "p")
                File.WriteAllText(path, "999999999999 left by a dead one")
                let file = PidFile.Create(path).Value
                Expect.equal (File.ReadAllText path) (string Environment.ProcessId + "\n") "id"
                file.Dispose()
                Expect.isFalse (File.Exists path) "unlinked"
                use again = PidFile.Create(path).Value

                Expect.equal (File.GetUnixFileMode path) (UnixFileMode.UserRead ||| UnixFileMode.UserWrite) "mode 0600")
        }

        test "a file locked by another process is refused" {
            withFolder (fun folder ->
                let path = Path.Combine(folder, "p")
                File.WriteAllText(path, "")

                let script =
                    "import fcntl,sys\nf=open(sys.argv[1],'r+')\nfcntl.lockf(f,fcntl.LOCK_EX)\nprint('ok',flush=True)\n"
                    + "sys.stdin.read()"

                let start = ProcessStartInfo("python3", RedirectStandardInput = true, RedirectStandardOutput = true)
                start.ArgumentList.Add "-c"
                start.ArgumentList.Add script
                start.ArgumentList.Add path
                use locker = Process.Start start
                locker.StandardOutput.ReadLine() |> ignore

                Expect.equal
                    (errorOf path)
                    "cannot create PID file: Cannot lock pid file: Resource temporarily unavailable"
                    "locked"

                locker.StandardInput.Close()
                locker.WaitForExit()
                Expect.equal (errorOf path) "created" "free again")
        }

        test "another file at its path is left alone" {
            withFolder (fun folder ->
                let path = Path.Combine(folder, "p")
                let file = PidFile.Create(path).Value
                File.Delete path
                File.WriteAllText(path, "another")
                file.Dispose()
                Expect.isTrue (File.Exists path) "kept")
        }

        test "error texts" {
            Expect.equal
                (errorOf "/nonexist/p")
                "cannot create PID file: Could not create '/nonexist/p': No such file or directory"
                "no folder"

            withFolder (fun folder ->
                Expect.equal
                    (errorOf folder)
                    ("cannot create PID file: Could not create '" + folder + "': Is a directory")
                    "folder")
        }

        test "leaves no descriptor behind" {
            withFolder (fun folder ->
                leavesNoDescriptors (fun () ->
                    PidFile.Create(Path.Combine(folder, "p")).Value.Dispose()
                    errorOf folder |> ignore))
        }
    ]

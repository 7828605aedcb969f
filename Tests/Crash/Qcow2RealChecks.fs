/// Images after crashes, and what the real check and ours have to say of them: a sample, for the real one is slow.
module StorageDaemon.Tests.Crash.Qcow2RealChecks

open System
open System.IO
open Expecto
open StorageDaemon.Core.Qcow2
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.TempDir
open StorageDaemon.Tests.Reference

let internal expectNoCorruption (where: string) (after: byte[]) =
    match ScriptRunner.run after (Check.run Check.defaultLimits CheckFix.Nothing 0 after.LongLength) with
    | Ok report, _, _ ->
        Expect.equal report.Corruptions 0L (where + ": our check")
        Expect.equal report.CheckErrors 0L (where + ": our check")
    | Error error, _, _ -> failtest (where + ": " + error.ToString())

/// Lets the real tool judge a file; `directory` is for it.
let internal expectRealAgrees (directory: TempDir) (qemuImg: string) (where: string) (after: byte[]) =
    File.WriteAllBytes(directory.File "image", after)
    let answer = ChildProcess.run directory.Path qemuImg [ "check"; "-q"; "-f"; "qcow2"; "image" ]

    if answer.ExitCode <> 0 && answer.ExitCode <> 3 then
        failtest (where + ": " + answer.Output + answer.Error)

[<Tests>]
let tests =
    testCase "Crash.Qcow2: the real check agrees that there are at most leaks"
    <| fun () ->
        let qemuImg = Requires.tool "qemu-img"
        use directory = new TempDir()
        let first = Qcow2CrashTests.firstSeed ()
        let checks = ref 0

        for seed in first .. first + 11 do
            let random = Random seed
            let where = "seed " + string seed

            let inspect (after: byte[]) =
                if random.Next 25 = 0 then
                    expectNoCorruption where after

                if random.Next 40 = 0 then
                    checks.Value <- checks.Value + 1
                    expectRealAgrees directory qemuImg where after

            Qcow2CrashTests.run inspect seed 60 2 (seed % 2 = 0) |> ignore

        Console.Out.WriteLine("real checks from seed " + string first + ": " + string checks.Value)

/// Images after crashes, and what the real check and ours have to say of them: a sample, for the real one is slow.
module StorageDaemon.Tests.Crash.Qcow2RealChecks

open System
open System.IO
open Expecto
open StorageDaemon.Core.Qcow2
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.TempDir
open StorageDaemon.Tests.Reference

let private expectNoCorruption (where: string) (after: byte[]) =
    match ScriptRunner.run after (Check.run Check.defaultLimits CheckFix.Nothing 0 after.LongLength) with
    | Ok report, _, _ ->
        Expect.equal report.Corruptions 0L (where + ": our check")
        Expect.equal report.CheckErrors 0L (where + ": our check")
    | Error error, _, _ -> failtest (where + ": " + error.ToString())

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

            let inspect (after: byte[]) =
                if random.Next 25 = 0 then
                    expectNoCorruption ("seed " + string seed) after

                if random.Next 40 = 0 then
                    File.WriteAllBytes(directory.File "image", after)
                    let answer = ChildProcess.run directory.Path qemuImg [ "check"; "-q"; "-f"; "qcow2"; "image" ]
                    checks.Value <- checks.Value + 1

                    if answer.ExitCode <> 0 && answer.ExitCode <> 3 then
                        failtest ("seed " + string seed + ": " + answer.Output)

            Qcow2CrashTests.run inspect seed 60 2 (seed % 2 = 0) |> ignore

        Console.Out.WriteLine("real checks from seed " + string first + ": " + string checks.Value)

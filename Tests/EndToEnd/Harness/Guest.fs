/// A guest: a small Linux in QEMU, without KVM, whose task is a script. It tells on its console how that went.
module StorageDaemon.Tests.Harness.Guest

open System
open System.IO
open System.Text.RegularExpressions

/// What QEMU is told, beside what every guest has.
type Options = {
    Processors: int
    MemoryMiB: int
    /// Further arguments of QEMU: devices. The guest's memory may be shared.
    Arguments: string list
}

/// Time for a guest from its start to its end, on a busy machine.
let private patience = TimeSpan.FromMinutes 3.0

/// A daemon that runs inside a guest: the published binary. What the runtime would have to come with skips the test.
let daemonInside () : string =
    let binary = Binaries.daemon.Value

    Requires.that
        (not (File.Exists(Path.ChangeExtension(binary, ".runtimeconfig.json"))))
        "requires a native binary of the daemon"

    binary

/// Starts a guest. Disposing it kills it.
type Guest(contents: Initramfs.Contents, options: Options) =
    let qemu = Requires.tool "qemu-system-x86_64"
    let directory = new TempDir.TempDir()
    let initramfs = directory.File "initramfs"
    do Initramfs.write initramfs contents

    let child =
        new ChildProcess.Child(
            ChildProcess.options
                qemu
                ([
                    "-nodefaults"
                    "-no-user-config"
                    "-display"
                    "none"
                    "-no-reboot"
                    "-serial"
                    "stdio"
                    // KVM may be there and yet boot nothing, for instance inside another virtual machine.
                    "-accel"
                    "tcg,thread=multi"
                    "-cpu"
                    "max"
                    "-M"
                    "q35,memory-backend=memory"
                    "-smp"
                    $"{options.Processors}"
                    "-m"
                    $"{options.MemoryMiB}M"
                    "-object"
                    $"memory-backend-memfd,id=memory,size={options.MemoryMiB}M,share=on"
                    "-kernel"
                    Initramfs.kernel ()
                    "-initrd"
                    initramfs
                    "-append"
                    "console=ttyS0 quiet panic=-1 tsc=reliable no_timer_check mitigations=off random.trust_cpu=on"
                 ]
                 @ options.Arguments)
                directory.Path
        )

    /// All that has come from the serial line, and what QEMU said.
    member _.Console: string = child.Output.Replace("\r", "") + child.Error

    /// Whether the guest has written a line that begins with `text`.
    member this.HasSaid(text: string) : bool =
        Regex.IsMatch(this.Console, "(?m)^" + Regex.Escape text)

    /// Waits until the guest has written a line that begins with `text`; fails when it ends without.
    member this.WaitFor(text: string) : unit =
        Wait.until patience (fun () -> this.HasSaid text || child.HasExited) |> ignore

        if not (this.HasSaid text) then
            failwith $"the guest never said {text}:\n{this.Console}"

    /// A line for the script, which reads it from its standard input.
    member _.Say(line: string) : unit =
        child.Input.Write(Text.Encoding.ASCII.GetBytes(line + "\n"))
        child.Input.Flush()

    /// Waits for the end: what the guest has said. Fails unless the script's status was 0.
    member this.Finish() : string =
        match child.WaitExit patience with
        | None -> failwith $"the guest does not end:\n{this.Console}"
        | Some _ ->
            let status = Regex.Match(this.Console, @"(?m)^GUEST-EXIT (\d+)").Groups[1].Value

            if status <> "0" then
                failwith $"the guest's script ended with '{status}':\n{this.Console}"

            this.Console

    interface IDisposable with
        member _.Dispose() =
            (child :> IDisposable).Dispose()
            (directory :> IDisposable).Dispose()

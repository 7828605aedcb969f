/// The few system calls that the harness needs and .NET does not offer.
module StorageDaemon.Tests.Harness.Native

open System.Runtime.InteropServices

let SIGHUP = 1
let SIGINT = 2
let SIGKILL = 9
let SIGTERM = 15

let private F_SETFD = 2
let private FD_CLOEXEC = 1

[<DllImport("libc", EntryPoint = "kill", SetLastError = true)>]
extern int private sysKill(int pid, int signal)

[<DllImport("libc", EntryPoint = "fcntl", SetLastError = true)>]
extern int private sysFcntl(int fd, int command, int argument)

/// Sends a signal; false when the process is gone.
let kill (pid: int) (signal: int) : bool = sysKill (pid, signal) = 0

/// Lets a descriptor survive, or not survive, exec: .NET opens every descriptor close-on-exec.
let setInherited (fd: int) (inherited: bool) : unit =
    if sysFcntl (fd, F_SETFD, (if inherited then 0 else FD_CLOEXEC)) < 0 then
        failwith $"fcntl(F_SETFD) on descriptor {fd}: errno {Marshal.GetLastPInvokeError()}"

[<Struct; StructLayout(LayoutKind.Sequential)>]
type private Timespec = { mutable Seconds: int64; mutable Nanoseconds: int64 }

[<DllImport("libc", EntryPoint = "clock_gettime", SetLastError = true)>]
extern int private sysClockGettime(int clock, Timespec& time)

/// CPU time of a process in nanoseconds, user and kernel, all its threads and those that ended; 0 when it is gone.
let processCpuNs (pid: int) : int64 =
    // A process's CPU clock as clock_getcpuclockid(3) computes it: the inverted pid, and 2 for the scheduler's count.
    let clock = (~~~pid <<< 3) ||| 2
    let mutable time = { Seconds = 0L; Nanoseconds = 0L }

    if sysClockGettime (clock, &time) = 0 then
        time.Seconds * 1_000_000_000L + time.Nanoseconds
    else
        0L

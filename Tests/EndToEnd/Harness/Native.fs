/// The few system calls that the harness needs and .NET does not offer.
module StorageDaemon.Tests.Harness.Native

open System.IO
open System.Runtime.InteropServices
open Microsoft.Win32.SafeHandles

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

let private O_RDWR = 2
let private O_NOCTTY = 0o400
let private O_CLOEXEC = 0o2000000
let private TIOCGPTN = 0x80045430UL
let private TIOCSPTLCK = 0x40045431UL

[<DllImport("libc", EntryPoint = "open", SetLastError = true)>]
extern int private sysOpen(string path, int flags)

[<DllImport("libc", EntryPoint = "ioctl", SetLastError = true)>]
extern int private sysIoctl(int fd, uint64 request, int& argument)

let private streamOf (fd: int) : FileStream =
    new FileStream(new SafeFileHandle(nativeint fd, true), FileAccess.ReadWrite, 0)

/// Opens a terminal, pipe or device for both directions. A terminal does not become the test's own.
let openDevice (path: string) : FileStream =
    match sysOpen (path, O_RDWR ||| O_NOCTTY ||| O_CLOEXEC) with
    | fd when fd >= 0 -> streamOf fd
    | _ -> failwith $"open {path}: errno {Marshal.GetLastPInvokeError()}"

/// A new terminal: this side of it, and the path of the other.
let newTerminal () : FileStream * string =
    let fd = sysOpen ("/dev/ptmx", O_RDWR ||| O_NOCTTY ||| O_CLOEXEC)
    let mutable locked = 0
    let mutable number = 0

    if
        fd < 0
        || sysIoctl (fd, TIOCSPTLCK, &locked) < 0
        || sysIoctl (fd, TIOCGPTN, &number) < 0
    then
        failwith $"a terminal: errno {Marshal.GetLastPInvokeError()}"

    streamOf fd, $"/dev/pts/{number}"

[<Struct; StructLayout(LayoutKind.Sequential)>]
type private PollFd = {
    mutable Fd: int
    mutable Events: int16
    mutable Revents: int16
}

[<DllImport("libc", EntryPoint = "poll", SetLastError = true)>]
extern int private sysPoll(PollFd& fds, uint64 count, int timeoutMs)

/// Waits until something can be read, or the end; false when nothing came in time.
let waitReadable (device: FileStream) (timeoutMs: int) : bool =
    let POLLIN = 1s

    let mutable fd = {
        Fd = int (device.SafeFileHandle.DangerousGetHandle())
        Events = POLLIN
        Revents = 0s
    }

    sysPoll (&fd, 1UL, timeoutMs) > 0

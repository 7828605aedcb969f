using System;
using Microsoft.FSharp.Collections;
using StorageDaemon.Core.Chardev;
using StorageDaemon.Core.Options;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Net;

/// <summary>Sockets that the parent process passed, by number or, from a supervisor, by name.</summary>
internal static class PassedSocket
{
    /// <summary>What the supervisor has passed; set once, before any option is processed.</summary>
    internal static FSharpList<Tuple<string, int>> Named { get; set; } = Activation.none;

    /// <summary>Whether the address is a name under which the supervisor has passed a socket, or might have.</summary>
    internal static bool IsNamed(FdAddress address) => !Named.IsEmpty && Activation.isName(address.Name);

    /// <summary>
    /// The descriptor, checked to be a socket and set close-on-exec. One that was passed by number becomes ours. Of one
    /// that has a name and listens it is a copy, so that a server can be stopped and started again.
    /// </summary>
    internal static Outcome<int> Take(FdAddress address)
    {
        if (IsNamed(address))
        {
            return TakeNamed(address.Name);
        }

        if (address.FromMonitor)
        {
            return Outcome<int>.Fail("only QEMU supports file descriptor passing");
        }

        var number = AddressRules.parseFd(address.Name);
        if (number.IsError)
        {
            return Outcome<int>.Fail(number.ErrorValue);
        }

        int fd = number.ResultValue;
        if (Libc.GetSockOptInt(fd, Libc.SOL_SOCKET, Libc.SO_TYPE) == null)
        {
            return Outcome<int>.Fail("File descriptor '" + address.Name + "' is not a socket");
        }

        _ = Libc.Fcntl(fd, Libc.F_SETFD, Libc.FD_CLOEXEC);
        return Outcome<int>.Ok(fd);
    }

    private static Outcome<int> TakeNamed(string name)
    {
        var found = Activation.find(name, Named);
        if (found.IsError)
        {
            return Outcome<int>.Fail(found.ErrorValue.Desc);
        }

        int fd = found.ResultValue;
        switch (Libc.GetSockOptInt(fd, Libc.SOL_SOCKET, Libc.SO_ACCEPTCONN))
        {
            case null:
                return Outcome<int>.Fail("File descriptor '" + name + "' is not a socket");
            case 0:
                // A connection ends with its last descriptor, so there must be no other.
                Named = ListModule.OfSeq(ListModule.Where(
                    Microsoft.FSharp.Core.FuncConvert.FromFunc((Tuple<string, int> passed) => passed.Item2 != fd), Named));
                return Outcome<int>.Ok(fd);
            default:
                int copy = Libc.Fcntl(fd, Libc.F_DUPFD_CLOEXEC, 0);
                return copy < 0
                    ? Outcome<int>.Fail("Failed to copy fd socket: " + Libc.Strerror(Libc.Errno))
                    : Outcome<int>.Ok(copy);
        }
    }
}

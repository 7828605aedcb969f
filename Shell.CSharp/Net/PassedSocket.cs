using StorageDaemon.Core.Chardev;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Net;

/// <summary>Sockets that the parent process passed by number.</summary>
internal static class PassedSocket
{
    /// <summary>The descriptor itself, checked to be a socket and set close-on-exec.</summary>
    internal static unsafe Outcome<int> Take(FdAddress address)
    {
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
        int type = 0;
        uint length = sizeof(int);
        if (Libc.GetSockOpt(fd, Libc.SOL_SOCKET, Libc.SO_TYPE, &type, &length) < 0)
        {
            return Outcome<int>.Fail("File descriptor '" + address.Name + "' is not a socket");
        }

        _ = Libc.Fcntl(fd, Libc.F_SETFD, Libc.FD_CLOEXEC);
        return Outcome<int>.Ok(fd);
    }
}

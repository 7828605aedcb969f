using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Native;
using StorageDaemon.Shell.Net;

namespace StorageDaemon.Shell.Chardev;

/// <summary>Opens the devices on files and named pipes.</summary>
internal static class FileChardev
{
    private const uint DefaultMode = 0x1b6; // 0666

    internal static Outcome<CharacterDevice> Open(Reactor reactor, string id, FileOptions options, OutputLog? log)
    {
        int input = -1;
        if (options.Input is string inputPath)
        {
            input = OpenFile(inputPath, Libc.O_RDONLY);
            if (input < 0)
            {
                return CannotOpen(inputPath);
            }
        }

        int flags = Libc.O_WRONLY | Libc.O_CREAT | (options.Append ? Libc.O_APPEND : Libc.O_TRUNC);
        int output = OpenFile(options.Output, flags);
        if (output < 0)
        {
            Outcome<CharacterDevice> failure = CannotOpen(options.Output);
            if (input >= 0)
            {
                _ = Libc.Close(input);
            }

            return failure;
        }

        return Outcome<CharacterDevice>.Ok(
            new StreamChardev(reactor, id, log, "file", input, output, ownsDescriptors: true));
    }

    /// <summary>PATH.in and PATH.out when both exist, else PATH for both directions.</summary>
    internal static Outcome<CharacterDevice> OpenPipe(Reactor reactor, string id, PipeOptions options, OutputLog? log)
    {
        int input = OpenFile(options.Path + ".in", Libc.O_RDWR);
        int output = OpenFile(options.Path + ".out", Libc.O_RDWR);
        if (input < 0 || output < 0)
        {
            foreach (int fd in new[] { input, output })
            {
                if (fd >= 0)
                {
                    _ = Libc.Close(fd);
                }
            }

            input = OpenFile(options.Path, Libc.O_RDWR);
            output = input;
            if (input < 0)
            {
                return CannotOpen(options.Path);
            }
        }

        return Outcome<CharacterDevice>.Ok(
            new StreamChardev(reactor, id, log, "pipe", input, output, ownsDescriptors: true));
    }

    internal static int OpenFile(string path, int flags)
    {
        int fd;
        do
        {
            fd = Libc.Open(path, flags | Libc.O_CLOEXEC | Libc.O_NONBLOCK | Libc.O_NOCTTY, DefaultMode);
        }
        while (fd < 0 && Libc.Errno == Core.Errno.EINTR);
        return fd;
    }

    internal static Outcome<CharacterDevice> CannotOpen(string path)
    {
        string reason = Libc.Strerror(Libc.Errno);
        return Outcome<CharacterDevice>.Fail("Could not open '" + path + "': " + reason);
    }
}

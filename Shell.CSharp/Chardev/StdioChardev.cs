using StorageDaemon.Shell.Native;
using StorageDaemon.Shell.Net;

namespace StorageDaemon.Shell.Chardev;

/// <summary>
/// Standard input and output. The terminal's mode and the descriptors' flags, which other processes share, are
/// restored when the device goes. The end of the input does not end the process.
/// </summary>
internal sealed class StdioChardev : StreamChardev
{
    private const int Input = 0;
    private const int Output = 1;

    private static bool isTaken;

    private readonly Terminal terminal;
    private readonly int inputFlags;
    private readonly int outputFlags;

    private StdioChardev(ChardevContext context, string id, StdioOptions options, OutputLog? log)
        : base(context.Reactor, id, log, "stdio", Input, Output, ownsDescriptors: false)
    {
        isTaken = true;
        inputFlags = Libc.Fcntl(Input, Libc.F_GETFL, 0);
        outputFlags = Libc.Fcntl(Output, Libc.F_GETFL, 0);
        _ = Libc.Fcntl(Input, Libc.F_SETFL, inputFlags | Libc.O_NONBLOCK);
        _ = Libc.Fcntl(Output, Libc.F_SETFL, outputFlags | Libc.O_NONBLOCK);
        terminal = new Terminal(Input, options.Signal);
        terminal.SetEcho(false);
    }

    internal static Outcome<CharacterDevice> Open(ChardevContext context, string id, StdioOptions options, OutputLog? log)
    {
        if (context.Daemonized)
        {
            return Outcome<CharacterDevice>.Fail("cannot use stdio with -daemonize");
        }

        return isTaken
            ? Outcome<CharacterDevice>.Fail("cannot use stdio by multiple character devices")
            : Outcome<CharacterDevice>.Ok(new StdioChardev(context, id, options, log));
    }

    internal override void SetEcho(bool echo) => terminal.SetEcho(echo);

    protected override void DisposeDevice()
    {
        base.DisposeDevice();
        terminal.Restore();
        _ = Libc.Fcntl(Input, Libc.F_SETFL, inputFlags);
        _ = Libc.Fcntl(Output, Libc.F_SETFL, outputFlags);
        isTaken = false;
    }
}

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

    private static bool _isTaken;

    private readonly Terminal _terminal;
    private readonly int _inputFlags;
    private readonly int _outputFlags;

    private StdioChardev(ChardevContext context, string id, StdioOptions options, OutputLog? log)
        : base(context.Reactor, id, log, "stdio", Input, Output, ownsDescriptors: false)
    {
        _isTaken = true;
        _inputFlags = Libc.Fcntl(Input, Libc.F_GETFL, 0);
        _outputFlags = Libc.Fcntl(Output, Libc.F_GETFL, 0);
        _ = Libc.Fcntl(Input, Libc.F_SETFL, _inputFlags | Libc.O_NONBLOCK);
        _ = Libc.Fcntl(Output, Libc.F_SETFL, _outputFlags | Libc.O_NONBLOCK);
        _terminal = new Terminal(Input, options.Signal);
        _terminal.SetEcho(false);
    }

    internal static Outcome<CharacterDevice> Open(ChardevContext context, string id, StdioOptions options, OutputLog? log)
    {
        if (context.Daemonized)
        {
            return Outcome<CharacterDevice>.Fail("cannot use stdio with -daemonize");
        }

        return _isTaken
            ? Outcome<CharacterDevice>.Fail("cannot use stdio by multiple character devices")
            : Outcome<CharacterDevice>.Ok(new StdioChardev(context, id, options, log));
    }

    internal override void SetEcho(bool echo) => _terminal.SetEcho(echo);

    protected override void DisposeDevice()
    {
        base.DisposeDevice();
        _terminal.Restore();
        _ = Libc.Fcntl(Input, Libc.F_SETFL, _inputFlags);
        _ = Libc.Fcntl(Output, Libc.F_SETFL, _outputFlags);
        _isTaken = false;
    }
}

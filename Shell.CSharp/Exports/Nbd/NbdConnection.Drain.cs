using System.Globalization;
using StorageDaemon.Shell.IOThreads;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Exports.Nbd;

/// <summary>
/// Changes of the graph: the connection stops taking requests up, tells when none is in flight any more, and goes on
/// with another path, possibly on another thread. What the client sends meanwhile waits in the socket.
/// </summary>
internal sealed unsafe partial class NbdConnection
{
    private bool _paused;
    private Drain? _drain;

    public void Pause(Drain drain)
    {
        _paused = true;
        _drain = drain;
        TellDrained();
    }

    public void Resume()
    {
        _paused = false;
        if (_finished)
        {
            return;
        }

        if (_key < 0)
        {
            Attach();
            return;
        }

        TakePath();
        _thread.Schedule(this);
    }

    /// <summary>Replies that are not sent yet come along: their memory belongs to no thread.</summary>
    public void Leave(Drain drain)
    {
        if (!_finished)
        {
            _thread.Unregister(_fd, _key);
            _key = -1;
            _thread.Forget(this);
        }

        drain.Done();
    }

    public void MoveTo(IOThread thread) => _thread = thread;

    private void TakePath()
    {
        if (_path != _export.Path)
        {
            _path = _export.Path;
            _extent = default;
        }

        _stats = _path.StatsOf(_thread.Index);
        _inline = (ulong)_path.SizeBytes >= _session.SizeBytes;
    }

    private void TellDrained()
    {
        if (_drain is { } drain && _ioInFlight == 0)
        {
            _drain = null;
            LetGoOfFiles();
            drain.Done();
        }
    }

    /// <summary>
    /// Replies that are still to be sent from a file keep it by a descriptor of their own, without the node's locks:
    /// the client may take its time, and the file may be closed.
    /// </summary>
    private void LetGoOfFiles()
    {
        for (int i = 0; i < _outCount; i++)
        {
            ref OutItem item = ref _out[(_outHead + i) & (_out.Length - 1)];
            if (item.FileLength == 0 || item.FileFd == NoFile || item.OwnsFile)
            {
                continue;
            }

            string path = "/proc/self/fd/" + item.FileFd.ToString(CultureInfo.InvariantCulture);
            int fd = Libc.Open(path, Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
            if (fd < 0)
            {
                // The reply's header is out, so its data cannot be replaced by an error.
                Fail();
                return;
            }

            item.FileFd = fd;
            item.OwnsFile = true;
        }
    }
}

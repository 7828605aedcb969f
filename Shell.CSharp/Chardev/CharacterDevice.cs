using System;
using StorageDaemon.Core.Chardev;

namespace StorageDaemon.Shell.Chardev;

/// <summary>
/// A character device: a byte stream to the outside world with at most one frontend. Belongs to the loop's thread.
/// </summary>
internal abstract class CharacterDevice : IDisposable
{
    /// <summary>How long the last output may hold up the end of the device.</summary>
    protected const int FinalFlushMs = 150;

    private IChardevFrontend? _frontend;
    private int _suspendCount;

    protected CharacterDevice(string id, OutputLog? log)
    {
        Id = id;
        Log = log;
    }

    internal string Id { get; }

    /// <summary>The label that query-chardev calls `filename`.</summary>
    internal abstract string Filename { get; }

    internal virtual bool FrontendOpen => _frontend is { IsListening: true };

    /// <summary>How many devices stand one on another below this one.</summary>
    internal virtual int Height => 0;

    /// <summary>Whether output reaches somebody after the input has ended.</summary>
    internal virtual bool OutputOutlivesInput => false;

    /// <summary>A socket that has a peer now.</summary>
    internal virtual bool HasPeer => false;

    /// <summary>Where a listening socket is bound; null for all other kinds.</summary>
    internal virtual LabelAddress? Bound => null;

    /// <summary>The path of the slave side of a pseudo-terminal; null for all other kinds.</summary>
    internal virtual string? PtyPath => null;

    /// <summary>Bytes of output that wait for the other side.</summary>
    internal virtual int PendingBytes => 0;

    /// <summary>The other side is there.</summary>
    protected bool IsOpen { get; private set; }

    protected OutputLog? Log { get; }

    /// <summary>The frontend takes input now; a device without one does not read.</summary>
    protected bool WantsInput => _frontend is not null && _suspendCount == 0;

    /// <summary>
    /// The device that a new frontend attaches to: another one where several share it; null when there are too many.
    /// </summary>
    internal virtual CharacterDevice? NewPort() => this;

    /// <summary>
    /// Gives the device to a frontend; false when another has it. An open device says so to it at once.
    /// </summary>
    internal bool AttachFrontend(IChardevFrontend newFrontend)
    {
        if (_frontend is not null)
        {
            return false;
        }

        _frontend = newFrontend;
        _suspendCount = 0;
        OnInputWanted();
        if (IsOpen)
        {
            newFrontend.OnOpened();
        }

        return true;
    }

    /// <summary>Takes the device from its frontend, which hears nothing more; returns it, or null.</summary>
    internal IChardevFrontend? DetachFrontend()
    {
        IChardevFrontend? previous = _frontend;
        _frontend = null;
        OnInputWanted();
        OnFrontendGone();
        return previous;
    }

    /// <summary>
    /// Sends bytes. What the other side does not take now is kept (see <see cref="PendingBytes"/>); without another
    /// side the bytes are dropped. The log gets them in any case.
    /// </summary>
    internal void Write(ReadOnlySpan<byte> bytes)
    {
        Log?.Write(bytes);
        WriteOut(bytes);
    }

    /// <summary>Stops input until as many calls of <see cref="ResumeInput"/>.</summary>
    internal void SuspendInput()
    {
        _suspendCount++;
        OnInputWanted();
    }

    internal void ResumeInput()
    {
        if (_suspendCount > 0)
        {
            _suspendCount--;
            OnInputWanted();
        }
    }

    /// <summary>Cuts the connection of a socket; other kinds have none.</summary>
    internal virtual void Disconnect()
    {
    }

    /// <summary>Whether a terminal shows what is typed (and edits lines).</summary>
    internal virtual void SetEcho(bool echo)
    {
    }

    public void Dispose()
    {
        _frontend = null;
        IsOpen = false;
        DisposeDevice();
        Log?.Dispose();
    }

    protected abstract void WriteOut(ReadOnlySpan<byte> bytes);

    /// <summary>Releases descriptors and files; there is no frontend any more.</summary>
    protected abstract void DisposeDevice();

    /// <summary><see cref="WantsInput"/> may have changed.</summary>
    protected virtual void OnInputWanted()
    {
    }

    /// <summary>The frontend has been taken away.</summary>
    protected virtual void OnFrontendGone()
    {
    }

    protected void RaiseOpened()
    {
        if (!IsOpen)
        {
            IsOpen = true;
            _frontend?.OnOpened();
        }
    }

    protected void RaiseClosed()
    {
        if (IsOpen)
        {
            IsOpen = false;
            _frontend?.OnClosed();
        }
    }

    protected void RaiseBytes(ReadOnlySpan<byte> bytes) => _frontend?.OnBytes(bytes);

    protected void RaiseDrained() => _frontend?.OnDrained();
}

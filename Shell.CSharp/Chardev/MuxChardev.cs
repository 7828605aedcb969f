using System;
using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;
using StorageDaemon.Core.Chardev;

namespace StorageDaemon.Shell.Chardev;

/// <summary>
/// Shares a device between several frontends, each of which has a port. What the keys do is the core's
/// <see cref="Mux"/>; this runs it.
/// </summary>
internal sealed class MuxChardev : CharacterDevice, IChardevFrontend
{
    private readonly ChardevContext _context;
    private readonly CharacterDevice _base;
    private readonly MuxPort?[] _ports = new MuxPort?[Mux.MaxFrontends];
    private MuxState _state = Mux.initial;
    private bool _isSuspended;
    private bool _isDisposed;

    internal MuxChardev(ChardevContext context, string id, CharacterDevice device, OutputLog? log)
        : base(id, log)
    {
        _context = context;
        _base = device;
        _ = device.AttachFrontend(this);
        ApplyFlow();
    }

    internal override string Filename => "mux";

    internal override int Height => _base.Height + 1;

    internal override bool FrontendOpen => Array.Exists(_ports, port => port is { FrontendOpen: true });

    internal override int PendingBytes => _base.PendingBytes;

    internal override bool OutputOutlivesInput => _base.OutputOutlivesInput;

    internal override CharacterDevice? NewPort()
    {
        FSharpValueOption<MuxState> attached = Mux.attach(_state);
        if (attached.IsNone)
        {
            return null;
        }

        _state = attached.Value;
        var port = new MuxPort(this, _state.Focus);
        _ports[_state.Focus] = port;
        port.Follow(IsOpen);
        ApplyFlow();
        return port;
    }

    internal override void Disconnect() => _base.Disconnect();

    bool IChardevFrontend.IsListening => FrontendOpen;

    public void OnOpened()
    {
        RaiseOpened();
        foreach (MuxPort? port in _ports)
        {
            port?.Follow(true);
        }
    }

    public void OnClosed()
    {
        RaiseClosed();
        foreach (MuxPort? port in _ports)
        {
            port?.Follow(false);
        }
    }

    public void OnDrained()
    {
        foreach (MuxPort? port in _ports)
        {
            port?.Drained();
        }
    }

    public void OnBytes(ReadOnlySpan<byte> bytes)
    {
        (MuxState state, FSharpList<MuxInput> inputs) = Mux.input(_state, bytes);
        _state = state;
        foreach (MuxInput input in inputs)
        {
            switch (input)
            {
                case MuxInput.Deliver deliver:
                    _ports[deliver.frontend]?.Take(deliver.Item2.Span);
                    break;
                case MuxInput.Reply reply:
                    WriteOut(reply.Item.Span);
                    break;
                default:
                    // Monitors do not heed a break.
                    if (input.IsQuit)
                    {
                        _context.Quit();
                    }

                    break;
            }
        }

        ApplyFlow();
    }

    /// <summary>The frontend of a port has gone.</summary>
    internal void Release(int number)
    {
        _ports[number] = null;
        _state = Mux.detach(number, _state);
        ApplyFlow();
    }

    /// <summary>Output of a port.</summary>
    internal void WriteFrom(ReadOnlySpan<byte> bytes) => Write(bytes);

    /// <summary>Reads from the device only while the frontend that has the focus takes input.</summary>
    internal void ApplyFlow()
    {
        bool suspend = _state.Focus < 0 || _ports[_state.Focus] is not { TakesInput: true };
        if (suspend == _isSuspended || _isDisposed)
        {
            return;
        }

        _isSuspended = suspend;
        if (suspend)
        {
            _base.SuspendInput();
        }
        else
        {
            _base.ResumeInput();
        }
    }

    protected override void WriteOut(ReadOnlySpan<byte> bytes)
    {
        (MuxState state, byte[] written) = Mux.output(Environment.TickCount64, _state, bytes);
        _state = state;
        _base.Write(written);
    }

    protected override void DisposeDevice()
    {
        _isDisposed = true;
        _ = _base.DetachFrontend();
        foreach (MuxPort? port in _ports)
        {
            port?.Dispose();
        }
    }
}

/// <summary>One frontend's share of a <see cref="MuxChardev"/>.</summary>
internal sealed class MuxPort(MuxChardev mux, int number) : CharacterDevice(mux.Id, null)
{
    internal override int Height => mux.Height;

    internal override string Filename => mux.Filename;

    internal override int PendingBytes => mux.PendingBytes;

    internal override bool OutputOutlivesInput => mux.OutputOutlivesInput;

    internal bool TakesInput => WantsInput;

    internal override void Disconnect() => mux.Disconnect();

    internal void Follow(bool isOpen)
    {
        if (isOpen)
        {
            RaiseOpened();
        }
        else
        {
            RaiseClosed();
        }
    }

    internal void Take(ReadOnlySpan<byte> bytes) => RaiseBytes(bytes);

    internal void Drained() => RaiseDrained();

    protected override void OnInputWanted() => mux.ApplyFlow();

    protected override void WriteOut(ReadOnlySpan<byte> bytes) => mux.WriteFrom(bytes);

    protected override void OnFrontendGone() => mux.Release(number);

    protected override void DisposeDevice()
    {
    }
}

using System;
using System.Collections.Generic;
using System.Linq;

namespace StorageDaemon.Shell.Chardev;

/// <summary>
/// Several devices as one: each gets all output, and the input of all of them is taken. It is open while one of them
/// is.
/// </summary>
internal sealed class HubChardev : CharacterDevice
{
    private readonly List<Spoke> _spokes = [];

    internal HubChardev(string id, IReadOnlyList<CharacterDevice> devices, OutputLog? log)
        : base(id, log)
    {
        foreach (CharacterDevice device in devices)
        {
            var spoke = new Spoke(this, device);
            _spokes.Add(spoke);
            _ = device.AttachFrontend(spoke);
            device.SuspendInput();
        }
    }

    internal override string Filename => "hub";

    internal override int Height => _spokes.Max(spoke => spoke.Device.Height) + 1;

    internal override int PendingBytes => _spokes.Max(spoke => spoke.Device.PendingBytes);

    internal override bool OutputOutlivesInput => _spokes.Exists(spoke => spoke.Device.OutputOutlivesInput);

    internal override void Disconnect()
    {
        foreach (Spoke spoke in _spokes)
        {
            spoke.Device.Disconnect();
        }
    }

    protected override void OnInputWanted()
    {
        foreach (Spoke spoke in _spokes)
        {
            spoke.Want(WantsInput);
        }
    }

    protected override void WriteOut(ReadOnlySpan<byte> bytes)
    {
        foreach (Spoke spoke in _spokes)
        {
            spoke.Device.Write(bytes);
        }
    }

    protected override void DisposeDevice()
    {
        foreach (Spoke spoke in _spokes)
        {
            _ = spoke.Device.DetachFrontend();
        }
    }

    private void Update()
    {
        if (_spokes.Exists(spoke => spoke.IsOpen))
        {
            RaiseOpened();
        }
        else
        {
            RaiseClosed();
        }
    }

    /// <summary>The hub as the frontend of one of its devices.</summary>
    private sealed class Spoke(HubChardev hub, CharacterDevice device) : IChardevFrontend
    {
        private bool _wantsInput;

        internal CharacterDevice Device => device;

        internal bool IsOpen { get; private set; }

        /// <summary>Reading begins suspended.</summary>
        internal void Want(bool wanted)
        {
            if (wanted == _wantsInput)
            {
                return;
            }

            _wantsInput = wanted;
            if (wanted)
            {
                device.ResumeInput();
            }
            else
            {
                device.SuspendInput();
            }
        }

        bool IChardevFrontend.IsListening => hub.FrontendOpen;

        public void OnOpened()
        {
            IsOpen = true;
            hub.Update();
        }

        public void OnClosed()
        {
            IsOpen = false;
            hub.Update();
        }

        public void OnBytes(ReadOnlySpan<byte> bytes) => hub.RaiseBytes(bytes);

        public void OnDrained()
        {
            if (hub.PendingBytes == 0)
            {
                hub.RaiseDrained();
            }
        }
    }
}

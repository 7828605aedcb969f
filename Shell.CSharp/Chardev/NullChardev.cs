using System;

namespace StorageDaemon.Shell.Chardev;

/// <summary>Always open, never any input, output vanishes.</summary>
internal sealed class NullChardev : CharacterDevice
{
    internal NullChardev(string id, OutputLog? log)
        : base(id, log) => RaiseOpened();

    internal override string Filename => "null";

    protected override void WriteOut(ReadOnlySpan<byte> bytes)
    {
    }

    protected override void DisposeDevice()
    {
    }
}

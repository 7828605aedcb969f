using System;

namespace StorageDaemon.Shell.Chardev;

/// <summary>What uses a character device (a monitor). All calls come on the loop's thread.</summary>
internal interface IChardevFrontend
{
    /// <summary>Somebody uses the device through this: another device may have no frontend itself.</summary>
    bool IsListening => true;

    /// <summary>The other side is there: after a connect, or at once when attaching to an open device.</summary>
    void OnOpened();

    /// <summary>Input; the span is only valid during the call. At most 64 KiB a time.</summary>
    void OnBytes(ReadOnlySpan<byte> bytes);

    /// <summary>The other side has gone; what was not written yet is lost.</summary>
    void OnClosed();

    /// <summary>Everything that <see cref="CharacterDevice.Write"/> had to keep back is written.</summary>
    void OnDrained();
}

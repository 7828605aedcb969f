using System.Globalization;
using StorageDaemon.Shell.Native;
using StorageDaemon.Shell.Net;

namespace StorageDaemon.Shell.Crypto;

/// <summary>Keys in the kernel's keyrings.</summary>
internal static unsafe class KernelKey
{
    /// <summary>The payload of a key, at most <paramref name="maxBytes"/> long.</summary>
    internal static Outcome<byte[]> Read(int serial, int maxBytes)
    {
        string place = "Unable to read serial key " + serial.ToString("x8", CultureInfo.InvariantCulture) + ": ";
        long length = Libc.KeyctlRead(serial, null, 0);
        while (length >= 0 && length <= maxBytes)
        {
            byte[] payload = new byte[length];
            long now;
            fixed (byte* start = payload)
            {
                now = Libc.KeyctlRead(serial, start, (nuint)length);
            }

            // Somebody may have given the key another payload between the two calls.
            if (now >= 0 && now <= length)
            {
                return Outcome<byte[]>.Ok(payload[..(int)now]);
            }

            length = now;
        }

        return Outcome<byte[]>.Fail(place + (length < 0 ? Libc.Strerror(Libc.Errno) : "The key is too long"));
    }
}

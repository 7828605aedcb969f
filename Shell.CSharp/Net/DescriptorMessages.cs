using System;
using System.Collections.Generic;
using StorageDaemon.Core;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Net;

/// <summary>Bytes with descriptors, over a unix socket (SCM_RIGHTS).</summary>
internal static unsafe class DescriptorMessages
{
    /// <summary>Most descriptors that are taken in one call.</summary>
    internal const int MaxPerCall = 8;

    /// <summary>
    /// Receives without waiting; descriptors, close-on-exec, are the caller's, also where the call fails. The count of
    /// bytes, zero at the end, or a negative error number: EMFILE where there were more descriptors than can be taken.
    /// </summary>
    internal static int Receive(int socket, Span<byte> bytes, List<int> descriptors)
    {
        // Room for one more than may come shows that there were too many.
        const int ControlLength = 64;
        byte* control = stackalloc byte[ControlLength];
        fixed (byte* start = bytes)
        {
            IoVec vector = new() { Base = start, Length = (nuint)bytes.Length };
            MsgHdr message = new()
            {
                Vectors = &vector,
                VectorCount = 1,
                Control = control,
                ControlLength = ControlLength,
            };
            nint count = Libc.RecvMsg(socket, &message, Libc.MSG_CMSG_CLOEXEC | Libc.MSG_DONTWAIT);
            if (count < 0)
            {
                return -Libc.Errno;
            }

            Collect(control, message.ControlLength, descriptors);
            return (message.Flags & Libc.MSG_CTRUNC) != 0 ? -Errno.EMFILE : (int)count;
        }
    }

    private static void Collect(byte* control, nuint length, List<int> descriptors)
    {
        nuint at = 0;
        while (length - at >= (nuint)sizeof(CmsgHdr))
        {
            CmsgHdr* header = (CmsgHdr*)(control + at);
            if (header->Length < (nuint)sizeof(CmsgHdr) || header->Length > length - at)
            {
                return;
            }

            if (header->Level == Libc.SOL_SOCKET && header->Type == Libc.SCM_RIGHTS)
            {
                int* numbers = (int*)(header + 1);
                int count = (int)(header->Length - (nuint)sizeof(CmsgHdr)) / sizeof(int);
                for (int i = 0; i < count; i++)
                {
                    descriptors.Add(numbers[i]);
                }
            }

            at = Math.Min(length, at + ((header->Length + 7) & ~(nuint)7));
        }
    }

    /// <summary>Sends a short message without waiting, with a descriptor unless that is negative; false if it does not go out whole.</summary>
    internal static bool TrySend(int socket, ReadOnlySpan<byte> bytes, int descriptor)
    {
        byte* control = stackalloc byte[sizeof(CmsgHdr) + 8];
        fixed (byte* start = bytes)
        {
            IoVec vector = new() { Base = start, Length = (nuint)bytes.Length };
            MsgHdr message = new() { Vectors = &vector, VectorCount = 1 };
            if (descriptor >= 0)
            {
                CmsgHdr* header = (CmsgHdr*)control;
                header->Length = (nuint)(sizeof(CmsgHdr) + sizeof(int));
                header->Level = Libc.SOL_SOCKET;
                header->Type = Libc.SCM_RIGHTS;
                *(int*)(header + 1) = descriptor;
                message.Control = control;
                message.ControlLength = (nuint)(sizeof(CmsgHdr) + 8);
            }

            return Libc.SendMsg(socket, &message, Libc.MSG_NOSIGNAL | Libc.MSG_DONTWAIT) == bytes.Length;
        }
    }
}

using System;
using System.Collections;
using System.Collections.Generic;
using System.IO;
using System.Text;
using StorageDaemon.Core;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Exports.Fuse;

/// <summary>
/// The set-user-id program that mounts and unmounts for users who may not: fusermount3. It opens /dev/fuse and sends
/// the descriptor through the socket that <c>_FUSE_COMMFD</c> names.
/// </summary>
internal static unsafe class FuseHelper
{
    private const string Program = "fusermount3";
    private const string SocketVariable = "_FUSE_COMMFD";
    private const string DefaultPath = "/usr/local/bin:/usr/bin:/bin";

    /// <summary>A descriptor of the new mount, or a negative error number. The helper itself says what was wrong.</summary>
    internal static int Mount(string path, string options, bool quiet)
    {
        int* pair = stackalloc int[2];
        if (Libc.SocketPair(Libc.AF_UNIX, Libc.SOCK_STREAM | Libc.SOCK_CLOEXEC, 0, pair) != 0)
        {
            return -Libc.Errno;
        }

        int processId = Spawn(["-o", options, "--", path], pair[1], quiet);
        _ = Libc.Close(pair[1]);
        int fd = processId < 0 ? processId : Receive(pair[0]);
        _ = Libc.Close(pair[0]);
        if (processId >= 0)
        {
            _ = Wait(processId);
        }

        return fd;
    }

    /// <summary>Whether the file system is mounted no longer, even if it is in use.</summary>
    internal static bool Unmount(string path)
    {
        int processId = Spawn(["-u", "-q", "-z", "--", path], -1, quiet: true);
        return processId >= 0 && Wait(processId) == 0;
    }

    private static int Wait(int processId)
    {
        int status;
        while (Libc.WaitPid(processId, &status, 0) < 0)
        {
            if (Libc.Errno != Errno.EINTR)
            {
                return -1;
            }
        }

        return status;
    }

    /// <summary>The program's process, or a negative error number.</summary>
    private static int Spawn(string[] arguments, int socket, bool quiet)
    {
        string? program = Find();
        if (program == null)
        {
            return -Errno.ENOENT;
        }

        List<string> environment = [];
        foreach (DictionaryEntry variable in Environment.GetEnvironmentVariables())
        {
            environment.Add(variable.Key + "=" + variable.Value);
        }

        if (socket >= 0)
        {
            environment.Add(SocketVariable + "=" + socket);
        }

        SpawnAttributes attributes;
        SpawnFileActions actions;
        _ = Libc.SpawnAttrInit(&attributes);
        _ = Libc.SpawnActionsInit(&actions);
        if (socket >= 0)
        {
            _ = Libc.SpawnActionsAddDup2(&actions, socket, socket); // onto itself: drops close-on-exec
        }

        int nowhere = quiet ? Libc.Open("/dev/null", Libc.O_RDWR | Libc.O_CLOEXEC, 0) : -1;
        if (nowhere >= 0)
        {
            _ = Libc.SpawnActionsAddDup2(&actions, nowhere, 2);
        }

        int processId;
        int error;
        using (Strings argumentList = new([Program, .. arguments]), environmentList = new([.. environment]))
        {
            fixed (byte* path = Encoding.UTF8.GetBytes(program + "\0"))
            {
                error = Libc.PosixSpawn(
                    &processId, path, &actions, &attributes, argumentList.Pointers, environmentList.Pointers);
            }
        }

        if (nowhere >= 0)
        {
            _ = Libc.Close(nowhere);
        }

        _ = Libc.SpawnActionsDestroy(&actions);
        _ = Libc.SpawnAttrDestroy(&attributes);
        return error == 0 ? processId : -error;
    }

    private static string? Find()
    {
        foreach (string directory in (Environment.GetEnvironmentVariable("PATH") ?? DefaultPath).Split(':'))
        {
            string candidate = Path.Combine(directory, Program);
            if (directory.Length > 0 && File.Exists(candidate))
            {
                return candidate;
            }
        }

        return null;
    }

    /// <summary>The descriptor that the helper sends; EPERM where it ends without.</summary>
    private static int Receive(int socket)
    {
        const int controlBytes = 24; // CMSG_SPACE of one descriptor
        byte* control = stackalloc byte[controlBytes];
        byte data;
        IoVec vector = new() { Base = &data, Length = 1 };
        MsgHdr message = new()
        {
            Vectors = &vector,
            VectorCount = 1,
            Control = control,
            ControlLength = controlBytes,
        };
        nint count;
        do
        {
            count = Libc.RecvMsg(socket, &message, Libc.MSG_CMSG_CLOEXEC);
        }
        while (count < 0 && Libc.Errno == Errno.EINTR);

        CmsgHdr* header = (CmsgHdr*)control;
        return count > 0
            && message.ControlLength >= (nuint)(sizeof(CmsgHdr) + sizeof(int))
            && header->Level == Libc.SOL_SOCKET
            && header->Type == Libc.SCM_RIGHTS
            ? *(int*)(control + sizeof(CmsgHdr))
            : -Errno.EPERM;
    }

    /// <summary>Strings for the C library: NUL-terminated, in a list that a null pointer ends.</summary>
    private sealed class Strings : IDisposable
    {
        private readonly nint[] _strings;

        internal Strings(string[] strings)
        {
            _strings = [.. Array.ConvertAll(strings, System.Runtime.InteropServices.Marshal.StringToCoTaskMemUTF8), 0];
            Pointers = (byte**)System.Runtime.InteropServices.NativeMemory.Alloc(
                (nuint)_strings.Length, (nuint)sizeof(nint));
            for (int i = 0; i < _strings.Length; i++)
            {
                Pointers[i] = (byte*)_strings[i];
            }
        }

        internal byte** Pointers { get; }

        public void Dispose()
        {
            System.Runtime.InteropServices.NativeMemory.Free(Pointers);
            foreach (nint text in _strings)
            {
                System.Runtime.InteropServices.Marshal.FreeCoTaskMem(text);
            }
        }
    }
}

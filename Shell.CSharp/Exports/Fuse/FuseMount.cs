using System;
using System.Globalization;
using System.IO;
using System.Runtime.InteropServices;
using StorageDaemon.Core;
using StorageDaemon.Core.Qapi;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Exports.Fuse;

/// <summary>
/// A FUSE file system of one file, mounted on a regular file: by mount(2) where that is allowed, else by the helper.
/// </summary>
internal sealed unsafe class FuseMount
{
    private const string Device = "/dev/fuse";
    private const string Type = "fuse";
    private const int PathMax = 4096;

    private FuseMount(string path, int fd, bool allowOther, bool byHelper)
    {
        Path = path;
        Fd = fd;
        AllowOther = allowOther;
        _byHelper = byHelper;
    }

    private readonly bool _byHelper;

    /// <summary>Absolute, without symbolic links: stays right wherever the process goes.</summary>
    internal string Path { get; }

    /// <summary>The first descriptor of the kernel's requests. Whoever takes it closes it.</summary>
    internal int Fd { get; }

    /// <summary>Whether other users than the daemon's have access.</summary>
    internal bool AllowOther { get; }

    /// <summary>Where a path really leads to, or the error number of what stands in the way.</summary>
    internal static int TryResolve(string path, out string resolved)
    {
        byte* buffer = stackalloc byte[PathMax];
        byte* found = Libc.RealPath(path, buffer);
        int errno = Libc.Errno;
        resolved = found == null ? path : Marshal.PtrToStringUTF8((nint)found) ?? path;
        return found == null ? errno : 0;
    }

    /// <summary>What stands in the way of mounting on a path, which is given as the user did; null if nothing does.</summary>
    internal static QapiError? Check(string mountpoint, out string resolved)
    {
        int errno = TryResolve(mountpoint, out resolved);
        Statx stat = default;
        if (errno == 0)
        {
            errno = Libc.TryStat(resolved, out stat);
            if (errno == Errno.ENOTCONN && ClearDead(resolved))
            {
                errno = Libc.TryStat(resolved, out stat);
            }
        }

        return errno != 0
            ? QapiErrorModule.generic("Failed to stat '" + mountpoint + "': " + Libc.Strerror(errno))
            : (stat.Mode & Libc.S_IFMT) != Libc.S_IFREG
                ? QapiErrorModule.generic("'" + mountpoint + "' is not a regular file")
                : null;
    }

    /// <summary>
    /// Takes a mount away that a daemon of this user has left behind when it was killed. Those of others, and of other
    /// programs, are left alone. True if there was one.
    /// </summary>
    internal static bool ClearDead(string path)
    {
        if (TryResolve(path, out string resolved) != 0)
        {
            resolved = path;
        }

        return IsOurs(resolved) && Unmount(resolved);
    }

    /// <summary>Whether a FUSE mount of this user, of the kind that is made here, is at a path.</summary>
    private static bool IsOurs(string path)
    {
        bool found = false;
        string owner = "user_id=" + Libc.GetEffectiveUserId().ToString(CultureInfo.InvariantCulture);
        foreach (string line in File.ReadLines("/proc/self/mountinfo"))
        {
            // proc_pid_mountinfo(5): the mount point is the fifth field; after a hyphen type, source and options.
            string[] fields = line.Split(' ');
            int hyphen = Array.IndexOf(fields, "-");
            if (hyphen < 5 || hyphen + 3 >= fields.Length || Unescape(fields[4]) != path)
            {
                continue;
            }

            // The last one is on top.
            found = fields[hyphen + 1] == Type
                && fields[hyphen + 2] == Device
                && Array.IndexOf(fields[hyphen + 3].Split(','), owner) >= 0;
        }

        return found;
    }

    /// <summary>Spaces and the like stand as backslash and three octal digits.</summary>
    private static string Unescape(string field)
    {
        byte[] bytes = System.Text.Encoding.UTF8.GetBytes(field);
        int length = 0;
        for (int i = 0; i < bytes.Length; i++)
        {
            if (bytes[i] == (byte)'\\' && i + 3 < bytes.Length)
            {
                bytes[length++] = (byte)(((bytes[i + 1] - '0') << 6) | ((bytes[i + 2] - '0') << 3) | (bytes[i + 3] - '0'));
                i += 3;
            }
            else
            {
                bytes[length++] = bytes[i];
            }
        }

        return System.Text.Encoding.UTF8.GetString(bytes, 0, length);
    }

    /// <summary>Mounts on a path that has been checked; null, and why, if that fails.</summary>
    internal static FuseMount? TryMount(string path, FuseExportAllowOther allowOther, out int errno)
    {
        FuseMount? mount = null;
        errno = 0;
        if (!allowOther.IsOff)
        {
            mount = TryMount(path, allowOther: true, quiet: allowOther.IsAuto, out errno);
        }

        return mount != null || allowOther.IsOn
            ? mount
            : TryMount(path, allowOther: false, quiet: false, out errno);
    }

    private static FuseMount? TryMount(string path, bool allowOther, bool quiet, out int errno)
    {
        string options = "default_permissions"
            + (allowOther ? ",allow_other" : "")
            + ",max_read=67108864";
        int fd = TryMountDirectly(path, options);
        bool byHelper = fd == -Errno.EPERM || fd == -Errno.EACCES;
        if (byHelper)
        {
            fd = FuseHelper.Mount(path, options, quiet);
        }

        errno = Math.Max(0, -fd);
        if (fd < 0)
        {
            return null;
        }

        _ = Libc.Fcntl(fd, Libc.F_SETFL, Libc.O_RDWR | Libc.O_NONBLOCK);
        return new FuseMount(path, fd, allowOther, byHelper);
    }

    /// <summary>A descriptor, or a negative error number.</summary>
    private static int TryMountDirectly(string path, string options)
    {
        int fd = Libc.Open(Device, Libc.O_RDWR | Libc.O_CLOEXEC, 0);
        if (fd < 0)
        {
            return -Libc.Errno;
        }

        string data = string.Create(
            CultureInfo.InvariantCulture,
            $"fd={fd},rootmode=100644,user_id={Libc.GetEffectiveUserId()},group_id={Libc.GetEffectiveGroupId()},{options}");
        if (Libc.Mount(Device, path, Type, Libc.MS_NOSUID | Libc.MS_NODEV, data) == 0)
        {
            return fd;
        }

        int errno = Libc.Errno;
        _ = Libc.Close(fd);
        return -errno;
    }

    /// <summary>A descriptor with a queue of its own, for one more thread; negative if there is none.</summary>
    internal int Clone()
    {
        int fd = Libc.Open(Device, Libc.O_RDWR | Libc.O_CLOEXEC | Libc.O_NONBLOCK, 0);
        uint original = (uint)Fd;
        if (fd >= 0 && Libc.Ioctl(fd, Libc.FUSE_DEV_IOC_CLONE, &original) != 0)
        {
            _ = Libc.Close(fd);
            return -1;
        }

        return fd;
    }

    /// <summary>
    /// Takes the mount away, also while files of it are open. Those get errors when the last descriptor of the device
    /// is closed.
    /// </summary>
    internal void Unmount()
    {
        if (_byHelper)
        {
            _ = FuseHelper.Unmount(Path);
        }
        else
        {
            _ = Unmount(Path);
        }
    }

    private static bool Unmount(string path) =>
        Libc.Unmount(path, Libc.MNT_DETACH | Libc.UMOUNT_NOFOLLOW) == 0
        || (Libc.Errno == Errno.EPERM && FuseHelper.Unmount(path));
}

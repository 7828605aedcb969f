using System.Runtime.InteropServices;

namespace StorageDaemon.Shell.Native;

/// <summary>
/// Room for any socket address (sys/socket.h, struct sockaddr_storage). The first two bytes are the family in host
/// order; <see cref="SocketName"/> reads and writes the rest.
/// </summary>
[StructLayout(LayoutKind.Sequential, Size = SizeBytes)]
internal unsafe struct SockAddrStorage
{
    internal const int SizeBytes = 128;

    internal ushort Family;
    internal fixed byte Data[SizeBytes - sizeof(ushort)];
}

/// <summary>struct addrinfo (netdb.h).</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct AddrInfo
{
    internal int Flags;
    internal int Family;
    internal int SocketType;
    internal int Protocol;
    internal uint AddressLength;
    internal SockAddrStorage* Address;
    internal byte* CanonicalName;
    internal AddrInfo* Next;
}

/// <summary>struct msghdr (sys/socket.h).</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct MsgHdr
{
    internal void* Name;
    internal uint NameLength;
    internal IoVec* Vectors;
    internal nuint VectorCount;
    internal void* Control;
    internal nuint ControlLength;
    internal int Flags;
}

/// <summary>struct cmsghdr (sys/socket.h); the data follow at 16 bytes, each header starts on 8 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct CmsgHdr
{
    internal nuint Length;
    internal int Level;
    internal int Type;
}

/// <summary>Sockets and name resolution.</summary>
internal static unsafe partial class Libc
{
    internal const int AF_UNSPEC = 0;
    internal const int AF_UNIX = 1;
    internal const int AF_INET = 2;
    internal const int AF_INET6 = 10;
    internal const int AF_VSOCK = 40;
    internal const int SOCK_STREAM = 1;
    internal const int SOCK_DGRAM = 2;
    internal const int SOCK_NONBLOCK = 0x800;
    internal const int SOCK_CLOEXEC = 0x80000;
    internal const int IPPROTO_TCP = 6;
    internal const int IPPROTO_IPV6 = 41;
    internal const int IPPROTO_MPTCP = 262;
    internal const int SOL_SOCKET = 1;
    internal const int SO_REUSEADDR = 2;
    internal const int SO_ERROR = 4;
    internal const int SO_SNDBUF = 7;
    internal const int SO_RCVBUF = 8;
    internal const int SO_KEEPALIVE = 9;
    internal const int SO_SNDBUFFORCE = 32;
    internal const int SO_DOMAIN = 39;
    internal const int SO_ACCEPTCONN = 30;
    internal const int SO_TYPE = 3;
    internal const int TCP_NODELAY = 1;
    internal const int IPV6_V6ONLY = 26;
    internal const int SCM_RIGHTS = 1;
    internal const int MSG_DONTWAIT = 0x40;
    internal const int MSG_NOSIGNAL = 0x4000;
    internal const int MSG_CMSG_CLOEXEC = 0x40000000;
    internal const int MSG_CTRUNC = 8;
    internal const int SHUT_RD = 0;
    internal const int SHUT_WR = 1;
    internal const int SHUT_RDWR = 2;
    internal const int AI_V4MAPPED = 8;
    internal const int AI_PASSIVE = 1;
    internal const int AI_NUMERICHOST = 4;
    internal const int AI_ADDRCONFIG = 0x20;
    internal const int AI_NUMERICSERV = 0x400;

    [LibraryImport(Name, EntryPoint = "socket")]
    internal static partial int Socket(int family, int type, int protocol);

    [LibraryImport(Name, EntryPoint = "bind")]
    internal static partial int Bind(int fd, void* address, uint length);

    [LibraryImport(Name, EntryPoint = "listen")]
    internal static partial int Listen(int fd, int backlog);

    [LibraryImport(Name, EntryPoint = "accept4")]
    internal static partial int Accept4(int fd, void* address, uint* length, int flags);

    [LibraryImport(Name, EntryPoint = "connect")]
    internal static partial int Connect(int fd, void* address, uint length);

    [LibraryImport(Name, EntryPoint = "getsockname")]
    internal static partial int GetSockName(int fd, void* address, uint* length);

    [LibraryImport(Name, EntryPoint = "getpeername")]
    internal static partial int GetPeerName(int fd, void* address, uint* length);

    [LibraryImport(Name, EntryPoint = "setsockopt")]
    internal static partial int SetSockOpt(int fd, int level, int name, void* value, uint length);

    [LibraryImport(Name, EntryPoint = "getsockopt")]
    internal static partial int GetSockOpt(int fd, int level, int name, void* value, uint* length);

    [LibraryImport(Name, EntryPoint = "shutdown")]
    internal static partial int Shutdown(int fd, int how);

    [LibraryImport(Name, EntryPoint = "send")]
    internal static partial nint Send(int fd, void* buffer, nuint count, int flags);

    [LibraryImport(Name, EntryPoint = "sendto")]
    internal static partial nint SendTo(int fd, void* buffer, nuint count, int flags, void* address, uint length);

    [LibraryImport(Name, EntryPoint = "recv")]
    internal static partial nint Recv(int fd, void* buffer, nuint count, int flags);

    [LibraryImport(Name, EntryPoint = "sendmsg")]
    internal static partial nint SendMsg(int fd, MsgHdr* message, int flags);

    [LibraryImport(Name, EntryPoint = "recvmsg")]
    internal static partial nint RecvMsg(int fd, MsgHdr* message, int flags);

    [LibraryImport(Name, EntryPoint = "socketpair")]
    internal static partial int SocketPair(int family, int type, int protocol, int* pair);

    [LibraryImport(Name, EntryPoint = "getaddrinfo", StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int GetAddrInfo(string? node, string? service, AddrInfo* hints, AddrInfo** results);

    [LibraryImport(Name, EntryPoint = "freeaddrinfo")]
    internal static partial void FreeAddrInfo(AddrInfo* results);

    [LibraryImport(Name, EntryPoint = "gai_strerror")]
    private static partial byte* GaiStrerrorRaw(int error);

    /// <summary>The C library's text for an error of <see cref="GetAddrInfo"/>.</summary>
    internal static string GaiStrerror(int error) => Marshal.PtrToStringUTF8((nint)GaiStrerrorRaw(error)) ?? "";

    /// <summary>Sets an option of type int; the result is that of setsockopt(2).</summary>
    internal static int SetSockOptInt(int fd, int level, int name, int value) =>
        SetSockOpt(fd, level, name, &value, sizeof(int));

    /// <summary>An option of type int; null where the socket has no such option.</summary>
    internal static int? GetSockOptInt(int fd, int level, int name)
    {
        int value = 0;
        uint length = sizeof(int);
        return GetSockOpt(fd, level, name, &value, &length) < 0 ? null : value;
    }
}

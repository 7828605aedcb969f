namespace StorageDaemon.Core.Fuse

open System
open System.Runtime.InteropServices

/// The FUSE protocol's constants, in the spelling of the kernel's include/uapi/linux/fuse.h, and the layouts of its
/// messages. All integers are in the machine's own byte order.
module Wire =
    [<Literal>]
    let FUSE_KERNEL_VERSION = 7u

    /// The newest minor version that is spoken here.
    [<Literal>]
    let FUSE_KERNEL_MINOR_VERSION = 40u

    /// The oldest: from it on all messages have the layouts that are read and written here.
    [<Literal>]
    let MinMinorVersion = 23u

    [<Literal>]
    let FUSE_ROOT_ID = 1UL

    // Bits of fuse_setattr_in.valid ---------------------------------------------------------------------------------

    [<Literal>]
    let FATTR_MODE = 1u

    [<Literal>]
    let FATTR_UID = 2u

    [<Literal>]
    let FATTR_GID = 4u

    [<Literal>]
    let FATTR_SIZE = 8u

    [<Literal>]
    let FATTR_ATIME = 16u

    [<Literal>]
    let FATTR_MTIME = 32u

    [<Literal>]
    let FATTR_ATIME_NOW = 128u

    [<Literal>]
    let FATTR_MTIME_NOW = 256u

    // Bits of fuse_open_out.open_flags ------------------------------------------------------------------------------

    [<Literal>]
    let FOPEN_DIRECT_IO = 1u

    [<Literal>]
    let FOPEN_NOFLUSH = 32u

    [<Literal>]
    let FOPEN_PARALLEL_DIRECT_WRITES = 64u

    // Bits of fuse_init_in.flags and fuse_init_out.flags; from bit 32 on they are in flags2 --------------------------

    [<Literal>]
    let FUSE_ASYNC_READ = 0x1UL

    [<Literal>]
    let FUSE_ATOMIC_O_TRUNC = 0x8UL

    [<Literal>]
    let FUSE_BIG_WRITES = 0x20UL

    [<Literal>]
    let FUSE_ASYNC_DIO = 0x8000UL

    [<Literal>]
    let FUSE_PARALLEL_DIROPS = 0x40000UL

    [<Literal>]
    let FUSE_MAX_PAGES = 0x400000UL

    [<Literal>]
    let FUSE_INIT_EXT = 0x40000000UL

    [<Literal>]
    let FUSE_DIRECT_IO_ALLOW_MMAP = 0x1000000000UL

    // enum fuse_opcode ----------------------------------------------------------------------------------------------

    [<Literal>]
    let FUSE_LOOKUP = 1u

    [<Literal>]
    let FUSE_FORGET = 2u

    [<Literal>]
    let FUSE_GETATTR = 3u

    [<Literal>]
    let FUSE_SETATTR = 4u

    [<Literal>]
    let FUSE_OPEN = 14u

    [<Literal>]
    let FUSE_READ = 15u

    [<Literal>]
    let FUSE_WRITE = 16u

    [<Literal>]
    let FUSE_STATFS = 17u

    [<Literal>]
    let FUSE_RELEASE = 18u

    [<Literal>]
    let FUSE_FSYNC = 20u

    [<Literal>]
    let FUSE_FLUSH = 25u

    [<Literal>]
    let FUSE_INIT = 26u

    [<Literal>]
    let FUSE_INTERRUPT = 36u

    [<Literal>]
    let FUSE_DESTROY = 38u

    [<Literal>]
    let FUSE_NOTIFY_REPLY = 41u

    [<Literal>]
    let FUSE_BATCH_FORGET = 42u

    [<Literal>]
    let FUSE_FALLOCATE = 43u

    [<Literal>]
    let FUSE_LSEEK = 46u

    [<Literal>]
    let FUSE_SYNCFS = 50u

    // Modes of fallocate(2), uapi/linux/falloc.h ---------------------------------------------------------------------

    [<Literal>]
    let FALLOC_FL_KEEP_SIZE = 1u

    [<Literal>]
    let FALLOC_FL_PUNCH_HOLE = 2u

    [<Literal>]
    let FALLOC_FL_ZERO_RANGE = 16u

    // Whences of lseek(2) -------------------------------------------------------------------------------------------

    [<Literal>]
    let SEEK_DATA = 3u

    [<Literal>]
    let SEEK_HOLE = 4u

    // Mode bits of a file -------------------------------------------------------------------------------------------

    [<Literal>]
    let S_IFREG = 0x8000u

    [<Literal>]
    let O_ACCMODE = 3u

    // Lengths, in bytes ---------------------------------------------------------------------------------------------

    /// struct fuse_in_header.
    [<Literal>]
    let InHeaderLength = 40

    /// struct fuse_write_in.
    [<Literal>]
    let WriteInLength = 40

    /// Where the data of a write begin in its message.
    [<Literal>]
    let WriteDataOffset = 80

    /// struct fuse_out_header.
    [<Literal>]
    let OutHeaderLength = 16

    /// struct fuse_init_out.
    [<Literal>]
    let InitOutLength = 64

    /// struct fuse_attr_out.
    [<Literal>]
    let AttrOutLength = 104

    /// struct fuse_kstatfs.
    [<Literal>]
    let StatfsOutLength = 80

    /// The longest reply that is no data.
    [<Literal>]
    let MaxReplyLength = 128

    let inline readU32 (message: ReadOnlySpan<byte>) (offset: int) : uint32 =
        MemoryMarshal.Read<uint32>(message.Slice(offset, 4))

    let inline readU64 (message: ReadOnlySpan<byte>) (offset: int) : uint64 =
        MemoryMarshal.Read<uint64>(message.Slice(offset, 8))

    let inline writeU16 (target: Span<byte>) (offset: int) (value: uint16) =
        let mutable value = value
        MemoryMarshal.Write(target.Slice(offset, 2), &value)

    let inline writeU32 (target: Span<byte>) (offset: int) (value: uint32) =
        let mutable value = value
        MemoryMarshal.Write(target.Slice(offset, 4), &value)

    let inline writeU64 (target: Span<byte>) (offset: int) (value: uint64) =
        let mutable value = value
        MemoryMarshal.Write(target.Slice(offset, 8), &value)

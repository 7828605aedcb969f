namespace StorageDaemon.Core.Fuse

open System
open StorageDaemon.Core
open StorageDaemon.Core.Fuse.Wire
open StorageDaemon.Core.Io

/// The file that an export is, as long as it is mounted. `chmod` and `chown` make another one.
type FuseFile = {
    Writable: bool
    /// Writes beyond the end make it longer.
    Growable: bool
    /// Other users than the daemon's have access.
    AllowOther: bool
    /// Permission bits.
    Mode: uint32
    Uid: uint32
    Gid: uint32
}

/// What is true of the node at the moment.
[<Struct; NoEquality; NoComparison>]
type NodeFacts =
    val mutable SizeBytes: int64
    /// Bytes that it takes on disk.
    val mutable AllocatedBytes: int64
    /// Bytes; the unit of its requests.
    val mutable AlignmentBytes: int
    /// Now, since 1970.
    val mutable Seconds: int64
    val mutable Nanoseconds: int

/// What a request needs next.
type FuseStep =
    /// Answer it: with `Error`, or with what it asked for.
    | Reply = 0uy
    /// The kernel expects no answer.
    | NoReply = 1uy
    /// Read `[Offset, + Length)`.
    | Read = 2uy
    | Write = 3uy
    /// Zeroes, with `Flags`.
    | WriteZeroes = 4uy
    | Allocate = 5uy
    | Flush = 6uy
    /// What the beginning of `[Offset, + Length)` holds.
    | Status = 7uy
    /// Give the node the length `NewSize`, or at least that one where `GrowOnly`.
    | Resize = 8uy
    /// The file's mode and owner change: `Session.changed`.
    | Change = 9uy

/// One request of the kernel, from its message to its reply.
[<Struct; NoEquality; NoComparison>]
type FuseRequest =
    val mutable Opcode: uint32
    val mutable Unique: uint64
    /// The thread that asks.
    val mutable Pid: uint32
    val mutable Step: FuseStep
    /// Linux error number, zero for success.
    val mutable Error: int
    val mutable Offset: int64
    val mutable Length: int64
    val mutable Flags: RequestFlags
    val mutable NewSize: int64
    val mutable GrowOnly: bool
    /// What follows a resize.
    val mutable AfterResize: FuseStep
    /// SEEK_DATA or SEEK_HOLE.
    val mutable Whence: uint32
    /// fuse_setattr_in.valid, and what of it is to be set.
    val mutable Valid: uint32
    val mutable Mode: uint32
    val mutable Uid: uint32
    val mutable Gid: uint32
    /// Of an initialisation: what was agreed.
    val mutable MinorVersion: uint32
    val mutable InitFlags: uint64
    val mutable MaxReadahead: uint32
    /// Of an opened file: its flags.
    val mutable OpenFlags: uint32

/// One file over FUSE: the pure machine behind /dev/fuse. The shell hands the messages of the kernel to `start`, carries
/// out what `Step` says, tells `next` how it went until `Step` is `Reply`, and sends what `reply` makes.
///
/// Semantics as in the kernel's Documentation/filesystems/fuse and fuse.h; where the real daemon has a choice its answers
/// are the same, unless they would be wrong: a hole that is punched reads as zeroes.
[<RequireQualifiedAccess>]
module Session =
    /// Bytes; the most that one read or write carries: 256 pages, the kernel's limit.
    [<Literal>]
    let MaxTransfer = 1048576

    /// Requests that the kernel may have under way on its own account, as read-ahead and asynchronous direct I/O.
    [<Literal>]
    let private MaxBackground = 64us

    [<Literal>]
    let private MaxPages = 256us

    /// What is good for a file of which the kernel keeps nothing in memory: others may write to the node, too. O_TRUNC is
    /// left to the daemon, which ignores it: an image keeps its length when a tool opens it to be written anew.
    [<Literal>]
    let private Wanted =
        FUSE_ASYNC_READ
        ||| FUSE_ATOMIC_O_TRUNC
        ||| FUSE_BIG_WRITES
        ||| FUSE_ASYNC_DIO
        ||| FUSE_PARALLEL_DIROPS
        ||| FUSE_MAX_PAGES
        ||| FUSE_INIT_EXT
        ||| FUSE_DIRECT_IO_ALLOW_MMAP

    [<Literal>]
    let private WriteBits = 0o222u

    [<Literal>]
    let private OthersBits = 0o077u

    /// Permission bits with set-user-id and the like.
    [<Literal>]
    let private ModeBits = 0o7777u

    /// As the file is when it is mounted.
    let create (writable: bool) (growable: bool) (allowOther: bool) (uid: uint32) (gid: uint32) : FuseFile = {
        Writable = writable
        Growable = growable
        AllowOther = allowOther
        Mode = if writable then 0o600u else 0o400u
        Uid = uid
        Gid = gid
    }

    let private fail (r: byref<FuseRequest>) (errno: int) =
        r.Error <- errno
        r.Step <- FuseStep.Reply

    let private succeed (r: byref<FuseRequest>) = fail &r 0

    let private resize (r: byref<FuseRequest>) (newSize: int64) (growOnly: bool) (following: FuseStep) =
        r.NewSize <- newSize
        r.GrowOnly <- growOnly
        r.AfterResize <- following
        r.Step <- FuseStep.Resize

    // The length of a message's arguments is checked by `start`.

    let private initialise (r: byref<FuseRequest>) (message: ReadOnlySpan<byte>) =
        let major = readU32 message InHeaderLength
        let minor = readU32 message (InHeaderLength + 4)

        if major > FUSE_KERNEL_VERSION then
            // The kernel tries again with this version.
            r.MinorVersion <- 0u
            succeed &r
        elif major < FUSE_KERNEL_VERSION || minor < MinMinorVersion then
            fail &r Errno.EPROTO
        else
            let low = uint64 (readU32 message (InHeaderLength + 12))

            let offered =
                if low &&& FUSE_INIT_EXT <> 0UL && message.Length >= InHeaderLength + 20 then
                    low ||| (uint64 (readU32 message (InHeaderLength + 16)) <<< 32)
                else
                    low

            r.MinorVersion <- min minor FUSE_KERNEL_MINOR_VERSION
            r.MaxReadahead <- readU32 message (InHeaderLength + 8)
            r.InitFlags <- offered &&& Wanted
            succeed &r

    let private read (facts: inref<NodeFacts>) (r: byref<FuseRequest>) (message: ReadOnlySpan<byte>) =
        let offset = readU64 message (InHeaderLength + 8)
        let length = int64 (readU32 message (InHeaderLength + 16))

        if length > int64 MaxTransfer then
            fail &r Errno.EINVAL
        elif length = 0L || offset >= uint64 facts.SizeBytes then
            r.Length <- 0L
            succeed &r
        else
            r.Offset <- int64 offset
            r.Length <- min length (facts.SizeBytes - r.Offset)
            r.Step <- FuseStep.Read

    /// What of a write lies in the file. To write nothing would make some programs try for ever.
    let private writeWithin (facts: inref<NodeFacts>) (r: byref<FuseRequest>) =
        let wanted = r.Length
        r.Length <- max 0L (min wanted (facts.SizeBytes - r.Offset))

        if r.Length > 0L then r.Step <- FuseStep.Write
        elif wanted > 0L then fail &r Errno.EIO
        else succeed &r

    let private write (file: FuseFile) (facts: inref<NodeFacts>) (r: byref<FuseRequest>) (message: ReadOnlySpan<byte>) =
        let offset = readU64 message (InHeaderLength + 8)
        let length = int64 (readU32 message (InHeaderLength + 16))

        if length <> int64 (message.Length - WriteDataOffset) || length > int64 MaxTransfer then
            fail &r Errno.EINVAL
        elif not file.Writable then
            fail &r Errno.EACCES
        elif offset > uint64 (Int64.MaxValue - length) then
            fail &r Errno.EFBIG
        else
            r.Offset <- int64 offset
            r.Length <- length
            let endOffset = r.Offset + length

            if endOffset > facts.SizeBytes && length > 0L && file.Growable then
                resize &r endOffset true FuseStep.Write
            else
                writeWithin &facts &r

    let private flush (file: FuseFile) (r: byref<FuseRequest>) =
        r.Step <- if file.Writable then FuseStep.Flush else FuseStep.Reply

    [<Literal>]
    let private Punch = 3u // FALLOC_FL_PUNCH_HOLE ||| FALLOC_FL_KEEP_SIZE

    [<Literal>]
    let private ZeroKeepingSize = 17u // FALLOC_FL_ZERO_RANGE ||| FALLOC_FL_KEEP_SIZE

    /// Zeroes for what of the range lies in the file.
    let private zeroes (facts: inref<NodeFacts>) (r: byref<FuseRequest>) (flags: RequestFlags) =
        r.Length <- max 0L (min r.Length (facts.SizeBytes - r.Offset))
        r.Flags <- flags
        r.Step <-
            if r.Length = 0L then
                FuseStep.Reply
            else
                FuseStep.WriteZeroes

    let private fallocate
        (file: FuseFile)
        (facts: inref<NodeFacts>)
        (r: byref<FuseRequest>)
        (message: ReadOnlySpan<byte>)
        =
        let offset = readU64 message (InHeaderLength + 8)
        let length = readU64 message (InHeaderLength + 16)
        let mode = readU32 message (InHeaderLength + 24)

        if not file.Writable then
            fail &r Errno.EACCES
        elif length = 0UL || length > uint64 Int64.MaxValue then
            fail &r Errno.EINVAL
        elif offset > uint64 Int64.MaxValue - length then
            fail &r Errno.EFBIG
        else
            r.Offset <- int64 offset
            r.Length <- int64 length
            let endOffset = r.Offset + r.Length

            match mode with
            | 0u when r.Offset >= facts.SizeBytes -> resize &r endOffset true FuseStep.Allocate
            | FALLOC_FL_ZERO_RANGE when endOffset > facts.SizeBytes -> resize &r endOffset true FuseStep.WriteZeroes
            | FALLOC_FL_ZERO_RANGE
            | ZeroKeepingSize -> zeroes &facts &r RequestFlags.None
            | Punch -> zeroes &facts &r RequestFlags.MayUnmap
            | _ -> fail &r Errno.ENOTSUP

    let private seek (facts: inref<NodeFacts>) (r: byref<FuseRequest>) (message: ReadOnlySpan<byte>) =
        let offset = readU64 message (InHeaderLength + 8)
        r.Whence <- readU32 message (InHeaderLength + 16)

        if r.Whence <> SEEK_DATA && r.Whence <> SEEK_HOLE then
            fail &r Errno.EINVAL
        elif offset > uint64 facts.SizeBytes then
            fail &r Errno.ENXIO
        else
            r.Offset <- int64 offset
            r.Length <- facts.SizeBytes - r.Offset

            if r.Length > 0L then
                r.Step <- FuseStep.Status
            else
                // A hole of no length is at the end, as the real daemon has it.
                fail &r (if r.Whence = SEEK_DATA then Errno.ENXIO else 0)

    [<Literal>]
    let private Times = 432u // FATTR_ATIME ||| FATTR_MTIME ||| FATTR_ATIME_NOW ||| FATTR_MTIME_NOW

    [<Literal>]
    let private Ownership = 7u // FATTR_MODE ||| FATTR_UID ||| FATTR_GID

    /// Where nothing of the file's own changes, its attributes are the answer.
    let private change (r: byref<FuseRequest>) =
        r.Step <-
            if r.Valid &&& Ownership = 0u then
                FuseStep.Reply
            else
                FuseStep.Change

    let private setAttributes
        (file: FuseFile)
        (facts: inref<NodeFacts>)
        (r: byref<FuseRequest>)
        (message: ReadOnlySpan<byte>)
        =
        let size = readU64 message (InHeaderLength + 16)
        r.Valid <- readU32 message InHeaderLength
        r.Mode <- readU32 message (InHeaderLength + 68) &&& ModeBits
        r.Uid <- readU32 message (InHeaderLength + 76)
        r.Gid <- readU32 message (InHeaderLength + 80)
        let valid = r.Valid
        let mode = r.Mode

        // truncate(2) sets times, too; by themselves there are none to set.
        if valid &&& Times <> 0u && valid &&& FATTR_SIZE = 0u then
            fail &r Errno.ENOTSUP
        elif valid &&& (FATTR_UID ||| FATTR_GID) <> 0u && not file.AllowOther then
            fail &r Errno.ENOTSUP
        elif valid &&& FATTR_MODE <> 0u && mode &&& WriteBits <> 0u && not file.Writable then
            fail &r Errno.EROFS
        elif valid &&& FATTR_MODE <> 0u && mode &&& OthersBits <> 0u && not file.AllowOther then
            fail &r Errno.EPERM
        elif valid &&& FATTR_SIZE = 0u then
            change &r
        elif not file.Writable then
            fail &r Errno.EACCES
        elif size > uint64 Int64.MaxValue then
            fail &r Errno.EFBIG
        elif int64 size = facts.SizeBytes then
            change &r
        else
            resize &r (int64 size) false FuseStep.Change

    let private opened (r: byref<FuseRequest>) (message: ReadOnlySpan<byte>) =
        let isReader = readU32 message InHeaderLength &&& O_ACCMODE = 0u

        r.OpenFlags <-
            FOPEN_DIRECT_IO
            ||| FOPEN_PARALLEL_DIRECT_WRITES
            ||| (if isReader then FOPEN_NOFLUSH else 0u)

        succeed &r

    /// The arguments that a message has at least, in bytes.
    let private argumentsLength (opcode: uint32) =
        match opcode with
        | FUSE_INIT -> 16
        | FUSE_SETATTR -> 88
        | FUSE_OPEN -> 8
        | FUSE_READ
        | FUSE_WRITE -> WriteInLength
        | FUSE_FALLOCATE -> 32
        | FUSE_LSEEK -> 24
        | _ -> 0

    let private dispatch
        (file: FuseFile)
        (facts: inref<NodeFacts>)
        (r: byref<FuseRequest>)
        (message: ReadOnlySpan<byte>)
        =
        match r.Opcode with
        | FUSE_INIT -> initialise &r message
        | FUSE_READ -> read &facts &r message
        | FUSE_WRITE -> write file &facts &r message
        | FUSE_FSYNC
        | FUSE_SYNCFS
        | FUSE_FLUSH -> flush file &r
        | FUSE_FALLOCATE -> fallocate file &facts &r message
        | FUSE_LSEEK -> seek &facts &r message
        | FUSE_SETATTR -> setAttributes file &facts &r message
        | FUSE_OPEN -> opened &r message
        | FUSE_GETATTR
        | FUSE_STATFS
        | FUSE_RELEASE
        | FUSE_DESTROY -> succeed &r
        | FUSE_LOOKUP -> fail &r Errno.ENOENT
        // The kernel remembers, and asks no more.
        | _ -> fail &r Errno.ENOSYS

    /// Begins with a message of the kernel, as it was read. `facts` need only be right about the size.
    let start (file: FuseFile) (facts: inref<NodeFacts>) (message: ReadOnlySpan<byte>) (r: byref<FuseRequest>) =
        r <- FuseRequest()
        r.Step <- FuseStep.NoReply

        if message.Length >= InHeaderLength then
            r.Opcode <- readU32 message 4
            r.Unique <- readU64 message 8
            r.Pid <- readU32 message 32

            match r.Opcode with
            | FUSE_FORGET
            | FUSE_BATCH_FORGET
            | FUSE_INTERRUPT
            | FUSE_NOTIFY_REPLY -> ()
            | _ when
                readU32 message 0 <> uint32 message.Length
                || message.Length < InHeaderLength + argumentsLength r.Opcode
                ->
                fail &r Errno.EINVAL
            | FUSE_INIT
            | FUSE_STATFS
            | FUSE_DESTROY -> dispatch file &facts &r message
            | _ when readU64 message 16 <> FUSE_ROOT_ID -> fail &r Errno.ENOENT
            | _ -> dispatch file &facts &r message

    /// The node has another length now: what of the range it covers is next.
    let private afterResize (facts: inref<NodeFacts>) (r: byref<FuseRequest>) =
        match r.AfterResize with
        | FuseStep.Change -> change &r
        | FuseStep.WriteZeroes -> zeroes &facts &r RequestFlags.None
        | FuseStep.Write -> writeWithin &facts &r
        | following ->
            r.Length <- max 0L (min r.Length (facts.SizeBytes - r.Offset))
            r.Step <- if r.Length = 0L then FuseStep.Reply else following

    let private afterStatus (r: byref<FuseRequest>) (coveredBytes: int64) (status: BlockStatus) =
        let isData = status &&& BlockStatus.Data <> BlockStatus.None

        if isData = (r.Whence = SEEK_DATA) then
            succeed &r
        elif coveredBytes <= 0L then
            fail &r Errno.EIO
        elif coveredBytes >= r.Length then
            // There always is a hole at the end.
            r.Offset <- r.Offset + r.Length
            fail &r (if r.Whence = SEEK_DATA then Errno.ENXIO else 0)
        else
            r.Offset <- r.Offset + coveredBytes
            r.Length <- r.Length - coveredBytes

    /// What `Step` asked for has been done, or `error` says why not. `coveredBytes` and `status` are the answer to a
    /// block status.
    let next
        (facts: inref<NodeFacts>)
        (r: byref<FuseRequest>)
        (error: int)
        (coveredBytes: int64)
        (status: BlockStatus)
        =
        match r.Step with
        | FuseStep.Allocate when error = Errno.ENOTSUP ->
            // Zeroes that are stored take space as well.
            zeroes &facts &r RequestFlags.None
        | _ when error <> 0 -> fail &r error
        | FuseStep.Resize -> afterResize &facts &r
        | FuseStep.Status -> afterStatus &r coveredBytes status
        | _ -> succeed &r

    /// The file after a `Change`.
    let changed (file: FuseFile) (r: inref<FuseRequest>) : FuseFile =
        let pick (valid: uint32) bit value old =
            if valid &&& bit <> 0u then value else old

        {
            file with
                Mode = pick r.Valid FATTR_MODE r.Mode file.Mode
                Uid = pick r.Valid FATTR_UID r.Uid file.Uid
                Gid = pick r.Valid FATTR_GID r.Gid file.Gid
        }

    [<Literal>]
    let private BlockUnit = 512L

    /// What programs should read and write at a time.
    [<Literal>]
    let private PreferredBlock = 4096

    let private attributes (file: FuseFile) (facts: inref<NodeFacts>) (target: Span<byte>) =
        // Valid for no time at all: others may change the length.
        let attr = target.Slice(OutHeaderLength + 16)
        writeU64 attr 0 FUSE_ROOT_ID
        writeU64 attr 8 (uint64 facts.SizeBytes)
        writeU64 attr 16 (uint64 ((facts.AllocatedBytes + BlockUnit - 1L) / BlockUnit))

        for time in 0..2 do
            writeU64 attr (24 + 8 * time) (uint64 facts.Seconds)
            writeU32 attr (48 + 4 * time) (uint32 facts.Nanoseconds)

        writeU32 attr 60 (S_IFREG ||| file.Mode)
        writeU32 attr 64 1u
        writeU32 attr 68 file.Uid
        writeU32 attr 72 file.Gid
        writeU32 attr 80 (uint32 (max PreferredBlock facts.AlignmentBytes))
        AttrOutLength

    let private initialised (r: inref<FuseRequest>) (target: Span<byte>) =
        let out = target.Slice OutHeaderLength
        writeU32 out 0 FUSE_KERNEL_VERSION
        writeU32 out 4 r.MinorVersion
        writeU32 out 8 r.MaxReadahead
        writeU32 out 12 (uint32 (r.InitFlags &&& 0xffffffffUL))
        writeU16 out 16 MaxBackground
        writeU16 out 18 (MaxBackground * 3us / 4us)
        writeU32 out 20 (uint32 MaxTransfer)
        writeU32 out 24 1u
        writeU16 out 28 MaxPages
        writeU32 out 32 (uint32 (r.InitFlags >>> 32))
        InitOutLength

    /// The file system is as large as its file; what the file does not take on disk is free.
    let private statistics (facts: inref<NodeFacts>) (target: Span<byte>) =
        let out = target.Slice OutHeaderLength
        let blocks = (facts.SizeBytes + BlockUnit - 1L) / BlockUnit
        let free = max 0L (blocks - (facts.AllocatedBytes + BlockUnit - 1L) / BlockUnit)
        writeU64 out 0 (uint64 blocks)
        writeU64 out 8 (uint64 free)
        writeU64 out 16 (uint64 free)
        writeU64 out 24 1UL
        writeU32 out 40 (uint32 BlockUnit)
        writeU32 out 44 255u
        writeU32 out 48 (uint32 BlockUnit)
        StatfsOutLength

    /// Writes the reply, but for the data of a read; returns its length. `target` holds `MaxReplyLength` bytes.
    let reply (file: FuseFile) (facts: inref<NodeFacts>) (r: inref<FuseRequest>) (target: Span<byte>) : int =
        target.Slice(0, MaxReplyLength).Clear()
        let out = target.Slice OutHeaderLength

        let length =
            if r.Error <> 0 then
                0
            else
                match r.Opcode with
                | FUSE_INIT -> initialised &r target
                | FUSE_GETATTR
                | FUSE_SETATTR -> attributes file &facts target
                | FUSE_OPEN ->
                    writeU32 out 8 r.OpenFlags
                    16
                | FUSE_WRITE ->
                    writeU32 out 0 (uint32 r.Length)
                    8
                | FUSE_LSEEK ->
                    writeU64 out 0 (uint64 r.Offset)
                    8
                | FUSE_STATFS -> statistics &facts target
                | _ -> 0

        let data =
            if r.Opcode = FUSE_READ && r.Error = 0 then
                int r.Length
            else
                0

        writeU32 target 0 (uint32 (OutHeaderLength + length + data))
        writeU32 target 4 (uint32 -r.Error)
        writeU64 target 8 r.Unique
        OutHeaderLength + length

    /// Whether the reply tells of more than the size: what the node takes on disk, and the time.
    let tellsAttributes (r: inref<FuseRequest>) : bool =
        r.Error = 0
        && (r.Opcode = FUSE_GETATTR || r.Opcode = FUSE_SETATTR || r.Opcode = FUSE_STATFS)

    /// What a step that is I/O asks of the node.
    let ioKind (step: FuseStep) : RequestKind =
        match step with
        | FuseStep.Read -> RequestKind.Read
        | FuseStep.Write -> RequestKind.Write
        | FuseStep.WriteZeroes -> RequestKind.WriteZeroes
        | FuseStep.Allocate -> RequestKind.Allocate
        | FuseStep.Flush -> RequestKind.Flush
        | _ -> RequestKind.BlockStatus

/// The FUSE machine against a kernel that may send anything.
module StorageDaemon.Tests.Properties.FuseSession

open System
open Expecto
open FsCheck
open FsCheck.FSharp
open StorageDaemon.Core
open StorageDaemon.Core.Fuse
open StorageDaemon.Core.Fuse.Wire
open StorageDaemon.Core.Io
open StorageDaemon.Tests.Generators.FuseGen

let private facts (size: int64) =
    let mutable facts = NodeFacts()
    facts.SizeBytes <- size
    facts

let private begin' (file: FuseFile) (size: int64) (bytes: byte[]) : FuseRequest =
    let facts = facts size
    let mutable request = FuseRequest()
    Session.start file &facts (ReadOnlySpan<byte> bytes) &request
    request

let private next (size: int64) (error: int) (covered: int64) (status: BlockStatus) (request: FuseRequest) =
    let facts = facts size
    let mutable request = request
    Session.next &facts &request error covered status
    request

let private reply (file: FuseFile) (size: int64) (request: FuseRequest) : byte[] =
    let facts = facts size
    let target = Array.create 256 0xaauy
    let length = Session.reply file &facts &request (Span<byte> target)
    Expect.isTrue (target[MaxReplyLength..] |> Array.forall ((=) 0xaauy)) "no more than promised"
    target[.. length - 1]

let private writable = Session.create true false true 5u 6u
let private growable = { writable with Growable = true }
let private readOnly = Session.create false false true 5u 6u

let private errorOf (request: FuseRequest) =
    Expect.equal request.Step FuseStep.Reply "it is answered"
    request.Error

let private isInside (request: FuseRequest) (size: int64) =
    request.Offset >= 0L
    && request.Length > 0L
    && request.Offset <= size - request.Length

/// Carries a request out to its end as an obedient shell would; every step must stay within the node.
let private settle (file: FuseFile) (seed: int) (bytes: byte[]) : FuseRequest =
    let random = Random seed
    let mutable size = sizeBytes
    let mutable request = begin' file size bytes
    let mutable steps = 0

    while request.Step <> FuseStep.Reply && request.Step <> FuseStep.NoReply do
        steps <- steps + 1
        Expect.isLessThan steps 100 "it comes to an end"
        let error = if random.Next 8 = 0 then Errno.EIO else 0

        match request.Step with
        | FuseStep.Resize ->
            Expect.isTrue file.Writable "only of a writable file"
            Expect.isGreaterThanOrEqual request.NewSize 0L "a length"

            if error = 0 then
                size <- request.NewSize

            request <- next size error 0L BlockStatus.None request
        | FuseStep.Status ->
            Expect.isTrue (isInside request size) "within the node"
            let covered = 1L + random.NextInt64 request.Length
            let status =
                if random.Next 2 = 0 then
                    BlockStatus.Data
                else
                    BlockStatus.Zero
            // Few extents: the end must come.
            let covered = if steps > 20 then request.Length else covered
            request <- next size error covered status request
        | FuseStep.Flush
        | FuseStep.Change -> request <- next size error 0L BlockStatus.None request
        | step ->
            if step <> FuseStep.Read then
                Expect.isTrue file.Writable "only of a writable file"

            Expect.isTrue (isInside request size) "within the node"
            request <- next size error 0L BlockStatus.None request

    request

let private status (request: FuseRequest) covered status = next sizeBytes 0 covered status request

[<Tests>]
let tests =
    testList "FUSE session" [
        testProperty "any message is answered or dropped, and nothing leaves the node"
        <| Prop.forAll (Arb.fromGen (Gen.zip (Gen.choose (0, Int32.MaxValue)) hostile)) (fun (seed, bytes) ->
            for file in [ writable; growable; readOnly ] do
                let request = settle file seed bytes

                if request.Step = FuseStep.Reply then
                    let answer = reply file sizeBytes request
                    let span = ReadOnlySpan<byte> answer

                    let data =
                        if request.Opcode = FUSE_READ && request.Error = 0 then
                            int request.Length
                        else
                            0

                    Expect.equal (readU32 span 0) (uint32 (answer.Length + data)) "length"
                    Expect.equal (int (readU32 span 4)) -request.Error "error"
                    Expect.equal (readU64 span 8) (readU64 (ReadOnlySpan<byte> bytes) 8) "unique")

        test "the kernel's greeting" {
            let init major minor flags flags2 =
                message
                    FUSE_INIT
                    (arguments 64 [ 0, major, 4; 4, minor, 4; 8, 131072UL, 4; 12, flags, 4; 16, flags2, 4 ])

            let all = 0xffffffffUL
            let request = begin' writable sizeBytes (init 7UL 45UL all all)
            Expect.equal (errorOf request) 0 "accepted"
            let answer = reply writable sizeBytes request
            let span = ReadOnlySpan<byte> answer
            Expect.equal answer.Length (OutHeaderLength + InitOutLength) "length"
            Expect.equal (readU32 span 16) 7u "major"
            Expect.equal (readU32 span 20) FUSE_KERNEL_MINOR_VERSION "minor"
            Expect.equal (readU32 span 24) 131072u "read-ahead"
            Expect.equal (readU32 span 36) (uint32 Session.MaxTransfer) "max_write"
            Expect.isTrue (uint64 (readU32 span 28) &&& FUSE_MAX_PAGES <> 0UL) "max_pages"
            Expect.equal (readU32 span 48) (uint32 (FUSE_DIRECT_IO_ALLOW_MMAP >>> 32)) "flags2"

            let old = begin' writable sizeBytes (init 7UL 31UL FUSE_ASYNC_READ 0xffffUL)
            let answer = reply writable sizeBytes old
            Expect.equal (readU32 (ReadOnlySpan<byte> answer) 28) 1u "only what was offered"
            Expect.equal (readU32 (ReadOnlySpan<byte> answer) 48) 0u "no flags2 without FUSE_INIT_EXT"
            Expect.equal (errorOf (begin' writable sizeBytes (init 7UL 22UL 0UL 0UL))) Errno.EPROTO "too old"
            Expect.equal (errorOf (begin' writable sizeBytes (init 6UL 45UL 0UL 0UL))) Errno.EPROTO "too old a major"
            Expect.equal (errorOf (begin' writable sizeBytes (init 8UL 0UL 0UL 0UL))) 0 "newer: asked again"
        }

        test "reads end at the end" {
            let request = begin' readOnly sizeBytes (read 100UL 4096UL)
            Expect.equal (request.Step, request.Offset, request.Length) (FuseStep.Read, 100L, 4096L) "inside"
            let request = begin' readOnly sizeBytes (read (uint64 sizeBytes - 100UL) 4096UL)
            Expect.equal request.Length 100L "cut"

            for offset in [ uint64 sizeBytes; UInt64.MaxValue ] do
                let request = begin' readOnly sizeBytes (read offset 4096UL)
                Expect.equal (errorOf request, request.Length) (0, 0L) "nothing"

            Expect.equal (errorOf (begin' readOnly sizeBytes (read 0UL 4294967295UL))) Errno.EINVAL "too much"
        }

        test "writes: refused, cut, growing" {
            Expect.equal (errorOf (begin' readOnly sizeBytes (write 0UL 512))) Errno.EACCES "read-only"
            let request = begin' writable sizeBytes (write (uint64 sizeBytes - 100UL) 512)
            Expect.equal (request.Step, request.Length) (FuseStep.Write, 100L) "cut"
            Expect.equal (errorOf (begin' writable sizeBytes (write (uint64 sizeBytes) 512))) Errno.EIO "beyond"
            Expect.equal (errorOf (begin' growable sizeBytes (write UInt64.MaxValue 512))) Errno.EFBIG "far beyond"

            let request = begin' growable sizeBytes (write (uint64 sizeBytes - 100UL) 512)
            Expect.equal
                (request.Step, request.NewSize, request.GrowOnly)
                (FuseStep.Resize, sizeBytes + 412L, true)
                "grows"
            let grown = next (sizeBytes + 512L) 0 0L BlockStatus.None request
            Expect.equal (grown.Step, grown.Length) (FuseStep.Write, 512L) "and writes"
            Expect.equal (next sizeBytes Errno.ENOSPC 0L BlockStatus.None request |> errorOf) Errno.ENOSPC "or not"

            let lying = write 0UL 512
            writeU32 (Span<byte> lying) (InHeaderLength + 16) 513u
            Expect.equal (errorOf (begin' writable sizeBytes lying)) Errno.EINVAL "another length than its data"
        }

        test "fallocate" {
            let size = uint64 sizeBytes
            let errors mode offset length =
                errorOf (begin' writable sizeBytes (fallocate mode offset length))
            Expect.equal (errors 0UL 0UL 4096UL) Errno.ENOTSUP "inside"
            Expect.equal (errors 1UL size 4096UL) Errno.ENOTSUP "only KEEP_SIZE"
            Expect.equal (errors 2UL 0UL 4096UL) Errno.ENOTSUP "a hole without KEEP_SIZE"
            Expect.equal (errors 8UL 0UL 4096UL) Errno.ENOTSUP "collapse"
            Expect.equal (errors 3UL 0UL 0UL) Errno.EINVAL "nothing"
            Expect.equal (errors 3UL UInt64.MaxValue UInt64.MaxValue) Errno.EINVAL "too long"
            Expect.equal (errors 3UL (1UL <<< 62) (1UL <<< 62)) Errno.EFBIG "too far"
            Expect.equal (errors 3UL size 4096UL) 0 "a hole beyond"

            Expect.equal (errorOf (begin' readOnly sizeBytes (fallocate 3UL 0UL 4096UL))) Errno.EACCES "read-only"

            let hole = begin' writable sizeBytes (fallocate 3UL (size - 512UL) 4096UL)
            Expect.equal (hole.Step, hole.Length, hole.Flags) (FuseStep.WriteZeroes, 512L, RequestFlags.MayUnmap) "hole"
            let zeroes = begin' writable sizeBytes (fallocate 17UL 0UL 4096UL)
            Expect.equal
                (zeroes.Step, zeroes.Length, zeroes.Flags)
                (FuseStep.WriteZeroes, 4096L, RequestFlags.None)
                "zeroes"
            let grow = begin' writable sizeBytes (fallocate 16UL (size - 512UL) 4096UL)
            Expect.equal (grow.Step, grow.NewSize) (FuseStep.Resize, sizeBytes + 3584L) "zeroes that grow"
            let grown = next (sizeBytes + 3584L) 0 0L BlockStatus.None grow
            Expect.equal (grown.Step, grown.Length) (FuseStep.WriteZeroes, 4096L) "all of them"

            let space = begin' writable sizeBytes (fallocate 0UL size 4096UL)
            let space = next (sizeBytes + 4096L) 0 0L BlockStatus.None space
            Expect.equal (space.Step, space.Offset, space.Length) (FuseStep.Allocate, sizeBytes, 4096L) "space"
            let instead = next (sizeBytes + 4096L) Errno.ENOTSUP 0L BlockStatus.None space
            Expect.equal instead.Step FuseStep.WriteZeroes "or zeroes"
        }

        test "holes and data" {
            let data = begin' writable sizeBytes (seek 3UL 1000UL)
            Expect.equal (data.Step, data.Offset, data.Length) (FuseStep.Status, 1000L, sizeBytes - 1000L) "asks"
            let later = status data 500L BlockStatus.Zero
            Expect.equal (later.Step, later.Offset) (FuseStep.Status, 1500L) "asks on"
            let found = status later 1L BlockStatus.Data
            Expect.equal (errorOf found, found.Offset) (0, 1500L) "data"
            Expect.equal (status later later.Length BlockStatus.Zero |> errorOf) Errno.ENXIO "no data"

            let hole = begin' writable sizeBytes (seek 4UL 0UL)
            let atEnd = status hole sizeBytes BlockStatus.Data
            Expect.equal (errorOf atEnd, atEnd.Offset) (0, sizeBytes) "there is a hole at the end"
            Expect.equal
                (errorOf (begin' writable sizeBytes (seek 3UL (uint64 sizeBytes))))
                Errno.ENXIO
                "no data at the end"
            Expect.equal (errorOf (begin' writable sizeBytes (seek 4UL (uint64 sizeBytes)))) 0 "but a hole"
            Expect.equal (errorOf (begin' writable sizeBytes (seek 4UL (uint64 sizeBytes + 1UL)))) Errno.ENXIO "beyond"
            Expect.equal (errorOf (begin' writable sizeBytes (seek 0UL 0UL))) Errno.EINVAL "not these"
        }

        test "mode, owner and length" {
            let errors file valid size mode =
                errorOf (begin' file sizeBytes (setattr valid size mode 1u 2u))
            let own = { writable with AllowOther = false }
            Expect.equal (errors readOnly FATTR_MODE 0UL 0o600u) Errno.EROFS "read-only stays so"
            Expect.equal (errors own FATTR_MODE 0UL 0o640u) Errno.EPERM "no others"
            Expect.equal (errors own FATTR_UID 0UL 0u) Errno.ENOTSUP "no owners"
            Expect.equal (errors writable FATTR_MTIME 0UL 0u) Errno.ENOTSUP "no times"
            Expect.equal (errors readOnly FATTR_SIZE 0UL 0u) Errno.EACCES "no length"
            Expect.equal (errors writable FATTR_SIZE UInt64.MaxValue 0u) Errno.EFBIG "too long"
            Expect.equal (errors writable FATTR_SIZE (uint64 sizeBytes) 0u) 0 "the length that it has"

            let change = begin' writable sizeBytes (setattr (FATTR_MODE ||| FATTR_GID) 0UL 0o100644u 1u 2u)
            Expect.equal change.Step FuseStep.Change "changes"
            let changed = Session.changed writable &change
            Expect.equal (changed.Mode, changed.Uid, changed.Gid) (0o644u, 5u, 2u) "what was asked for"

            let both =
                begin' writable sizeBytes (setattr (FATTR_MODE ||| FATTR_SIZE ||| FATTR_MTIME) 512UL 0o600u 0u 0u)

            Expect.equal (both.Step, both.NewSize, both.GrowOnly) (FuseStep.Resize, 512L, false) "length first"
            Expect.equal (next 512L 0 0L BlockStatus.None both).Step FuseStep.Change "then the mode"

            let answer =
                reply changed sizeBytes (begin' changed sizeBytes (message FUSE_GETATTR (Array.zeroCreate 16)))
            let attr = ReadOnlySpan<byte>(answer, 32, 88)
            Expect.equal answer.Length (OutHeaderLength + AttrOutLength) "length"
            Expect.equal (readU64 attr 0, readU64 attr 8) (1UL, uint64 sizeBytes) "inode and size"
            Expect.equal (readU32 attr 60, readU32 attr 64) (0o100644u, 1u) "mode and links"
            Expect.equal (readU32 attr 68, readU32 attr 72) (5u, 2u) "owners"
        }

        test "what is not there" {
            for opcode in [ 5u; 6u; 21u; 22u; 23u; 24u; 34u; 37u; 39u; 40u; 47u; 51u; 4096u ] do
                let request = begin' writable sizeBytes (message opcode (Array.zeroCreate 64))
                Expect.equal (errorOf request) Errno.ENOSYS "not implemented"

            for opcode in [ FUSE_FORGET; FUSE_BATCH_FORGET; FUSE_INTERRUPT; FUSE_NOTIFY_REPLY ] do
                let request = begin' writable sizeBytes (message opcode (Array.zeroCreate 8))
                Expect.equal request.Step FuseStep.NoReply "no reply"

            let other = read 0UL 512UL
            writeU64 (Span<byte> other) 16 2UL
            Expect.equal (errorOf (begin' writable sizeBytes other)) Errno.ENOENT "another file"
        }
    ]

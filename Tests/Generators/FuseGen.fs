/// Messages of the kernel's side of FUSE, honest and hostile.
module StorageDaemon.Tests.Generators.FuseGen

open System
open FsCheck
open FsCheck.FSharp
open StorageDaemon.Core.Fuse.Wire

/// Of the node that hostile messages are about, in bytes.
let sizeBytes = 1L <<< 20

/// A message of the kernel: header and arguments.
let message (opcode: uint32) (arguments: byte[]) : byte[] =
    let bytes = Array.zeroCreate<byte>(InHeaderLength + arguments.Length)
    let span = Span<byte> bytes
    writeU32 span 0 (uint32 bytes.Length)
    writeU32 span 4 opcode
    writeU64 span 8 77UL
    writeU64 span 16 FUSE_ROOT_ID
    writeU32 span 32 1234u
    arguments.CopyTo(bytes, InHeaderLength)
    bytes

let arguments (length: int) (fields: (int * uint64 * int) list) : byte[] =
    let bytes = Array.zeroCreate<byte> length

    for at, value, width in fields do
        if width = 8 then
            writeU64 (Span<byte> bytes) at value
        else
            writeU32 (Span<byte> bytes) at (uint32 value)

    bytes

let read offset length =
    message FUSE_READ (arguments 40 [ 8, offset, 8; 16, length, 4 ])

let write (offset: uint64) (length: int) =
    Array.append (message FUSE_WRITE (arguments 40 [ 8, offset, 8; 16, uint64 length, 4 ])) (Array.zeroCreate length)
    |> fun bytes ->
        writeU32 (Span<byte> bytes) 0 (uint32 bytes.Length)
        bytes

let fallocate (mode: uint64) (offset: uint64) (length: uint64) =
    message FUSE_FALLOCATE (arguments 32 [ 8, offset, 8; 16, length, 8; 24, mode, 4 ])

let seek whence offset =
    message FUSE_LSEEK (arguments 24 [ 8, offset, 8; 16, whence, 4 ])

let setattr (valid: uint32) (size: uint64) (mode: uint32) (uid: uint32) (gid: uint32) =
    message
        FUSE_SETATTR
        (arguments 88 [
            0, uint64 valid, 4
            16, size, 8
            68, uint64 mode, 4
            76, uint64 uid, 4
            80, uint64 gid, 4
        ])

/// A request as the kernel might send it, or nearly.
let hostile: Gen<byte[]> =
    gen {
        let! opcode = Gen.choose (0, 60)
        let! length = Gen.choose (0, 200)
        let! bytes = Gen.arrayOfLength length (Gen.choose (0, 255) |> Gen.map byte)
        let! number =
            Gen.elements [
                0UL
                1UL
                511UL
                uint64 sizeBytes - 1UL
                uint64 sizeBytes
                UInt64.MaxValue
                1UL <<< 63
            ]
        let! at = Gen.choose (0, 60)
        let! isHonest = Gen.elements [ true; true; true; false ]
        let whole = message (uint32 opcode) bytes

        if at + 8 <= bytes.Length then
            writeU64 (Span<byte>(whole, InHeaderLength, bytes.Length)) at number

        if isHonest then
            return whole
        else
            let! cut = Gen.choose (0, whole.Length)
            return whole[.. cut - 1]
    }

namespace StorageDaemon.Core

open System
open System.Buffers.Binary
open System.Numerics

/// SHA-1 (FIPS 180-4), for the WebSocket handshake, which uses it as a checksum. Here because the runtime's own needs
/// a library that may not be installed.
module Sha1 =
    let private roundOf t b c d =
        if t < 20 then
            struct ((b &&& c) ||| (~~~b &&& d), 0x5A827999u)
        elif t < 40 then
            struct (b ^^^ c ^^^ d, 0x6ED9EBA1u)
        elif t < 60 then
            struct ((b &&& c) ||| (b &&& d) ||| (c &&& d), 0x8F1BBCDCu)
        else
            struct (b ^^^ c ^^^ d, 0xCA62C1D6u)

    /// Works one block of 64 bytes into the five words of `hash`.
    let private mix (hash: uint32[]) (block: ReadOnlySpan<byte>) =
        let words = Array.zeroCreate<uint32> 80

        for t in 0..15 do
            words[t] <- BinaryPrimitives.ReadUInt32BigEndian(block.Slice(t * 4))

        for t in 16..79 do
            words[t] <- BitOperations.RotateLeft(words[t - 3] ^^^ words[t - 8] ^^^ words[t - 14] ^^^ words[t - 16], 1)

        let mutable a = hash[0]
        let mutable b = hash[1]
        let mutable c = hash[2]
        let mutable d = hash[3]
        let mutable e = hash[4]

        for t in 0..79 do
            let struct (f, k) = roundOf t b c d
            let next = BitOperations.RotateLeft(a, 5) + f + e + k + words[t]
            e <- d
            d <- c
            c <- BitOperations.RotateLeft(b, 30)
            b <- a
            a <- next

        hash[0] <- hash[0] + a
        hash[1] <- hash[1] + b
        hash[2] <- hash[2] + c
        hash[3] <- hash[3] + d
        hash[4] <- hash[4] + e

    /// The 20 bytes of the hash.
    let compute (message: ReadOnlySpan<byte>) : byte[] =
        // The message, a byte of 0x80, zeros, and its length in bits: whole blocks.
        let padded = Array.zeroCreate<byte>((message.Length + 8) / 64 * 64 + 64)
        message.CopyTo(padded.AsSpan())
        padded[message.Length] <- 0x80uy
        BinaryPrimitives.WriteUInt64BigEndian(padded.AsSpan(padded.Length - 8), uint64 message.Length * 8UL)
        let hash = [| 0x67452301u; 0xEFCDAB89u; 0x98BADCFEu; 0x10325476u; 0xC3D2E1F0u |]

        for block in 0 .. padded.Length / 64 - 1 do
            mix hash (ReadOnlySpan(padded, block * 64, 64))

        let result = Array.zeroCreate<byte> 20

        for i in 0..4 do
            BinaryPrimitives.WriteUInt32BigEndian(result.AsSpan(i * 4), hash[i])

        result

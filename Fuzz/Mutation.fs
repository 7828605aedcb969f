/// Small changes to inputs, drawn from a seeded generator so that a run can be repeated.
module StorageDaemon.Fuzz.Mutation

open System

/// No mutated input is longer than this many bytes.
[<Literal>]
let private MaxLength = 65536

let private interesting: byte[] = [|
    0uy
    1uy
    9uy
    10uy
    32uy
    34uy
    39uy
    92uy
    127uy
    128uy
    192uy
    254uy
    255uy
|]

let private randomByte (random: Random) =
    if random.Next 2 = 0 then
        interesting[random.Next interesting.Length]
    else
        byte (random.Next 256)

/// A random part of `bytes`: offset and length.
let private part (random: Random) (bytes: byte[]) =
    let offset = random.Next(bytes.Length + 1)
    struct (offset, random.Next(min 64 (bytes.Length - offset) + 1))

let private splice (bytes: byte[]) offset removed (inserted: byte[]) =
    Array.concat [ bytes[.. offset - 1]; inserted; bytes[offset + removed ..] ]

/// One change: a byte, a bit, a part removed or repeated, bytes inserted, or a part of `other` put in.
let private change (random: Random) (other: byte[]) (bytes: byte[]) =
    let struct (offset, length) = part random bytes

    match random.Next 6 with
    | 0 when offset < bytes.Length -> splice bytes offset 1 [| randomByte random |]
    | 1 when offset < bytes.Length -> splice bytes offset 1 [| bytes[offset] ^^^ (1uy <<< random.Next 8) |]
    | 2 -> splice bytes offset length [||]
    | 3 -> splice bytes offset 0 (Array.sub bytes offset length)
    | 4 -> splice bytes offset 0 (Array.init (1 + random.Next 4) (fun _ -> randomByte random))
    | _ ->
        let struct (start, count) = part random other
        splice bytes offset length (Array.sub other start count)

/// A few changes to a random entry of `corpus`, which is not empty.
let mutate (random: Random) (corpus: byte[][]) : byte[] =
    let pick () = corpus[random.Next corpus.Length]
    let mutable bytes = pick ()

    for _ in 0 .. random.Next 8 do
        bytes <- change random (pick ()) bytes

    if bytes.Length > MaxLength then
        Array.truncate MaxLength bytes
    else
        bytes

/// Refcounts bit by bit: bit `b` of the refcount with number `i` of `width` bits.
module StorageDaemon.Tests.Reference.NaiveRefcounts

/// The byte and the bit in it: wide refcounts are big-endian, narrow ones fill a byte from its lowest bit up.
let private place (width: int) (index: int) (bit: int) : int * int =
    if width < 8 then
        let position = index * width + bit
        position / 8, position % 8
    else
        let bytes = width / 8
        index * bytes + (bytes - 1 - bit / 8), bit % 8

let get (width: int) (block: byte[]) (index: int) : uint64 =
    Seq.init width (place width index)
    |> Seq.mapi (fun bit (at, shift) -> uint64 ((block[at] >>> shift) &&& 1uy) <<< bit)
    |> Seq.sum

let set (width: int) (block: byte[]) (index: int) (value: uint64) : unit =
    for bit in 0 .. width - 1 do
        let at, shift = place width index bit
        let rest = block[at] &&& ~~~(1uy <<< shift)
        block[at] <- rest ||| (byte ((value >>> bit) &&& 1UL) <<< shift)

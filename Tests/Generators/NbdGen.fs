/// Generators for the NBD room: exports, option streams good and bad, chunkings, sessions and requests.
module StorageDaemon.Tests.Generators.NbdGen

open FsCheck
open FsCheck.FSharp
open StorageDaemon.Core.Nbd
open StorageDaemon.Core.Nbd.Wire
open StorageDaemon.Tests.Reference.NbdNaiveClient

let allocation = { Id = 0u; Name = "base:allocation" }
let depth = { Id = 1u; Name = "qemu:allocation-depth" }
let bitmap = { Id = 2u; Name = "qemu:dirty-bitmap:b0" }

/// Flags of a writable export and of a read-only one, as the real daemon sets them.
let writableFlags = 0x0d6dus
let readOnlyFlags = 0x050fus

let export key name description flags minimumBlock contexts = {
    Name = name
    Description = description
    SizeBytes = 4194304UL
    TransmissionFlags = flags
    MinimumBlock = minimumBlock
    PreferredBlock = 4096u
    MaximumBlock = 33554432u
    Contexts = contexts
    Key = key
}

/// The exports of the golden tests: writable with description, read-only, of 4096-byte blocks, and the default one.
let exports = [
    export 1 "q" (Some "hello") writableFlags 1u [ allocation; depth; bitmap ]
    export 2 "ro" None readOnlyFlags 1u [ allocation ]
    export 3 "al" None writableFlags 4096u [ allocation ]
    export 4 "" None writableFlags 1u [ allocation ]
]

let names = [ "q"; "ro"; "al"; ""; "nope"; String.replicate 90 "y"; "é" ]

let queries = [
    ""
    "base:"
    "base:allocation"
    "base:other"
    "qemu:"
    "qemu:allocation-depth"
    "qemu:dirty-bitmap:"
    "qemu:dirty-bitmap:b0"
    "x"
    String.replicate 5000 "z"
]

/// What a well-behaved client may say during option haggling.
type ClientOption =
    | Abort
    | List
    | StartTls
    | StructuredReply
    | ExtendedHeaders
    | Info of name: string * requests: uint16 list
    | Go of name: string * requests: uint16 list
    | ListMeta of name: string * queries: string list
    | SetMeta of name: string * queries: string list
    | ExportName of string
    | Unknown of code: uint32 * payloadLength: int

let encodeOption clientOption =
    match clientOption with
    | Abort -> option NBD_OPT_ABORT [||]
    | List -> option NBD_OPT_LIST [||]
    | StartTls -> option NBD_OPT_STARTTLS [||]
    | StructuredReply -> option NBD_OPT_STRUCTURED_REPLY [||]
    | ExtendedHeaders -> option NBD_OPT_EXTENDED_HEADERS [||]
    | Info(name, requests) -> option NBD_OPT_INFO (infoPayload name requests)
    | Go(name, requests) -> option NBD_OPT_GO (infoPayload name requests)
    | ListMeta(name, queries) -> option NBD_OPT_LIST_META_CONTEXT (metaPayload name queries)
    | SetMeta(name, queries) -> option NBD_OPT_SET_META_CONTEXT (metaPayload name queries)
    | ExportName name -> option NBD_OPT_EXPORT_NAME (text name)
    | Unknown(code, length) -> option code (Array.zeroCreate length)

let private name = Gen.elements names
let private requests = Gen.listOf (Gen.elements [ 0us; 1us; 2us; 3us; 99us ])
let private queryList = Gen.listOf (Gen.elements queries) |> Gen.map (List.truncate 5)

let clientOption: Gen<ClientOption> =
    Gen.frequency [
        1, Gen.constant Abort
        2, Gen.constant List
        1, Gen.constant StartTls
        3, Gen.constant StructuredReply
        2, Gen.constant ExtendedHeaders
        3, Gen.map2 (fun name requests -> Info(name, requests)) name requests
        1, Gen.map2 (fun name requests -> Go(name, requests)) name requests
        3, Gen.map2 (fun name queries -> ListMeta(name, queries)) name queryList
        4, Gen.map2 (fun name queries -> SetMeta(name, queries)) name queryList
        1, Gen.map ExportName name
        2, Gen.map2 (fun code length -> Unknown(code, length)) (Gen.elements [ 0u; 4u; 12u; 99u ]) (Gen.choose (0, 40))
    ]

/// Flips, cuts and inserts bytes.
let private damage (bytes: byte[]) : Gen<byte[]> =
    gen {
        let! at = Gen.choose (0, max 0 (bytes.Length - 1))
        let! value = Gen.choose (0, 255)
        let! kind = Gen.choose (0, 3)

        return
            match kind with
            | 0 when bytes.Length > 0 -> Array.updateAt at (byte value) bytes
            | 1 -> bytes[.. at - 1]
            | 2 -> Array.insertAt (min at bytes.Length) (byte value) bytes
            | _ -> bytes
    }

/// Client flags and a stream of options, some of them damaged.
let handshakeInput: Gen<byte[]> =
    gen {
        let! flags = Gen.frequency [ 8, Gen.constant 3u; 1, Gen.elements [ 0u; 1u; 2u; 4u ] ]
        let! options = Gen.listOf clientOption
        let! damaged = Gen.frequency [ 3, Gen.constant false; 1, Gen.constant true ]
        let bytes = Array.concat (u32 flags :: List.map encodeOption options)

        if damaged then return! damage bytes else return bytes
    }

/// Cuts bytes into pieces; the pieces joined are the bytes.
let chunked (bytes: byte[]) : Gen<byte[] list> =
    let rec cut (sizes: int list) (rest: byte[]) =
        match sizes with
        | size :: others when size < rest.Length -> rest[.. size - 1] :: cut others rest[size..]
        | _ -> [ rest ]

    Gen.frequency [
        1, Gen.constant [ bytes ]
        1, Gen.constant [ for b in bytes -> [| b |] ]
        3, Gen.map (fun sizes -> cut sizes bytes) (Gen.listOf (Gen.choose (0, 30)))
    ]

let mode = Gen.elements [ ReplyMode.Simple; ReplyMode.Structured; ReplyMode.Extended ]

let session: Gen<Session> =
    gen {
        let! mode = mode
        let! readOnly = Gen.elements [ true; false ]
        let! size = Gen.elements [ 0UL; 4194304UL; 1UL <<< 40; System.UInt64.MaxValue ]
        let! contexts = Gen.elements [ [||]; [| allocation |]; [| allocation; depth; bitmap |] ]
        let contexts = if mode = ReplyMode.Simple then [||] else contexts
        return Session(mode, readOnly, size, 1, contexts)
    }

let private edge: Gen<uint64> =
    Gen.oneof [
        Gen.elements [
            0UL
            1UL
            512UL
            33554432UL
            33554433UL
            0xffffffffUL
            1UL <<< 32
            1UL <<< 63
        ]
        Gen.map (fun back -> System.UInt64.MaxValue - uint64 back) (Gen.choose (0, 600))
        Gen.map (fun near -> uint64 (4194304 + near)) (Gen.choose (-600, 600))
        Gen.map uint64 (Gen.choose (0, 1 <<< 24))
    ]

/// Fields of a request header: flags, command, cookie, offset, length.
type Header = {
    Flags: uint16
    Command: uint16
    Cookie: uint64
    Offset: uint64
    Length: uint64
}

let header: Gen<Header> =
    gen {
        let! flags = Gen.frequency [ 3, Gen.constant 0; 2, Gen.choose (0, 63); 1, Gen.choose (0, 65535) ]
        let! command = Gen.frequency [ 6, Gen.choose (0, 8); 1, Gen.choose (0, 65535) ]
        let! cookie = Gen.map uint64 (Gen.choose (0, System.Int32.MaxValue))
        let! offset = edge
        let! length = edge

        return {
            Flags = uint16 flags
            Command = uint16 command
            Cookie = cookie * 0x1_0000_0001UL
            Offset = offset
            Length = length
        }
    }

/// The header on the wire; simple and structured sessions send the low 32 bits of the length.
let encodeHeader (mode: ReplyMode) (header: Header) =
    request mode header.Flags header.Command header.Cookie header.Offset header.Length

/// A request as this session decodes it.
let decode (session: Session) (header: Header) : Request =
    let mutable request = Request()
    let bytes = encodeHeader session.Mode header
    Request.decode &session (System.ReadOnlySpan<byte> bytes) &request |> ignore
    request

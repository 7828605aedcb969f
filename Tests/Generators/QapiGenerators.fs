/// Generators of values of the management interface: typed ones, and JSON that a schema allows.
module StorageDaemon.Tests.QapiGenerators

open FsCheck
open FsCheck.FSharp
open StorageDaemon.Core.Json
open StorageDaemon.Core.Qapi

let private text = Gen.elements [ ""; "a"; "disk0"; "on"; "1"; "Größe"; "a.b"; "\u0000"; "null" ]

let private finite =
    ArbMap.defaults
    |> ArbMap.generate<NormalFloat>
    |> Gen.map (fun (NormalFloat f) -> f)

let private scalarJson =
    Gen.oneof [
        Gen.constant Null
        Gen.elements [ Bool true; Bool false ]
        Gen.elements [ 0L; 1L; -1L; 65536L; System.Int64.MinValue; System.Int64.MaxValue ]
        |> Gen.map Int
        Gen.elements [ 9223372036854775808UL; System.UInt64.MaxValue ] |> Gen.map UInt
        finite |> Gen.map Double
        text |> Gen.map String
    ]

/// Names that decoders know and one that they do not.
let private keys =
    Gen.elements [
        "driver"
        "file"
        "node-name"
        "cache"
        "type"
        "qom-type"
        "id"
        "addr"
        "data"
        "backend"
        "size"
        "path"
        "enable"
        "iothread"
        "value"
        "zz"
    ]

/// Any JSON value, with keys that are likely to be understood.
let anyJson: Gen<Json> =
    let rec sized size =
        if size <= 0 then
            scalarJson
        else
            let inner = sized (size / 4)
            let members = Gen.zip keys inner |> Gen.listOf |> Gen.map (List.distinctBy fst)

            Gen.frequency [
                2, scalarJson
                1, inner |> Gen.listOf |> Gen.map List
                3, members |> Gen.map Object
            ]

    Gen.sized (fun size -> sized (min size 64))

/// JSON that a schema allows, with members in the order of the description. Integers are small enough for all types.
let rec jsonOf (depth: int) (schema: SchemaType) : Gen<Json> =
    match schema with
    | SchemaType.Builtin Builtin.Str -> text |> Gen.map String
    | SchemaType.Builtin Builtin.Int -> Gen.choose (0, 255) |> Gen.map (int64 >> Int)
    | SchemaType.Builtin Builtin.Number -> finite |> Gen.map Double
    | SchemaType.Builtin Builtin.Bool -> Gen.elements [ Bool true; Bool false ]
    | SchemaType.Builtin Builtin.Null -> Gen.constant Null
    | SchemaType.Builtin Builtin.Any -> scalarJson
    | SchemaType.Enum enum -> enum.Members |> List.map (fun m -> String m.Name) |> Gen.elements
    | SchemaType.Array item -> Gen.resize 3 (Gen.listOf (jsonOf (depth - 1) item)) |> Gen.map List
    | SchemaType.Object object -> membersOf depth object |> Gen.map Object
    | SchemaType.Alternate alternate ->
        let isLeaf member' =
            match member' with
            | SchemaType.Object _ -> false
            | _ -> true

        let choices = alternate.Members.Value |> List.filter (fun m -> depth > 0 || isLeaf m)
        Gen.elements choices |> Gen.bind (jsonOf (depth - 1))

/// The members of an object that a schema allows. A positive depth lets optional members appear.
and membersOf depth (object: ObjectType) : Gen<(string * Json) list> =
    let shape = object.Shape.Value

    let memberOf (m: Member) : Gen<(string * Json) list> =
        let present = Gen.delay (fun () -> jsonOf (depth - 1) m.Type |> Gen.map (fun json -> [ m.Name, json ]))

        if not m.Optional then present
        elif depth <= 0 then Gen.constant []
        else Gen.oneof [ Gen.constant []; present ]

    let members (list: Member list) =
        list |> Gen.collectToList memberOf |> Gen.map List.concat

    match shape.Variants with
    | None -> members shape.Members
    | Some variants ->
        gen {
            let! case = Gen.elements variants.Cases
            let! common = members (shape.Members |> List.filter (fun m -> m.Name <> variants.Tag))
            let! own = membersOf depth case.Type
            return (variants.Tag, String case.Case) :: common @ own
        }

let private decoded (codec: StructCodec<'T>) =
    membersOf 5 codec.Type
    |> Gen.map (fun members ->
        match StructCodec.decode Dialect.Json codec members with
        | Ok value -> value
        | Error error -> failwith ("a value that the schema allows is refused: " + error.Desc))

/// Scalars: strings are not null, and integers reach the ends of their ranges.
type Scalars =
    static member String() = Arb.fromGen text
    static member Float() = Arb.fromGen finite

    static member Int64() =
        Arb.fromGen (Gen.elements [ 0L; 1L; -1L; 4096L; System.Int64.MinValue; System.Int64.MaxValue ])

    static member UInt64() =
        Arb.fromGen (Gen.elements [ 0UL; 1UL; 9223372036854775808UL; System.UInt64.MaxValue ])

let private plain<'T> : Gen<'T> = ArbMap.defaults |> ArbMap.mergeWith<Scalars> |> ArbMap.generate<'T>

/// Types that reflection cannot generate well: those that contain themselves, and branches of which only the schema
/// knows the members.
type Branches =
    static member Json() = Arb.fromGen anyJson
    static member Backend() =
        Arb.fromGen (decoded CharCodecs.backend)
    static member ImageInfo() =
        Arb.fromGen (decoded BlockInfoCodecs.imageInfo)
    static member BlockStats() =
        Arb.fromGen (decoded BlockStatsCodecs.blockStats)

    static member Driver() =
        Arb.fromGen (
            Gen.oneof [
                plain |> Gen.map BlockdevDriver.File
                plain |> Gen.map BlockdevDriver.HostCdrom
                plain |> Gen.map BlockdevDriver.HostDevice
                plain |> Gen.map BlockdevDriver.NullAio
                plain |> Gen.map BlockdevDriver.NullCo
                decoded BlockCodecs.blockdevOptions |> Gen.map _.Driver
            ]
        )

    static member ObjectBranch() =
        Arb.fromGen (
            Gen.oneof [
                plain |> Gen.map ObjectBranch.Iothread
                decoded ObjectCodecs.objectOptions |> Gen.map _.QomType
            ]
        )

/// Values of a type of the interface.
let valuesOf<'T> : Gen<'T> =
    ArbMap.defaults
    |> ArbMap.mergeWith<Scalars>
    |> ArbMap.mergeWith<Branches>
    |> ArbMap.generate<'T>

let rec private blockdevRef depth leaf : Gen<BlockdevRef> =
    let reference = text |> Gen.map BlockdevRef.Reference

    if depth = 0 then
        reference
    else
        Gen.oneof [ reference; blockdevOptions depth leaf |> Gen.map BlockdevRef.Definition ]

/// Options of a node in which all integers are of full range.
and private blockdevOptions depth (leaf: Gen<BlockdevOptions>) : Gen<BlockdevOptions> =
    gen {
        let! options = leaf
        let! file = blockdevRef (depth - 1) leaf
        let! offset, size = plain<int64 option * int64 option>
        let raw = BlockdevDriver.Raw { File = file; Offset = offset; Size = size }
        return! Gen.elements [ options; { options with Driver = raw } ]
    }

/// Options of nodes, nested to a small depth.
let nodes: Gen<BlockdevOptions> = blockdevOptions 4 valuesOf<BlockdevOptions>

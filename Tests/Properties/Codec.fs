module StorageDaemon.Tests.Properties.Codec

open Expecto
open FsCheck
open FsCheck.FSharp
open StorageDaemon.Core
open StorageDaemon.Core.Json
open StorageDaemon.Core.Qapi
open StorageDaemon.Tests.QapiGenerators

let private decode (codec: Codec<'T>) json =
    codec.Decode (Place.root Dialect.Json) json

let private property gen check = Prop.forAll (Arb.fromGen gen) check

/// Values of the type, encoded and decoded.
let private roundTripOf name (codec: Codec<'T>) (values: Gen<'T>) =
    testProperty (name + " comes back") (property values (fun value -> decode codec (codec.Encode value) = Ok value))

/// JSON that the schema allows, decoded and encoded.
let private schemaRoundTrip name (codec: Codec<'T>) =
    testProperty
        (name + " takes what its schema allows")
        (property (jsonOf 5 codec.Schema) (fun json -> decode codec json |> Result.map codec.Encode = Ok json))

let private garbage name (codec: Codec<'T>) =
    testProperty
        (name + " refuses garbage with a text")
        (property anyJson (fun json ->
            [ Dialect.Json; Dialect.KeyVal ]
            |> List.forall (fun dialect ->
                match codec.Decode (Place.root dialect) json with
                | Ok _ -> true
                | Error error -> error.Desc <> "")))

let private codecTests name (codec: Codec<'T>) values =
    testList name [
        roundTripOf name codec values
        schemaRoundTrip name codec
        garbage name codec
    ]

let private structTests (codec: StructCodec<'T>) =
    codecTests codec.Type.Name (StructCodec.codec codec) valuesOf<'T>

/// Scalars as an option string has them.
let rec private asText json =
    match json with
    | Null
    | Double _ -> json
    | Bool value -> String(if value then "on" else "off")
    | Int value -> String(string value)
    | UInt value -> String(string value)
    | String _ -> json
    | List items -> List(items |> List.map asText)
    | Object members -> Object(members |> List.map (fun (name, value) -> name, asText value))

let private keyValTests (codec: StructCodec<'T>) (values: Gen<'T>) =
    testProperty
        (codec.Type.Name + " comes back from option strings")
        (property values (fun value ->
            let members =
                match asText (Object(StructCodec.encode codec value)) with
                | Object members -> members
                | _ -> []

            StructCodec.decode Dialect.KeyVal codec members = Ok value))

/// `raw` nodes on top of each other.
let private tower height =
    let mutable json = String "node"

    for _ in 1..height do
        json <- Object [ "driver", String "raw"; "file", json ]

    json

let private towerDecodes height =
    decode (StructCodec.codec BlockCodecs.blockdevOptions) (tower height)
    |> Result.isOk

/// Replaces one value somewhere inside.
let rec private spoil (json: Json) : Gen<Json> =
    match json with
    | List(first :: rest) -> spoil first |> Gen.map (fun first -> List(first :: rest))
    | Object(_ :: _ as members) ->
        gen {
            let! index = Gen.choose (0, members.Length - 1)
            let name, value = members[index]
            let! spoilt = Gen.oneof [ anyJson; spoil value ]
            return Object(members |> List.updateAt index (name, spoilt))
        }
    | _ -> anyJson

let private spoiltTests (codec: StructCodec<'T>) =
    let valid = membersOf 4 codec.Type |> Gen.map Object

    testProperty
        (codec.Type.Name + " survives a spoilt member")
        (property (valid |> Gen.bind spoil) (fun json ->
            match decode (StructCodec.codec codec) json with
            | Ok value -> decode (StructCodec.codec codec) (Object(StructCodec.encode codec value)) = Ok value
            | Error error -> error.Desc <> ""))

[<Tests>]
let tests =
    testList "qapi codecs" [
        structTests MiscCodecs.qmpCapabilities
        structTests MiscCodecs.versionInfo
        structTests MiscCodecs.commandInfo
        structTests MiscCodecs.monitorOptions
        structTests SocketCodecs.socketAddress
        structTests SocketCodecs.socketAddressLegacy
        codecTests "BlockdevOptions" (StructCodec.codec BlockCodecs.blockdevOptions) nodes
        structTests BlockCodecs.blockdevDel
        structTests BlockCodecs.blockResize
        structTests BlockCodecs.queryNamedBlockNodes
        structTests BlockCodecs.queryBlockstats
        structTests BlockInfoCodecs.blockDeviceInfo
        structTests BlockInfoCodecs.blockInfo
        structTests BlockStatsCodecs.deviceStats
        structTests BlockStatsCodecs.blockStats
        structTests ExportCodecs.nbdServerOptions
        structTests ExportCodecs.nbdServerOptionsLegacy
        structTests ExportCodecs.nbdServerAddOptions
        structTests ExportCodecs.nbdServerRemove
        structTests ExportCodecs.blockExportOptions
        structTests ExportCodecs.blockExportDel
        structTests ExportCodecs.blockExportInfo
        structTests ExportCodecs.blockExportDeleted
        structTests CharCodecs.chardevAdd
        structTests CharCodecs.chardevReturn
        structTests CharCodecs.chardevRemove
        structTests CharCodecs.chardevInfo
        structTests CharCodecs.chardevBackendInfo
        structTests ObjectCodecs.objectOptions
        structTests ObjectCodecs.objectDel
        structTests QomCodecs.qomList
        structTests QomCodecs.qomGet
        structTests QomCodecs.qomSet
        structTests QomCodecs.qomListTypes
        structTests QomCodecs.qomListProperties
        structTests QomCodecs.objectTypeInfo
        structTests QomCodecs.objectPropertyInfo

        keyValTests BlockCodecs.blockdevOptions nodes
        keyValTests ExportCodecs.blockExportOptions valuesOf
        keyValTests ExportCodecs.nbdServerOptions valuesOf
        keyValTests MiscCodecs.monitorOptions valuesOf
        keyValTests ObjectCodecs.objectOptions (valuesOf |> Gen.filter (fun o -> o.QomType.IsIothread))

        spoiltTests BlockCodecs.blockdevOptions
        spoiltTests ObjectCodecs.objectOptions
        spoiltTests CharCodecs.chardevAdd
        spoiltTests ExportCodecs.nbdServerOptionsLegacy

        test "integers keep their 64 bits" {
            Expect.equal (Codec.int64.Encode System.Int64.MaxValue) (Int System.Int64.MaxValue) "signed"
            Expect.equal (Codec.uint64.Encode System.UInt64.MaxValue) (UInt System.UInt64.MaxValue) "unsigned"
            Expect.equal (Codec.uint64.Encode 5UL) (Int 5L) "small unsigned"
            Expect.equal (decode Codec.uint64 (Int -1L)) (Ok System.UInt64.MaxValue) "negative for unsigned"
        }

        test "option strings take sizes with a unit only where a size is due" {
            let keyVal (codec: Codec<'T>) text =
                codec.Decode (Place.root Dialect.KeyVal) (String text)
            Expect.equal (keyVal Codec.size "64k") (Ok 65536UL) "size"
            Expect.isError (keyVal Codec.int64 "64k") "integer"
        }

        test "nesting is bounded" {
            Expect.isTrue (towerDecodes Place.MaxDepth) "at the limit"
            Expect.isFalse (towerDecodes (Place.MaxDepth + 1)) "above it"
            Expect.isFalse (towerDecodes 1_000_000) "far above it"
        }
    ]

module StorageDaemon.Tests.Properties.JsonPrinterTests

open System
open System.Buffers
open System.Globalization
open System.Text
open Expecto
open FsCheck.FSharp
open StorageDaemon.Core
open StorageDaemon.Core.Json
open StorageDaemon.Tests.Generators
open StorageDaemon.Tests.Reference

let private forAll gen property = Prop.forAll (Arb.fromGen gen) property

let private pretty value =
    let output = ArrayBufferWriter<byte>()
    JsonPrinter.writePretty "\n" output value
    Encoding.UTF8.GetString output.WrittenSpan

let private prettySample =
    """{
    "a": [
        1,
        {
            "b": null
        },
        [
        ]
    ],
    "c": {
    }
}"""

let private golden = [
    Object [], "{}"
    List [], "[]"
    Object [ "a", Int 1L; "b", List [ Int 1L; Int 2L ] ], """{"a": 1, "b": [1, 2]}"""
    Int Int64.MinValue, "-9223372036854775808"
    UInt UInt64.MaxValue, "18446744073709551615"
    Json.Double 1.0, "1"
    Json.Double 0.1, "0.10000000000000001"
    Json.Double 1e16, "10000000000000000"
    Json.Double 1e17, "1e+17"
    Json.Double 0.0001, "0.0001"
    Json.Double 1e-5, "1.0000000000000001e-05"
    Json.Double -0.0, "-0"
    Json.Double 5e-324, "4.9406564584124654e-324"
    Json.Double 1.5e300, "1.5000000000000001e+300"
    Json.Double nan, "null"
    Json.Double infinity, "null"
    Json.Double -infinity, "null"
    Json.String "\000\b\t\n\012\r\027\127", "\"\\u0000\\b\\t\\n\\f\\r\\u001B\\u007F\""
    Json.String "\"\\/'<>&", "\"\\\"\\\\/'<>&\""
    Json.String "é€😀", "\"\\u00E9\\u20AC\\uD83D\\uDE00\""
    Json.String "\uD83D", "\"\\uFFFD\""
    Json.String "\uDE00\uD83Dx", "\"\\uFFFD\\uFFFDx\""
    Json.String "\uFFFE\uFDD0", "\"\\uFFFD\\uFFFD\""
]

/// With members in the order in which the real daemon writes them.
let rec private arranged (value: Json) : Json =
    match value with
    | Json.List items -> Json.List(List.map arranged items)
    | Json.Object members ->
        members
        |> List.map (fun (name, item) -> name, arranged item)
        |> HashOrder.arrange
        |> Json.Object
    | scalar -> scalar

[<Tests>]
let tests =
    testList "JsonPrinter" [
        testProperty "round trip"
        <| forAll JsonGen.value (fun value -> JsonParser.parse (JsonPrinter.toString value) = Ok value)

        testProperty "round trip of the pretty form"
        <| forAll JsonGen.value (fun value -> NaiveJson.parse (pretty value) = Some(arranged value))

        test "members as the real daemon writes them" {
            let output = ArrayBufferWriter<byte>()

            Json.Object [
                for name in [ "major"; "minor"; "micro"; "id"; "status"; "event"; "timestamp"; "data" ] ->
                    name, Json.Null
            ]
            |> JsonPrinter.writeHashed output

            Expect.equal
                (Encoding.ASCII.GetString output.WrittenSpan)
                """{"timestamp": null, "status": null, "micro": null, "minor": null, "event": null, "major": null, "id": null, "data": null}"""
                "order"
        }

        testProperty "doubles keep their value" (fun (d: float) ->
            let text = JsonPrinter.toString (Json.Double d)
            not (Double.IsFinite d) || Double.Parse(text, CultureInfo.InvariantCulture) = d)

        testProperty "any text comes out as ASCII that can be read" (fun (units: uint16 list) ->
            let text = units |> List.map char |> List.toArray |> System.String
            let printed = JsonPrinter.toString (Json.String text)
            Ascii.IsValid printed && Result.isOk (JsonParser.parse printed))

        testList "golden" [
            for index, (value, text) in List.indexed golden ->
                test (string<int> index + " " + text) { Expect.equal (JsonPrinter.toString value) text "printed" }
        ]

        test "pretty" {
            let inner = List [ Int 1L; Object [ "b", Null ]; List [] ]
            Expect.equal (pretty (Object [ "a", inner; "c", Object [] ])) prettySample "one element per line"
        }

        test "deep values need no stack" {
            let deep = Seq.fold (fun inner _ -> List [ inner ]) Null (seq { 1..200000 })
            Expect.equal (JsonPrinter.toString deep).Length 400004 "brackets and null"
        }
    ]

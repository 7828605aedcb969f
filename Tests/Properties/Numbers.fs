module StorageDaemon.Tests.Properties.Numbers

open System.Numerics
open Expecto
open StorageDaemon.Core.Qapi

/// Texts and what the real daemon makes of them; none for those that it refuses.
let private integers = [
    "0", Some 0I
    "010", Some 8I
    "0x10", Some 16I
    "0X1f", Some 31I
    " 5", Some 5I
    "\t5", Some 5I
    "+5", Some 5I
    "-5", Some -5I
    "-0x10", Some -16I
    "9223372036854775807", Some 9223372036854775807I
    "-9223372036854775808", Some -9223372036854775808I
    "", None
    " ", None
    "+", None
    "5 ", None
    "1k", None
    "1.5", None
    "08", None
    "0x", None
    "0b1", None
    "- 5", None
    "+-5", None
    "0x-5", None
    "18446744073709551616", None
]

let private sizes = [
    "0", Some 0I
    "08", Some 8I
    "0777", Some 777I
    "0x10", Some 16I
    "0X5", Some 5I
    "0x1E", Some 30I
    " 5", Some 5I
    "+5k", Some 5120I
    "5b", Some 5I
    "5B", Some 5I
    "1k", Some 1024I
    "1M", Some 1048576I
    "5e", Some(5I * BigInteger.Pow(2I, 60))
    "15.5E", Some(31I * BigInteger.Pow(2I, 59))
    "1.5k", Some 1536I
    ".5k", Some 512I
    "5.", Some 5I
    "5.k", Some 5120I
    "1.0", Some 1I
    "0.00000000000000000000000001k", Some 0I
    "18446744073709551615", Some 18446744073709551615I
    "18446744073709551616", None
    "16E", None
    "1.5", None
    "0.1", None
    "-1", None
    "-0", None
    "0x10k", None
    "0x5.", None
    "00x5", None
    "5kb", None
    "1 k", None
    "1e3", None
    "1.5.k", None
    "++5", None
    ".", None
    ".k", None
    "k", None
    "", None
    "inf", None
    "nan", None
]

let private toBig (value: uint64 voption) =
    value |> ValueOption.map BigInteger |> ValueOption.toOption

[<Tests>]
let tests =
    testList "qapi numbers" [
        test "signed integers are those of the C library" {
            for text, expected in integers do
                let actual = Numbers.tryInt64 text |> ValueOption.map BigInteger |> ValueOption.toOption
                Expect.equal actual expected ("'" + text + "'")
        }

        test "negative unsigned integers wrap" {
            let modulus = BigInteger.Pow(2I, 64)

            for text, expected in integers do
                let wrapped = expected |> Option.map (fun n -> if n.Sign < 0 then n + modulus else n)
                Expect.equal (toBig (Numbers.tryUInt64 text)) wrapped ("'" + text + "'")

            Expect.equal (Numbers.tryUInt64 "-18446744073709551615") (ValueSome 1UL) "the smallest"
            Expect.equal (Numbers.tryUInt64 "-18446744073709551616") ValueNone "below it"
        }

        test "sizes are those of the real daemon" {
            for text, expected in sizes do
                Expect.equal (toBig (Numbers.trySize text)) expected ("'" + text + "'")
        }

        testProperty "decimal integers come back" (fun (value: int64) (other: uint64) ->
            Numbers.tryInt64 (string value) = ValueSome value
            && Numbers.tryUInt64 (string other) = ValueSome other
            && Numbers.trySize (string other) = ValueSome other)

        testProperty "hexadecimal integers come back" (fun (value: uint64) ->
            let text = "0x" + value.ToString "x"
            Numbers.tryUInt64 text = ValueSome value
            && Numbers.trySize text = ValueSome value)

        testProperty "any text gives a number or none" (fun (text: string) ->
            let text = if isNull text then "" else text
            Numbers.tryInt64 text |> ignore
            Numbers.tryUInt64 text |> ignore
            Numbers.trySize text |> ignore)

        test "booleans have eight spellings" {
            for text in [ "on"; "yes"; "true"; "y" ] do
                Expect.equal (Numbers.tryBool text) (ValueSome true) text

            for text in [ "off"; "no"; "false"; "n" ] do
                Expect.equal (Numbers.tryBool text) (ValueSome false) text

            for text in [ ""; "1"; "On"; "YES"; "on " ] do
                Expect.equal (Numbers.tryBool text) ValueNone text
        }
    ]

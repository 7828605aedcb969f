namespace StorageDaemon.Core.Qapi

open System
open System.Globalization
open StorageDaemon.Core
open StorageDaemon.Core.Json

/// The one description of a type: what introspection says about it, how it is read and how it is written.
[<NoEquality; NoComparison>]
type Codec<'T> = {
    Schema: SchemaType
    Decode: Place -> Json -> Result<'T, QapiError>
    Encode: 'T -> Json
}

/// Codecs of scalars, enumerations, lists and alternates.
module Codec =
    /// The text of a scalar in an option string.
    let private scalarText place json : Result<string, QapiError> =
        match json with
        | String text -> Ok text
        | List _
        | Object _ -> VisitError.unexpectedMembers place
        | _ -> QapiError.fail ("Internal error: parameter " + Place.fullName place + " invalid")

    /// A scalar with a rule for each dialect; both give none for what is no such scalar.
    let private scalar schema ofJson (expectedJson: Place -> Result<'T, QapiError>) ofText expectedText encode = {
        Schema = SchemaType.Builtin schema
        Decode =
            fun place json ->
                match place.Dialect with
                | Dialect.Json ->
                    match ofJson json with
                    | ValueSome value -> Ok value
                    | ValueNone -> expectedJson place
                | Dialect.KeyVal ->
                    match scalarText place json with
                    | Error error -> Error error
                    | Ok text ->
                        match ofText text with
                        | ValueSome value -> Ok value
                        | ValueNone -> VisitError.malformed place expectedText
        Encode = encode
    }

    let str: Codec<string> = {
        Schema = SchemaType.Builtin Builtin.Str
        Decode =
            fun place json ->
                match place.Dialect, json with
                | _, String text -> Ok text
                | Dialect.Json, _ -> VisitError.wrongType place "string"
                | Dialect.KeyVal, _ -> scalarText place json
        Encode = String
    }

    let bool: Codec<bool> =
        let ofJson json =
            match json with
            | Bool value -> ValueSome value
            | _ -> ValueNone

        let expected place = VisitError.wrongType place "boolean"
        scalar Builtin.Bool ofJson expected Numbers.tryBool "'on' or 'off'" Bool

    /// A signed integer of 64 bits; a number with a fraction or an exponent is none.
    let int64: Codec<int64> =
        let ofJson json =
            match json with
            | Int value -> ValueSome value
            | _ -> ValueNone

        scalar Builtin.Int ofJson (fun place -> VisitError.wrongType place "integer") Numbers.tryInt64 "integer" Int

    let private uint64OfJson json =
        match json with
        // Negative numbers are accepted modulo 2^64: the real daemon once wrote large values so.
        | Int value -> ValueSome(uint64 value)
        | UInt value -> ValueSome value
        | _ -> ValueNone

    let private jsonOfUInt64 value =
        if value <= uint64 Int64.MaxValue then
            Int(Operators.int64 value)
        else
            UInt value

    /// An unsigned integer of 64 bits.
    let uint64: Codec<uint64> =
        let expected place = VisitError.malformed place "uint64"
        scalar Builtin.Int uint64OfJson expected Numbers.tryUInt64 "integer" jsonOfUInt64

    /// Bytes. An option string may give them with a unit, such as 64k.
    let size: Codec<uint64> =
        let expected place = VisitError.malformed place "uint64"
        scalar Builtin.Int uint64OfJson expected Numbers.trySize "size" jsonOfUInt64

    /// A type of integers that is read as a wider one first; `narrow` gives none outside its range.
    let private narrowed (wide: Codec<'Wide>) typeName (narrow: 'Wide -> 'T voption) (widen: 'T -> 'Wide) : Codec<'T> = {
        Schema = wide.Schema
        Decode =
            fun place json ->
                match wide.Decode place json with
                | Error error -> Error error
                | Ok value ->
                    match narrow value with
                    | ValueSome value -> Ok value
                    | ValueNone -> VisitError.outOfRange place typeName
        Encode = widen >> wide.Encode
    }

    let uint32: Codec<uint32> =
        let narrow value =
            if value <= 0xffffffffUL then
                ValueSome(uint32 value)
            else
                ValueNone
        narrowed uint64 "uint32_t" narrow Operators.uint64

    let uint16: Codec<uint16> =
        let narrow value =
            if value <= 0xffffUL then
                ValueSome(uint16 value)
            else
                ValueNone
        narrowed uint64 "uint16_t" narrow Operators.uint64

    let uint8: Codec<uint8> =
        let narrow value =
            if value <= 0xffUL then
                ValueSome(uint8 value)
            else
                ValueNone
        narrowed uint64 "uint8_t" narrow Operators.uint64

    let int32: Codec<int32> =
        let narrow value =
            if value >= -0x80000000L && value <= 0x7fffffffL then
                ValueSome(int32 value)
            else
                ValueNone

        narrowed int64 "int32_t" narrow Operators.int64

    /// A number with or without a fraction.
    let number: Codec<float> =
        let ofJson json =
            match json with
            | Double value -> ValueSome value
            | Int value -> ValueSome(float value)
            | UInt value -> ValueSome(float value)
            | _ -> ValueNone

        let ofText (text: string) =
            match Double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture) with
            | true, value when Double.IsFinite value -> ValueSome value
            | _ -> ValueNone

        scalar Builtin.Number ofJson (fun place -> VisitError.wrongType place "number") ofText "a number" Double

    /// Null.
    let nothing: Codec<unit> = {
        Schema = SchemaType.Builtin Builtin.Null
        Decode =
            fun place json ->
                match json with
                | Null -> Ok()
                | _ -> VisitError.wrongType place "null"
        Encode = fun () -> Null
    }

    /// Any value, as it is.
    let any: Codec<Json> = {
        Schema = SchemaType.Builtin Builtin.Any
        Decode = fun _ json -> Ok json
        Encode = id
    }

    /// An enumeration by its table of cases, spellings and features of the spellings.
    let enumWith name (table: ('T * string * string list) list) : Codec<'T> when 'T: equality =
        let spell value =
            let _, spelling, _ = table |> List.find (fun (case, _, _) -> case = value)
            spelling

        {
            Schema =
                SchemaType.Enum {
                    Name = name
                    Members =
                        table
                        |> List.map (fun (_, spelling, features) -> { Name = spelling; Features = features; Doc = "" })
                    Doc = ""
                }
            Decode =
                fun place json ->
                    match str.Decode place json with
                    | Error error -> Error error
                    | Ok text ->
                        match table |> List.tryFind (fun (_, spelling, _) -> spelling = text) with
                        | Some(case, _, _) -> Ok case
                        | None -> VisitError.notInEnum place text
            Encode = spell >> String
        }

    /// An enumeration by its table of cases and spellings.
    let enum name (table: ('T * string) list) : Codec<'T> when 'T: equality =
        enumWith name (table |> List.map (fun (case, spelling) -> case, spelling, []))

    /// Adds documentation to an enumeration or an alternate; `values`: what each value of the enumeration means.
    let documented (text: string) (values: (string * string) list) (codec: Codec<'T>) : Codec<'T> =
        let ofValue (value: EnumMember) =
            match values |> List.tryFind (fun (name, _) -> name = value.Name) with
            | Some(_, doc) -> { value with Doc = doc }
            | None -> value

        let schema =
            match codec.Schema with
            | SchemaType.Enum enum ->
                SchemaType.Enum {
                    enum with
                        Doc = text
                        Members = enum.Members |> List.map ofValue
                }
            | SchemaType.Alternate alternate -> SchemaType.Alternate { alternate with Doc = text }
            | other -> other

        { codec with Schema = schema }

    /// A list of values of one type.
    let list (item: Codec<'T>) : Codec<'T list> =
        let decodeItems place (items: Json list) =
            let rec next index decoded rest =
                match rest with
                | [] -> Ok(List.rev decoded)
                | json :: rest ->
                    match item.Decode (Place.elementOf place index) json with
                    | Ok value -> next (index + 1) (value :: decoded) rest
                    | Error error -> Error error

            next 0 [] items

        {
            Schema = SchemaType.Array item.Schema
            Decode =
                fun place json ->
                    match json with
                    | List _ when place.Depth >= Place.MaxDepth -> VisitError.tooDeep place
                    | List items -> decodeItems (Place.within place) items
                    | _ -> VisitError.wrongType place "array"
            Encode = fun values -> List(values |> List.map item.Encode)
        }

/// One type of an alternate.
[<NoEquality; NoComparison>]
type Alternative<'T> = {
    Schema: SchemaType
    Decode: Place -> Json -> Result<'T, QapiError>
    /// None if the value is of another alternative.
    TryEncode: 'T -> Json voption
}

/// Alternates: a value of one of several types, told apart by their JSON types.
module Alternate =
    /// One type of an alternate, with the case of the union that holds it.
    let alternative (codec: Codec<'A>) (wrap: 'A -> 'T) (unwrap: 'T -> 'A voption) : Alternative<'T> = {
        Schema = codec.Schema
        Decode = fun place json -> codec.Decode place json |> Result.map wrap
        TryEncode = unwrap >> ValueOption.map codec.Encode
    }

    let private accepts schema json =
        match schema, json with
        | SchemaType.Builtin Builtin.Str, String _
        | SchemaType.Enum _, String _
        | SchemaType.Builtin Builtin.Bool, Bool _
        | SchemaType.Builtin Builtin.Null, Null
        | SchemaType.Builtin(Builtin.Int | Builtin.Number), (Int _ | UInt _ | Double _)
        | SchemaType.Array _, List _
        | SchemaType.Object _, Object _ -> true
        | _ -> false

    /// An alternate. The alternatives must differ in their JSON types.
    let alternate name (alternatives: Alternative<'T> list) : Codec<'T> = {
        Schema =
            SchemaType.Alternate {
                Name = name
                Members = lazy (alternatives |> List.map _.Schema)
                Doc = ""
            }
        Decode =
            fun place json ->
                match
                    alternatives
                    |> List.tryFind (fun alternative -> accepts alternative.Schema json)
                with
                | Some alternative -> alternative.Decode place json
                | None -> VisitError.wrongAlternative place name
        Encode =
            fun value ->
                let tryEncode alternative =
                    match alternative.TryEncode value with
                    | ValueSome json -> Some json
                    | ValueNone -> None

                alternatives |> List.pick tryEncode
    }

namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core

/// How scalars are written in the value that is being decoded.
[<RequireQualifiedAccess>]
type Dialect =
    /// As JSON has them, without any conversion.
    | Json
    /// All as text: the nested lists and objects that a `key=value` option string gives.
    | KeyVal

[<RequireQualifiedAccess>]
type Path =
    | Root
    | Member of parent: Path * name: string
    | Element of parent: Path * index: int

/// Where in the input a decoder is.
[<NoEquality; NoComparison>]
type Place = {
    Dialect: Dialect
    Path: Path
    /// Objects and lists around this place.
    Depth: int
}

module Place =
    /// Objects and lists within each other. Only types that contain themselves can come near it; it keeps hostile
    /// nesting from exhausting the stack, of which each level takes some hundred bytes.
    [<Literal>]
    let MaxDepth = 200

    let root dialect : Place = { Dialect = dialect; Path = Path.Root; Depth = 0 }

    let memberOf (place: Place) name = { place with Path = Path.Member(place.Path, name) }
    let elementOf (place: Place) index = { place with Path = Path.Element(place.Path, index) }
    let within (place: Place) = { place with Depth = place.Depth + 1 }

    /// The last name alone. Elements of a list have none: the real daemon prints them so.
    let name (place: Place) =
        match place.Path with
        | Path.Member(_, name) -> name
        | Path.Root
        | Path.Element _ -> "null"

    /// All names from the root, such as `options[0].file`, or `options.0.file` in an option string.
    let fullName (place: Place) =
        let rec collect path (rest: string list) =
            match path with
            | Path.Root -> rest
            | Path.Member(Path.Root, name) -> name :: rest
            | Path.Member(parent, name) -> collect parent ("." :: name :: rest)
            | Path.Element(parent, index) ->
                match place.Dialect with
                | Dialect.Json -> collect parent ("[" :: string index :: "]" :: rest)
                | Dialect.KeyVal -> collect parent ("." :: string index :: rest)

        match collect place.Path [] with
        | [] -> "<anonymous>"
        | parts -> System.String.Concat parts

/// The errors of decoding, with the texts of the real daemon's visitors.
module VisitError =
    let missing place : Result<'T, QapiError> =
        QapiError.fail ("Parameter '" + Place.fullName place + "' is missing")

    let wrongType place expected : Result<'T, QapiError> =
        QapiError.fail (
            "Invalid parameter type for '"
            + Place.fullName place
            + "', expected: "
            + expected
        )

    /// None of an alternate's types.
    let wrongAlternative place alternate : Result<'T, QapiError> =
        QapiError.fail ("Invalid parameter type for '" + Place.name place + "', expected: " + alternate)

    /// The value has the right type and is no value of it.
    let malformed place expected : Result<'T, QapiError> =
        QapiError.fail ("Parameter '" + Place.fullName place + "' expects " + expected)

    /// An integer outside the range of its type.
    let outOfRange place typeName : Result<'T, QapiError> =
        QapiError.fail ("Parameter '" + Place.name place + "' expects " + typeName)

    let notInEnum place value : Result<'T, QapiError> =
        QapiError.fail ("Parameter '" + Place.name place + "' does not accept value '" + value + "'")

    let unexpected place : Result<'T, QapiError> =
        QapiError.fail ("Parameter '" + Place.fullName place + "' is unexpected")

    /// Members where an option string should have a scalar.
    let unexpectedMembers place : Result<'T, QapiError> =
        QapiError.fail ("Parameters '" + Place.fullName place + ".*' are unexpected")

    let tooDeep place : Result<'T, QapiError> =
        QapiError.fail ("Parameter '" + Place.name place + "' is nested too deeply")

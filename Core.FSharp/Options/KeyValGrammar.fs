namespace StorageDaemon.Core.Options

open System
open FParsec

/// The key-value syntax of --blockdev, --export, --monitor, --nbd-server and --object, see qemu-storage-daemon(1); the
/// details are those of the real daemon's behaviour:
///
///     params  = [ param { ',' param } [ ',' ] ]
///     param   = key '=' value | help          the first one may be a value alone, for the implied key
///     key     = fragment { '.' fragment }     "a.b" is member b of a, "a.0" the first element of a
///     value   = text, with ",," for a comma
module internal KeyValGrammar =
    /// One parameter as it stands in the text; its key is not looked into yet.
    [<Struct>]
    type Param = { Key: string; Value: string voption }

    /// A key taken apart as far as it is well-formed.
    [<Struct>]
    type KeyPath = { Fragments: string list; WellFormed: bool }

    /// What `parser` passes over, as it stands. The library's own string parsers turn "\r" into "\n".
    let private raw (parser: Parser<unit, unit>) : Parser<string, unit> =
        fun stream ->
            let start = stream.State
            let reply = parser stream

            if reply.Status = Ok then
                Reply(stream.ReadFrom(start, false))
            else
                Reply(reply.Status, reply.Error)

    let private key = raw (skipManySatisfy (fun c -> c <> ',' && c <> '='))

    let private value: Parser<string, unit> =
        manyStrings (raw (skipMany1Satisfy (fun c -> c <> ',')) <|> stringReturn ",," ",")

    let private param: Parser<Param, unit> =
        parse {
            let! key = key
            let! text = (skipChar '=' >>. value |>> ValueSome) <|>% ValueNone
            do! skipChar ',' <|> eof
            return { Key = key; Value = text }
        }

    /// Never fails: every text is a sequence of parameters, if only of bad ones.
    let private allParams = many (notFollowedBy eof >>. param) .>> eof

    /// As --chardev and --trace have it: a first parameter without '=' is a value, in which ",," is a comma too.
    let private impliedThenParams: Parser<struct (string voption * Param list), unit> =
        let named = key .>> skipChar '='
        let implied = notFollowedBy eof >>. notFollowedBy named >>. value .>> (skipChar ',' <|> eof)

        parse {
            let! first = (attempt implied |>> ValueSome) <|>% ValueNone
            let! rest = allParams
            return struct (first, rest)
        }

    /// A name as QAPI has it: a letter, then letters, digits, '-' and '_'; perhaps behind a "__RFQDN_" prefix.
    let private name: Parser<unit, unit> =
        let isPrefix c =
            Char.IsAsciiLetterOrDigit c || c = '-' || c = '.'
        let isRest c =
            Char.IsAsciiLetterOrDigit c || c = '-' || c = '_'
        let vendor = skipString "__" >>. skipManySatisfy isPrefix >>. skipChar '_'
        optional vendor >>. skipSatisfy Char.IsAsciiLetter >>. skipManySatisfy isRest

    let private path: Parser<KeyPath, unit> =
        let bounded fragment =
            attempt (raw fragment .>> followedBy (skipChar '.' <|> eof))
        let index = skipMany1Satisfy Char.IsAsciiDigit
        let further = bounded name <|> bounded index

        parse {
            let! first = opt (bounded name)

            match first with
            | None -> return { Fragments = []; WellFormed = false }
            | Some first ->
                let! rest = many (attempt (skipChar '.' >>. further))
                let! complete = (eof >>% true) <|>% false
                return { Fragments = first :: rest; WellFormed = complete }
        }

    let private run parser (text: string) onFailure =
        match runParserOnString parser () "" text with
        | Success(result, _, _) -> result
        | Failure _ -> onFailure

    /// The parameters of `text`, in order.
    let parameters text = run allParams text []

    /// The value at the beginning of `text` that stands without a key, if there is one, and the other parameters.
    let impliedThenParameters text =
        run impliedThenParams text struct (ValueNone, [])

    /// Takes `key` apart.
    let keyPath key =
        run path key { Fragments = []; WellFormed = false }

namespace StorageDaemon.Core.Options

open System
open System.Text

/// One option that a program knows.
type KnownOption = {
    /// Without the leading "--".
    Long: string
    Short: char voption
    TakesArgument: bool
    /// Must be written in full: an option that the program this one stands in for does not have, which must not make
    /// that program's abbreviations ambiguous.
    InFull: bool
}

/// What one step along the command line found.
[<RequireQualifiedAccess>]
type Found =
    /// `text`: the option as it was typed, with its argument, joined by a blank if they were two.
    | Option of long: string * argument: string * text: string
    /// Neither an option nor the argument of one.
    | Stray of string
    /// Not to be understood, nothing behind it is looked at; the text has no program name before it.
    | Fault of string

/// The C library's getopt_long(3), in the order of the command line (an option string that begins with '-'): long
/// options may be shortened while unambiguous and have the argument behind '=' or in the next word; short ones can be
/// bundled, and the rest of the bundle is the argument of the first that takes one; "--" ends everything.
/// The texts of the faults are those of glibc.
module GetOpt =
    let private startsWith (prefix: string) (text: string) =
        text.StartsWith(prefix, StringComparison.Ordinal)

    /// The options that `name` can stand for: one if it is a whole name.
    let private candidates (known: KnownOption list) (name: string) =
        match List.filter (fun (option: KnownOption) -> option.Long = name) known with
        | [] -> List.filter (fun (option: KnownOption) -> not option.InFull && startsWith name option.Long) known
        | exact -> exact

    let private ambiguous (word: string) (options: KnownOption list) =
        let names = options |> List.map (fun option -> " '--" + option.Long + "'")
        Found.Fault("option '" + word + "' is ambiguous; possibilities:" + String.Concat names)

    /// The long option `word`, and the words behind it.
    let private long known (word: string) (rest: string list) =
        let equals = word.IndexOf '='
        let name =
            if equals < 0 then
                word.Substring 2
            else
                word.Substring(2, equals - 2)
        let argument =
            if equals < 0 then
                ValueNone
            else
                ValueSome(word.Substring(equals + 1))

        match candidates known name, argument, rest with
        | [], _, _ -> struct (Found.Fault("unrecognized option '" + word + "'"), [])
        | _ :: _ :: _ as several, _, _ -> struct (ambiguous word several, [])
        | [ option ], ValueSome argument, rest when option.TakesArgument ->
            struct (Found.Option(option.Long, argument, word), rest)
        | [ option ], ValueSome _, _ ->
            struct (Found.Fault("option '--" + option.Long + "' doesn't allow an argument"), [])
        | [ option ], ValueNone, argument :: rest when option.TakesArgument ->
            struct (Found.Option(option.Long, argument, word + " " + argument), rest)
        | [ option ], ValueNone, [] when option.TakesArgument ->
            struct (Found.Fault("option '--" + option.Long + "' requires an argument"), [])
        | [ option ], ValueNone, rest -> struct (Found.Option(option.Long, "", word), rest)

    /// The character at `index` as a text; both halves of a surrogate pair.
    let private characterAt (word: string) index =
        match Rune.TryGetRuneAt(word, index) with
        | true, rune -> rune.ToString()
        | false, _ -> "\uFFFD"

    /// The bundle of short options in `word` from `index` on, in reverse order before `found`; and the words behind it.
    let rec private bundle (known: KnownOption list) (word: string) index rest found =
        if index = word.Length then
            struct (found, rest)
        else
            match List.tryFind (fun option -> option.Short = ValueSome word[index]) known, rest with
            | None, _ -> struct (Found.Fault("invalid option -- '" + characterAt word index + "'") :: found, [])
            | Some option, _ when not option.TakesArgument ->
                bundle known word (index + 1) rest (Found.Option(option.Long, "", word) :: found)
            | Some option, _ when index + 1 < word.Length ->
                struct (Found.Option(option.Long, word.Substring(index + 1), word) :: found, rest)
            | Some option, argument :: rest ->
                struct (Found.Option(option.Long, argument, word + " " + argument) :: found, rest)
            | Some _, [] ->
                struct (Found.Fault("option requires an argument -- '" + string<char> word[index] + "'")
                        :: found,
                        [])

    /// All that `words` (without the program's name) hold, up to a fault or "--".
    let scan (known: KnownOption list) (words: string list) : Found list =
        let rec go found words =
            match words with
            | []
            | "--" :: _ -> List.rev found
            | word :: rest when startsWith "--" word ->
                let struct (next, rest) = long known word rest
                go (next :: found) rest
            | word :: rest when startsWith "-" word && word <> "-" ->
                let struct (found, rest) = bundle known word 1 rest found
                go found rest
            | word :: rest -> go (Found.Stray word :: found) rest

        go [] words

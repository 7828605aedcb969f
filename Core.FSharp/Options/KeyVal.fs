namespace StorageDaemon.Core.Options

open System
open System.Collections.Generic
open StorageDaemon.Core
open StorageDaemon.Core.Json

/// What a text in key-value syntax says.
type KeyValues = {
    /// An `Object` of strings, objects and lists. When `Help` is set, lists are still objects with index keys.
    Tree: Json
    /// Whether "help" or "?" stood among the parameters.
    Help: bool
}

/// Texts in key-value syntax, see KeyValGrammar: what they mean, and the errors in them.
module KeyVal =
    /// The longest fragment of a key, in characters.
    let maxFragmentLength = 127

    /// The most fragments in a key; it bounds the recursion of whatever walks the tree. The same as for JSON.
    let maxDepth = 1024

    /// The tree while it grows: members in the order of their first appearance.
    [<AllowNullLiteral>]
    type private Branch() =
        member val Keys = ResizeArray<string>()
        member val Children = Dictionary<string, Child>(StringComparer.Ordinal)

    and [<Struct; NoEquality; NoComparison>] private Child = {
        /// Null for a branch.
        Text: string
        /// Null for a text.
        Branch: Branch
    }

    let private inconsistent path =
        QapiError.fail ("Parameters '" + path + ".*' used inconsistently")

    let private put (branch: Branch) key (child: Child) =
        if not (branch.Children.ContainsKey key) then
            branch.Keys.Add key

        branch.Children[key] <- child

    /// The branch `key` of `branch`, made if need be; `path` is its whole key.
    let private descend (branch: Branch) key (path: string) =
        match branch.Children.TryGetValue key with
        | true, child when isNull child.Branch -> inconsistent path
        | true, child -> Ok child.Branch
        | false, _ ->
            let child = Branch()
            put branch key { Text = null; Branch = child }
            Ok child

    let private putText (branch: Branch) key text (path: string) =
        match branch.Children.TryGetValue key with
        | true, child when isNull child.Text -> inconsistent path
        | _ -> Ok(put branch key { Text = text; Branch = null })

    let private checkLength (key: string) (fragment: string) =
        if fragment.Length <= maxFragmentLength then
            Ok()
        else
            let what =
                if fragment.Length = key.Length then
                    "Parameter '"
                else
                    "Parameter fragment '"
            QapiError.fail (what + fragment + "' is too long")

    /// Walks down from `branch`; `offset` is where the first of `fragments` starts in `key`. Each fragment is checked
    /// before the one above it becomes a branch, which decides the error when both are wrong.
    let rec private putPath (branch: Branch) (param: KeyValGrammar.Param) fragments wellFormed offset =
        match fragments with
        | [] -> QapiError.fail ("Invalid parameter '" + param.Key + "'")
        | fragment :: rest ->
            result {
                do! checkLength param.Key fragment

                match rest, wellFormed, param.Value with
                | [], true, ValueNone -> return! QapiError.fail ("Expected '=' after parameter '" + param.Key + "'")
                | [], true, ValueSome text -> return! putText branch fragment text param.Key
                | [], false, _ -> return! putPath branch param [] false offset
                | next :: _, _, _ ->
                    do! checkLength param.Key next
                    let stop = offset + fragment.Length
                    let! child = descend branch fragment (param.Key.Substring(0, stop))
                    return! putPath child param rest wellFormed (stop + 1)
            }

    let private putParam (root: Branch) (param: KeyValGrammar.Param) =
        let path = KeyValGrammar.keyPath param.Key

        if List.length path.Fragments > maxDepth then
            QapiError.fail ("Parameter '" + List.head path.Fragments + ".*' is nested too deeply")
        else
            putPath root param path.Fragments path.WellFormed 0

    let private isHelp (param: KeyValGrammar.Param) =
        param.Value.IsNone && (param.Key = "help" || param.Key = "?")

    /// The index that a fragment of digits stands for, at most Int32.MaxValue.
    let private indexOf (key: string) =
        match Int32.TryParse key with
        | true, index -> index
        | false, _ -> Int32.MaxValue

    /// The elements in the order of their indices; `prefix` ends in a '.'. Two spellings of one index: the later wins.
    let private toList (prefix: string) (members: (string * Json) list) =
        let elements = Dictionary<int, Json>()

        for key, value in members do
            elements[indexOf key] <- value

        let rec collect index collected =
            if index = elements.Count then
                Ok(List(List.rev collected))
            else
                match elements.TryGetValue index with
                | true, element -> collect (index + 1) (element :: collected)
                | false, _ -> QapiError.fail ("Parameter '" + prefix + string<int> index + "' missing")

        collect 0 []

    let private isIndex (key: string) = Char.IsAsciiDigit key[0]

    /// The finished value of a branch; `prefix` is its key with a '.' at the end, or empty for the root. The recursion
    /// is as deep as the longest key, so at most `maxDepth`.
    let rec private finish withLists (prefix: string) (branch: Branch) : Result<Json, QapiError> =
        let rec convert index converted =
            if index = branch.Keys.Count then
                Ok(List.rev converted)
            else
                let key = branch.Keys[index]
                let child = branch.Children[key]

                let value =
                    if isNull child.Branch then
                        Ok(String child.Text)
                    else
                        finish withLists (prefix + key + ".") child.Branch

                match value with
                | Ok value -> convert (index + 1) ((key, value) :: converted)
                | Error error -> Error error

        result {
            let! members = convert 0 []

            match withLists, List.exists (fst >> isIndex) members with
            | true, true when List.forall (fst >> isIndex) members -> return! toList prefix members
            | true, true -> return! QapiError.fail ("Parameters '" + prefix + "*' used inconsistently")
            | _ -> return Object members
        }

    /// Reads `text`. A first parameter without '=' is the value of `impliedKey`, if there is one.
    let parse (impliedKey: string option) (text: string) : Result<KeyValues, QapiError> =
        let root = Branch()
        let mutable help = false

        let putNext isFirst (param: KeyValGrammar.Param) =
            match impliedKey with
            | _ when isHelp param ->
                help <- true
                Ok()
            | Some key when isFirst && param.Value.IsNone && param.Key <> "" -> putText root key param.Key key
            | _ -> putParam root param

        let rec putAll isFirst rest =
            match rest with
            | [] -> Ok()
            | param :: rest ->
                match putNext isFirst param with
                | Ok() -> putAll false rest
                | Error error -> Error error

        result {
            do! putAll true (KeyValGrammar.parameters text)
            let! tree = finish (not help) "" root
            return { Tree = tree; Help = help }
        }

/// The argument of an option that takes JSON as well as key-value syntax.
[<RequireQualifiedAccess>]
type OptionArgument =
    /// Begins with '{'; not parsed yet.
    | JsonText of string
    | KeyValues of KeyValues

module OptionArgument =
    /// Tells the two syntaxes apart by the first character, and reads the key-value one.
    let parse impliedKey (text: string) =
        if text.StartsWith '{' then
            Ok(OptionArgument.JsonText text)
        else
            KeyVal.parse impliedKey text |> Result.map OptionArgument.KeyValues

    /// The same for the options that have no help of their own: all but --object.
    let parseWithoutHelp impliedKey text =
        match parse impliedKey text with
        | Ok(OptionArgument.KeyValues { Help = true }) -> QapiError.fail "Help is not available for this option"
        | other -> other

/// Compares two answers of query-qmp-schema. Type names are numbers that mean nothing, so types are compared by what
/// they contain, from the commands and events down. Ours may have less: commands, events, optional members, enum
/// values, variants. What it has must be described as the real daemon describes it.
module StorageDaemon.Tests.Differential.SchemaComparison

open System.Collections.Generic
open System.Text.Json
open StorageDaemon.Tests.Harness.QmpClient

let private str (name: string) (element: JsonElement) : string = element.GetProperty(name).GetString()

let private items (name: string) (element: JsonElement) : JsonElement list =
    match tryMember name element with
    | Some list -> List.ofSeq (list.EnumerateArray())
    | None -> []

let private features (element: JsonElement) : string list =
    items "features" element
    |> List.map (fun feature -> feature.GetString())
    |> List.sort

/// The entities of a schema by name.
let private index (schema: JsonElement) : IReadOnlyDictionary<string, JsonElement> =
    let table = Dictionary<string, JsonElement>()

    schema.EnumerateArray()
    |> Seq.iter (fun entity -> table[str "name" entity] <- entity)

    table

/// A walk over both schemas at once.
type private Walk(ours: IReadOnlyDictionary<string, JsonElement>, real: IReadOnlyDictionary<string, JsonElement>) =
    let visited = HashSet<struct (string * string)>()
    let found = List<string>()
    let complain (path: string) (what: string) = found.Add $"{path}: {what}"

    member _.Found = List.ofSeq found

    /// Each of ours, found by `key` in the real list; `other` says what to do with the real ones that are left.
    member private _.Match
        (path: string, key: JsonElement -> string, mine: JsonElement list, theirs: JsonElement list)
        (both: JsonElement -> JsonElement -> unit)
        (other: JsonElement -> unit)
        : unit =
        for item in mine do
            match theirs |> List.tryFind (fun candidate -> key candidate = key item) with
            | Some candidate -> both item candidate
            | None -> complain path $"the real daemon has no '{key item}'"

        for candidate in theirs do
            if not (mine |> List.exists (fun item -> key item = key candidate)) then
                other candidate

    member private this.Member (path: string) (mine: JsonElement) (theirs: JsonElement) : unit =
        let path = path + "." + str "name" mine
        let isOptional (element: JsonElement) = (tryMember "default" element).IsSome

        if isOptional mine <> isOptional theirs then
            complain path "optional in one, mandatory in the other"

        if features mine <> features theirs then
            complain path "different features"

        this.Type path (str "type" mine) (str "type" theirs)

    member private this.Object (path: string) (mine: JsonElement) (theirs: JsonElement) : unit =
        this.Match (path, str "name", items "members" mine, items "members" theirs) (this.Member path) (fun missing ->
            if (tryMember "default" missing).IsNone then
                complain path ("lacks the mandatory member " + str "name" missing))

        let tag (element: JsonElement) =
            tryMember "tag" element |> Option.map (fun tag -> tag.GetString())

        if (tag mine).IsSome && tag mine <> tag theirs then
            complain path "different tags"

        this.Match
            (path, str "case", items "variants" mine, items "variants" theirs)
            (fun a b -> this.Type $"""{path}<{str "case" a}>""" (str "type" a) (str "type" b))
            ignore

    member private this.Alternate (path: string) (mine: JsonElement) (theirs: JsonElement) : unit =
        let kind (table: IReadOnlyDictionary<string, JsonElement>) (element: JsonElement) =
            let entity = table[str "type" element]
            let metaType = str "meta-type" entity
            if metaType = "builtin" then str "name" entity else metaType

        for branch in items "members" mine do
            match
                items "members" theirs
                |> List.tryFind (fun other -> kind real other = kind ours branch)
            with
            | Some other -> this.Type (path + "|") (str "type" branch) (str "type" other)
            | None -> complain path $"the real alternate has no {kind ours branch}"

    member this.Type (path: string) (mine: string) (theirs: string) : unit =
        if visited.Add(struct (mine, theirs)) then
            let a, b = ours[mine], real[theirs]
            let metaType = str "meta-type" a

            if metaType <> str "meta-type" b then
                complain path $"""{metaType} against {str "meta-type" b}"""
            else
                if features a <> features b then
                    complain path "different features"

                match metaType with
                | "builtin" ->
                    if mine <> theirs then
                        complain path $"{mine} against {theirs}"
                | "enum" ->
                    let value = str "name"
                    this.Match (path, value, items "members" a, items "members" b) (fun _ _ -> ()) ignore
                | "array" -> this.Type (path + "[]") (str "element-type" a) (str "element-type" b)
                | "object" -> this.Object path a b
                | "alternate" -> this.Alternate path a b
                | other -> complain path $"unknown meta-type {other}"

    member this.Entity (mine: JsonElement) (theirs: JsonElement) : unit =
        let name = str "name" mine
        this.Type $"{name}(arguments)" (str "arg-type" mine) (str "arg-type" theirs)

        match tryMember "ret-type" mine, tryMember "ret-type" theirs with
        | Some a, Some b -> this.Type $"{name}(result)" (a.GetString()) (b.GetString())
        | a, b when a.IsSome <> b.IsSome -> complain name "one returns something, the other does not"
        | _ -> ()

        if features mine <> features theirs then
            complain name "different features"

        if (tryMember "allow-oob" mine).IsSome <> (tryMember "allow-oob" theirs).IsSome then
            complain name "different allow-oob"

    /// An entity of ours that the real one does not have.
    member _.Unknown(name: string) : unit =
        complain name "the real daemon has no such command or event"

/// Everything that our schema says otherwise than the real one, a line each; empty when they agree.
let contradictions (ours: JsonElement) (real: JsonElement) : string list =
    let mine, theirs = index ours, index real
    let walk = Walk(mine, theirs)

    for KeyValue(name, entity) in mine do
        match str "meta-type" entity with
        | "command"
        | "event" ->
            match theirs.TryGetValue name with
            | true, other when str "meta-type" other = str "meta-type" entity -> walk.Entity entity other
            | _ -> walk.Unknown name
        | _ -> ()

    walk.Found

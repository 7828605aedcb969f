namespace StorageDaemon.Core.Qapi

open StorageDaemon.Core
open StorageDaemon.Core.Json

/// The members of one object while it is decoded. It remembers which were asked for, so that it can name one that
/// was not. It lives for one call and is never shared.
[<Sealed>]
type MemberReader(place: Place, members: (string * Json) list) =
    let mutable visited: string list = []

    /// The place of a member.
    member _.PlaceOf name = Place.memberOf place name

    /// The member of this name, if it is there.
    member _.Take(name: string) : Json voption =
        let rec find (members: (string * Json) list) =
            match members with
            | [] -> ValueNone
            | (key, json) :: rest -> if key = name then ValueSome json else find rest

        visited <- name :: visited
        find members

    /// An error if there is a member that nobody has asked for. With several the first one is named; the real daemon
    /// names the first in the order of its hash table.
    member _.CheckAllTaken() : Result<unit, QapiError> =
        match members |> List.tryFind (fun (key, _) -> not (List.contains key visited)) with
        | Some(key, _) -> VisitError.unexpected (Place.memberOf place key)
        | None -> Ok()

/// Members of an object with record `'Whole`, of which they read `'T`.
[<NoEquality; NoComparison>]
type Fields<'Whole, 'T> = {
    Members: Member list
    Read: MemberReader -> Result<'T, QapiError>
    /// Puts the members before those of the second argument.
    Write: 'Whole -> (string * Json) list -> (string * Json) list
}

/// The description of a struct or a flat union.
[<NoEquality; NoComparison>]
type StructCodec<'T> = {
    Type: ObjectType
    Read: MemberReader -> Result<'T, QapiError>
    /// Puts the members before those of the second argument.
    Write: 'T -> (string * Json) list -> (string * Json) list
}

/// `fields { let! a = required ... and! b = optional ... return f a b }`: members in the order of decoding.
type FieldsBuilder() =
    member _.MergeSources(first: Fields<'Whole, 'A>, second: Fields<'Whole, 'B>) : Fields<'Whole, 'A * 'B> = {
        Members = first.Members @ second.Members
        Read =
            fun reader ->
                match first.Read reader with
                | Error error -> Error error
                | Ok a ->
                    match second.Read reader with
                    | Ok b -> Ok(a, b)
                    | Error error -> Error error
        Write = fun whole rest -> first.Write whole (second.Write whole rest)
    }

    member _.BindReturn(source: Fields<'Whole, 'A>, f: 'A -> 'B) : Fields<'Whole, 'B> = {
        Members = source.Members
        Read = source.Read >> Result.map f
        Write = source.Write
    }

/// `object "Name" { let! ... and! ... return {...} }`: a struct by its members.
type ObjectBuilder(name: string, features: string list) =
    inherit FieldsBuilder()

    member _.Run(fields: Fields<'T, 'T>) : StructCodec<'T> = {
        Type = {
            Name = name
            Shape = lazy { Members = fields.Members; Features = features; Variants = None }
        }
        Read = fields.Read
        Write = fields.Write
    }

/// A branch of a flat union.
[<NoEquality; NoComparison>]
type Branch<'T> = {
    /// The value of the tag, and its features.
    Case: EnumMember
    Type: ObjectType
    Read: MemberReader -> Result<'T, QapiError>
    /// None if the value is of another branch.
    TryWrite: 'T -> (string * Json) list -> (string * Json) list voption
}

/// The words of which descriptions of structs are made.
module Describe =
    let fields = FieldsBuilder()

    /// A struct.
    let object name = ObjectBuilder(name, [])

    /// A struct with features.
    let objectWith name features = ObjectBuilder(name, features)

    let private memberSchema name (codec: Codec<'T>) optional features : Member list = [
        {
            Name = name
            Type = codec.Schema
            Optional = optional
            Features = features
        }
    ]

    /// A member that must be there, with features such as `deprecated`.
    let requiredWith features name (codec: Codec<'T>) (get: 'Whole -> 'T) : Fields<'Whole, 'T> = {
        Members = memberSchema name codec false features
        Read =
            fun reader ->
                match reader.Take name with
                | ValueSome json -> codec.Decode (reader.PlaceOf name) json
                | ValueNone -> VisitError.missing (reader.PlaceOf name)
        Write = fun whole rest -> (name, codec.Encode(get whole)) :: rest
    }

    /// A member that must be there.
    let required name codec get = requiredWith [] name codec get

    /// A member that may be absent, with features such as `deprecated`.
    let optionalWith features name (codec: Codec<'T>) (get: 'Whole -> 'T option) : Fields<'Whole, 'T option> = {
        Members = memberSchema name codec true features
        Read =
            fun reader ->
                match reader.Take name with
                | ValueSome json -> codec.Decode (reader.PlaceOf name) json |> Result.map Some
                | ValueNone -> Ok None
        Write =
            fun whole rest ->
                match get whole with
                | Some value -> (name, codec.Encode value) :: rest
                | None -> rest
    }

    /// A member that may be absent.
    let optional name codec get = optionalWith [] name codec get

    /// The members of a base type, among the others of the object.
    let inherits (codec: StructCodec<'Base>) (get: 'Whole -> 'Base) : Fields<'Whole, 'Base> = {
        Members = codec.Type.Shape.Value.Members
        Read = codec.Read
        Write = get >> codec.Write
    }

    /// A branch of a union with the members of a struct; the tag's value has features.
    let branchWith features case (codec: StructCodec<'B>) (wrap: 'B -> 'T) (unwrap: 'T -> 'B voption) : Branch<'T> = {
        Case = { Name = case; Features = features }
        Type = codec.Type
        Read = codec.Read >> Result.map wrap
        TryWrite =
            fun value rest ->
                match unwrap value with
                | ValueSome branch -> ValueSome(codec.Write branch rest)
                | ValueNone -> ValueNone
    }

    /// A branch of a union with the members of a struct.
    let branch case codec wrap unwrap = branchWith [] case codec wrap unwrap

module StructCodec =
    open Describe

    /// The struct without members.
    let empty: StructCodec<unit> = {
        Type = ObjectType.empty
        Read = fun _ -> Ok()
        Write = fun () rest -> rest
    }

    /// A flat union: the tag, then the common members, then those of the branch. `common` makes the whole of its
    /// members and the branch; `branchOf` is the way back. The tag is an enumeration named `tagType`.
    let unionWith
        name
        (tag: string)
        tagType
        (branches: Branch<'Branch> list)
        (common: Fields<'T, 'Branch -> 'T>)
        (branchOf: 'T -> 'Branch)
        : StructCodec<'T> =
        let tagMember: Member = {
            Name = tag
            Type = SchemaType.Enum { Name = tagType; Members = branches |> List.map _.Case }
            Optional = false
            Features = []
        }

        let readTag (reader: MemberReader) =
            let place = reader.PlaceOf tag

            match reader.Take tag with
            | ValueNone -> VisitError.missing place
            | ValueSome json ->
                match Codec.str.Decode place json with
                | Error error -> Error error
                | Ok text ->
                    match branches |> List.tryFind (fun branch -> branch.Case.Name = text) with
                    | Some branch -> Ok branch
                    | None -> VisitError.notInEnum place text

        let writeBranch value rest =
            let tryWrite (branch: Branch<'Branch>) =
                match branch.TryWrite (branchOf value) rest with
                | ValueSome members -> Some(branch.Case.Name, members)
                | ValueNone -> None

            branches |> List.pick tryWrite

        {
            Type = {
                Name = name
                Shape =
                    lazy
                        {
                            Members = tagMember :: common.Members
                            Features = []
                            Variants =
                                Some {
                                    Tag = tag
                                    Cases = branches |> List.map (fun b -> { Case = b.Case.Name; Type = b.Type })
                                }
                        }
            }
            Read =
                fun reader ->
                    result {
                        let! branch = readTag reader
                        let! complete = common.Read reader
                        let! value = branch.Read reader
                        return complete value
                    }
            Write =
                fun value rest ->
                    let case, members = writeBranch value rest
                    (tag, String case) :: common.Write value members
        }

    /// A flat union without common members.
    let union name tag tagType (branches: Branch<'T> list) : StructCodec<'T> =
        let noMembers: Fields<'T, 'T -> 'T> = {
            Members = []
            Read = fun _ -> Ok id
            Write = fun _ rest -> rest
        }

        unionWith name tag tagType branches noMembers id

    /// A struct that may contain itself: `build` gets the codec of the struct that it makes.
    let recursive name (build: StructCodec<'T> -> StructCodec<'T>) : StructCodec<'T> =
        let whole: StructCodec<'T> option ref = ref None
        let built () = whole.Value |> Option.get

        let self: StructCodec<'T> = {
            Type = { Name = name; Shape = lazy (built().Type.Shape.Value) }
            Read = fun reader -> built().Read reader
            Write = fun value rest -> built().Write value rest
        }

        whole.Value <- Some(build self)
        self

    /// The object as a value, such as a member of another object or an item of a list.
    let codec (inner: StructCodec<'T>) : Codec<'T> = {
        Schema = SchemaType.Object inner.Type
        Decode =
            fun place json ->
                match json with
                | Object _ when place.Depth >= Place.MaxDepth -> VisitError.tooDeep place
                | Object members ->
                    let reader = MemberReader(Place.within place, members)

                    match inner.Read reader with
                    | Error error -> Error error
                    | Ok value -> reader.CheckAllTaken() |> Result.map (fun () -> value)
                | _ -> VisitError.wrongType place "object"
        Encode = fun value -> Object(inner.Write value [])
    }

    /// Decodes the members of the outermost object: arguments of a command, or the value of an option.
    let decode dialect (inner: StructCodec<'T>) (members: (string * Json) list) : Result<'T, QapiError> =
        (codec inner).Decode (Place.root dialect) (Object members)

    let encode (inner: StructCodec<'T>) (value: 'T) : (string * Json) list = inner.Write value []

    /// A struct whose only member is `data`: how unions of the older kind hold each branch.
    let wrapped name (inner: StructCodec<'T>) : StructCodec<'T> =
        object name {
            let! value = required "data" (codec inner) id
            return value
        }

/// Branches of unions that the schema lists although the daemon was built without them.
module Unavailable =
    open Describe

    /// A member that is checked and kept as it is.
    [<NoEquality; NoComparison>]
    type AnyMember = {
        Schema: Member list
        Read: MemberReader -> Result<(string * Json) list, QapiError>
    }

    let private anyMember (given: Fields<unit, 'T>) toMembers : AnyMember = {
        Schema = given.Members
        Read = given.Read >> Result.map toMembers
    }

    /// A member that must be there.
    let must name (codec: Codec<'T>) : AnyMember =
        anyMember (required name codec (fun () -> Unchecked.defaultof<'T>)) (fun value -> [ name, codec.Encode value ])

    /// A member that may be absent, with features.
    let mayWith features name (codec: Codec<'T>) : AnyMember =
        anyMember
            (optionalWith features name codec (fun () -> None))
            (fun value -> value |> Option.map (fun value -> name, codec.Encode value) |> Option.toList)

    /// A member that may be absent.
    let may name codec = mayWith [] name codec

    /// A struct by its members, in the order in which they are decoded.
    let members name (list: AnyMember list) : StructCodec<(string * Json) list> =
        let rec readAll (reader: MemberReader) decoded (rest: AnyMember list) =
            match rest with
            | [] -> Ok(List.rev decoded)
            | one :: rest ->
                match one.Read reader with
                | Ok members -> readAll reader (List.rev members @ decoded) rest
                | Error error -> Error error

        {
            Type = {
                Name = name
                Shape =
                    lazy
                        {
                            Members = list |> List.collect _.Schema
                            Features = []
                            Variants = None
                        }
            }
            Read = fun reader -> readAll reader [] list
            Write = fun members rest -> members @ rest
        }

    /// A branch of a union by its members. Its value keeps the tag, by which the handler refuses it.
    let branchWith features case (codec: StructCodec<(string * Json) list>) wrap unwrap : Branch<'T> =
        let unwrapCase value =
            match unwrap value with
            | ValueSome(unavailable: UnavailableBranch) when unavailable.Tag = case -> ValueSome unavailable.Members
            | _ -> ValueNone

        let wrapCase members : 'T = wrap ({ Tag = case; Members = members }: UnavailableBranch)
        Describe.branchWith features case codec wrapCase unwrapCase

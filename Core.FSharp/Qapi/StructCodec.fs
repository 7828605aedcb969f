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

/// One member, or the members of a base type, without their types: what a description is made of.
[<NoEquality; NoComparison>]
type Field<'Whole> = {
    Members: Member list
    /// Reads the member into its slot of the array.
    Read: MemberReader -> obj array -> QapiError voption
    /// Puts the member before those of the second argument.
    Write: 'Whole -> (string * Json) list -> (string * Json) list
}

/// The decoded members of one object, each in the slot that its description has.
[<Sealed>]
type DecodedMembers(slots: obj array) =
    member internal _.Item
        with get (slot: int) = slots[slot]

/// A decoded value in a slot. A class of our own, because an absent option alone would be a null.
[<Sealed>]
type DecodedMember<'T>(value: 'T) =
    member _.Value = value

/// Part of a description: adds its fields to those that it is given, the last one first, and makes `'T`.
/// What `let!` binds is only the way to the decoded value (a function of `DecodedMembers`): descriptions do not depend
/// on values. And no type grows with the number of members, as nested pairs would, which Native AOT cannot compile.
[<Sealed>]
type Description<'Whole, 'T>(run: Field<'Whole> list -> struct (Field<'Whole> list * 'T)) =
    member _.Run(fields: Field<'Whole> list) = run fields

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

module private Description =
    let private readAll (fields: Field<'Whole> array) (slots: obj array) reader : QapiError voption =
        let rec next index =
            if index = fields.Length then
                ValueNone
            else
                match fields[index].Read reader slots with
                | ValueNone -> next (index + 1)
                | error -> error

        next 0

    /// The members of a finished description, and the function that makes the whole of them.
    let toFields (description: Description<'Whole, DecodedMembers -> 'T>) : Fields<'Whole, 'T> =
        let struct (fields, make) = description.Run []
        let fields = fields |> List.rev |> List.toArray

        {
            Members = fields |> Array.toList |> List.collect _.Members
            Read =
                fun reader ->
                    let slots = Array.zeroCreate fields.Length

                    match readAll fields slots reader with
                    | ValueNone -> Ok(make (DecodedMembers slots))
                    | ValueSome error -> Error error
            Write =
                fun whole rest ->
                    Array.foldBack (fun (field: Field<'Whole>) written -> field.Write whole written) fields rest
        }

/// `let! a = required ...`, `let! b = optional ...`, `return fun m -> f (a m) (b m)`: members in the order of decoding.
type DescriptionBuilder() =
    member _.Bind(part: Description<'Whole, 'A>, next: 'A -> Description<'Whole, 'B>) : Description<'Whole, 'B> =
        Description(fun fields ->
            let struct (fields, value) = part.Run fields
            (next value).Run fields)

    member _.Return(value: 'A) : Description<'Whole, 'A> =
        Description(fun fields -> struct (fields, value))

/// `fields { ... }`: members that are not an object by themselves.
type FieldsBuilder() =
    inherit DescriptionBuilder()

    member _.Run(description: Description<'Whole, DecodedMembers -> 'T>) : Fields<'Whole, 'T> =
        Description.toFields description

/// `object "Name" { ... }`: a struct by its members.
type ObjectBuilder(name: string, text: string, features: string list) =
    inherit DescriptionBuilder()

    member _.Run(description: Description<'T, DecodedMembers -> 'T>) : StructCodec<'T> =
        let fields = Description.toFields description

        {
            Type = {
                Name = name
                Shape =
                    lazy
                        {
                            Members = fields.Members
                            Features = features
                            Variants = None
                        }
                Doc = text
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
    let object name = ObjectBuilder(name, "", [])

    /// A struct with features.
    let objectWith name features = ObjectBuilder(name, "", features)

    /// A struct, and what the reference says of it.
    let record name text = ObjectBuilder(name, text, [])

    /// A struct with features, and what the reference says of it.
    let recordWith name text features = ObjectBuilder(name, text, features)

    /// Fields as a part of a description, with the way to what they decode.
    let private part (fields: Fields<'Whole, 'T>) : Description<'Whole, DecodedMembers -> 'T> =
        Description(fun others ->
            let slot = others.Length

            let read reader (slots: obj array) =
                match fields.Read reader with
                | Ok value ->
                    slots[slot] <- DecodedMember<'T>(value)
                    ValueNone
                | Error error -> ValueSome error

            let valueOf (members: DecodedMembers) =
                match members[slot] with
                | :? DecodedMember<'T> as decoded -> decoded.Value
                | _ -> invalidOp "a decoded member has the type of its description"

            let field: Field<'Whole> = {
                Members = fields.Members
                Read = read
                Write = fields.Write
            }

            struct (field :: others, valueOf))

    let private memberSchema name (codec: Codec<'T>) optional features : Member list = [
        {
            Name = name
            Type = codec.Schema
            Optional = optional
            Features = features
            Doc = ""
        }
    ]

    let internal requiredField features name (codec: Codec<'T>) (get: 'Whole -> 'T) : Fields<'Whole, 'T> = {
        Members = memberSchema name codec false features
        Read =
            fun reader ->
                match reader.Take name with
                | ValueSome json -> codec.Decode (reader.PlaceOf name) json
                | ValueNone -> VisitError.missing (reader.PlaceOf name)
        Write = fun whole rest -> (name, codec.Encode(get whole)) :: rest
    }

    let internal optionalField features name (codec: Codec<'T>) get : Fields<'Whole, 'T option> = {
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

    /// A member that must be there, with features such as `deprecated`.
    let requiredWith features name (codec: Codec<'T>) (get: 'Whole -> 'T) =
        part (requiredField features name codec get)

    /// A member that must be there.
    let required name (codec: Codec<'T>) (get: 'Whole -> 'T) = requiredWith [] name codec get

    /// A member that may be absent, with features such as `deprecated`.
    let optionalWith features name (codec: Codec<'T>) (get: 'Whole -> 'T option) =
        part (optionalField features name codec get)

    /// A member that may be absent.
    let optional name (codec: Codec<'T>) (get: 'Whole -> 'T option) = optionalWith [] name codec get

    /// Says what the member is for. It stands in front, for so the types of a description are inferred.
    let doc (text: string) (description: Description<'Whole, 'T>) : Description<'Whole, 'T> =
        Description(fun fields ->
            match description.Run fields with
            | struct (last :: others, value) ->
                let members = last.Members |> List.map (fun m -> { m with Doc = text })
                struct ({ last with Members = members } :: others, value)
            | nothing -> nothing)

    /// Says what the struct or union is for.
    let about (text: string) (codec: StructCodec<'T>) : StructCodec<'T> = {
        codec with
            Type = { codec.Type with Doc = text }
    }

    /// The members of a base type, among the others of the object.
    let inherits (codec: StructCodec<'Base>) (get: 'Whole -> 'Base) =
        part {
            Members = codec.Type.Shape.Value.Members
            Read = codec.Read
            Write = get >> codec.Write
        }

    /// A branch of a union with the members of a struct; the tag's value has features.
    let branchWith features case (codec: StructCodec<'B>) (wrap: 'B -> 'T) (unwrap: 'T -> 'B voption) : Branch<'T> = {
        Case = { Name = case; Features = features; Doc = codec.Type.Doc }
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

    /// Says what the tag's value means, where the struct's own text does not.
    let means (text: string) (branch: Branch<'T>) : Branch<'T> = { branch with Case = { branch.Case with Doc = text } }

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
            Type =
                SchemaType.Enum {
                    Name = tagType
                    Members = branches |> List.map _.Case
                    Doc = "The kinds of " + name + "."
                }
            Optional = false
            Features = []
            Doc = "The kind, which decides about the other members."
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
                Doc = ""
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
    let recursiveAbout name (text: string) (build: StructCodec<'T> -> StructCodec<'T>) : StructCodec<'T> =
        let whole: StructCodec<'T> option ref = ref None
        let built () = whole.Value |> Option.get

        let self: StructCodec<'T> = {
            Type = {
                Name = name
                Shape = lazy (built().Type.Shape.Value)
                Doc = text
            }
            Read = fun reader -> built().Read reader
            Write = fun value rest -> built().Write value rest
        }

        whole.Value <- Some(build self)
        self

    let recursive name build = recursiveAbout name "" build

    /// Says what a struct and its members are for, where these come from a list of names.
    let explained (text: string) (ofMember: string -> string) (codec: StructCodec<'T>) : StructCodec<'T> =
        let explain (m: Member) = { m with Doc = ofMember m.Name }
        let shape = codec.Type.Shape

        {
            codec with
                Type = {
                    codec.Type with
                        Doc = text
                        Shape =
                            lazy
                                {
                                    shape.Value with
                                        Members = List.map explain shape.Value.Members
                                }
                }
        }

    /// A struct of integers that all may be absent: those that are there, by name.
    let integers name features (names: string list) : StructCodec<Map<string, int64>> =
        let field name =
            optionalField features name Codec.int64 (fun (values: Map<string, int64>) -> values.TryFind name)

        let fields = names |> List.map (fun name -> name, field name)

        {
            Type = {
                Name = name
                Shape =
                    lazy
                        {
                            Members = fields |> List.collect (fun (_, field) -> field.Members)
                            Features = []
                            Variants = None
                        }
                Doc = ""
            }
            Read =
                fun reader ->
                    let step values (name: string, field: Fields<Map<string, int64>, int64 option>) =
                        result {
                            let! values = values
                            let! value = field.Read reader

                            return
                                match value with
                                | Some value -> Map.add name value values
                                | None -> values
                        }

                    List.fold step (Ok Map.empty) fields
            Write =
                fun values rest ->
                    List.foldBack (fun (_, field: Fields<_, int64 option>) rest -> field.Write values rest) fields rest
        }

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
            let! data = required "data" (codec inner) id |> doc "The members of this kind."
            return data
        }
        |> about inner.Type.Doc

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
        Schema = given.Members |> List.map (fun m -> { m with Doc = "Checked and not used." })
        Read = given.Read >> Result.map toMembers
    }

    /// A member that must be there.
    let must name (codec: Codec<'T>) : AnyMember =
        anyMember (requiredField [] name codec (fun () -> Unchecked.defaultof<'T>)) (fun value -> [
            name, codec.Encode value
        ])

    /// A member that may be absent, with features.
    let mayWith features name (codec: Codec<'T>) : AnyMember =
        anyMember (optionalField features name codec (fun () -> None)) (fun value ->
            value |> Option.map (fun value -> name, codec.Encode value) |> Option.toList)

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
                Doc = "Known by name and not built: refused after its members have been checked."
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

        let wrapCase members : 'T =
            wrap ({ Tag = case; Members = members }: UnavailableBranch)
        Describe.branchWith features case codec wrapCase unwrapCase

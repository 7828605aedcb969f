namespace StorageDaemon.Core.Qapi

open System.Collections.Generic
open StorageDaemon.Core

/// Everything that the interface consists of, in one list: commands, events and the types that they reach, by name.
[<NoEquality; NoComparison>]
type InterfaceReference = {
    Commands: CommandSchema list
    Events: EventSchema list
    Enums: EnumType list
    Objects: ObjectType list
    Alternates: AlternateType list
}

module Reference =
    let private gather (roots: SchemaType list) =
        let seen = HashSet<string>()
        let enums = ResizeArray<EnumType>()
        let objects = ResizeArray<ObjectType>()
        let alternates = ResizeArray<AlternateType>()
        let pending = Stack<SchemaType>(roots)

        while pending.Count > 0 do
            match pending.Pop() with
            | SchemaType.Builtin _ -> ()
            | SchemaType.Array element -> pending.Push element
            | SchemaType.Enum enum ->
                if seen.Add enum.Name then
                    enums.Add enum
            | SchemaType.Alternate alternate ->
                if seen.Add alternate.Name then
                    alternates.Add alternate
                    alternate.Members.Value |> List.iter pending.Push
            | SchemaType.Object object ->
                if seen.Add object.Name then
                    objects.Add object
                    let shape = object.Shape.Value
                    shape.Members |> List.iter (fun m -> pending.Push m.Type)

                    match shape.Variants with
                    | Some variants ->
                        variants.Cases
                        |> List.iter (fun case -> pending.Push(SchemaType.Object case.Type))
                    | None -> ()

        struct (List.ofSeq enums, List.ofSeq objects, List.ofSeq alternates)

    /// The reference of these commands, events and types besides, such as those of options.
    let build (commands: CommandSchema list) (events: EventSchema list) (more: ObjectType list) : InterfaceReference =
        let roots =
            (commands
             |> List.collect (fun command -> [ SchemaType.Object command.Arguments; command.Returns ]))
            @ (events |> List.map (fun event -> SchemaType.Object event.Data))
            @ (more |> List.map SchemaType.Object)

        let struct (enums, objects, alternates) = gather roots

        {
            Commands = commands |> List.sortBy _.Name
            Events = events |> List.sortBy _.Name
            Enums = enums |> List.sortBy _.Name
            Objects = objects |> List.sortBy _.Name
            Alternates = alternates |> List.sortBy _.Name
        }

    /// The daemon's own.
    let whole: InterfaceReference =
        build Commands.schemas Events.all [
            ExportCodecs.nbdServerOptions.Type
            MiscCodecs.monitorOptions.Type
            MiscCodecs.metricsOptions.Type
        ]

    /// Names of what has no documentation: "command quit", "BlockdevOptions.discard" and so on.
    let undocumented (reference: InterfaceReference) : string list =
        let unless text name = if text = "" then [ name ] else []

        List.concat [
            reference.Commands
            |> List.collect (fun command -> unless command.Doc ("command " + command.Name))
            reference.Events
            |> List.collect (fun event -> unless event.Doc ("event " + event.Name))
            reference.Enums
            |> List.collect (fun enum ->
                unless enum.Doc enum.Name
                @ (enum.Members |> List.collect (fun m -> unless m.Doc (enum.Name + "." + m.Name))))
            reference.Objects
            |> List.collect (fun object ->
                unless object.Doc object.Name
                @ (object.Shape.Value.Members
                   |> List.collect (fun m -> unless m.Doc (object.Name + "." + m.Name))))
            reference.Alternates
            |> List.collect (fun alternate -> unless alternate.Doc alternate.Name)
        ]

    /// A type in words.
    let rec typeText (schema: SchemaType) : string =
        match schema with
        | SchemaType.Builtin Builtin.Str -> "string"
        | SchemaType.Builtin Builtin.Int -> "integer"
        | SchemaType.Builtin Builtin.Number -> "number"
        | SchemaType.Builtin Builtin.Bool -> "boolean"
        | SchemaType.Builtin Builtin.Null -> "null"
        | SchemaType.Builtin Builtin.Any -> "any value"
        | SchemaType.Array element -> "list of " + typeText element
        | SchemaType.Enum enum -> enum.Name
        | SchemaType.Object object -> object.Name
        | SchemaType.Alternate alternate -> alternate.Name

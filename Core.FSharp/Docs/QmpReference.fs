namespace StorageDaemon.Core.Docs

open StorageDaemon.Core.Qapi

/// storage-daemon-qmp-ref(7): all commands, events and types with what their descriptions say of them.
module QmpReference =
    let private featureText (features: string list) =
        if features.IsEmpty then
            ""
        else
            " [" + String.concat ", " features + "]"

    let private memberItem (m: Member) : string list =
        let kind =
            " ("
            + Reference.typeText m.Type
            + (if m.Optional then ", optional" else "")
            + ")"
            + featureText m.Features

        Roff.item (Roff.bold m.Name + Roff.escape kind) m.Doc

    let private shape (object: ObjectType) : string list =
        let shape = object.Shape.Value

        let variants =
            match shape.Variants with
            | None -> []
            | Some variants ->
                variants.Cases
                |> List.filter (fun case -> case.Type.Name <> ObjectType.empty.Name)
                |> List.map (fun case -> case.Case + " (" + case.Type.Name + ")")
                |> function
                    | [] -> []
                    | cases ->
                        Roff.paragraph ("The kinds add the members of these types: " + String.concat ", " cases + ".")

        (shape.Members |> List.collect memberItem) @ variants

    let private command (command: CommandSchema) : string list =
        let returns =
            match command.Returns with
            | SchemaType.Object object when object.Name = ObjectType.empty.Name -> []
            | other -> Roff.paragraph ("Returns: " + Reference.typeText other + ".")

        List.concat [
            [ Roff.subsection (command.Name + featureText command.Features) ]
            Roff.paragraph command.Doc
            shape command.Arguments
            returns
        ]

    let private event (event: EventSchema) : string list =
        List.concat [
            [ Roff.subsection (event.Name + featureText event.Features) ]
            Roff.paragraph event.Doc
            shape event.Data
        ]

    let private enum (enum: EnumType) : string list =
        List.concat [
            [ Roff.subsection (enum.Name + " (enumeration)") ]
            Roff.paragraph enum.Doc
            enum.Members
            |> List.collect (fun m -> Roff.item (Roff.bold m.Name + Roff.escape (featureText m.Features)) m.Doc)
        ]

    let private object' (object: ObjectType) : string list =
        List.concat [
            [ Roff.subsection (object.Name + featureText object.Shape.Value.Features) ]
            Roff.paragraph object.Doc
            shape object
        ]

    let private alternate (alternate: AlternateType) : string list =
        let kinds = alternate.Members.Value |> List.map Reference.typeText

        List.concat [
            [ Roff.subsection (alternate.Name + " (one of several types)") ]
            Roff.paragraph alternate.Doc
            Roff.paragraph ("One of: " + String.concat ", " kinds + ".")
        ]

    let private types (reference: InterfaceReference) : string list =
        (reference.Enums |> List.map (fun one -> one.Name, enum one))
        @ (reference.Objects
           |> List.filter (fun one -> one.Name <> ObjectType.empty.Name)
           |> List.map (fun one -> one.Name, object' one))
        @ (reference.Alternates |> List.map (fun one -> one.Name, alternate one))
        |> List.sortBy fst
        |> List.collect snd

    /// `source` is the program's name and version.
    let text (source: string) : string =
        let reference = Reference.whole

        Roff.page (
            List.concat [
                [
                    Roff.title "storage-daemon-qmp-ref" 7 source "QMP Reference"
                    Roff.section "NAME"
                    "storage\\-daemon\\-qmp\\-ref \\- commands, events and types of the daemon\\(aqs QMP protocol"
                    Roff.section "DESCRIPTION"
                    Roff.escape
                        "QMP is a protocol of JSON objects over a character device. The daemon greets; the client sends qmp_capabilities, then commands as objects with execute, arguments and id, one after the other. Each is answered by an object with return or error. Events come in between."
                ]
                [ Roff.section "COMMANDS" ]
                reference.Commands |> List.collect command
                [ Roff.section "EVENTS" ]
                reference.Events |> List.collect event
                [ Roff.section "TYPES" ]
                types reference
                [ Roff.section "SEE ALSO"; Roff.bold "storage-daemon" + "(1)" ]
            ]
        )

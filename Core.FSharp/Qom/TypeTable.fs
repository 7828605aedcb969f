namespace StorageDaemon.Core.Qom

open StorageDaemon.Core

/// A property in a list of types.
type QomProperty = { Name: string; Type: string; IsWritable: bool }

/// One type of the object model, as `qom-list-types` shows it.
type QomType = {
    Name: string
    Parent: string option
    Abstract: bool
    /// Interfaces of its own, beyond what it inherits.
    Interfaces: string list
    /// Properties of its own.
    Properties: QomProperty list
}

/// The types of the objects that this daemon can have.
module TypeTable =
    let private concrete name parent properties = {
        Name = name
        Parent = Some parent
        Abstract = false
        Interfaces = []
        Properties = properties
    }

    let private abstract' name parent = {
        Name = name
        Parent = parent
        Abstract = true
        Interfaces = []
        Properties = []
    }

    let private readOnly (name, typeName) = { Name = name; Type = typeName; IsWritable = false }

    let private described (property: Property<'S>) : QomProperty = {
        Name = property.Name
        Type = property.Type
        IsWritable = property.Set.IsSome
    }

    /// An abstract type whose objects users can make.
    let private creatable name (properties: Property<'S> list) = {
        abstract' name (Some "object") with
            Interfaces = [ "user-creatable" ]
            Properties = List.map described properties
    }

    let private ofClass (class': ObjectClass<'S>) : QomType = {
        concrete class'.Name class'.Parent (List.map described class'.Own) with
            Interfaces = class'.Interfaces
    }

    let all = [
        {
            abstract' "object" None with
                Properties = [ readOnly ("type", "string") ]
        }
        abstract' "interface" None
        abstract' "user-creatable" (Some "interface")
        concrete "container" "object" []
        creatable EventLoop.TypeName MainLoop.class'.Inherited
        creatable "authz" AuthzSimple.class'.Inherited
        creatable "pr-manager" PrManagerHelper.class'.Inherited
        creatable Secret.ParentName Secret.class'.Inherited
        ofClass AuthzList.class'
        ofClass AuthzListFile.class'
        ofClass AuthzSimple.class'
        ofClass Iothread.class'
        ofClass MainLoop.class'
        ofClass PrManagerHelper.class'
        ofClass Secret.class'
        ofClass SecretKeyring.class'
        ofClass ThreadContext.class'
        ofClass ThrottleGroup.class'
        abstract' "chardev" (Some "object")
        abstract' "chardev-fd" (Some "chardev")
        concrete "chardev-file" "chardev-fd" []
        concrete "chardev-stdio" "chardev-fd" []
        concrete "chardev-null" "chardev" []
        concrete "chardev-pty" "chardev" []
        concrete "chardev-serial" "chardev-fd" []
        concrete "chardev-pipe" "chardev-fd" []
        concrete "chardev-parallel" "chardev" []
        concrete "chardev-udp" "chardev" []
        concrete "chardev-mux" "chardev" []
        concrete "chardev-hub" "chardev" []
        concrete "chardev-ringbuf" "chardev" []
        concrete "chardev-memory" "chardev-ringbuf" []
        concrete "chardev-socket" "chardev" (List.map readOnly [ "connected", "bool"; "addr", "SocketAddress" ])
    ]

    let private byName = all |> List.map (fun t -> t.Name, t) |> Map.ofList

    let tryFind name = Map.tryFind name byName

    /// The type and its ancestors, the type itself first.
    let rec lineage name =
        match tryFind name with
        | None -> []
        | Some t -> t :: (t.Parent |> Option.map lineage |> Option.defaultValue [])

    /// Whether a type has another among its ancestors or their interfaces; each type implements itself.
    let implements (ancestor: string) (name: string) =
        let names =
            lineage name
            |> List.collect (fun t -> t.Name :: List.collect (lineage >> List.map _.Name) t.Interfaces)

        List.contains ancestor names

    let private allProperties name =
        lineage name |> List.rev |> List.collect _.Properties

    /// Properties of all instances of a type, name and type, the inherited ones first.
    let properties name =
        allProperties name |> List.map (fun property -> property.Name, property.Type)

    /// Names and types of the properties that instances of a type can be given.
    let settable name =
        allProperties name
        |> List.filter _.IsWritable
        |> List.map (fun property -> property.Name, property.Type)

    /// `qom-list-types`: without the abstract ones unless asked for.
    let list (implemented: string option) (withAbstract: bool) =
        all
        |> List.filter (fun t ->
            (withAbstract || not t.Abstract)
            && (implemented |> Option.forall (fun ancestor -> implements ancestor t.Name)))

    /// `qom-list-properties`.
    let describe (typename: string) : Result<(string * string) list, QapiError> =
        match tryFind typename with
        | None -> Error(QapiError.ofClass DeviceNotFound ("Class '" + typename + "' not found"))
        | Some _ when lineage typename |> List.exists (fun t -> t.Name = "interface") ->
            QapiError.fail "Parameter 'typename' expects a QOM type"
        | Some _ -> Ok(properties typename)

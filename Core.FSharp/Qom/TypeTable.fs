namespace StorageDaemon.Core.Qom

open StorageDaemon.Core

/// One type of the object model, as `qom-list-types` shows it.
type QomType = {
    Name: string
    Parent: string option
    Abstract: bool
    /// Interfaces of its own, beyond what it inherits.
    Interfaces: string list
    /// Properties of its own: name and type.
    Properties: (string * string) list
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

    let private ints names =
        names |> List.map (fun name -> name, "int")

    let all = [
        {
            abstract' "object" None with
                Properties = [ "type", "string" ]
        }
        abstract' "interface" None
        abstract' "user-creatable" (Some "interface")
        concrete "container" "object" []
        {
            abstract' "event-loop-base" (Some "object") with
                Interfaces = [ "user-creatable" ]
                Properties = ints [ "thread-pool-min"; "aio-max-batch"; "thread-pool-max" ]
        }
        concrete "iothread" "event-loop-base" (ints [ "poll-max-ns"; "poll-grow"; "poll-shrink" ])
        {
            concrete
                "throttle-group"
                "object"
                (("limits", "ThrottleLimits")
                 :: ints (ThrottleGroup.names |> List.map (fun name -> "x-" + name))) with
                Interfaces = [ "user-creatable" ]
        }
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
        concrete "chardev-socket" "chardev" [ "connected", "bool"; "addr", "SocketAddress" ]
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

    /// Properties of all instances of a type, the inherited ones first.
    let properties name =
        lineage name |> List.rev |> List.collect _.Properties

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

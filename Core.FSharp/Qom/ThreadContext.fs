namespace StorageDaemon.Core.Qom

open StorageDaemon.Core
open StorageDaemon.Core.Json
open StorageDaemon.Core.Qapi

/// Where a thread may run.
[<RequireQualifiedAccess>]
type Affinity =
    | Cpus of uint16 list
    /// On the processors of NUMA nodes.
    | Nodes of uint16 list

/// The `thread-context` object (qapi/qom.json, ThreadContextProperties): a thread, from which others may inherit where
/// they run.
type ThreadContext = {
    /// What was asked for last; none if the thread runs where the process may.
    Wanted: Affinity option
    /// The kernel's number of the thread; 0 before it runs.
    ThreadId: int64
    /// The processors on which it may run, as the kernel says.
    Cpus: int64 list
}

module ThreadContext =
    let private cpus (list: uint16 list) =
        if list.IsEmpty then
            QapiError.fail "CPU list is empty"
        else
            Ok(Affinity.Cpus list)

    let private nodes (list: uint16 list) =
        if list.IsEmpty then
            QapiError.fail "Node list is empty"
        else
            Ok(Affinity.Nodes list)

    let private affinity name choose (read: ThreadContext -> int64 list) : Property<ThreadContext> =
        let ofList = Codec.list Codec.uint16

        {
            Name = name
            Type = "int"
            Get = Some(fun thread -> read thread |> List.map Int |> List)
            Set =
                Some(fun json thread ->
                    ofList.Decode (Place.memberOf (Place.root Dialect.Json) name) json
                    |> Result.bind choose
                    |> Result.map (fun wanted -> { thread with Wanted = Some wanted }))
        }

    let class': ObjectClass<ThreadContext> = {
        Name = "thread-context"
        Parent = "object"
        Interfaces = [ "user-creatable" ]
        Inherited = []
        Own = [
            Property.readOnly "thread-id" "int" (fun thread -> Int thread.ThreadId)
            affinity "node-affinity" nodes (fun _ -> []) |> Property.writeOnly
            affinity "cpu-affinity" cpus _.Cpus
        ]
    }

    let create (given: ThreadContextProperties) : Result<ThreadContext, QapiError> =
        let make wanted = { Wanted = wanted; ThreadId = 0L; Cpus = [] }

        match given.CpuAffinity, given.NodeAffinity with
        | None, None -> Ok(make None)
        | Some list, None -> cpus list |> Result.map (Some >> make)
        | None, Some list -> nodes list |> Result.map (Some >> make)
        | Some first, Some second ->
            result {
                let! _ = cpus first
                let! _ = nodes second
                return! QapiError.fail "Mixing CPU and node affinity not supported"
            }

    /// The numbers in a list of the kernel, such as "0-3,8" (Documentation/admin-guide/cputopology.rst); what is no
    /// such list has none.
    let ofKernelList (text: string) : int list =
        let number (text: string) =
            match System.Int32.TryParse text with
            | true, value when value >= 0 && value <= 0xffff -> Some value
            | _ -> None

        text.Trim().Split ','
        |> List.ofArray
        |> List.collect (fun part ->
            match part.Split '-' |> Array.map number with
            | [| Some only |] -> [ only ]
            | [| Some first; Some last |] -> [ first..last ]
            | _ -> [])

module StorageDaemon.Tests.Properties.Qom

open Expecto
open FsCheck
open StorageDaemon.Core
open StorageDaemon.Core.Json
open StorageDaemon.Core.Qapi
open StorageDaemon.Core.Qom
open StorageDaemon.Tests.Reference

/// All objects with their absolute paths, by walking.
let private places (tree: QomTree) : string list =
    [ "/"; "/backend"; "/objects"; "/chardevs" ]
    @ (tree.Objects.Keys |> Seq.map (fun id -> "/objects/" + id) |> List.ofSeq)
    @ (tree.Chardevs.Keys |> Seq.map (fun id -> "/chardevs/" + id) |> List.ofSeq)

let private parts (path: string) =
    path.Split('/', System.StringSplitOptions.RemoveEmptyEntries) |> List.ofArray

/// A partial path fits where it is the end of an absolute one.
let private fitting (tree: QomTree) (path: string) =
    let wanted = parts path

    places tree
    |> List.filter (fun place ->
        let own = parts place

        if path.StartsWith '/' then
            own = wanted
        else
            own.Length >= wanted.Length
            && List.skip (own.Length - wanted.Length) own = wanted)

let private treeOf (objects: byte list) (chardevs: byte list) : QomTree =
    let ids numbers =
        numbers |> List.map (fun (n: byte) -> "x" + string (n % 5uy)) |> List.distinct

    {
        Objects =
            ids objects
            |> List.map (fun id -> id, UserObject.Iothread Iothread.defaults)
            |> Map.ofList
        Chardevs =
            ids chardevs
            |> List.map (fun id -> id, ChardevObject(id, "chardev-null", false))
            |> Map.ofList
    }

let private iothreadProperties = (Iothread.class'.Inherited @ Iothread.class'.Own) |> List.map _.Name

let private defaultIothread = UserObject.Iothread Iothread.defaults

let private setIn object name value =
    match UserObject.property name object |> Option.bind _.Set with
    | Some set -> set value
    | None -> failtest "the property can be set"

let private desc result =
    match result with
    | Ok _ -> ""
    | Error(error: QapiError) -> error.Desc

[<Tests>]
let tests =
    testList "Qom" [
        testList "as the real daemon" (Transcript.tests "qom.transcript" [])

        testProperty "a path is found where it fits in one place"
        <| fun (objects: byte list) (chardevs: byte list) (steps: byte list) (absolute: bool) ->
            let tree = treeOf objects chardevs
            let words = [ "objects"; "chardevs"; "backend"; "x0"; "x1"; "x2"; ""; "type" ]

            let path =
                (if absolute then "/" else "")
                + (steps
                   |> List.truncate 3
                   |> List.map (fun n -> words[int n % 8])
                   |> String.concat "/")

            match fitting tree path, QomTree.list tree path with
            | [ _ ], listed -> Expect.isOk listed path
            | [], listed -> Expect.equal (desc listed) ("Device '" + path + "' not found") path
            | _, listed -> Expect.equal (desc listed) ("Path '" + path + "' is ambiguous") path

            Expect.equal (Result.isOk (QomTree.resolve tree path)) ((fitting tree path).Length = 1) "get and set too"

        testProperty "a value set is the value got, and the others stay"
        <| fun (choice: byte) (value: int64) ->
            let name = iothreadProperties[int choice % iothreadProperties.Length]

            match setIn defaultIothread name (Int value) with
            | Ok next ->
                for other in iothreadProperties do
                    let expected =
                        if other = name then
                            Some(Int value)
                        else
                            UserObject.tryGet other defaultIothread

                    Expect.equal (UserObject.tryGet other next) expected other
            | Error _ -> Expect.isTrue (value < 0L || name.StartsWith "thread-pool") "only pools have more than a range"

        testProperty "a new object has what it was given"
        <| fun (values: int64 option list) ->
            let value index =
                values
                |> List.tryItem index
                |> Option.flatten
                |> Option.map (fun v -> v &&& System.Int64.MaxValue)

            let given: IothreadProperties = {
                Loop = {
                    AioMaxBatch = value 0
                    ThreadPoolMin = value 1
                    ThreadPoolMax = value 2
                }
                PollMaxNs = value 3
                PollGrow = value 4
                PollShrink = value 5
            }

            match Iothread.create given with
            | Ok iothread ->
                let shown name =
                    UserObject.tryGet name (UserObject.Iothread iothread)

                for index, name in
                    List.indexed [
                        "aio-max-batch"
                        "thread-pool-min"
                        "thread-pool-max"
                        "poll-max-ns"
                        "poll-grow"
                        "poll-shrink"
                    ] do
                    let expected =
                        match value index with
                        | Some value -> Some(Int value)
                        | None -> UserObject.tryGet name defaultIothread

                    Expect.equal (shown name) expected name
            | Error error -> failtest error.Desc

        test "every type's parents and interfaces are types" {
            for t in TypeTable.all do
                for name in Option.toList t.Parent @ t.Interfaces do
                    Expect.isSome (TypeTable.tryFind name) name

                Expect.isTrue (TypeTable.implements t.Name t.Name) "each implements itself"
        }

        test "a failed set leaves the object" {
            let tree = treeOf [ 1uy ] []
            let set value =
                QomTree.set tree "/objects/x1" "thread-pool-min" (Int value)
            Expect.isError (set 65L) "above the maximum"

            match set 3L with
            | Ok(_, next) -> Expect.equal (UserObject.tryGet "thread-pool-min" next) (Some(Int 3L)) "at once"
            | Error error -> failtest error.Desc
        }
    ]

module StorageDaemon.Tests.Properties.Qom

open Expecto
open FsCheck
open StorageDaemon.Core
open StorageDaemon.Core.Json
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
            let name = Iothread.properties[int choice % Iothread.properties.Length]

            match Iothread.set name value Iothread.defaults with
            | Ok next ->
                for other in Iothread.properties do
                    let expected =
                        if other = name then
                            Some value
                        else
                            Iothread.tryGet other Iothread.defaults

                    Expect.equal (Iothread.tryGet other next) expected other
            | Error _ -> Expect.isTrue (value < 0L || name.StartsWith "thread-pool") "only pools have more than a range"

        testProperty "a new object has what it was given, in any order"
        <| fun (values: Map<byte, int64>) ->
            let given =
                values
                |> Map.toList
                |> List.map (fun (n, value) -> Iothread.properties[int n % 6], value &&& System.Int64.MaxValue)
                |> List.distinctBy fst

            match Iothread.create given, Iothread.create (List.rev given) with
            | Ok one, Ok other ->
                Expect.equal one other "order"

                for name, value in given do
                    Expect.equal (Iothread.tryGet name one) (Some value) name
            | _ -> failtest "values in range"

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

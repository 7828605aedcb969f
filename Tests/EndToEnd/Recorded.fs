/// Conversations that were recorded with the real daemon, replayed with the published binary: each message, replies and
/// events, in the order in which it came. No real daemon is needed.
module StorageDaemon.Tests.EndToEnd.Recorded

open System.Collections.Generic
open System.IO
open Expecto
open StorageDaemon.Tests.Differential
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.NbdClient
open StorageDaemon.Tests.Harness.QmpClient
open StorageDaemon.Tests.Reference

let private images = [ "r.raw"; "a.raw"; "s.raw"; "s2.raw"; "w.raw" ]

/// One daemon of a scene.
type private Stage(directory: TempDir.TempDir, qmp: QmpClient) =
    let names = Normalise.AutoNames()
    let recordedNames = Normalise.AutoNames()
    let clients = Dictionary<string, NbdClient>()
    let mutable sent = "the start"

    member _.Send(text: string) : unit =
        sent <- text
        qmp.Send(text + "\n")

    member _.Expect(recorded: string) : unit =
        match qmp.ReadLine() with
        | None -> failtest $"after {sent}: the end instead of {recorded}"
        | Some line ->
            Expect.equal
                (names.Replace(Normalise.message line))
                (recordedNames.Replace(Normalise.message recorded))
                $"after {sent}"

    member _.Client(words: string[]) : unit =
        sent <- String.concat " " words

        match words with
        | [| "!connect"; name; export |] ->
            let client = NbdClient.Connect(directory.File "images/x.sock")
            client.Go(Simple, export) |> ignore
            clients[name] <- client
        | [| "!write"; name; offset; length |] ->
            Expect.equal (clients[name].Write(0us, uint64 offset, Array.create (int length) 1uy)) 0u sent
        | [| "!close"; name |] -> (clients[name] :> System.IDisposable).Dispose()
        | _ -> failtest $"a line of the recording: {sent}"

    interface System.IDisposable with
        member _.Dispose() =
            clients.Values
            |> Seq.iter (fun client -> (client :> System.IDisposable).Dispose())

let private play (stage: Stage) (line: string) : unit =
    match line.IndexOf ' ' with
    | space when space > 0 ->
        let rest = line.Substring(space + 1)

        match line.Substring(0, space) with
        | "->" -> stage.Send rest
        | "<-"
        | "EV" -> stage.Expect rest
        | _ -> stage.Client(line.Split ' ')
    | _ -> failtest $"a line of the recording: {line}"

/// Scenes of the protocol begin before the negotiation, as their first line tells.
let private negotiatesItself (scene: Transcript.Scene) = scene.Title = "protocol"

let private scene (scene: Transcript.Scene) : Test =
    testCase scene.Title (fun () ->
        use directory = new TempDir.TempDir()
        Directory.CreateDirectory(directory.File "images") |> ignore

        for image in images do
            TempDir.sparse (directory.File("images/" + image)) (4L <<< 20)

        use child = Daemon.start Binaries.daemon.Value directory.Path (Daemon.monitor "q.sock")

        use qmp =
            if negotiatesItself scene then
                QmpClient.Connect(directory.File "q.sock")
            else
                QmpClient.Negotiated(directory.File "q.sock")

        if negotiatesItself scene then
            qmp.ReadLine() |> ignore

        use stage = new Stage(directory, qmp)
        scene.Lines |> List.iter (play stage)

        match List.tryLast (scene.Lines |> List.filter (fun line -> line.StartsWith "->")) with
        | Some line when line.Contains "\"quit\"" ->
            Expect.equal (child.WaitExit Wait.defaultTimeout) (Some 0) child.Error
        | _ -> Expect.equal (Daemon.stop child) 0 child.Error)

[<Tests>]
let tests =
    testSequenced
    <| testList "end to end: recorded" (Transcript.read "recorded.transcript" |> List.map scene)

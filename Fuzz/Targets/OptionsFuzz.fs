/// Option values and command lines from arbitrary bytes.
module StorageDaemon.Fuzz.Targets.OptionsFuzz

open System
open System.Text
open StorageDaemon.Core.Json
open StorageDaemon.Core.Observe
open StorageDaemon.Core.Options
open StorageDaemon.Core.Chardev
open StorageDaemon.Core.Qapi

/// The tree as a text that reads as the same tree. None if a member is empty, which the syntax cannot say.
let private print tree =
    let rec flatten path value =
        let below key =
            if path = "" then key else path + "." + key

        match value with
        | Object [] when path = "" -> []
        | Object members -> members |> List.collect (fun (key, value) -> flatten (below key) value)
        | List elements ->
            elements
            |> List.mapi (fun i value -> flatten (below (string<int> i)) value)
            |> List.concat
        | String text -> [ path + "=" + text.Replace(",", ",,") ]
        | _ -> invalidOp "key-value syntax gives strings only"

    String.Join(',', flatten "" tree)

let private keyVal text =
    match OptionArgument.parseWithoutHelp (Some "driver") text with
    | Ok(OptionArgument.KeyValues { Tree = tree }) ->
        match KeyVal.parse None (print tree) with
        | Ok again when again.Tree = tree && not again.Help -> ()
        | _ -> invalidOp "printing and reading again changed the tree"
    | Ok(OptionArgument.JsonText _)
    | Error _ -> ()

let private chardev text =
    match ChardevOptions.parse text with
    | struct (_, Ok(ChardevRequest.Create({ Backend = ChardevBackend.Socket socket }, _))) ->
        ChardevOptions.validateSocket socket |> ignore
        ChardevOptions.reconnectDelayMs socket |> ignore

        match socket.Addr with
        | SocketAddress.Fd text -> ChardevOptions.parseFd text |> ignore
        | _ -> ()
    | _ -> ()

let private trace (text: string) =
    let known = [ "nbd_trip"; "job_completed" ]
    TracePattern.parse text |> ignore
    TracePattern.applyFile known Set.empty "events" (List.ofArray (text.Split '\n'))
    |> ignore

/// The words of a command line are separated by zero bytes, as in /proc/PID/cmdline.
let private commandLine (text: string) =
    match CommandLine.parse "daemon" (List.ofArray (text.Split '\000')) with
    | CommandLineRequest.Start startup ->
        for item in startup.Items do
            match item.Step with
            | StartupStep.Chardev value -> chardev value
            | StartupStep.Trace value -> trace value
            | StartupStep.Config _
            | StartupStep.Stray -> ()
            | StartupStep.Blockdev value
            | StartupStep.Export value
            | StartupStep.Metrics value
            | StartupStep.Monitor value
            | StartupStep.NbdServer value
            | StartupStep.Object value -> keyVal value
    | _ -> ()

/// One input of the fuzzer; an exception is a finding.
let run (input: byte[]) =
    let text = Encoding.UTF8.GetString input
    keyVal text
    chardev text
    trace text
    NumberText.parseSize text |> ignore
    NumberText.parseUInt64 text |> ignore
    commandLine text
    ConfigFile.steps "--config f" input |> ignore

/// Lists of well-formed options against a small model of option haggling that works on whole options.
module StorageDaemon.Tests.Machines.NbdHandshakeMachine

open Expecto
open FsCheck
open FsCheck.FSharp
open StorageDaemon.Core.Nbd
open StorageDaemon.Core.Nbd.Wire
open StorageDaemon.Tests.Generators.NbdGen
open StorageDaemon.Tests.Reference.NbdNaiveClient

type private ModelEnd =
    | Haggling
    | Gone
    | InTransmission of key: int * ReplyMode * contexts: ContextInfo list

type private Model = {
    Mode: ReplyMode
    Selected: (int * ContextInfo list) option
    End: ModelEnd
    Replies: OptionReply list
}

let private find name =
    exports |> List.tryFind (fun export -> export.Name = name)

let private reply code replyType data (model: Model) = {
    model with
        Replies = model.Replies @ [ { Option = code; Type = replyType; Data = data } ]
}

let private ack code model = reply code NBD_REP_ACK [||] model
let private fail code replyType message model =
    reply code replyType (text message) model

let private unknownExport code (name: string) model =
    let bytes = text name
    let shown = Array.truncate 80 bytes
    let ellipsis = if bytes.Length >= 80 then "..." else ""
    let data = Array.concat [ text "export '"; shown; text (ellipsis + "' not present") ]
    reply code NBD_REP_ERR_UNKNOWN data model

let private contextsFor (export: ExportInfo) (model: Model) =
    match model.Selected with
    | Some(key, contexts) when key = export.Key -> contexts
    | _ -> []

let private flagsFor (export: ExportInfo) isInfo (model: Model) =
    let df = if model.Mode = ReplyMode.Simple then 0us else 0x80us
    let payload = model.Mode = ReplyMode.Extended && (isInfo || contextsFor export model <> [])
    export.TransmissionFlags ||| df ||| (if payload then 0x1000us else 0us)

let private information code name (requests: uint16 list) (model: Model) =
    match find name with
    | None -> unknownExport code name model
    | Some export ->
        let isGo = (code = NBD_OPT_GO)
        let asked = List.contains NBD_INFO_BLOCK_SIZE requests
        let minimum = if isGo && not asked then 1u else export.MinimumBlock
        let info infoType data =
            reply code NBD_REP_INFO (Array.append (u16 infoType) data)

        let told =
            model
            |> (if List.contains NBD_INFO_NAME requests then
                    info NBD_INFO_NAME (text export.Name)
                else
                    id)
            |> (match export.Description with
                | Some description -> info NBD_INFO_DESCRIPTION (text description)
                | None -> id)
            |> info NBD_INFO_BLOCK_SIZE (Array.concat [ u32 minimum; u32 4096u; u32 33554432u ])
            |> info NBD_INFO_EXPORT (Array.append (u64 export.SizeBytes) (u16 (flagsFor export (not isGo) model)))

        if isGo then
            {
                ack code told with
                    End = InTransmission(export.Key, model.Mode, contextsFor export model)
            }
        elif export.MinimumBlock > 1u && not asked then
            fail code NBD_REP_ERR_BLOCK_SIZE_REQD "request NBD_INFO_BLOCK_SIZE to use this export" told
        else
            ack code told

let private isSelected isListing (queries: string list) (context: ContextInfo) =
    let wildcards =
        if isListing then
            [
                "base:", "base:"
                "qemu:", "qemu:"
                "qemu:dirty-bitmap:", "qemu:dirty-bitmap:"
            ]
        else
            []

    List.contains context.Name queries
    || isListing && queries.IsEmpty
    || wildcards
       |> List.exists (fun (query, prefix) -> List.contains query queries && context.Name.StartsWith prefix)

let private meta code name queries (model: Model) =
    let isListing = (code = NBD_OPT_LIST_META_CONTEXT)
    let model = if isListing then model else { model with Selected = None }

    match find name with
    | None -> unknownExport code name model
    | Some export ->
        let contexts = List.filter (isSelected isListing queries) export.Contexts
        let tell (model: Model) (context: ContextInfo) =
            let id = if isListing then 0u else context.Id
            reply code NBD_REP_META_CONTEXT (Array.append (u32 id) (text context.Name)) model

        let told = List.fold tell model contexts |> ack code
        if isListing then
            told
        else
            { told with Selected = Some(export.Key, contexts) }

let private list model =
    let entry model (export: ExportInfo) =
        let description = Option.defaultValue "" export.Description
        let data = Array.concat [ u32 (uint32 (text export.Name).Length); text export.Name; text description ]
        reply NBD_OPT_LIST NBD_REP_SERVER data model

    List.fold entry model exports |> ack NBD_OPT_LIST

let private step (model: Model) clientOption =
    match model.End, clientOption with
    | (Gone | InTransmission _), _ -> model
    | Haggling, Abort -> { ack NBD_OPT_ABORT model with End = Gone }
    | Haggling, List -> list model
    | Haggling, StartTls -> fail NBD_OPT_STARTTLS NBD_REP_ERR_POLICY "TLS not configured" model
    | Haggling, StructuredReply ->
        match model.Mode with
        | ReplyMode.Simple -> {
            ack NBD_OPT_STRUCTURED_REPLY model with
                Mode = ReplyMode.Structured
          }
        | ReplyMode.Structured ->
            fail NBD_OPT_STRUCTURED_REPLY NBD_REP_ERR_INVALID "structured reply already negotiated" model
        | _ -> fail NBD_OPT_STRUCTURED_REPLY NBD_REP_ERR_EXT_HEADER_REQD "extended headers already negotiated" model
    | Haggling, ExtendedHeaders when model.Mode = ReplyMode.Extended ->
        fail NBD_OPT_EXTENDED_HEADERS NBD_REP_ERR_INVALID "extended headers already negotiated" model
    | Haggling, ExtendedHeaders -> {
        ack NBD_OPT_EXTENDED_HEADERS model with
            Mode = ReplyMode.Extended
      }
    | Haggling, Info(name, requests) -> information NBD_OPT_INFO name requests model
    | Haggling, Go(name, requests) -> information NBD_OPT_GO name requests model
    | Haggling, ListMeta(name, queries) -> meta NBD_OPT_LIST_META_CONTEXT name queries model
    | Haggling, SetMeta _ when model.Mode = ReplyMode.Simple ->
        let message = "request option 'set meta context' when structured reply is not negotiated"
        fail NBD_OPT_SET_META_CONTEXT NBD_REP_ERR_INVALID message model
    | Haggling, SetMeta(name, queries) -> meta NBD_OPT_SET_META_CONTEXT name queries model
    | Haggling, ExportName name ->
        match find name with
        | Some export when model.Mode <> ReplyMode.Extended -> {
            model with
                End = InTransmission(export.Key, model.Mode, contextsFor export model)
          }
        | _ -> { model with End = Gone }
    | Haggling, Unknown(code, _) ->
        fail code NBD_REP_ERR_UNSUP ("Unsupported option " + string code + " (<unknown>)") model

let private modelEnd (run: HandshakeRun) =
    match run.End with
    | Waiting -> Haggling
    | Entered session -> InTransmission(session.ExportKey, session.Mode, List.ofArray session.Contexts)
    | Upgrading
    | HandshakeEnd.Closed -> Gone

/// NBD_OPT_EXPORT_NAME is answered without an option reply: ten bytes at the end.
let private withoutExportName clientOptions (model: Model) (sent: byte[]) =
    let entered =
        match model.End with
        | InTransmission _ -> true
        | _ -> false

    let byName =
        clientOptions
        |> List.tryFind (function
            | Go(name, _) -> (find name).IsSome
            | ExportName _ -> true
            | _ -> false)
        |> function
            | Some(ExportName _) -> entered
            | _ -> false

    if byName then sent[.. sent.Length - 11] else sent

[<Tests>]
let tests =
    testList "NBD handshake machine" [
        testPropertyWithConfig { FsCheckConfig.defaultConfig with maxTest = 500 } "replies and end are the model's"
        <| Prop.forAll (Arb.fromGen (Gen.listOf clientOption)) (fun clientOptions ->
            let start = {
                Mode = ReplyMode.Simple
                Selected = None
                End = Haggling
                Replies = []
            }
            let model = List.fold step start clientOptions
            let input = Array.concat (u32 3u :: List.map encodeOption clientOptions)
            let run = handshake NoTls exports [ input ]
            Expect.equal (modelEnd run) model.End "end"
            let sent = withoutExportName clientOptions model run.Sent
            Expect.equal (optionReplies sent) model.Replies "replies")
    ]

namespace StorageDaemon.Core.Nbd

open System
open System.Text
open StorageDaemon.Core
open StorageDaemon.Core.Nbd.Wire

/// The server's side of fixed newstyle negotiation ("Handshake phase"). A pure state machine: options in any chunking
/// give the same replies. Whatever the client sends, at most one field of 4096 bytes is kept: payloads of refused
/// options are counted and dropped, and the refusal is sent after them.
[<RequireQualifiedAccess>]
module Handshake =

    /// The contexts that the last NBD_OPT_SET_META_CONTEXT selected. They count only if the client then enters
    /// transmission with the same export.
    type private Selection = { ExportKey: int; Contexts: ContextInfo list }

    /// An option whose payload is being read.
    type private OptionInProgress = {
        Code: uint32
        /// Payload bytes from the start of the field that is being read.
        Remaining: int
    }

    /// Which kinds of information a client asked for.
    [<Struct>]
    type private Wanted = { Name: bool; BlockSize: bool }

    /// A query of metadata contexts that is being read.
    type private MetaQuery = {
        Export: ExportInfo
        /// Queries still to come.
        Left: uint32
        /// Positions in the export's contexts that a query has matched so far.
        Matched: Set<int>
    }

    /// The field that is read next.
    type private Phase =
        | AwaitClientFlags
        | AwaitOptionMagic
        | AwaitOptionHeader
        | AwaitExportName of length: int
        | AwaitNameLength of OptionInProgress
        | AwaitName of OptionInProgress * length: int
        | AwaitInfoCount of OptionInProgress * name: byte[]
        | AwaitInfoRequests of OptionInProgress * name: byte[] * left: int * Wanted
        | AwaitQueryCount of OptionInProgress * ExportInfo
        | AwaitQueryLength of OptionInProgress * MetaQuery
        | AwaitQuery of OptionInProgress * MetaQuery * length: int
        /// A query too long to match anything.
        | DiscardQuery of OptionInProgress * MetaQuery * left: int
        /// The rest of an option that is refused, before the refusal is sent.
        | DiscardPayload of left: int * reply: byte[] * close: bool
        | Finished

    /// Where a connection stands. An immutable value; only this module looks inside.
    type State = private {
        Policy: Policy
        TlsActive: bool
        /// The client understands option replies (NBD_FLAG_C_FIXED_NEWSTYLE).
        Fixed: bool
        NoZeroes: bool
        Mode: ReplyMode
        Selection: Selection voption
        Phase: Phase
        /// The first bytes of the field that is read next; never changed once made.
        Scratch: byte[]
    }

    /// Bytes of information requests that are looked at in one step.
    let private infoRequestsChunkLength = 1024

    let private needMore state : struct (State * Output) = struct (state, NeedMore)
    let private atPhase phase state = needMore { state with Phase = phase }
    let private closeWith bytes state : struct (State * Output) =
        struct ({ state with Phase = Finished }, Close bytes)

    let private sendAndGoOn bytes state : struct (State * Output) =
        struct ({ state with Phase = AwaitOptionMagic }, Send bytes)

    let private ascii (text: string) = Encoding.UTF8.GetBytes text

    // Refusals ------------------------------------------------------------------------------------------------------

    let private refuseBytes (option: OptionInProgress) replyType (text: byte[]) state =
        let reply = optionError option.Code replyType (ReadOnlySpan<byte> text)
        atPhase (DiscardPayload(option.Remaining, reply, false)) state

    let private refuse option replyType (text: string) state =
        refuseBytes option replyType (ascii text) state

    let private refuseAndClose (option: OptionInProgress) replyType (text: string) state =
        let reply = optionError option.Code replyType (ReadOnlySpan<byte>(ascii text))
        atPhase (DiscardPayload(option.Remaining, reply, true)) state

    let private refuseInconsistent option state =
        let text = "Inconsistent lengths in option " + OptionReply.optionName option.Code
        refuse option NBD_REP_ERR_INVALID text state

    let private refuseNul option state =
        let text = "Unexpected embedded NUL in option " + OptionReply.optionName option.Code
        refuse option NBD_REP_ERR_INVALID text state

    let private refuseLength option state =
        let text = "option '" + OptionReply.optionName option.Code + "' has unexpected length"
        refuse option NBD_REP_ERR_INVALID text state

    let private refuseUnknownExport option name state =
        refuseBytes option NBD_REP_ERR_UNKNOWN (OptionReply.unknownExportText name) state

    /// Goes on to a field of `length` bytes if the payload still holds that many.
    let private await (option: OptionInProgress) length phase state =
        if option.Remaining < length then
            refuseInconsistent option state
        else
            atPhase phase state

    let private after (option: OptionInProgress) length = { option with Remaining = option.Remaining - length }

    // Entering transmission -----------------------------------------------------------------------------------------

    let private selectedContexts state (export: ExportInfo) =
        match state.Selection with
        | ValueSome selection when selection.ExportKey = export.Key -> selection.Contexts
        | _ -> []

    let private enter state (export: ExportInfo) reply : struct (State * Output) =
        let session =
            Session(
                state.Mode,
                export.TransmissionFlags &&& NBD_FLAG_READ_ONLY <> 0us,
                export.SizeBytes,
                export.Key,
                Array.ofList (selectedContexts state export)
            )

        struct ({ state with Phase = Finished }, Enter(reply, session))

    /// NBD_OPT_EXPORT_NAME: no errors, the connection is closed instead. A name ends at its first NUL.
    let private completeExportName exports state (field: ReadOnlySpan<byte>) =
        let nul = field.IndexOf 0uy
        let name = (if nul < 0 then field else field.Slice(0, nul)).ToArray()

        match OptionReply.findExport exports name with
        | None -> closeWith [||] state
        | Some export ->
            let statusPayload = not (selectedContexts state export).IsEmpty
            let flags = OptionReply.transmissionFlags state.Mode statusPayload export
            enter state export (exportNameReply export.SizeBytes flags state.NoZeroes)

    /// NBD_OPT_INFO and NBD_OPT_GO, whose payload has been read: the information, then the final reply.
    let private completeInfo exports state (option: OptionInProgress) name (wanted: Wanted) =
        match OptionReply.findExport exports name with
        | None -> refuseUnknownExport option name state
        | Some export ->
            let isGo = (option.Code = NBD_OPT_GO)
            // A client that does not ask is told 1 when it enters: it will send requests of any alignment.
            let minimum =
                if isGo && not wanted.BlockSize then
                    1u
                else
                    export.MinimumBlock
            let statusPayload = not isGo || not (selectedContexts state export).IsEmpty
            let flags = OptionReply.transmissionFlags state.Mode statusPayload export
            let information = OptionReply.information option.Code wanted.Name minimum flags export

            if isGo then
                enter state export (Array.append information (optionAck option.Code))
            elif export.MinimumBlock > 1u && not wanted.BlockSize then
                let text = ascii "request NBD_INFO_BLOCK_SIZE to use this export"
                let final = optionError option.Code NBD_REP_ERR_BLOCK_SIZE_REQD (ReadOnlySpan<byte> text)
                sendAndGoOn (Array.append information final) state
            else
                sendAndGoOn (Array.append information (optionAck option.Code)) state

    // Metadata contexts ---------------------------------------------------------------------------------------------

    /// Adds what a query selects; nothing for an unknown or malformed one.
    let private addMatches code (query: MetaQuery) (text: ReadOnlySpan<byte>) =
        let isListing = (code = NBD_OPT_LIST_META_CONTEXT)
        let mutable matched = query.Matched
        let mutable position = 0

        for context in query.Export.Contexts do
            if
                not (matched.Contains position)
                && OptionReply.matchesQuery isListing text context
            then
                matched <- matched.Add position

            position <- position + 1

        { query with Left = query.Left - 1u; Matched = matched }

    let private completeMeta state (option: OptionInProgress) (query: MetaQuery) =
        let isListing = (option.Code = NBD_OPT_LIST_META_CONTEXT)

        let contexts =
            query.Export.Contexts
            |> List.indexed
            |> List.filter (fun (position, _) -> query.Matched.Contains position)
            |> List.map snd

        if isListing then
            sendAndGoOn (OptionReply.metaContexts option.Code contexts) state
        else
            let contexts = List.truncate Session.MaxContexts contexts
            let selection = { ExportKey = query.Export.Key; Contexts = contexts }
            sendAndGoOn (OptionReply.metaContexts option.Code contexts) { state with Selection = ValueSome selection }

    /// Reads the next query, or answers after the last one.
    let private nextQuery state (option: OptionInProgress) (query: MetaQuery) =
        if query.Left > 0u then
            await option 4 (AwaitQueryLength(option, query)) state
        elif option.Remaining > 0 then
            // Must not be left for the next option's header: it could be one.
            refuseLength option state
        else
            completeMeta state option query

    let private startQueries state option (export: ExportInfo) count =
        let all =
            if count = 0u && option.Code = NBD_OPT_LIST_META_CONTEXT then
                Set.ofList [ 0 .. export.Contexts.Length - 1 ]
            else
                Set.empty

        nextQuery state option { Export = export; Left = count; Matched = all }

    // Fields of option payloads -------------------------------------------------------------------------------------

    let private completeNameLength state option (length: uint32) =
        if length > uint32 NBD_MAX_STRING_SIZE then
            refuse option NBD_REP_ERR_INVALID ("Invalid name length: " + string length) state
        else
            await option (int length) (AwaitName(option, int length)) state

    let private completeName exports state (option: OptionInProgress) (field: ReadOnlySpan<byte>) =
        let name = field.ToArray()

        if field.Contains 0uy then
            refuseNul option state
        elif option.Code = NBD_OPT_INFO || option.Code = NBD_OPT_GO then
            await option 2 (AwaitInfoCount(option, name)) state
        else
            match OptionReply.findExport exports name with
            | None -> refuseUnknownExport option name state
            | Some export -> await option 4 (AwaitQueryCount(option, export)) state

    /// Reads more information requests, or answers after the last one.
    let private nextInfoRequests exports state (option: OptionInProgress) name left wanted =
        if left > 0 then
            atPhase (AwaitInfoRequests(option, name, left, wanted)) state
        elif option.Remaining > 0 then
            refuseLength option state
        else
            completeInfo exports state option name wanted

    let private completeInfoCount exports state (option: OptionInProgress) name (count: int) =
        if option.Remaining < 2 * count then
            refuseInconsistent option state
        else
            nextInfoRequests exports state option name count { Name = false; BlockSize = false }

    let private scanInfoRequests (wanted: Wanted) (field: ReadOnlySpan<byte>) =
        let mutable result = wanted
        let mutable at = 0

        while at < field.Length do
            match BigEndian.readU16 field at with
            | NBD_INFO_NAME -> result <- { result with Name = true }
            | NBD_INFO_BLOCK_SIZE -> result <- { result with BlockSize = true }
            | _ -> ()

            at <- at + 2

        result

    let private completeQueryLength state (option: OptionInProgress) query (length: uint32) =
        if length > uint32 option.Remaining then
            refuseInconsistent option state
        elif length > uint32 NBD_MAX_STRING_SIZE then
            atPhase (DiscardQuery(option, query, int length)) state
        else
            atPhase (AwaitQuery(option, query, int length)) state

    let private completeQuery state (option: OptionInProgress) query (field: ReadOnlySpan<byte>) =
        if field.Contains 0uy then
            refuseNul option state
        else
            nextQuery state option (addMatches option.Code query field)

    // Options -------------------------------------------------------------------------------------------------------

    /// After the upgrade nothing that came in plain text may count, except the client flags.
    let private startTls state : struct (State * Output) =
        let reset = {
            state with
                TlsActive = true
                Mode = ReplyMode.Simple
                Selection = ValueNone
                Phase = AwaitOptionMagic
        }

        struct (reset, StartTls(optionAck NBD_OPT_STARTTLS))

    let private completeStartTls option state =
        if state.TlsActive then
            refuse option NBD_REP_ERR_INVALID "TLS already enabled" state
        else
            match state.Policy with
            | NoTls -> refuse option NBD_REP_ERR_POLICY "TLS not configured" state
            | TlsAllowed
            | TlsRequired -> startTls state

    let private completeStructuredReply option state =
        match state.Mode with
        | ReplyMode.Extended -> refuse option NBD_REP_ERR_EXT_HEADER_REQD "extended headers already negotiated" state
        | ReplyMode.Structured -> refuse option NBD_REP_ERR_INVALID "structured reply already negotiated" state
        | _ -> sendAndGoOn (optionAck option.Code) { state with Mode = ReplyMode.Structured }

    let private completeExtendedHeaders option state =
        if state.Mode = ReplyMode.Extended then
            refuse option NBD_REP_ERR_INVALID "extended headers already negotiated" state
        else
            sendAndGoOn (optionAck option.Code) { state with Mode = ReplyMode.Extended }

    let private startMeta option state =
        if option.Code = NBD_OPT_LIST_META_CONTEXT then
            await option 4 (AwaitNameLength option) state
        elif state.Mode = ReplyMode.Simple then
            let text = "request option 'set meta context' when structured reply is not negotiated"
            refuse option NBD_REP_ERR_INVALID text state
        else
            // The old selection is gone even if this option fails.
            await option 4 (AwaitNameLength option) { state with Selection = ValueNone }

    /// NBD_OPT_EXPORT_NAME cannot fail in words; with extended headers it is not allowed at all.
    let private startExportName option state =
        if option.Remaining > NBD_MAX_STRING_SIZE || state.Mode = ReplyMode.Extended then
            closeWith [||] state
        else
            atPhase (AwaitExportName option.Remaining) state

    let private startPermittedOption exports option state =
        let withoutPayload complete =
            if option.Remaining > 0 then
                refuseLength option state
            else
                complete option state

        match option.Code with
        | NBD_OPT_EXPORT_NAME -> startExportName option state
        | NBD_OPT_ABORT -> closeWith (optionAck option.Code) state
        | NBD_OPT_LIST -> withoutPayload (fun _ state -> sendAndGoOn (OptionReply.list exports) state)
        | NBD_OPT_STARTTLS -> withoutPayload completeStartTls
        | NBD_OPT_STRUCTURED_REPLY -> withoutPayload completeStructuredReply
        | NBD_OPT_EXTENDED_HEADERS -> withoutPayload completeExtendedHeaders
        | NBD_OPT_INFO
        | NBD_OPT_GO -> await option 4 (AwaitNameLength option) state
        | NBD_OPT_LIST_META_CONTEXT
        | NBD_OPT_SET_META_CONTEXT -> startMeta option state
        | code -> refuse option NBD_REP_ERR_UNSUP ("Unsupported option " + string code + " (<unknown>)") state

    /// FORCEDTLS before the upgrade: only NBD_OPT_STARTTLS is served.
    let private startOptionBeforeTls option state =
        match option.Code with
        | NBD_OPT_STARTTLS when option.Remaining > 0 ->
            refuseAndClose option NBD_REP_ERR_INVALID "option 'starttls' has unexpected length" state
        | NBD_OPT_STARTTLS -> completeStartTls option state
        | NBD_OPT_EXPORT_NAME -> closeWith [||] state
        | code ->
            let text = "Option 0x" + code.ToString "x" + " not permitted before TLS"

            if code = NBD_OPT_ABORT then
                refuseAndClose option NBD_REP_ERR_TLS_REQD text state
            else
                refuse option NBD_REP_ERR_TLS_REQD text state

    let private completeOptionHeader exports state (field: ReadOnlySpan<byte>) =
        let code = BigEndian.readU32 field 0
        let length = BigEndian.readU32 field 4

        if length > uint32 NBD_MAX_BUFFER_SIZE then
            closeWith [||] state
        elif not state.Fixed && code <> NBD_OPT_EXPORT_NAME then
            closeWith [||] state
        else
            let option = { Code = code; Remaining = int length }

            if state.Policy = TlsRequired && not state.TlsActive then
                startOptionBeforeTls option state
            else
                startPermittedOption exports option state

    let private completeClientFlags state (flags: uint32) =
        let known = NBD_FLAG_C_FIXED_NEWSTYLE ||| NBD_FLAG_C_NO_ZEROES

        if flags &&& ~~~known <> 0u then
            closeWith [||] state
        else
            atPhase AwaitOptionMagic {
                state with
                    Fixed = (flags &&& NBD_FLAG_C_FIXED_NEWSTYLE <> 0u)
                    NoZeroes = (flags &&& NBD_FLAG_C_NO_ZEROES <> 0u)
            }

    // The machine ---------------------------------------------------------------------------------------------------

    /// Length in bytes of the field that the phase reads as a whole.
    let private fieldLength phase =
        match phase with
        | AwaitClientFlags -> ClientFlagsLength
        | AwaitOptionMagic
        | AwaitOptionHeader -> 8
        | AwaitInfoCount _ -> 2
        | AwaitNameLength _
        | AwaitQueryCount _
        | AwaitQueryLength _ -> 4
        | AwaitExportName length
        | AwaitName(_, length)
        | AwaitQuery(_, _, length) -> length
        | AwaitInfoRequests(_, _, left, _) -> min (2 * left) infoRequestsChunkLength
        | DiscardQuery _
        | DiscardPayload _
        | Finished -> 0

    /// Takes a whole field and moves on.
    let private complete exports state (field: ReadOnlySpan<byte>) : struct (State * Output) =
        match state.Phase with
        | AwaitClientFlags -> completeClientFlags state (BigEndian.readU32 field 0)
        | AwaitOptionMagic ->
            if BigEndian.readU64 field 0 = NBD_OPTS_MAGIC then
                atPhase AwaitOptionHeader state
            else
                closeWith [||] state
        | AwaitOptionHeader -> completeOptionHeader exports state field
        | AwaitExportName _ -> completeExportName exports state field
        | AwaitNameLength option -> completeNameLength state (after option 4) (BigEndian.readU32 field 0)
        | AwaitName(option, length) -> completeName exports state (after option length) field
        | AwaitInfoCount(option, name) ->
            completeInfoCount exports state (after option 2) name (int (BigEndian.readU16 field 0))
        | AwaitInfoRequests(option, name, left, wanted) ->
            let wanted = scanInfoRequests wanted field
            nextInfoRequests exports state (after option field.Length) name (left - field.Length / 2) wanted
        | AwaitQueryCount(option, export) -> startQueries state (after option 4) export (BigEndian.readU32 field 0)
        | AwaitQueryLength(option, query) ->
            completeQueryLength state (after option 4) query (BigEndian.readU32 field 0)
        | AwaitQuery(option, query, length) -> completeQuery state (after option length) query field
        | DiscardQuery _
        | DiscardPayload _
        | Finished -> needMore state

    /// Drops input of a field that is not kept. Returns the bytes dropped.
    let private discard state available : struct (int * State * Output) =
        match state.Phase with
        | DiscardPayload(left, reply, close) when left <= available ->
            let struct (next, output) =
                if close then
                    closeWith reply state
                else
                    sendAndGoOn reply state
            struct (left, next, output)
        | DiscardPayload(left, reply, close) ->
            struct (available,
                    {
                        state with
                            Phase = DiscardPayload(left - available, reply, close)
                    },
                    NeedMore)
        | DiscardQuery(option, query, left) when left <= available ->
            let query = { query with Left = query.Left - 1u }
            let struct (next, output) = nextQuery state (after option left) query
            struct (left, next, output)
        | DiscardQuery(option, query, left) ->
            let phase = DiscardQuery(after option available, query, left - available)
            struct (available, { state with Phase = phase }, NeedMore)
        | _ -> struct (0, state, NeedMore)

    /// Adds input to the field that is being read and completes it if it is whole. Returns the bytes taken.
    let private collect exports state (input: ReadOnlySpan<byte>) : struct (int * State * Output) =
        let needed = fieldLength state.Phase - state.Scratch.Length

        if input.Length < needed then
            let scratch = Array.append state.Scratch (input.ToArray())
            struct (input.Length, { state with Scratch = scratch }, NeedMore)
        elif state.Scratch.Length = 0 then
            let struct (next, output) = complete exports state (input.Slice(0, needed))
            struct (needed, next, output)
        else
            let field = Array.append state.Scratch (input.Slice(0, needed).ToArray())
            let struct (next, output) = complete exports { state with Scratch = [||] } (ReadOnlySpan<byte> field)
            struct (needed, next, output)

    /// Whether the machine can move without further input.
    let private canMove state available =
        match state.Phase with
        | DiscardPayload(0, _, _)
        | DiscardQuery(_, _, 0) -> true
        | DiscardPayload _
        | DiscardQuery _ -> available > 0
        | phase -> available > 0 || fieldLength phase = 0

    /// A new connection: its state and the greeting to send.
    let start (policy: Policy) : struct (State * byte[]) =
        let state = {
            Policy = policy
            TlsActive = false
            Fixed = false
            NoZeroes = false
            Mode = ReplyMode.Simple
            Selection = ValueNone
            Phase = AwaitClientFlags
            Scratch = [||]
        }

        struct (state, greeting ())

    /// Takes received bytes until something must be done. Returns how many bytes were consumed, the next state and what
    /// to do; bytes beyond the consumed ones are to be fed again, except after `Enter`, where they belong to the
    /// transmission phase. `StartTls` consumes everything: what a client sent ahead of the upgrade must not count.
    /// `exports` are those that exist now, in the order in which they are listed.
    let feed (exports: ExportInfo list) (state: State) (input: ReadOnlySpan<byte>) : struct (int * State * Output) =
        let mutable current = state
        let mutable consumed = 0
        let mutable output = NeedMore
        let mutable moving = true

        while moving do
            let rest = input.Slice consumed

            match current.Phase with
            | Finished ->
                output <- Close [||]
                moving <- false
            | _ when not (canMove current rest.Length) -> moving <- false
            | phase ->
                let struct (taken, next, result) =
                    match phase with
                    | DiscardPayload _
                    | DiscardQuery _ -> discard current rest.Length
                    | _ -> collect exports current rest

                consumed <- consumed + taken
                current <- next
                output <- result

                match result with
                | NeedMore -> ()
                | StartTls _ ->
                    consumed <- input.Length
                    moving <- false
                | _ -> moving <- false

        struct (consumed, current, output)

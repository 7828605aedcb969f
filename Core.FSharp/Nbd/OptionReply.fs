namespace StorageDaemon.Core.Nbd

open System
open System.Text
open StorageDaemon.Core.Nbd.Wire

/// What the server answers to options, as values: which export a name means, which contexts a query means, and the
/// bytes and texts of replies. When to say it is the affair of `Handshake`.
[<RequireQualifiedAccess>]
module OptionReply =

    /// Longest part of an unknown export's name that an error text repeats, in bytes.
    let private namePrefixLength = 80

    /// The option's name in error texts.
    let optionName code =
        match code with
        | NBD_OPT_EXPORT_NAME -> "export name"
        | NBD_OPT_ABORT -> "abort"
        | NBD_OPT_LIST -> "list"
        | NBD_OPT_STARTTLS -> "starttls"
        | NBD_OPT_INFO -> "info"
        | NBD_OPT_GO -> "go"
        | NBD_OPT_STRUCTURED_REPLY -> "structured reply"
        | NBD_OPT_LIST_META_CONTEXT -> "list meta context"
        | NBD_OPT_SET_META_CONTEXT -> "set meta context"
        | NBD_OPT_EXTENDED_HEADERS -> "extended headers"
        | _ -> "<unknown>"

    /// The export of this name, given as the client's bytes.
    let findExport (exports: ExportInfo list) (name: byte[]) =
        exports
        |> List.tryFind (fun export -> isUtf8Of export.Name (ReadOnlySpan<byte> name))

    /// The text for a name that no export has: the client's own bytes, but not at length.
    let unknownExportText (name: byte[]) : byte[] =
        let shown = Array.truncate namePrefixLength name
        let ellipsis = if name.Length >= namePrefixLength then "..." else ""

        Array.concat [
            Encoding.UTF8.GetBytes "export '"
            shown
            Encoding.UTF8.GetBytes(ellipsis + "' not present")
        ]

    /// NBD_OPT_LIST: an entry for each export, then NBD_REP_ACK.
    let list (exports: ExportInfo list) : byte[] =
        let entry (export: ExportInfo) =
            serverReply NBD_OPT_LIST export.Name (Option.defaultValue "" export.Description)

        Array.concat (List.map entry exports @ [ optionAck NBD_OPT_LIST ])

    /// The export's flags as a connection in this mode sees them. `statusPayload`: NBD_CMD_BLOCK_STATUS may carry a
    /// payload, if the mode allows it.
    let transmissionFlags (mode: ReplyMode) statusPayload (export: ExportInfo) =
        let df =
            if mode >= ReplyMode.Structured then
                NBD_FLAG_SEND_DF
            else
                0us
        let payload =
            if mode = ReplyMode.Extended && statusPayload then
                NBD_FLAG_BLOCK_STAT_PAYLOAD
            else
                0us
        export.TransmissionFlags ||| df ||| payload

    /// The NBD_REP_INFO replies of NBD_OPT_INFO and NBD_OPT_GO: the name only if wanted, a description if there is one,
    /// sizes always.
    let information code wantsName (minimumBlock: uint32) (flags: uint16) (export: ExportInfo) : byte[] =
        Array.concat [
            (if wantsName then
                 infoTextReply code NBD_INFO_NAME export.Name
             else
                 [||])
            (match export.Description with
             | Some text -> infoTextReply code NBD_INFO_DESCRIPTION text
             | None -> [||])
            infoBlockSizeReply code minimumBlock export.PreferredBlock export.MaximumBlock
            infoExportReply code export.SizeBytes flags
        ]

    /// Whether a query of NBD_OPT_LIST_META_CONTEXT names a whole family: `NAMESPACE:` or `qemu:dirty-bitmap:`.
    let private isWildcard (query: ReadOnlySpan<byte>) =
        query.Length > 1 && query.IndexOf(byte ':') = query.Length - 1
        || isUtf8Of "qemu:dirty-bitmap:" query

    /// Whether a query means a context. Families of contexts can be listed but not selected ("Metadata querying").
    let matchesQuery isListing (query: ReadOnlySpan<byte>) (context: ContextInfo) =
        isUtf8Of context.Name query
        || isListing
           && isWildcard query
           && context.Name.StartsWith(Encoding.UTF8.GetString query, StringComparison.Ordinal)

    /// NBD_OPT_LIST_META_CONTEXT and NBD_OPT_SET_META_CONTEXT: an entry for each context, then NBD_REP_ACK. Only
    /// selected contexts have identifiers.
    let metaContexts code (contexts: ContextInfo list) : byte[] =
        let entry (context: ContextInfo) =
            metaContextReply code (if code = NBD_OPT_SET_META_CONTEXT then context.Id else 0u) context.Name

        Array.concat (List.map entry contexts @ [ optionAck code ])

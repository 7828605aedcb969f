namespace StorageDaemon.Core.Daemon

open System
open System.Text
open StorageDaemon.Core
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Json
open StorageDaemon.Core.Qapi

/// Images that other images name: a file, or for backing images a description as JSON.
module NamedImages =
    /// Bytes that tell a format.
    [<Literal>]
    let ProbeBytes = 512

    let private decode (text: string) : Result<BlockdevSpec, QapiError> =
        match JsonDocument.parse (Encoding.UTF8.GetBytes text) with
        | Ok(Object members) ->
            StructCodec.decode Dialect.Json BlockCodecs.blockdevOptions members
            |> Result.bind BlockdevMapping.spec
        | _ -> QapiError.fail "Could not parse the JSON options"

    let private probe (start: byte[]) : string =
        if Qcow2.Header.isImage start then "qcow2" else "raw"

    /// How the image at `path` is to be opened: as the format that is named, or as what it looks like.
    let describe (named: NamedImage) (path: string) (isDevice: bool) (start: byte[]) : Result<BlockdevSpec, QapiError> =
        if named.Child <> Driver.BackingName then
            ImageFormat.describe (if isDevice then "host_device" else "file") path
        elif path.StartsWith("json:", StringComparison.Ordinal) then
            decode (path.Substring 5)
        else
            match ImageName.protocol path with
            | Some "file" ->
                ImageFormat.describeOn isDevice (defaultArg named.Format (probe start)) (path.Substring 5)
            | Some "null-co"
            | Some "null-aio" -> ImageFormat.describe (ImageName.protocol path).Value path
            | Some protocol -> QapiError.fail ("Unknown protocol '" + protocol + "'")
            | None -> ImageFormat.describeOn isDevice (defaultArg named.Format (probe start)) path

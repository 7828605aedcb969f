/// Our introspection against the real daemon's.
module StorageDaemon.Tests.Properties.Introspect

open System
open System.Collections.Generic
open System.IO
open Expecto
open StorageDaemon.Core.Json
open StorageDaemon.Core.Qapi
open StorageDaemon.Tests

/// All that differs from the real daemon: `-` for what it has and we do not, `+` for our additions, `~` for another
/// type. A difference is listed where a command or event first reaches the type, in the order of the golden file.
let private deviations =
    let under path sign names =
        names |> List.map (fun name -> sign + " " + path + name)

    let unbuiltDrivers = [
        "bochs"
        "cloop"
        "copy-before-write"
        "dmg"
        "snapshot-access"
        "ftp"
        "ftps"
        "gluster"
        "http"
        "https"
        "iscsi"
        "luks"
        "nbd"
        "nfs"
        "nvme"
        "parallels"
        "qcow"
        "qed"
        "rbd"
        "replication"
        "ssh"
        "vdi"
        "vhdx"
        "vmdk"
        "vpc"
        "vvfat"
    ]

    // Only drivers with statistics of their own are tags there.
    let driversWithoutStatistics = [
        "blkdebug"
        "blklogwrites"
        "blkreplay"
        "blkverify"
        "compress"
        "copy-on-read"
        "host_cdrom"
        "null-aio"
        "null-co"
        "preallocate"
        "qcow2"
        "quorum"
        "raw"
        "throttle"
    ]

    let unbuiltCommands = [
        "query-block-jobs"
        "block-commit"
        "drive-backup"
        "blockdev-backup"
        "drive-mirror"
        "block-dirty-bitmap-add"
        "block-dirty-bitmap-remove"
        "block-dirty-bitmap-clear"
        "block-dirty-bitmap-enable"
        "block-dirty-bitmap-disable"
        "block-dirty-bitmap-merge"
        "x-debug-block-dirty-bitmap-sha256"
        "blockdev-mirror"
        "block-stream"
        "block-job-set-speed"
        "block-job-cancel"
        "block-job-pause"
        "block-job-resume"
        "block-job-complete"
        "block-job-dismiss"
        "block-job-finalize"
        "block-job-change"
        "x-blockdev-amend"
        "BLOCK_IO_ERROR"
        "BLOCK_JOB_COMPLETED"
        "BLOCK_JOB_CANCELLED"
        "BLOCK_JOB_ERROR"
        "BLOCK_JOB_READY"
        "BLOCK_JOB_PENDING"
        "VSERPORT_CHANGE"
    ]

    List.concat [
        under "" "-" unbuiltCommands
        under "transaction.actions[](type=" "-" [
            "block-dirty-bitmap-add"
            "block-dirty-bitmap-remove"
            "block-dirty-bitmap-clear"
            "block-dirty-bitmap-enable"
            "block-dirty-bitmap-disable"
            "block-dirty-bitmap-merge"
            "blockdev-backup"
            "drive-backup"
        ]
        under "blockdev-add(driver=" "-" unbuiltDrivers
        under "query-blockstats[].driver-specific(driver=" "-" (unbuiltDrivers @ driversWithoutStatistics)

        under "blockdev-create.options(driver=" "-" unbuiltDrivers
        under "query-jobs[].type=" "-" [
            "commit"
            "stream"
            "mirror"
            "backup"
            "amend"
            "snapshot-load"
            "snapshot-save"
            "snapshot-delete"
        ]

        // A check of images that are in use, and what it tells.
        under "query-jobs[].type=" "+" [ "x-block-check" ]
        under "query-jobs[]." "+" [ "x-block-check" ]

        // Figures of exports.
        under "query-blockstats[]." "+" [ "x-exports" ]

        // Exports: NBD without bitmaps, no VDUSE; one iothread or several.
        under "block-export-add(type=" "-" [ "vduse-blk" ]
        under "block-export-add(nbd)." "-" [ "bitmaps"; "allocation-depth" ]
        under "query-block-exports[].type=" "-" [ "vduse-blk" ]
        under "nbd-server-add." "-" [ "bitmap" ]
        under "block-export-add." "~" [ "iothread" ]

        // Objects and character devices that are not built yet.
        under "object-add(qom-type=" "-" [ "tls-creds-anon"; "tls-creds-psk"; "tls-creds-x509" ]

        // The name of the type, beside that of the schema.
        under "object-add(qom-type=" "+" [ "authz-list-file" ]
        under "object-add(" "~" [ "authz-list-file)" ]

        // What the queries tell about formats, backing files, bitmaps and throttling.
        under "query-block[].inserted." "-" [
            "bps_max"
            "bps_rd_max"
            "bps_wr_max"
            "iops_max"
            "iops_rd_max"
            "iops_wr_max"
            "bps_max_length"
            "bps_rd_max_length"
            "bps_wr_max_length"
            "iops_max_length"
            "iops_rd_max_length"
            "iops_wr_max_length"
            "iops_size"
            "group"
            "dirty-bitmaps"
        ]
        under "query-block[].inserted.image.format-specific(type=" "-" [ "vmdk"; "luks"; "rbd" ]
        under "query-block[].inserted.image.format-specific(qcow2).data." "-" [ "bitmaps"; "encrypt" ]

        // Encryption of qcow2 images; backing images in formats that are not built.
        [ "- blockdev-add(qcow2).encrypt"; "- blockdev-create.options(qcow2).encrypt" ]
        under "blockdev-create.options(qcow2).backing-fmt=" "-" unbuiltDrivers
    ]
    |> List.map (fun line ->
        // The parenthesis of a tag's value is still open.
        if line.LastIndexOf '(' > line.LastIndexOf ')' && line.Contains "=" then
            line + ")"
        else
            line)

/// Commands and events of this daemon's own.
let private additions = Set.ofList [ "x-block-check" ]

/// Entities by name, as JSON.
type private Schema = Dictionary<string, Map<string, Json>>

let private schemaOf (entities: Json) : Schema =
    let schema = Schema()

    match entities with
    | List entities ->
        for entity in entities do
            match entity with
            | Object members ->
                match Map.ofList members with
                | entity ->
                    match entity["name"] with
                    | String name -> Expect.isTrue (schema.TryAdd(name, entity)) ("one entity named " + name)
                    | _ -> failtest "a name is a string"
            | _ -> failtest "an entity is an object"
    | _ -> failtest "the schema is a list"

    schema

let private ours = lazy (schemaOf (Commands.queryQmpSchema.Returns.Encode Introspect.schema))

let private real =
    lazy
        (Path.Combine(AppContext.BaseDirectory, "Golden", "qmp-schema-10.0.2.json")
         |> File.ReadAllText
         |> JsonText.parse
         |> schemaOf)

let private text json =
    match json with
    | String text -> text
    | _ -> failtest "a string was expected"

let private textOf key (entity: Map<string, Json>) = text entity[key]

let private itemsOf key (entity: Map<string, Json>) : Map<string, Json> list =
    match entity |> Map.tryFind key with
    | Some(List items) ->
        items
        |> List.map (fun item ->
            match item with
            | Object members -> Map.ofList members
            | _ -> failtest "an item is an object")
    | None -> []
    | _ -> failtest "a list was expected"

let private featuresOf (entity: Map<string, Json>) =
    match entity |> Map.tryFind "features" with
    | Some(List features) -> features |> List.map text |> List.sort
    | _ -> []

/// Compares two entities and all that they reach. Each pair of types is compared once.
type private Comparison(ours: Schema, real: Schema) =
    let differences = ResizeArray<string>()
    let visited = HashSet<struct (string * string)>()
    let report sign path = differences.Add(sign + " " + path)

    member _.Differences = List.ofSeq differences

    member this.Compare path ourName realName =
        if visited.Add(struct (ourName, realName)) then
            let our, their = ours[ourName], real[realName]

            if textOf "meta-type" our <> textOf "meta-type" their then
                report "~" path
            else
                if featuresOf our <> featuresOf their then
                    report "~" (path + " features")

                this.CompareShapes path our their

    member private this.CompareShapes path our their =
        match textOf "meta-type" our with
        | "builtin" ->
            if our <> their then
                report "~" path
        | "array" -> this.Compare (path + "[]") (textOf "element-type" our) (textOf "element-type" their)
        | "enum" -> this.CompareNamed (path + "=") "" (itemsOf "members" our) (itemsOf "members" their)
        | "alternate" -> this.CompareAlternatives path our their
        | "object" -> this.CompareObjects path our their
        | "command" ->
            this.Compare path (textOf "arg-type" our) (textOf "arg-type" their)
            this.Compare path (textOf "ret-type" our) (textOf "ret-type" their)

            if our |> Map.tryFind "allow-oob" <> (their |> Map.tryFind "allow-oob") then
                report "~" (path + " allow-oob")
        | "event" -> this.Compare path (textOf "arg-type" our) (textOf "arg-type" their)
        | other -> failtest ("meta-type " + other)

    /// Members of objects or values of enumerations, by their names.
    member private this.CompareNamed prefix suffix our their =
        let names = List.map (textOf "name")

        for missing in names their |> List.except (names our) do
            report "-" (prefix + missing + suffix)

        for added in names our |> List.except (names their) do
            report "+" (prefix + added + suffix)

        for our in our do
            match their |> List.tryFind (fun their -> textOf "name" their = textOf "name" our) with
            | Some their -> this.CompareNamedPair (prefix + textOf "name" our) our their
            | None -> ()

    member private this.CompareNamedPair path our their =
        if featuresOf our <> featuresOf their then
            report "~" (path + " features")

        if our |> Map.tryFind "default" <> (their |> Map.tryFind "default") then
            report "~" (path + " default")

        match our |> Map.tryFind "type", their |> Map.tryFind "type" with
        | Some ourType, Some theirType -> this.Compare path (text ourType) (text theirType)
        | _ -> ()

    member private this.CompareAlternatives path our their =
        let types entity =
            itemsOf "members" entity |> List.map (textOf "type")

        if (types our).Length <> (types their).Length then
            report "~" path
        else
            List.iter2 (this.Compare path) (types our) (types their)

    member private this.CompareObjects path our their =
        let tagOf entity =
            entity |> Map.tryFind "tag" |> Option.map text

        if tagOf our <> tagOf their then
            report "~" (path + " tag")

        match tagOf our with
        | None -> this.CompareNamed (path + ".") "" (itemsOf "members" our) (itemsOf "members" their)
        | Some tag ->
            let common entity =
                itemsOf "members" entity |> List.filter (fun m -> textOf "name" m <> tag)
            let tagType (schema: Schema) entity =
                let tagMember = itemsOf "members" entity |> List.find (fun m -> textOf "name" m = tag)
                schema[textOf "type" tagMember] |> itemsOf "members"

            this.CompareNamed (path + ".") "" (common our) (common their)
            this.CompareNamed (path + "(" + tag + "=") ")" (tagType ours our) (tagType real their)
            this.CompareVariants path (tagType ours our) our their

    member private this.CompareVariants path tagValues our their =
        let typeOf case entity =
            itemsOf "variants" entity
            |> List.tryFind (fun v -> textOf "case" v = case)
            |> Option.map (textOf "type")

        for case in tagValues |> List.map (textOf "name") do
            match typeOf case our, typeOf case their with
            | Some ourType, Some theirType -> this.Compare (path + "(" + case + ")") ourType theirType
            | _ -> report "~" (path + "(" + case + ")")

let private isEntryPoint (entity: Map<string, Json>) =
    match textOf "meta-type" entity with
    | "command"
    | "event" -> true
    | _ -> false

/// All names of types that an entity mentions.
let private referencesOf (entity: Map<string, Json>) =
    let single =
        [ "arg-type"; "ret-type"; "element-type" ]
        |> List.choose (fun key -> Map.tryFind key entity)
    let typesIn key =
        match entity |> Map.tryFind key with
        | Some(List(Object _ :: _)) -> itemsOf key entity |> List.choose (Map.tryFind "type")
        | _ -> []

    (single @ typesIn "members" @ typesIn "variants") |> List.map text

[<Tests>]
let tests =
    testList "qapi introspection" [
        test "commands and events exist in the real daemon, but for those of our own" {
            let names (schema: Schema) =
                schema.Values |> Seq.filter isEntryPoint |> Seq.map (textOf "name") |> Set.ofSeq

            Expect.equal (names ours.Value - names real.Value) additions "what only this daemon has"
        }

        test "differs from the real daemon exactly where it is meant to" {
            let comparison = Comparison(ours.Value, real.Value)

            for name in real.Value.Values |> Seq.filter isEntryPoint |> Seq.map (textOf "name") do
                if ours.Value.ContainsKey name then
                    comparison.Compare name name name

            let missing =
                real.Value.Values
                |> Seq.filter isEntryPoint
                |> Seq.map (textOf "name")
                |> Seq.filter (fun name -> not (ours.Value.ContainsKey name))
                |> Seq.map (fun name -> "- " + name)
                |> List.ofSeq

            let actual, expected = Set.ofList (missing @ comparison.Differences), Set.ofList deviations
            let lines (differences: Set<string>) = String.Join("\n", differences)
            Expect.equal (lines (actual - expected)) "" "differences that are not listed"
            Expect.equal (lines (expected - actual)) "" "listed differences that do not exist"
        }

        test "every type that is mentioned is described" {
            for entity in ours.Value.Values do
                for name in referencesOf entity do
                    Expect.isTrue (ours.Value.ContainsKey name) (textOf "name" entity + " mentions " + name)
        }

        test "one name is one type" {
            // Entities are numbered by the names of types: two descriptions under one name would be told as one.
            let shapes = Dictionary<string, string>()

            let rec describe (schema: SchemaType) =
                match schema with
                | SchemaType.Builtin builtin -> string builtin
                | SchemaType.Array item -> "[" + describe item + "]"
                | SchemaType.Enum enum ->
                    check enum.Name (enum.Members |> List.map _.Name |> String.concat "|")
                    enum.Name
                | SchemaType.Alternate alternate ->
                    alternate.Members.Value |> List.iter (describe >> ignore)
                    alternate.Name
                | SchemaType.Object object ->
                    visit object
                    object.Name

            and check name shape =
                match shapes.TryGetValue name with
                | true, known -> Expect.equal shape known name
                | _ -> shapes[name] <- shape

            and visit object =
                let shape = object.Shape.Value
                let own = shape.Members |> List.map (fun m -> m.Name + string m.Optional)
                let known = shapes.ContainsKey object.Name
                check object.Name (String.concat "," own)

                if not known then
                    shape.Members |> List.iter (fun m -> describe m.Type |> ignore)

                    match shape.Variants with
                    | Some variants -> variants.Cases |> List.iter (fun case -> visit case.Type)
                    | None -> ()

            for command in Commands.schemas do
                visit command.Arguments
                describe command.Returns |> ignore
        }

        test "query-commands lists what introspection lists" {
            let entries =
                ours.Value.Values
                |> Seq.filter (fun entity -> textOf "meta-type" entity = "command")
                |> Seq.map (textOf "name")

            Expect.equal (Commands.infos |> List.map _.Name |> Set.ofList) (Set.ofSeq entries) "names"
        }
    ]

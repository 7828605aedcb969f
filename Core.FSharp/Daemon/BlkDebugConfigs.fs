namespace StorageDaemon.Core.Daemon

open System.Text
open StorageDaemon.Core
open StorageDaemon.Core.Filter
open StorageDaemon.Core.Graph

/// Files with rules that blkdebug nodes of a description name. The recursions are as deep as descriptions nest, which
/// the JSON parser bounds.
module BlkDebugConfigs =
    let rec private collect (spec: BlockdevSpec) : string list =
        let own =
            match spec.Driver with
            | BlkDebug { Config = Some path } -> [ path ]
            | _ -> []

        own
        @ (spec.Children
           |> List.collect (fun (_, child) ->
               match child with
               | Inline below -> collect below
               | Reference _
               | Nothing -> []))

    let paths (spec: BlockdevSpec) : string list = collect spec |> List.distinct

    let private rules (contents: Map<string, Result<byte[], ReadFault>>) (path: string) =
        match contents.TryFind path with
        | Some(Ok bytes) -> BlkDebugConfig.parse (Encoding.UTF8.GetString bytes)
        | Some(Error(CannotOpen reason)) -> QapiError.fail ("Could not read blkdebug config file: " + reason)
        | Some(Error(CannotRead reason)) -> QapiError.fail ("Cannot read config file: " + reason)
        | None -> Ok []

    /// The description with the rules of the files before its own.
    let rec apply (contents: Map<string, Result<byte[], ReadFault>>) (spec: BlockdevSpec) =
        result {
            let! driver =
                match spec.Driver with
                | BlkDebug({ Config = Some path } as options) ->
                    rules contents path
                    |> Result.map (fun rules -> BlkDebug { options with Rules = rules @ options.Rules })
                | driver -> Ok driver

            let! children =
                spec.Children
                |> List.fold
                    (fun state (name, child) ->
                        result {
                            let! done' = state

                            match child with
                            | Reference _
                            | Nothing -> return (name, child) :: done'
                            | Inline below ->
                                let! below = apply contents below
                                return (name, Inline below) :: done'
                        })
                    (Ok [])

            return { spec with Driver = driver; Children = List.rev children }
        }

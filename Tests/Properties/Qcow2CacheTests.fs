/// Tables in a bounded amount of memory: what is needed stays, and what nobody has used lately can be given up.
module StorageDaemon.Tests.Properties.Qcow2CacheTests

open Expecto
open FsCheck
open FsCheck.FSharp
open StorageDaemon.Core.Qcow2

let private property name gen check =
    testPropertyWithConfig { FsCheckConfig.defaultConfig with maxTest = 500 } name (Prop.forAll (Arb.fromGen gen) check)

type private Use =
    | Look of int64
    | Dirty of int64
    | Clean of int64
    | Pin of int64
    | Unpin of int64
    | DropIdle

let private uses: Gen<Use list> =
    let key = Gen.choose (0, 11) |> Gen.map int64

    Gen.oneof [
        Gen.map Look key
        Gen.map Dirty key
        Gen.map Clean key
        Gen.map Pin key
        Gen.map Unpin key
        Gen.constant DropIdle
    ]
    |> Gen.listOf

/// A table, read if it is not there.
let private get (cache: TableCache) (key: int64) : CachedTable =
    match cache.Find key with
    | null ->
        let made = cache.Take(key, key * 512L)
        made.IsReady <- true
        made
    | table -> table

[<Tests>]
let tests =
    testList "Properties.Qcow2Cache" [
        property "keeps what is dirty, in use or used lately, and drops the rest when told to" uses (fun uses ->
            let cache = TableCache(512, 64)
            let mutable lately: Set<int64> = Set.empty
            let mutable dirty: Set<int64> = Set.empty
            let mutable pins: Map<int64, CachedTable> = Map.empty
            let mutable there: Set<int64> = Set.empty

            let touch key =
                lately <- lately.Add key
                there <- there.Add key
                get cache key

            for step in uses do
                match step with
                | Look key -> touch key |> ignore
                | Dirty key ->
                    cache.MarkDirty(touch key, 0, 8)
                    dirty <- dirty.Add key
                | Clean key ->
                    cache.MarkClean(touch key)
                    dirty <- dirty.Remove key
                | Pin key when not (pins.ContainsKey key) ->
                    let table = touch key
                    table.Pins <- 1
                    pins <- pins.Add(key, table)
                | Unpin key when pins.ContainsKey key ->
                    pins[key].Pins <- 0
                    pins <- pins.Remove key
                | DropIdle ->
                    cache.DropIdle()
                    there <-
                        there
                        |> Set.filter (fun key -> lately.Contains key || dirty.Contains key || pins.ContainsKey key)
                    lately <- Set.empty
                | _ -> ()

                Expect.equal cache.Count there.Count "tables"
                Expect.equal cache.DirtyCount dirty.Count "dirty tables"

            for key in 0L .. 11L do
                Expect.equal (not (isNull (cache.Find key))) (there.Contains key) $"table {key}")
    ]

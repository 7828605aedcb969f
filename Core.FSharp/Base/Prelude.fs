namespace StorageDaemon.Core

open System

/// Shadows what must not be used in Core: `printf` formatting is slow, allocates, and under ahead-of-time
/// compilation `%A` silently drops fields while `%d` and `failwithf` throw. Use string concatenation and `string`.
[<AutoOpen>]
module Prelude =
    [<Obsolete("printf formatting does not survive ahead-of-time compilation", true)>]
    let sprintf (_: string) : string = ""

    [<Obsolete("printf formatting does not survive ahead-of-time compilation", true)>]
    let failwithf (_: string) : string = ""

    [<Obsolete("Core has no console", true)>]
    let printfn (_: string) = ()

    [<Obsolete("Core has no console", true)>]
    let printf (_: string) = ()

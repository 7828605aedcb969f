/// Bytes of a hostile vhost-user front end.
module StorageDaemon.Fuzz.Targets.VhostUserFuzz

open System
open System.Collections.Generic
open StorageDaemon.Core.Virtio
open StorageDaemon.Core.VhostUser

/// Does what the effects say, as far as a session can notice; fails at those that make no sense.
let private follow (running: HashSet<int>) (effects: Effect list) =
    for effect in effects do
        match effect with
        | StartQueue setup ->
            if not (running.Add setup.Queue) then
                failwith "a queue starts twice"
        | RebindQueue setup ->
            if not (running.Contains setup.Queue) then
                failwith "a queue that does not run is bound"
        | StopQueue queue ->
            if not (running.Contains queue) then
                failwith "a queue that does not run stops"
        | CreateInflight length ->
            if length > 0x1000000UL then
                failwith "too much memory"
        | MapMemory regions ->
            if regions.Length > Wire.MaxRegionsPerMessage then
                failwith "too many regions"
        | _ -> ()

/// Messages one after the other. The lowest bits of a message's length say how many descriptors come along and whether
/// what the shell does succeeds.
let run (input: byte[]) =
    let mutable state = Session.start (BlkDevice(8192UL, 512u, 2us, false, true)) true
    let running = HashSet<int>()
    let mutable at = 0
    let mutable serving = true

    while serving do
        let rest = ReadOnlySpan<byte>(input, at, input.Length - at)

        match Message.frame rest with
        | Whole length ->
            let fds = if rest[7] &&& 1uy = 0uy then 1 else int (rest[7] >>> 5)
            let succeeds = rest[7] &&& 2uy = 0uy
            let struct (next, effects) = Session.step (rest.Slice(0, length)) fds state
            state <- next
            follow running effects
            let mutable rounds = 0

            while Session.isWaiting state do
                rounds <- rounds + 1

                if rounds > 10 then
                    failwith "no end"

                let struct (next, effects) =
                    match state.Pending with
                    | Stops(queue :: _, _, _)
                    | StopForBase queue ->
                        running.Remove queue |> ignore
                        Session.stopped queue 1u state
                    | _ -> Session.completed succeeds state

                state <- next
                follow running effects

            if Region.check state.Regions <> RegionError.None && not state.Closed then
                failwith "regions that make no table"

            at <- at + length
            serving <- not state.Closed
        | Needs length ->
            if length > Wire.HeaderLength + Wire.MaxPayload then
                failwith "too long a message"

            serving <- false
        | Bad _ -> serving <- false

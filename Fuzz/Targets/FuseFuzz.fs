/// Messages of a hostile kernel.
module StorageDaemon.Fuzz.Targets.FuseFuzz

open System
open StorageDaemon.Core.Fuse
open StorageDaemon.Core.Io

/// The first byte chooses the file, the second one how steps go; the rest is one message.
let run (input: byte[]) =
    if input.Length > 2 then
        let bit (mask: byte) = input[0] &&& mask <> 0uy
        let file = Session.create (bit 1uy) (bit 2uy) (bit 4uy) 0u 0u
        let mutable facts = NodeFacts()
        facts.SizeBytes <- if bit 8uy then Int64.MaxValue else 1048576L
        let mutable request = FuseRequest()
        Session.start file &facts (ReadOnlySpan<byte>(input, 2, input.Length - 2)) &request
        let mutable steps = 0

        while request.Step <> FuseStep.Reply && request.Step <> FuseStep.NoReply do
            match request.Step with
            | FuseStep.Resize ->
                if request.NewSize < 0L then
                    failwith "a negative length"

                facts.SizeBytes <- request.NewSize
            | FuseStep.Flush
            | FuseStep.Change -> ()
            | _ ->
                if
                    request.Offset < 0L
                    || request.Length <= 0L
                    || request.Offset > facts.SizeBytes - request.Length
                then
                    failwith "a step leaves the node"

            steps <- steps + 1
            let covered = if steps > 50 then request.Length else 1L + int64 input[1]
            let status =
                if input[1] &&& 1uy = 0uy then
                    BlockStatus.Zero
                else
                    BlockStatus.Data
            let error = if input[1] = 255uy then 95 else 0
            Session.next &facts &request error covered status

            if steps > 60 then
                failwith "no end"

        if request.Step = FuseStep.Reply then
            let target = Array.zeroCreate<byte> Wire.MaxReplyLength
            Session.reply file &facts &request (Span<byte> target) |> ignore

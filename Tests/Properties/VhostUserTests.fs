module StorageDaemon.Tests.Properties.VhostUser

open System
open Expecto
open FsCheck
open FsCheck.FSharp
open StorageDaemon.Core.Virtio
open StorageDaemon.Core.VhostUser
open StorageDaemon.Tests.Reference.VhostUserFrontend

let private device = BlkDevice(8192UL, 512u, 2us, false, false)
let private fresh = Session.start device true

let private region guest length : RegionMessage = {
    Region = {
        GuestAddress = guest
        UserAddress = guest + 0x7f0000000000UL
        LengthBytes = length
    }
    MmapOffset = 0UL
}

let private memory = region 0UL 0x100000UL

let private address: VringAddress = {
    Desc = 0x7f0000000000UL
    Avail = 0x7f0000010000UL
    Used = 0x7f0000020000UL
    Log = 0UL
    Flags = 0u
}

let private usual = 0x130000040UL
let private withProtocol = usual ||| (1UL <<< 30)

/// One message with its descriptors.
let private sendWith needReply fds message state =
    Session.step (ReadOnlySpan<byte>(encode needReply message)) fds state

/// One message; the shell does what it has to, and all goes well.
let private send needReply message state =
    let mutable struct (state, effects) = sendWith needReply (descriptors message) message state

    while Session.isWaiting state do
        let struct (next, more) =
            match state.Pending with
            | Stops(queue :: _, _, _)
            | StopForBase queue -> Session.stopped queue 77u state
            | _ -> Session.completed true state

        state <- next
        effects <- effects @ more

    state, effects

let private sendAll messages state =
    let mutable state = state

    let effects = [
        for message in messages do
            let next, effects = send false message state
            state <- next
            yield! effects
    ]

    state, effects

let private u64Reply request (value: uint64) =
    Reply(
        Array.concat [
            BitConverter.GetBytes(request: uint32)
            BitConverter.GetBytes 5u
            BitConverter.GetBytes 8u
            BitConverter.GetBytes value
        ]
    )

let private isClosed effects =
    effects
    |> List.exists (function
        | Close _ -> true
        | _ -> false)

let private setUp queue = [
    SetVringNum(queue, 128u)
    SetVringBase(queue, 5u)
    SetVringAddr(queue, address)
    SetVringCall(queue, true)
    SetVringKick(queue, true)
]

let private starts effects =
    effects
    |> List.choose (function
        | StartQueue setup -> Some setup
        | _ -> None)

let private running =
    [
        SetFeatures withProtocol
        SetProtocolFeatures 0x1be2bUL
        SetMemTable [ memory ]
    ]
    @ setUp 0u
    @ [ SetVringEnable(0u, true) ]

let private examples =
    testList "examples" [
        testCase "what is offered"
        <| fun () ->
            Expect.equal (snd (send false GetFeatures fresh)) [ u64Reply 1u 0x175007e46UL ] "features"
            let readOnly = Session.start (BlkDevice(8192UL, 512u, 1us, true, false)) true
            Expect.equal (snd (send false GetFeatures readOnly)) [ u64Reply 1u 0x175007e66UL ] "read-only"
            Expect.equal (snd (send false GetProtocolFeatures fresh)) [ u64Reply 15u 0x1be2bUL ] "protocol"
            Expect.equal (snd (send false GetQueueNum fresh)) [ u64Reply 17u 2UL ] "queues"
            Expect.equal (snd (send false GetMaxMemSlots fresh)) [ u64Reply 36u 509UL ] "slots"

        testCase "a queue starts when all is said"
        <| fun () ->
            let state, effects = sendAll running fresh

            Expect.equal
                (starts effects)
                [
                    {
                        Queue = 0
                        Size = 128us
                        Base = 5u
                        Address = address
                        Features = withProtocol
                        InflightOffset = ValueNone
                    }
                ]
                "with what was said"

            Expect.isTrue state.Queues[0].Running "it runs"
            let _, effects = sendAll (List.truncate 8 running) fresh
            Expect.isEmpty (starts effects) "not before it is enabled"
            let _, effects = sendAll (SetFeatures usual :: SetMemTable [ memory ] :: setUp 1u) fresh
            Expect.equal (starts effects).Length 1 "a front end without protocol features does not enable"

        testCase "a queue stops for its base, and goes on there"
        <| fun () ->
            let state, _ = sendAll running fresh
            let struct (waiting, effects) = sendWith false 0 (GetVringBase 0u) state
            Expect.equal effects [ StopQueue 0 ] "first it stops"
            Expect.isTrue (Session.isWaiting waiting) "and until then"
            let struct (state, effects) = Session.stopped 0 4711u waiting

            match effects with
            | [ Reply bytes ] ->
                Expect.equal
                    (decodeReply bytes)
                    (11u, Array.append (BitConverter.GetBytes 0u) (BitConverter.GetBytes 4711u))
                    "base"
            | _ -> failtest "no reply"

            let state, effects = send false (SetVringEnable(0u, true)) state
            Expect.isEmpty (starts effects) "without a kick it stays"
            let _, effects = send false (SetVringKick(0u, true)) state
            Expect.equal [ for setup in starts effects -> setup.Base ] [ 4711u ] "it goes on"

        testCase "disabling stops"
        <| fun () ->
            let state, _ = sendAll running fresh
            let state, effects = send true (SetVringEnable(0u, false)) state
            Expect.equal effects [ StopQueue 0; u64Reply 18u 0UL ] "it stops before the answer"
            let _, effects = send false (SetVringEnable(0u, true)) state
            Expect.equal [ for setup in starts effects -> setup.Base ] [ 77u ] "it goes on"

        testCase "reset"
        <| fun () ->
            for message in [ ResetDevice; SetStatus 0uy ] do
                let state, _ = sendAll (running @ [ SetConfig(32u, 0u, [| 0uy |]) ]) fresh
                let state, effects = send false message state
                Expect.equal effects [ UseWriteCache true; StopQueue 0 ] "effects"
                Expect.isFalse state.Queues[0].Enabled "disabled"
                Expect.equal state.Regions [ memory.Region ] "the memory stays"

        testCase "the write cache"
        <| fun () ->
            let state, effects = send true (SetConfig(32u, 0u, [| 0uy |])) fresh
            Expect.equal effects [ UseWriteCache false; u64Reply 25u 0UL ] "off"

            match send false (GetConfig(ValueSome(struct (32u, 1u, 0u)))) state with
            | _, [ Reply bytes ] -> Expect.equal (Array.last bytes) 0uy "config.wce"
            | _ -> failtest "no reply"

            for message in
                [
                    SetConfig(0u, 0u, [| 1uy |])
                    SetConfig(32u, 0u, [| 1uy; 1uy |])
                    SetConfig(32u, 1u, [| 1uy |])
                ] do
                let _, effects = send true message fresh
                Expect.isTrue (isClosed effects) "nothing else can be written"

        testCase "the configuration space"
        <| fun () ->
            for offset, length, expected in
                [
                    0u, 60u, 72
                    8u, 8u, 20
                    0u, 96u, 108
                    0u, 256u, 0
                    90u, 10u, 0
                    UInt32.MaxValue, 1u, 0
                ] do
                match send false (GetConfig(ValueSome(struct (offset, length, 0u)))) fresh with
                | _, [ Reply bytes ] -> Expect.equal (snd (decodeReply bytes)).Length expected "length"
                | _ -> failtest "no reply"

            match send false (GetConfig ValueNone) fresh with
            | _, [ Reply bytes ] -> Expect.equal (snd (decodeReply bytes)).Length 0 "a refusal"
            | _ -> failtest "no reply"

        testCase "memory comes and goes"
        <| fun () ->
            let second = region 0x100000UL 0x1000UL
            let state, effects = sendAll [ AddMemReg memory; AddMemReg second ] fresh
            Expect.equal effects [ AddMemory memory; AddMemory second ] "added"
            let state, effects = send true (RemMemReg { memory with MmapOffset = 9UL }) state
            Expect.equal effects [ RemoveMemory memory.Region; u64Reply 38u 0UL ] "removed, whatever the offset"
            Expect.equal state.Regions [ second.Region ] "the rest"

            for message in
                [
                    RemMemReg memory
                    AddMemReg(region 0x100fffUL 4096UL)
                    AddMemReg(region 0x200000UL 0UL)
                    AddMemReg(region (UInt64.MaxValue - 4095UL) 4096UL)
                    AddMemReg {
                        region 0x200000UL 4096UL with
                            MmapOffset = UInt64.MaxValue
                    }
                    SetMemTable [ memory; region 4096UL 4096UL ]
                ] do
                let _, effects = send true message state
                Expect.isTrue (isClosed effects) "refused"

            let struct (_, effects) = sendWith true 0 (AddMemReg memory) state
            Expect.isTrue (isClosed effects) "without its descriptor"

        testCase "no more regions than slots"
        <| fun () ->
            let state, effects = sendAll [ for i in 0..508 -> AddMemReg(region (uint64 i * 8192UL) 4096UL) ] fresh

            Expect.isFalse (isClosed effects) "509 are accepted"
            let _, effects = send false (AddMemReg(region 0x10000000UL 4096UL)) state
            Expect.isTrue (isClosed effects) "the next one is not"

        testCase "requests in flight"
        <| fun () ->
            let area = {
                LengthBytes = 0UL
                OffsetBytes = 0UL
                QueueCount = 2us
                QueueSize = 128us
            }

            match send false (GetInflightFd area) fresh with
            | _, [ CreateInflight 4224UL; ReplyWithInflight bytes ] ->
                Expect.equal (BitConverter.ToUInt64(snd (decodeReply bytes), 0)) 4224UL "length"
            | _ -> failtest "no area"

            let struct (waiting, _) = sendWith false 0 (GetInflightFd area) fresh
            let struct (_, effects) = Session.completed false waiting
            Expect.isFalse (isClosed effects) "no memory: an empty answer"
            let given = { area with LengthBytes = 4224UL; OffsetBytes = 4096UL }
            let state, effects = sendAll (SetInflightFd given :: List.truncate 8 running) fresh
            Expect.equal effects[0] (UseInflight given) "given back"
            let _, effects = sendAll (SetVringEnable(0u, true) :: setUp 1u @ [ SetVringEnable(1u, true) ]) state
            Expect.equal
                [ for setup in starts effects -> setup.InflightOffset ]
                [ ValueSome 0UL; ValueSome 2112UL ]
                "each has its region"

            for message in
                [
                    SetInflightFd { given with LengthBytes = 4223UL }
                    SetInflightFd { given with QueueCount = 3us }
                    SetInflightFd { given with QueueSize = 0us }
                    SetInflightFd { given with OffsetBytes = UInt64.MaxValue }
                ] do
                Expect.isTrue (isClosed (snd (send true message fresh))) "refused"

        testCase "a new size is told"
        <| fun () ->
            let struct (_, effects) = Session.resize 99UL fresh
            Expect.isEmpty effects "nobody is there"
            let state, _ = sendAll [ SetProtocolFeatures 0x220UL; SetBackendReqFd ] fresh
            let struct (state, effects) = Session.resize 99UL state
            Expect.equal
                effects
                [
                    SendToFrontend [| 2uy; 0uy; 0uy; 0uy; 1uy; 0uy; 0uy; 0uy; 0uy; 0uy; 0uy; 0uy |]
                ]
                "told"

            match send false (GetConfig(ValueSome(struct (0u, 8u, 0u)))) state with
            | _, [ Reply bytes ] -> Expect.equal (BitConverter.ToUInt64(bytes, 24)) 99UL "capacity"
            | _ -> failtest "no reply"

        testCase "refusals"
        <| fun () ->
            let ready, _ = sendAll running fresh

            for state, message in
                [
                    fresh, SetFeatures 0UL
                    fresh, SetFeatures(usual ||| (1UL <<< 63))
                    fresh, SetVringNum(2u, 128u)
                    fresh, SetVringNum(300u, 128u)
                    fresh, GetVringBase 9u
                    fresh, SetVringNum(0u, 0u)
                    fresh, SetVringNum(0u, 3u)
                    fresh, SetVringNum(0u, 65536u)
                    fresh, SetVringAddr(0u, address)
                    fresh, SetVringEnable(7u, true)
                    ready, SetVringAddr(0u, { address with Desc = 0x7f0000000008UL })
                    ready, SetVringAddr(0u, { address with Used = 0x7f00000ffffcUL })
                    ready, SetVringNum(0u, 64u)
                    ready, SetVringBase(0u, 0u)
                ] do
                let state, effects = send true message state
                Expect.isTrue (isClosed effects) "refused"
                Expect.isTrue state.Closed "closed"

                match effects[0] with
                | Reply bytes -> Expect.notEqual (BitConverter.ToUInt64(bytes, 12)) 0UL "it is told"
                | _ -> failtest "no reply"

        testCase "an unknown request"
        <| fun () ->
            for request in [ 0u; 19u; 20u; 22u; 23u; 26u; 28u; 35u; 99u; UInt32.MaxValue ] do
                let struct (_, effects) =
                    Session.step (ReadOnlySpan<byte>(frame request 1u (Array.zeroCreate 8))) 0 fresh

                Expect.isTrue (isClosed effects) (string request)

        testCase "a descriptor is missing"
        <| fun () ->
            for message in [ SetVringKick(0u, true); SetLogFd; SetBackendReqFd; SetLogBase(4096UL, 0UL) ] do
                let struct (_, effects) = sendWith false 0 message fresh
                Expect.isTrue (isClosed effects) "refused"

            let _, effects = send false (SetVringKick(0u, false)) fresh
            Expect.equal effects [ SetKick(0, false) ] "polling"

        testCase "a failure ends the connection"
        <| fun () ->
            let struct (waiting, _) = sendWith true 1 (SetMemTable [ memory ]) fresh
            let struct (state, effects) = Session.completed false waiting
            Expect.isTrue (isClosed effects && state.Closed) "closed"
            Expect.equal effects.Head (u64Reply 5u 1UL) "told"
    ]

// Codec ------------------------------------------------------------------------------------------------------------------

let private genU64 =
    Gen.oneof [
        Gen.choose (0, 1000) |> Gen.map uint64
        Gen.choose64 (Int64.MinValue, Int64.MaxValue) |> Gen.map uint64
    ]

let private genU32 = genU64 |> Gen.map uint32
let private genQueue = Gen.choose (0, 3) |> Gen.map uint32

let private genRegion =
    Gen.map3
        (fun guest length offset -> {
            Region = {
                GuestAddress = guest
                UserAddress = guest ^^^ 0x7f0000000000UL
                LengthBytes = length
            }
            MmapOffset = offset
        })
        genU64
        genU64
        genU64

let private genSmallRegion =
    Gen.choose (0, 15)
    |> Gen.map (fun i -> region (uint64 i * 0x100000UL) 0x100000UL)

let private genArea =
    Gen.map2
        (fun length (count, size) -> {
            LengthBytes = length
            OffsetBytes = 0UL
            QueueCount = uint16 count
            QueueSize = uint16 size
        })
        genU64
        (Gen.zip (Gen.choose (0, 4)) (Gen.choose (0, 300)))

let private genRegions =
    Gen.oneof [
        Gen.choose (0, 8) |> Gen.bind (fun count -> Gen.listOfLength count genRegion)
        Gen.choose (0, 2)
        |> Gen.bind (fun count -> Gen.listOfLength count genSmallRegion)
        Gen.constant [ memory ]
    ]

let private genAddress =
    Gen.frequency [
        5, Gen.constant address
        1,
        Gen.map2
            (fun desc used -> {
                Desc = desc
                Used = used
                Avail = desc
                Log = used
                Flags = 1u
            })
            genU64
            genU64
    ]

let private genMessage: Gen<Message> =
    Gen.oneof [
        Gen.elements [
            GetFeatures
            SetOwner
            ResetOwner
            SetLogFd
            GetProtocolFeatures
            GetQueueNum
            SetBackendReqFd
            ResetDevice
            GetMaxMemSlots
            GetStatus
            SetFeatures withProtocol
            SetFeatures usual
        ]
        genU64 |> Gen.map SetFeatures
        genU64 |> Gen.map SetProtocolFeatures
        genRegions |> Gen.map SetMemTable
        Gen.map2 (fun length offset -> SetLogBase(length, offset)) genU64 genU64
        Gen.map2 (fun queue size -> SetVringNum(queue, size)) genQueue (Gen.oneof [ genU32; Gen.constant 128u ])
        Gen.map2 (fun queue address -> SetVringAddr(queue, address)) genQueue genAddress
        Gen.map2 (fun queue index -> SetVringBase(queue, index)) genQueue genU32
        Gen.map GetVringBase genQueue
        Gen.map2 (fun queue hasFd -> SetVringKick(queue, hasFd)) genQueue (Gen.elements [ true; false ])
        Gen.map2 (fun queue hasFd -> SetVringCall(queue, hasFd)) genQueue (Gen.elements [ true; false ])
        Gen.map2 (fun queue hasFd -> SetVringErr(queue, hasFd)) genQueue (Gen.elements [ true; false ])
        Gen.map2 (fun queue on -> SetVringEnable(queue, on)) genQueue (Gen.elements [ true; true; false ])
        Gen.map2
            (fun offset length -> GetConfig(ValueSome(struct (uint32 offset, uint32 length, 0u))))
            (Gen.choose (0, 100))
            (Gen.choose (0, 256))
        Gen.map2
            (fun offset length -> SetConfig(uint32 offset, 0u, Array.create length 1uy))
            (Gen.elements [ 32; 32; 0; 33 ])
            (Gen.elements [ 1; 1; 0; 4 ])
        genArea |> Gen.map GetInflightFd
        genArea |> Gen.map SetInflightFd
        Gen.oneof [ genRegion; genSmallRegion ] |> Gen.map AddMemReg
        Gen.oneof [ genRegion; genSmallRegion ] |> Gen.map RemMemReg
        Gen.choose (0, 15) |> Gen.map (byte >> SetStatus)
    ]

let private roundTrip (message: Message, needReply: bool) =
    let bytes = encode needReply message
    Expect.equal (Message.decode (ReadOnlySpan<byte> bytes)) (ValueSome message) "the message"
    Expect.equal (Message.needsReply (ReadOnlySpan<byte> bytes)) needReply "the flag"

    for received in 0 .. bytes.Length + 3 do
        let bytes = Array.append bytes [| 1uy; 2uy; 3uy |]

        let expected =
            if received < 12 then
                Needs 12
            elif received < bytes.Length - 3 then
                Needs(bytes.Length - 3)
            else
                Whole(bytes.Length - 3)

        Expect.equal (Message.frame (ReadOnlySpan<byte>(bytes, 0, received))) expected "however many bytes there are"

let private garbage (bytes: byte[]) =
    match Message.frame (ReadOnlySpan<byte> bytes) with
    | Whole length ->
        Expect.isTrue (length >= 12 && length <= 284) "bounded"
        Message.decode (ReadOnlySpan<byte>(bytes, 0, length)) |> ignore
    | Needs length -> Expect.isTrue (length > bytes.Length && length <= 284) "bounded"
    | Bad _ -> ()

/// What holds whatever a front end sends, and however the shell's work ends.
let private follow (script: (Message * bool * int * bool) list) =
    let mutable state = fresh
    let mutable runningQueues = Set.empty

    let look (effects: Effect list) =
        for effect in effects do
            match effect with
            | StartQueue setup ->
                Expect.isFalse (runningQueues.Contains setup.Queue) "started once"
                Expect.isTrue (SplitRing.isSize (uint32 setup.Size)) "a size"
                runningQueues <- runningQueues.Add setup.Queue
            | StopQueue queue -> Expect.isTrue (runningQueues.Contains queue) "only what runs is stopped"
            | RebindQueue setup -> Expect.isTrue (runningQueues.Contains setup.Queue) "only what runs is bound anew"
            | _ -> ()

    let replies effects =
        effects
        |> List.sumBy (function
            | Reply bytes
            | ReplyWithInflight bytes ->
                decodeReply bytes |> ignore
                1
            | _ -> 0)

    let solicits =
        function
        | GetFeatures
        | GetProtocolFeatures
        | GetQueueNum
        | GetMaxMemSlots
        | GetStatus
        | GetConfig _
        | GetVringBase _
        | GetInflightFd _
        | SetLogBase _ -> true
        | _ -> false

    for message, needReply, fds, succeeds in script do
        if not state.Closed then
            let struct (next, effects) =
                sendWith needReply (if fds < 0 then descriptors message else fds) message state

            state <- next
            look effects
            let mutable count = replies effects
            let mutable rounds = 0

            while Session.isWaiting state do
                rounds <- rounds + 1
                Expect.isLessThan rounds 10 "an end"

                let struct (next, effects) =
                    match state.Pending with
                    | Stops(queue :: _, _, _)
                    | StopForBase queue ->
                        runningQueues <- runningQueues.Remove queue
                        Session.stopped queue 1u state
                    | _ -> Session.completed succeeds state

                state <- next
                look effects
                count <- count + replies effects

            let expected = if needReply || solicits message then 1 else 0

            if state.Closed then
                Expect.isLessThanOrEqual count 1 "one reply at most"
            else
                Expect.equal count expected "one reply where one is wanted"
                Expect.equal (Region.check state.Regions) RegionError.None "regions make a table"

                Expect.equal
                    (set [
                        for i, queue in Array.indexed state.Queues do
                            if queue.Running then
                                i
                    ])
                    runningQueues
                    "the session knows what runs"

let private forAll gen check = Prop.forAll (Arb.fromGen gen) check
let private many = { FsCheckConfig.defaultConfig with maxTest = 2000 }

let private genStep =
    Gen.zip3 genMessage (Gen.elements [ true; false ]) (Gen.frequency [ 9, Gen.constant -1; 1, Gen.choose (0, 3) ])
    |> Gen.bind (fun (message, needReply, fds) ->
        Gen.frequency [ 9, Gen.constant true; 1, Gen.constant false ]
        |> Gen.map (fun succeeds -> message, needReply, fds, succeeds))

/// A usual beginning, so that something runs.
let private genScript =
    let beginning = running |> List.map (fun message -> message, false, -1, true)

    Gen.choose (1, 30)
    |> Gen.bind (fun length -> Gen.listOfLength length genStep)
    |> Gen.bind (fun script -> Gen.elements [ script; beginning @ script; beginning @ script ])

let private genGarbage =
    Gen.oneof [
        Gen.arrayOf (Gen.choose (0, 255) |> Gen.map byte)
        Gen.map3
            (fun request flags (payload: byte[]) -> frame (uint32 request) (uint32 flags) payload)
            (Gen.choose (0, 42))
            (Gen.choose (0, 15))
            (Gen.arrayOf (Gen.choose (0, 255) |> Gen.map byte))
    ]

[<Tests>]
let tests =
    testList "VhostUser.Session" [
        examples
        testPropertyWithConfig many "messages come through"
        <| forAll (Gen.zip genMessage (Gen.elements [ true; false ])) roundTrip
        testPropertyWithConfig many "garbage is bounded" <| forAll genGarbage garbage
        testPropertyWithConfig many "any front end" <| forAll genScript follow
    ]

namespace StorageDaemon.Core.VhostUser

open System
open StorageDaemon.Core.Virtio
open StorageDaemon.Core.VhostUser.Wire

[<RequireQualifiedAccess>]
module Session =
    /// What the daemon offers: as the real one, without VHOST_USER_PROTOCOL_F_PAGEFAULT (postcopy), and more:
    /// requests in flight, reset and status.
    let protocolFeatures =
        VHOST_USER_PROTOCOL_F_MQ
        ||| VHOST_USER_PROTOCOL_F_LOG_SHMFD
        ||| VHOST_USER_PROTOCOL_F_REPLY_ACK
        ||| VHOST_USER_PROTOCOL_F_BACKEND_REQ
        ||| VHOST_USER_PROTOCOL_F_CONFIG
        ||| VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD
        ||| VHOST_USER_PROTOCOL_F_HOST_NOTIFIER
        ||| VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD
        ||| VHOST_USER_PROTOCOL_F_RESET_DEVICE
        ||| VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS
        ||| VHOST_USER_PROTOCOL_F_STATUS

    let private freshQueue = {
        Size = 0us
        Address = ValueNone
        Base = 0u
        Kicked = false
        Enabled = false
        Running = false
    }

    /// A new connection. `writeCache` is the export's: off with `writethrough=on`.
    let start (device: BlkDevice) (writeCache: bool) : SessionState =
        let device = device

        {
            Device = device
            Features =
                BlkDevice.features &device
                ||| VHOST_F_LOG_ALL
                ||| VHOST_USER_F_PROTOCOL_FEATURES
            Acknowledged = 0UL
            ProtocolFeatures = 0UL
            Status = 0uy
            WriteCache = writeCache
            InitialWriteCache = writeCache
            Regions = []
            Queues = Array.create (int device.NumQueues) freshQueue
            Inflight = ValueNone
            HasBackendChannel = false
            Pending = Nothing
            Closed = false
        }

    type private Step = (struct (SessionState * Effect list))

    let private has (features: uint64) (feature: uint64) = features &&& feature <> 0UL
    let private isPacked state =
        has state.Acknowledged BlkWire.VIRTIO_F_RING_PACKED
    let private close reason state : Step =
        struct ({ state with Closed = true; Pending = Nothing }, [ Close reason ])

    /// The peer's mistake: it is told if it waits, and the connection ends.
    let private refuse request needReply reason state : Step =
        let struct (state, effects) = close reason state

        struct (state,
                if needReply then
                    Reply(Message.replyU64 request 1UL) :: effects
                else
                    effects)

    let private acknowledge request needReply =
        if needReply then
            [ Reply(Message.replyU64 request 0UL) ]
        else
            []

    let private withQueue index queue state = {
        state with
            Queues = Array.updateAt index queue state.Queues
    }

    // Starting and stopping -----------------------------------------------------------------------------------------

    /// Whether the front end has said all that serving a queue needs ("Ring states").
    let private isReady state (queue: Queue) =
        queue.Size <> 0us
        && (isPacked state || SplitRing.isSize (uint32 queue.Size))
        && queue.Address.IsSome
        && queue.Kicked
        && (queue.Enabled || not (has state.Acknowledged VHOST_USER_F_PROTOCOL_FEATURES))

    let private setup state index (queue: Queue) : QueueSetup = {
        Queue = index
        Size = queue.Size
        Base = queue.Base
        Address = queue.Address.Value
        Features = state.Acknowledged
        InflightOffset =
            match state.Inflight with
            | ValueSome area when index < int area.QueueCount && queue.Size <= area.QueueSize ->
                ValueSome(uint64 index * Inflight.regionLength (isPacked state) area.QueueSize)
            | _ -> ValueNone
    }

    /// Starts the queues that have become ready.
    let private startReady state : Step =
        let ready =
            state.Queues
            |> Array.indexed
            |> Array.filter (fun (_, queue) -> isReady state queue && not queue.Running)

        let state =
            (state, ready)
            ||> Array.fold (fun state (index, queue) -> withQueue index { queue with Running = true } state)

        struct (state, [ for index, queue in ready -> StartQueue(setup state index queue) ])

    /// Stops the running queues that are not ready any more, then acknowledges.
    let private settle request needReply state : Step =
        let stopping = [
            for index, queue in Array.indexed state.Queues do
                if queue.Running && not (isReady state queue) then
                    index
        ]

        if stopping.IsEmpty then
            let struct (state, starts) = startReady state
            struct (state, starts @ acknowledge request needReply)
        else
            struct ({ state with Pending = Stops(stopping, request, needReply) }, stopping |> List.map StopQueue)

    /// Effects with an outcome, after which the request is acknowledged.
    let private await request needReply effects state : Step =
        struct ({ state with Pending = Acknowledge(request, needReply) }, effects)

    /// A queue has stopped; `position` is the available index (with packed rings, `PackedRing.position`).
    let stopped (queue: int) (position: uint32) (state: SessionState) : struct (SessionState * Effect list) =
        let state =
            if queue >= 0 && queue < state.Queues.Length then
                withQueue
                    queue
                    {
                        state.Queues[queue] with
                            Running = false
                            Base = position
                    }
                    state
            else
                state

        match state.Pending with
        | StopForBase index when index = queue ->
            struct ({ state with Pending = Nothing }, [ Reply(Message.replyVringBase (uint32 index) position) ])
        | Stops(queues, request, needReply) ->
            match List.filter ((<>) queue) queues with
            | [] -> settle request needReply { state with Pending = Nothing }
            | rest -> struct ({ state with Pending = Stops(rest, request, needReply) }, [])
        | _ -> struct (state, [])

    /// An effect with an outcome has ended, well or not.
    let completed (succeeded: bool) (state: SessionState) : struct (SessionState * Effect list) =
        match state.Pending with
        | Acknowledge(request, needReply) when succeeded -> settle request needReply { state with Pending = Nothing }
        | Acknowledge(request, needReply) -> refuse request needReply "the operation failed" state
        | InflightReply area when succeeded ->
            struct ({ state with Pending = Nothing }, [ ReplyWithInflight(Message.replyInflight area) ])
        | InflightReply area ->
            // A length of zero is the refusal.
            struct ({ state with Pending = Nothing }, [ Reply(Message.replyInflight { area with LengthBytes = 0UL }) ])
        | _ -> struct (state, [])

    // Memory --------------------------------------------------------------------------------------------------------

    let private regionError =
        function
        | RegionError.TooMany -> "too many memory regions"
        | RegionError.Empty -> "an empty memory region"
        | RegionError.Overlaps -> "memory regions overlap"
        | _ -> "a memory region out of range"

    let private isMappable (region: RegionMessage) =
        region.MmapOffset <= UInt64.MaxValue - region.Region.LengthBytes

    let private setMemory request needReply (regions: RegionMessage list) fds state =
        match Region.check (regions |> List.map _.Region) with
        | RegionError.None when List.forall isMappable regions && fds = regions.Length ->
            { state with Regions = regions |> List.map _.Region }
            |> await request needReply [ MapMemory regions ]
        | RegionError.None -> refuse request needReply "memory regions and descriptors do not match" state
        | error -> refuse request needReply (regionError error) state

    let private addMemory request needReply (region: RegionMessage) fds state =
        let regions = state.Regions @ [ region.Region ]

        match Region.check regions with
        | RegionError.None when isMappable region && fds = 1 ->
            { state with Regions = regions } |> await request needReply [ AddMemory region ]
        | RegionError.None -> refuse request needReply "a memory region without its descriptor" state
        | error -> refuse request needReply (regionError error) state

    let private removeMemory request needReply (region: RegionMessage) state =
        if List.contains region.Region state.Regions then
            {
                state with
                    Regions = state.Regions |> List.filter ((<>) region.Region)
            }
            |> await request needReply [ RemoveMemory region.Region ]
        else
            refuse request needReply "an unknown memory region" state

    // Queues --------------------------------------------------------------------------------------------------------

    let private isMapped state (address: uint64) (length: uint64) =
        state.Regions
        |> List.exists (fun region ->
            let offset = address - region.UserAddress
            offset < region.LengthBytes && region.LengthBytes - offset >= length)

    /// Whether a ring's parts lie in the memory and are aligned (Virtio 1.3, 2.7 and 2.8.10.1).
    let private isRing state (size: uint16) (address: VringAddress) =
        let size = int size

        let struct (desc, avail, used) =
            if isPacked state then
                struct (PackedRing.descLength size, PackedRing.EventLength, PackedRing.EventLength)
            else
                struct (SplitRing.descLength size, SplitRing.availLength size, SplitRing.usedLength size)

        isMapped state address.Desc desc
        && isMapped state address.Avail avail
        && isMapped state address.Used used
        && address.Desc % 16UL = 0UL
        && address.Avail % 2UL = 0UL
        && address.Used % 4UL = 0UL

    let private setAddress request needReply index (address: VringAddress) state =
        let queue: Queue = state.Queues[index]

        if not (isRing state queue.Size address) then
            refuse request needReply "a ring outside the memory" state
        else
            let queue = { queue with Address = ValueSome address }
            let state = withQueue index queue state

            if queue.Running then
                await request needReply [ RebindQueue(setup state index queue) ] state
            else
                settle request needReply state

    let private setSize request needReply index (size: uint32) state =
        let isSize =
            if isPacked state then
                PackedRing.isSize size
            else
                SplitRing.isSize size
        let queue: Queue = state.Queues[index]

        if not isSize then
            refuse request needReply "not a queue's size" state
        elif queue.Running then
            refuse request needReply "the size of a running queue" state
        else
            state
            |> withQueue index { queue with Size = uint16 size }
            |> settle request needReply

    let private setBase request needReply index (position: uint32) state =
        let queue: Queue = state.Queues[index]

        if queue.Running then
            refuse request needReply "the base of a running queue" state
        else
            // A split ring has the available index only.
            let position = if isPacked state then position else position &&& 0xffffu
            state
            |> withQueue index { queue with Base = position }
            |> settle request needReply

    /// Stops the queue; the next kick starts it again.
    let private getBase index state : Step =
        let queue: Queue = state.Queues[index]
        let state = withQueue index { queue with Kicked = false } state

        if queue.Running then
            struct ({ state with Pending = StopForBase index }, [ StopQueue index ])
        else
            struct (state, [ Reply(Message.replyVringBase (uint32 index) queue.Base) ])

    let private setFd request needReply fds hasFd effect state =
        if hasFd && fds <> 1 then
            refuse request needReply "a message without its descriptor" state
        else
            let struct (state, effects) = settle request needReply state
            struct (state, effect :: effects)

    let private setEnabled request needReply index enabled state =
        state
        |> withQueue index { state.Queues[index] with Enabled = enabled }
        |> settle request needReply

    /// All queues are as at the start, once they have stopped; memory and features stay, which a front end does not
    /// always tell again.
    let private reset request needReply state =
        let queues =
            state.Queues
            |> Array.map (fun queue -> { freshQueue with Running = queue.Running })

        let struct (next, effects) =
            {
                state with
                    Queues = queues
                    Status = 0uy
                    WriteCache = state.InitialWriteCache
            }
            |> settle request needReply

        struct (next,
                if state.WriteCache <> state.InitialWriteCache then
                    UseWriteCache state.InitialWriteCache :: effects
                else
                    effects)

    // The rest ------------------------------------------------------------------------------------------------------

    let private setFeatures request needReply (features: uint64) state =
        if features &&& ~~~state.Features <> 0UL then
            refuse request needReply "features that were not offered" state
        elif not (has features BlkWire.VIRTIO_F_VERSION_1) then
            refuse request needReply "legacy devices are not supported" state
        else
            let struct (next, effects) = settle request needReply { state with Acknowledged = features }

            struct (next,
                    if features <> state.Acknowledged then
                        UseFeatures features :: effects
                    else
                        effects)

    let private getConfig (range: struct (uint32 * uint32 * uint32) voption) state : Step =
        match range with
        | ValueSome(struct (offset, length, flags)) when
            length > 0u
            && offset <= uint32 BlkWire.ConfigLength
            && length <= uint32 BlkWire.ConfigLength - offset
            ->
            let device = state.Device
            let config = BlkDevice.config &device state.WriteCache
            let part = ReadOnlySpan<byte>(config, int offset, int length)
            struct (state, [ Reply(Message.replyConfig offset flags part) ])
        | _ -> struct (state, [ Reply(Message.replyNoConfig ()) ])

    /// Only config.wce may be written (5.2.5.2).
    let private setConfig request needReply (offset: uint32) (flags: uint32) (bytes: byte[]) state =
        if offset = uint32 BlkWire.ConfigWce && bytes.Length = 1 && flags = 0u then
            let writeCache = bytes[0] <> 0uy

            struct ({ state with WriteCache = writeCache }, UseWriteCache writeCache :: acknowledge request needReply)
        else
            refuse request needReply "the configuration space is read-only" state

    let private isInflightArea state (area: InflightArea) =
        area.QueueCount > 0us
        && area.QueueCount <= state.Device.NumQueues
        && area.QueueSize > 0us
        && area.QueueSize <= uint16 SplitRing.MaxSize

    let private inflightLength state (area: InflightArea) =
        uint64 area.QueueCount * Inflight.regionLength (isPacked state) area.QueueSize

    let private getInflight (area: InflightArea) state : Step =
        if isInflightArea state area then
            let area = {
                area with
                    LengthBytes = inflightLength state area
                    OffsetBytes = 0UL
            }

            struct ({ state with Pending = InflightReply area }, [ CreateInflight area.LengthBytes ])
        else
            struct (state, [ Reply(Message.replyInflight { area with LengthBytes = 0UL }) ])

    let private setInflight request needReply (area: InflightArea) fds state =
        if
            fds = 1
            && isInflightArea state area
            && area.LengthBytes >= inflightLength state area
            && area.LengthBytes <= Region.MaxLength
            && area.OffsetBytes <= UInt64.MaxValue - area.LengthBytes
            && not (state.Queues |> Array.exists _.Running)
        then
            { state with Inflight = ValueSome area }
            |> await request needReply [ UseInflight area ]
        else
            refuse request needReply "not an area of requests in flight" state

    let private setStatus request needReply (status: byte) state =
        if status = 0uy then
            reset request needReply state
        else
            settle request needReply { state with Status = status }

    let private queueOf =
        function
        | SetVringNum(queue, _)
        | SetVringAddr(queue, _)
        | SetVringBase(queue, _)
        | GetVringBase queue
        | SetVringKick(queue, _)
        | SetVringCall(queue, _)
        | SetVringErr(queue, _)
        | SetVringEnable(queue, _) -> ValueSome queue
        | _ -> ValueNone

    let private answer (message: Message) request needReply fds state : Step =
        let number value : Step =
            struct (state, [ Reply(Message.replyU64 request value) ])

        match message with
        | GetFeatures -> number state.Features
        | SetFeatures features -> setFeatures request needReply features state
        | SetOwner -> settle request needReply state
        | ResetOwner ->
            let queues = state.Queues |> Array.map (fun queue -> { queue with Enabled = false })
            settle request needReply { state with Queues = queues }
        | SetMemTable regions -> setMemory request needReply regions fds state
        | AddMemReg region -> addMemory request needReply region fds state
        | RemMemReg region -> removeMemory request needReply region state
        | SetLogBase(length, offset) when
            fds = 1
            && length > 0UL
            && length <= Region.MaxLength
            && offset <= UInt64.MaxValue - length
            ->
            await request true [ MapLog(length, offset) ] state
        | SetLogBase _ -> refuse request true "not a log" state
        | SetLogFd -> setFd request needReply fds true UseLogFd state
        | SetVringNum(queue, size) -> setSize request needReply (int queue) size state
        | SetVringAddr(queue, address) -> setAddress request needReply (int queue) address state
        | SetVringBase(queue, index) -> setBase request needReply (int queue) index state
        | GetVringBase queue -> getBase (int queue) state
        | SetVringKick(queue, hasFd) ->
            let queue = int queue

            state
            |> withQueue queue { state.Queues[queue] with Kicked = true }
            |> setFd request needReply fds hasFd (SetKick(queue, hasFd))
        | SetVringCall(queue, hasFd) -> setFd request needReply fds hasFd (SetCall(int queue, hasFd)) state
        | SetVringErr(queue, hasFd) -> setFd request needReply fds hasFd (SetErr(int queue, hasFd)) state
        | GetProtocolFeatures -> number protocolFeatures
        | SetProtocolFeatures features ->
            settle request needReply {
                state with
                    ProtocolFeatures = features &&& protocolFeatures
            }
        | GetQueueNum -> number (uint64 state.Device.NumQueues)
        | SetVringEnable(queue, enable) -> setEnabled request needReply (int queue) enable state
        | SetBackendReqFd ->
            setFd request needReply fds true SetBackendChannel { state with HasBackendChannel = (fds = 1) }
        | GetConfig range -> getConfig range state
        | SetConfig(offset, flags, bytes) -> setConfig request needReply offset flags bytes state
        | GetInflightFd area -> getInflight area state
        | SetInflightFd area -> setInflight request needReply area fds state
        | ResetDevice -> reset request needReply state
        | GetMaxMemSlots -> number (uint64 Region.MaxCount)
        | SetStatus status -> setStatus request needReply status state
        | GetStatus -> number (uint64 state.Status)

    /// Takes a whole message (`Message.frame`) that came with so many descriptors. Not while the session waits for an
    /// outcome (`isWaiting`), and not after it has closed.
    let step (message: ReadOnlySpan<byte>) (fds: int) (state: SessionState) : struct (SessionState * Effect list) =
        let request = Message.request message
        let needReply = Message.needsReply message

        if state.Closed || state.Pending <> Nothing then
            close "a message out of turn" state
        else
            match Message.decode message with
            | ValueNone -> refuse request needReply ("unhandled request " + string request) state
            | ValueSome message ->
                match queueOf message with
                | ValueSome queue when queue >= uint32 state.Queues.Length ->
                    refuse request needReply ("no queue " + string queue) state
                | _ -> answer message request needReply fds state

    /// Whether an effect's outcome must come before the next message.
    let isWaiting (state: SessionState) : bool = state.Pending <> Nothing

    /// The disk has another size: the front end is told to look.
    let resize (capacitySectors: uint64) (state: SessionState) : struct (SessionState * Effect list) =
        let device = state.Device

        struct ({
                    state with
                        Device =
                            BlkDevice(
                                capacitySectors,
                                device.LogicalBlockSize,
                                device.NumQueues,
                                device.ReadOnly,
                                device.Packed
                            )
                },
                if
                    state.HasBackendChannel
                    && has state.ProtocolFeatures VHOST_USER_PROTOCOL_F_CONFIG
                then
                    [ SendToFrontend(Message.configChange ()) ]
                else
                    [])

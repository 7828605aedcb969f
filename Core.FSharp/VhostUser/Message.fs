namespace StorageDaemon.Core.VhostUser

open System
open System.Buffers.Binary
open StorageDaemon.Core.Virtio
open StorageDaemon.Core.VhostUser.Wire

/// A region of guest memory and where it starts in the file whose descriptor comes along.
[<Struct; NoComparison>]
type RegionMessage = { Region: Region; MmapOffset: uint64 }

/// "A vring address description": the front end's addresses.
[<Struct; NoComparison>]
type VringAddress = {
    Desc: uint64
    Used: uint64
    Avail: uint64
    /// The used ring's place in the dirty log.
    Log: uint64
    /// VHOST_VRING_F_*.
    Flags: uint32
}

/// "Inflight description".
[<Struct; NoComparison>]
type InflightArea = {
    LengthBytes: uint64
    /// In the file whose descriptor comes along.
    OffsetBytes: uint64
    QueueCount: uint16
    QueueSize: uint16
}

/// A request of the front end. Numbers of queues are not checked.
[<NoComparison>]
type Message =
    | GetFeatures
    | SetFeatures of uint64
    | SetOwner
    | ResetOwner
    | SetMemTable of RegionMessage list
    | SetLogBase of lengthBytes: uint64 * offsetBytes: uint64
    | SetLogFd
    | SetVringNum of queue: uint32 * size: uint32
    | SetVringAddr of queue: uint32 * VringAddress
    | SetVringBase of queue: uint32 * index: uint32
    | GetVringBase of queue: uint32
    | SetVringKick of queue: uint32 * hasFd: bool
    | SetVringCall of queue: uint32 * hasFd: bool
    | SetVringErr of queue: uint32 * hasFd: bool
    | GetProtocolFeatures
    | SetProtocolFeatures of uint64
    | GetQueueNum
    | SetVringEnable of queue: uint32 * enable: bool
    | SetBackendReqFd
    /// Nothing if the payload is not what it says: the front end is told by an empty reply.
    | GetConfig of struct (uint32 * uint32 * uint32) voption
    | SetConfig of offset: uint32 * flags: uint32 * byte[]
    | GetInflightFd of InflightArea
    | SetInflightFd of InflightArea
    | ResetDevice
    | GetMaxMemSlots
    | AddMemReg of RegionMessage
    | RemMemReg of RegionMessage
    | SetStatus of byte
    | GetStatus

/// What the first bytes of a connection's input are.
type Framing =
    /// So many bytes must be there before the message can be looked at.
    | Needs of int
    | Whole of length: int
    /// Not the protocol: the connection cannot go on.
    | Bad of string

/// The wire format. Numbers are in the machine's byte order, which is little-endian here.
module Message =
    let private u16 (bytes: ReadOnlySpan<byte>) offset =
        BinaryPrimitives.ReadUInt16LittleEndian(bytes.Slice offset)
    let private u32 (bytes: ReadOnlySpan<byte>) offset =
        BinaryPrimitives.ReadUInt32LittleEndian(bytes.Slice offset)
    let private u64 (bytes: ReadOnlySpan<byte>) offset =
        BinaryPrimitives.ReadUInt64LittleEndian(bytes.Slice offset)

    /// How long the message is that starts with these bytes. Whatever they say, it is bounded.
    let frame (received: ReadOnlySpan<byte>) : Framing =
        if received.Length < HeaderLength then
            Needs HeaderLength
        else
            let flags = u32 received 4
            let size = u32 received 8

            if flags &&& VersionMask <> Version then
                Bad("unknown version " + string (flags &&& VersionMask))
            elif flags &&& ReplyFlag <> 0u then
                Bad "a reply to nothing"
            elif size > uint32 MaxPayload then
                Bad("payload of " + string size + " bytes")
            else
                let length = HeaderLength + int size
                if received.Length < length then
                    Needs length
                else
                    Whole length

    /// The request of a whole message.
    let request (message: ReadOnlySpan<byte>) : uint32 = u32 message 0

    /// Whether the front end waits for the result.
    let needsReply (message: ReadOnlySpan<byte>) : bool = u32 message 4 &&& NeedReplyFlag <> 0u

    let private region (bytes: ReadOnlySpan<byte>) offset : RegionMessage = {
        Region = {
            GuestAddress = u64 bytes offset
            LengthBytes = u64 bytes (offset + 8)
            UserAddress = u64 bytes (offset + 16)
        }
        MmapOffset = u64 bytes (offset + 24)
    }

    let private regionLength = 32

    let private memTable (bytes: ReadOnlySpan<byte>) =
        let count = if bytes.Length < 8 then UInt32.MaxValue else u32 bytes 0

        if
            count > uint32 MaxRegionsPerMessage
            || bytes.Length < 8 + regionLength * int count
        then
            ValueNone
        else
            let mutable regions = []

            for i in int count - 1 .. -1 .. 0 do
                regions <- region bytes (8 + regionLength * i) :: regions

            ValueSome(SetMemTable regions)

    let private inflight (bytes: ReadOnlySpan<byte>) : InflightArea = {
        LengthBytes = u64 bytes 0
        OffsetBytes = u64 bytes 8
        QueueCount = u16 bytes 16
        QueueSize = u16 bytes 18
    }

    let private vringAddress (bytes: ReadOnlySpan<byte>) : VringAddress = {
        Flags = u32 bytes 4
        Desc = u64 bytes 8
        Used = u64 bytes 16
        Avail = u64 bytes 24
        Log = u64 bytes 32
    }

    let private getConfig (bytes: ReadOnlySpan<byte>) =
        if bytes.Length >= 12 && uint64 bytes.Length = 12UL + uint64 (u32 bytes 4) then
            GetConfig(ValueSome(struct (u32 bytes 0, u32 bytes 4, u32 bytes 8)))
        else
            GetConfig ValueNone

    let private setConfig (bytes: ReadOnlySpan<byte>) =
        if bytes.Length >= 12 && uint64 bytes.Length = 12UL + uint64 (u32 bytes 4) then
            ValueSome(SetConfig(u32 bytes 0, u32 bytes 8, bytes.Slice(12).ToArray()))
        else
            ValueNone

    let private vringFd (kind: uint32 * bool -> Message) (value: uint64) =
        kind (uint32 (value &&& 0xffUL), value &&& NoFdFlag = 0UL)

    let private withU64 (bytes: ReadOnlySpan<byte>) (make: uint64 -> Message) =
        if bytes.Length = 8 then
            ValueSome(make (u64 bytes 0))
        else
            ValueNone

    let private withState (bytes: ReadOnlySpan<byte>) (make: uint32 * uint32 -> Message) =
        if bytes.Length = 8 then
            ValueSome(make (u32 bytes 0, u32 bytes 4))
        else
            ValueNone

    /// The message in a whole frame; nothing if the daemon does not know the request, or if the payload has another
    /// length than the request.
    let decode (message: ReadOnlySpan<byte>) : Message voption =
        let payload = message.Slice HeaderLength

        match request message with
        | VHOST_USER_GET_FEATURES -> ValueSome GetFeatures
        | VHOST_USER_SET_FEATURES -> withU64 payload SetFeatures
        | VHOST_USER_SET_OWNER -> ValueSome SetOwner
        | VHOST_USER_RESET_OWNER -> ValueSome ResetOwner
        | VHOST_USER_SET_MEM_TABLE -> memTable payload
        | VHOST_USER_SET_LOG_BASE when payload.Length = 16 -> ValueSome(SetLogBase(u64 payload 0, u64 payload 8))
        | VHOST_USER_SET_LOG_FD -> ValueSome SetLogFd
        | VHOST_USER_SET_VRING_NUM -> withState payload SetVringNum
        | VHOST_USER_SET_VRING_ADDR when payload.Length = 40 ->
            ValueSome(SetVringAddr(u32 payload 0, vringAddress payload))
        | VHOST_USER_SET_VRING_BASE -> withState payload SetVringBase
        | VHOST_USER_GET_VRING_BASE -> withState payload (fun (queue, _) -> GetVringBase queue)
        | VHOST_USER_SET_VRING_KICK -> withU64 payload (vringFd SetVringKick)
        | VHOST_USER_SET_VRING_CALL -> withU64 payload (vringFd SetVringCall)
        | VHOST_USER_SET_VRING_ERR -> withU64 payload (vringFd SetVringErr)
        | VHOST_USER_GET_PROTOCOL_FEATURES -> ValueSome GetProtocolFeatures
        | VHOST_USER_SET_PROTOCOL_FEATURES -> withU64 payload SetProtocolFeatures
        | VHOST_USER_GET_QUEUE_NUM -> ValueSome GetQueueNum
        | VHOST_USER_SET_VRING_ENABLE -> withState payload (fun (queue, on) -> SetVringEnable(queue, on <> 0u))
        | VHOST_USER_SET_BACKEND_REQ_FD -> ValueSome SetBackendReqFd
        | VHOST_USER_GET_CONFIG -> ValueSome(getConfig payload)
        | VHOST_USER_SET_CONFIG -> setConfig payload
        | VHOST_USER_GET_INFLIGHT_FD when payload.Length = 20 || payload.Length = 24 ->
            ValueSome(GetInflightFd(inflight payload))
        | VHOST_USER_SET_INFLIGHT_FD when payload.Length = 20 || payload.Length = 24 ->
            ValueSome(SetInflightFd(inflight payload))
        | VHOST_USER_RESET_DEVICE -> ValueSome ResetDevice
        | VHOST_USER_GET_MAX_MEM_SLOTS -> ValueSome GetMaxMemSlots
        | VHOST_USER_ADD_MEM_REG when payload.Length = 40 -> ValueSome(AddMemReg(region payload 8))
        | VHOST_USER_REM_MEM_REG when payload.Length = 40 -> ValueSome(RemMemReg(region payload 8))
        | VHOST_USER_SET_STATUS -> withU64 payload (fun value -> SetStatus(byte value))
        | VHOST_USER_GET_STATUS -> ValueSome GetStatus
        | _ -> ValueNone

    let private withHeader (request: uint32) (flags: uint32) (payloadLength: int) : byte[] =
        let bytes = Array.zeroCreate (HeaderLength + payloadLength)
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(), request)
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan 4, flags)
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan 8, uint32 payloadLength)
        bytes

    let private reply (request: uint32) (payloadLength: int) =
        withHeader request (Version ||| ReplyFlag) payloadLength

    let replyU64 (request: uint32) (value: uint64) : byte[] =
        let bytes = reply request 8
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan HeaderLength, value)
        bytes

    let replyVringBase (queue: uint32) (index: uint32) : byte[] =
        let bytes = reply VHOST_USER_GET_VRING_BASE 8
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan HeaderLength, queue)
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(HeaderLength + 4), index)
        bytes

    /// Part of the configuration space; no payload at all is a refusal.
    let replyConfig (offset: uint32) (flags: uint32) (part: ReadOnlySpan<byte>) : byte[] =
        let bytes = reply VHOST_USER_GET_CONFIG (12 + part.Length)
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan HeaderLength, offset)
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(HeaderLength + 4), uint32 part.Length)
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(HeaderLength + 8), flags)
        part.CopyTo(bytes.AsSpan(HeaderLength + 12))
        bytes

    let replyNoConfig () : byte[] = reply VHOST_USER_GET_CONFIG 0

    /// With the padding of the C structure, which front ends insist on.
    let replyInflight (area: InflightArea) : byte[] =
        let bytes = reply VHOST_USER_GET_INFLIGHT_FD 24
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan HeaderLength, area.LengthBytes)
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(HeaderLength + 8), area.OffsetBytes)
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(HeaderLength + 16), area.QueueCount)
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(HeaderLength + 18), area.QueueSize)
        bytes

    /// To the front end, on the channel for requests of the back end.
    let configChange () : byte[] =
        withHeader VHOST_USER_BACKEND_CONFIG_CHANGE_MSG Version 0

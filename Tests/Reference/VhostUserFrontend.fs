/// The front end's side of vhost-user: encodes its messages, written straight from the specification.
module StorageDaemon.Tests.Reference.VhostUserFrontend

open System
open System.IO
open StorageDaemon.Core.Virtio
open StorageDaemon.Core.VhostUser

let private bytesOf (write: BinaryWriter -> unit) : byte[] =
    use stream = new MemoryStream()
    use writer = new BinaryWriter(stream)
    write writer
    writer.Flush()
    stream.ToArray()

let private u64 (value: uint64) =
    bytesOf (fun writer -> writer.Write value)

let private state (index: uint32) (number: uint32) =
    bytesOf (fun writer ->
        writer.Write index
        writer.Write number)

let private writeRegion (writer: BinaryWriter) (region: RegionMessage) =
    writer.Write region.Region.GuestAddress
    writer.Write region.Region.LengthBytes
    writer.Write region.Region.UserAddress
    writer.Write region.MmapOffset

let private one (region: RegionMessage) =
    bytesOf (fun writer ->
        writer.Write 0UL
        writeRegion writer region)

let private area (area: InflightArea) =
    bytesOf (fun writer ->
        writer.Write area.LengthBytes
        writer.Write area.OffsetBytes
        writer.Write area.QueueCount
        writer.Write area.QueueSize
        // The structure's padding.
        writer.Write 0u)

let private fd (queue: uint32) hasFd =
    u64 (uint64 queue ||| (if hasFd then 0UL else 256UL))

/// Request and payload.
let private content (message: Message) : uint32 * byte[] =
    match message with
    | GetFeatures -> 1u, [||]
    | SetFeatures features -> 2u, u64 features
    | SetOwner -> 3u, [||]
    | ResetOwner -> 4u, [||]
    | SetMemTable regions ->
        5u,
        bytesOf (fun writer ->
            writer.Write(uint32 regions.Length)
            writer.Write 0u
            regions |> List.iter (writeRegion writer))
    | SetLogBase(length, offset) -> 6u, Array.append (u64 length) (u64 offset)
    | SetLogFd -> 7u, [||]
    | SetVringNum(queue, size) -> 8u, state queue size
    | SetVringAddr(queue, address) ->
        9u,
        bytesOf (fun writer ->
            writer.Write queue
            writer.Write address.Flags
            writer.Write address.Desc
            writer.Write address.Used
            writer.Write address.Avail
            writer.Write address.Log)
    | SetVringBase(queue, index) -> 10u, state queue index
    | GetVringBase queue -> 11u, state queue 0u
    | SetVringKick(queue, hasFd) -> 12u, fd queue hasFd
    | SetVringCall(queue, hasFd) -> 13u, fd queue hasFd
    | SetVringErr(queue, hasFd) -> 14u, fd queue hasFd
    | GetProtocolFeatures -> 15u, [||]
    | SetProtocolFeatures features -> 16u, u64 features
    | GetQueueNum -> 17u, [||]
    | SetVringEnable(queue, enable) -> 18u, state queue (if enable then 1u else 0u)
    | SetBackendReqFd -> 21u, [||]
    | GetConfig(ValueSome(struct (offset, length, flags))) ->
        24u,
        bytesOf (fun writer ->
            writer.Write offset
            writer.Write length
            writer.Write flags
            writer.Write(Array.zeroCreate<byte>(int length)))
    | GetConfig ValueNone -> 24u, [||]
    | SetConfig(offset, flags, bytes) ->
        25u,
        bytesOf (fun writer ->
            writer.Write offset
            writer.Write(uint32 bytes.Length)
            writer.Write flags
            writer.Write bytes)
    | GetInflightFd description -> 31u, area description
    | SetInflightFd description -> 32u, area description
    | ResetDevice -> 34u, [||]
    | GetMaxMemSlots -> 36u, [||]
    | AddMemReg region -> 37u, one region
    | RemMemReg region -> 38u, one region
    | SetStatus status -> 39u, u64 (uint64 status)
    | GetStatus -> 40u, [||]

let frame (request: uint32) (flags: uint32) (payload: byte[]) : byte[] =
    bytesOf (fun writer ->
        writer.Write request
        writer.Write flags
        writer.Write(uint32 payload.Length)
        writer.Write payload)

let encode (needReply: bool) (message: Message) : byte[] =
    let request, payload = content message
    frame request (if needReply then 9u else 1u) payload

/// Descriptors that come with a message.
let descriptors (message: Message) : int =
    match message with
    | SetMemTable regions -> regions.Length
    | SetVringKick(_, true)
    | SetVringCall(_, true)
    | SetVringErr(_, true)
    | SetLogBase _
    | SetLogFd
    | SetBackendReqFd
    | SetInflightFd _
    | AddMemReg _ -> 1
    | _ -> 0

/// Request and payload of a reply; it throws if that is none.
let decodeReply (bytes: byte[]) : uint32 * byte[] =
    if
        BitConverter.ToUInt32(bytes, 4) <> 5u
        || BitConverter.ToUInt32(bytes, 8) <> uint32 (bytes.Length - 12)
    then
        failwith "not a reply"

    BitConverter.ToUInt32(bytes, 0), Array.skip 12 bytes

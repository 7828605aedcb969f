namespace StorageDaemon.Core.Virtio

open System
open System.Buffers.Binary
open System.Runtime.CompilerServices
open StorageDaemon.Core.Virtio.BlkWire

/// What a block device shows to its driver.
[<Struct; IsReadOnly; NoComparison>]
type BlkDevice =
    /// Sectors of 512 bytes.
    val CapacitySectors: uint64
    /// Bytes; a power of two from 512 on.
    val LogicalBlockSize: uint32
    val NumQueues: uint16
    val ReadOnly: bool
    /// Packed rings are offered.
    val Packed: bool

    new(capacitySectors, logicalBlockSize, numQueues, readOnly, packed) =
        {
            CapacitySectors = capacitySectors
            LogicalBlockSize = logicalBlockSize
            NumQueues = numQueues
            ReadOnly = readOnly
            Packed = packed
        }

module BlkDevice =
    /// Most pieces of data in one request that drivers are told of: with header and status, the 128 descriptors of a
    /// usual ring.
    [<Literal>]
    let SegMax = 126u

    /// Most sectors of one discard or write-zeroes.
    [<Literal>]
    let MaxRangeSectors = 32768u

    /// Device feature bits; those of vhost-user are the session's.
    let features (device: inref<BlkDevice>) : uint64 =
        VIRTIO_BLK_F_SIZE_MAX
        ||| VIRTIO_BLK_F_SEG_MAX
        ||| VIRTIO_BLK_F_BLK_SIZE
        ||| VIRTIO_BLK_F_FLUSH
        ||| VIRTIO_BLK_F_TOPOLOGY
        ||| VIRTIO_BLK_F_CONFIG_WCE
        ||| VIRTIO_BLK_F_MQ
        ||| VIRTIO_BLK_F_DISCARD
        ||| VIRTIO_BLK_F_WRITE_ZEROES
        ||| VIRTIO_F_NOTIFY_ON_EMPTY
        ||| VIRTIO_F_INDIRECT_DESC
        ||| VIRTIO_F_EVENT_IDX
        ||| VIRTIO_F_VERSION_1
        ||| (if device.ReadOnly then VIRTIO_BLK_F_RO else 0UL)
        ||| (if device.Packed then VIRTIO_F_RING_PACKED else 0UL)

    /// Whether each write must be on stable storage before it completes (5.2.6.2): what config.wce says if the driver
    /// knows of it; else a driver that does not flush counts on it.
    let writesThrough (acknowledged: uint64) (writeCache: bool) : bool =
        if acknowledged &&& VIRTIO_BLK_F_CONFIG_WCE <> 0UL then
            not writeCache
        else
            acknowledged &&& VIRTIO_BLK_F_FLUSH = 0UL

    /// The configuration space: struct virtio_blk_config. `writeCache` is config.wce.
    let config (device: inref<BlkDevice>) (writeCache: bool) : byte[] =
        let bytes = Array.zeroCreate ConfigLength
        let u16 (offset: int) (value: uint16) =
            BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan offset, value)
        let u32 (offset: int) (value: uint32) =
            BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan offset, value)

        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan ConfigCapacity, device.CapacitySectors)
        u32 ConfigSegMax SegMax
        u32 ConfigBlkSize device.LogicalBlockSize
        u16 ConfigMinIoSize 1us
        u32 ConfigOptIoSize 1u
        bytes[ConfigWce] <- if writeCache then 1uy else 0uy
        u16 ConfigNumQueues device.NumQueues
        u32 ConfigMaxDiscardSectors MaxRangeSectors
        u32 ConfigMaxDiscardSeg 1u
        u32 ConfigDiscardSectorAlignment (device.LogicalBlockSize / uint32 SectorLength)
        u32 ConfigMaxWriteZeroesSectors MaxRangeSectors
        u32 ConfigMaxWriteZeroesSeg 1u
        bytes

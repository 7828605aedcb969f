/// Block status over NBD where images stand between the export and the file.
module StorageDaemon.Tests.Sim.StatusTests

open System
open Expecto
open StorageDaemon.Core.Io
open StorageDaemon.Core.Nbd
open StorageDaemon.Core.Nbd.Wire
open StorageDaemon.Core.Qcow2
open StorageDaemon.Shell.Codecs
open StorageDaemon.Shell.Drivers
open StorageDaemon.Shell.Filters
open StorageDaemon.Tests.Crash.Qcow2Shapes
open StorageDaemon.Tests.Reference.LayerRunner
open StorageDaemon.Tests.Sim.NbdPeer
open StorageDaemon.Tests.Sim.Rig

[<Literal>]
let private ClusterBytes = 4096

/// More than one L2 table covers.
let private diskBytes = 4L <<< 20

let private shape: Shape = {
    ClusterBits = 12
    RefcountOrder = 4
    Version = 3
    ExtendedL2 = false
    SizeBytes = diskBytes
    BackingBytes = 0
    Discards = noDiscards
}

/// An image file in which every third cluster is data, and every seventh zeroes.
let private content: byte[] =
    let file = MemoryChild(newImage shape, fun _ -> 0)
    let image = openOver file [||] 0 65536L (new DeflateClusters())
    let runner = Runner(Qcow2Layer image, [ file ], 0)

    let run kind (offset: int64) (data: byte[]) =
        let length = if kind = RequestKind.Flush then 0L else int64 ClusterBytes
        let error, _ = runner.Run(kind, RequestFlags.None, offset, length, data, false)
        Expect.equal error 0 "a request"

    for cluster in 0L .. diskBytes / int64 ClusterBytes / 2L - 1L do
        let offset = cluster * int64 ClusterBytes

        if cluster % 3L = 0L then
            run RequestKind.Write offset (Array.create ClusterBytes 7uy)
        elif cluster % 7L = 0L then
            run RequestKind.WriteZeroes offset [||]

    run RequestKind.Flush 0L [||]
    file.Content

/// An image in a path, in front of a path for its file. Only one that is read-only lets reads pass by it.
let private imageOver (readOnly: bool) (content: byte[]) (backing: NodePath option) (file: NodePath) : NodePath =
    let disk = MemoryChild(content, fun _ -> 0)

    let backingBytes =
        match backing with
        | Some _ -> Array.zeroCreate<byte>(int diskBytes)
        | None -> [||]

    let openAs = if readOnly then openReadOnly else openOver
    let image = openAs disk backingBytes 0 65536L (new DeflateClusters())

    NodePath(
        1,
        File = null,
        Layer =
            PathLayer(
                Node = 1L,
                Machine = Qcow2Layer image,
                Children = [|
                    file
                    match backing with
                    | Some below -> below
                    | None -> ()
                |],
                Throttle = null
            ),
        BaseOffset = 0L,
        SizeBytes = diskBytes,
        ReadOnly = readOnly,
        Traits = FileTraits.Unmap,
        DetectZeroes = DetectZeroes.Off,
        Nodes = [||]
    )

/// `depth` empty images over the one with the content; the file of each is the same, and read by the lowest only.
let private chainOf (readOnly: bool) (depth: int) (file: NodePath) : NodePath =
    let empty = newImage shape

    (imageOver readOnly content None file, seq { 1..depth })
    ||> Seq.fold (fun below _ -> imageOver readOnly empty (Some below) file)

let internal chain = chainOf false
let internal readOnlyChain = chainOf true

let internal fileContent = Array.append (Array.zeroCreate (int baseOffset)) content

let private expected (offset: int64) (length: int64) : (uint64 * uint64) list =
    let stateOf (cluster: int64) =
        if cluster < diskBytes / int64 ClusterBytes / 2L && cluster % 3L = 0L then
            0UL
        else
            uint64 (NBD_STATE_HOLE ||| NBD_STATE_ZERO)

    let rec go at extents =
        if at >= offset + length then
            List.rev extents
        else
            let cluster = at / int64 ClusterBytes
            let next = min (offset + length) ((cluster + 1L) * int64 ClusterBytes)
            let bytes = uint64 (next - at)

            match extents with
            | (before, state) :: rest when state = stateOf cluster -> go next ((before + bytes, state) :: rest)
            | _ -> go next ((bytes, stateOf cluster) :: extents)

    go offset []

let private ask (peer: NbdPeer) flags (offset: int64) (length: int64) =
    peer.Send(NBD_CMD_BLOCK_STATUS, flags, offset, int length, [||]) |> ignore

let private test name depth =
    testCase name
    <| fun () ->
        withFileOver (chain depth) fileContent AioEngine.IoUring false plenty (fun rig _ ->
            let peer, _ = rig.Connect ReplyMode.Structured
            let ranges = [ 0L, 2L <<< 20; 1000L, 70000L; 8192L, 1L; 3L <<< 20, 1L <<< 20; 12288L, 4096L ]

            // The server tells the size of what is below the layers.
            for offset, length in ranges |> List.filter (fun (offset, length) -> offset + length <= rig.SizeBytes) do
                ask peer 0us offset length
                let answer = Seq.exactlyOne (allAnswers peer)
                Expect.equal answer.Error 0u "success"
                Expect.equal answer.Extents (expected offset length) ("range " + string (offset, length))
                ask peer NBD_CMD_FLAG_REQ_ONE offset length
                let answer = Seq.exactlyOne (allAnswers peer)
                Expect.equal answer.Extents [ List.head (expected offset length) ] "one extent"

            peer.Close()
            rig.ExpectIdle())

[<Tests>]
let tests =
    testList "Sim.BlockStatus" [ test "of an image" 0; test "through a chain of 100 images" 100 ]

namespace StorageDaemon.Core.Qcow2

open System
open StorageDaemon.Core
open StorageDaemon.Core.Io

/// Another backing file name, and another format of it, in the header of an open image. Between the old header and the
/// new one there is nothing: what is behind the first sector is written where the old header does not look, and one
/// write of that sector makes it valid.
module internal BackingName =
    [<Literal>]
    let private sectorBytes = 512

    /// Both writes: from the first byte that changes behind the first sector, and that sector.
    type private Rewrite = { Cluster: byte[]; Header: Header }

    let private decode (cluster: byte[]) : Result<Header, QapiError> =
        Header.decode { Writable = true; Check = true } cluster

    let private field32 (cluster: byte[]) (at: int) =
        BigEndian.readU32 (ReadOnlySpan cluster) at

    let private extensionsEnd (header: Header) : int64 =
        int64 header.HeaderBytes + Extension.encodedBytes header.Extensions

    /// Where the present name begins, and where it ends; zero both if there is none. Takes a header that was decoded.
    let private nameRange (cluster: byte[]) : struct (int * int) =
        let offset = int (BigEndian.readU64 (ReadOnlySpan cluster) 8)
        let length = if offset = 0 then 0 else int (field32 cluster 16)
        struct (offset, min cluster.Length (offset + length))

    /// Whether bytes behind the first sector are the same.
    let private isSame (before: byte[]) (after: byte[]) (from: int) (until: int) =
        let from = max from sectorBytes
        let length = min until before.Length - from
        length <= 0
        || ReadOnlySpan(before, from, length).SequenceEqual(ReadOnlySpan(after, from, length))

    /// The present cluster with other extensions and a name at a place. None where there is no room, or where the
    /// present header would be another one before the first sector is written.
    let private arrange (cluster: byte[]) (header: Header) (wanted: Header) (nameAt: int) : Rewrite option =
        let name = Option.defaultValue Array.empty wanted.BackingFile
        let areaEnd = extensionsEnd wanted

        if
            areaEnd > int64 nameAt
            || int64 nameAt + int64 name.Length > int64 cluster.Length
        then
            None
        else
            let next = Array.copy cluster

            if wanted.Extensions <> header.Extensions then
                let area: byte[] = Array.zeroCreate (int areaEnd)
                Extension.encode wanted.Extensions area header.HeaderBytes |> ignore
                Array.blit area header.HeaderBytes next header.HeaderBytes (area.Length - header.HeaderBytes)

            Array.blit name 0 next nameAt name.Length
            BigEndian.writeU64 (Span next) 8 (if name.Length = 0 then 0UL else uint64 nameAt)
            BigEndian.writeU32 (Span next) 16 (uint32 name.Length)

            let struct (nameFrom, nameUntil) = nameRange cluster

            let isUntouched =
                isSame cluster next header.HeaderBytes (int (min (extensionsEnd header) cluster.LongLength))
                && isSame cluster next nameFrom nameUntil

            match decode next with
            | Ok found when isUntouched && found = wanted -> Some { Cluster = next; Header = wanted }
            | _ -> None

    /// The places where the name may be: right behind the extensions, as others write it, and behind all that there is.
    let private places (cluster: byte[]) (header: Header) (wanted: Header) : int list =
        let struct (_, nameUntil) = nameRange cluster
        let behindAll = max (extensionsEnd header) (int64 (Padding.roundUp nameUntil))

        [ extensionsEnd wanted; max (extensionsEnd wanted) behindAll ]
        |> List.distinct
        |> List.filter (fun place -> place <= int64 cluster.Length)
        |> List.map int

    /// The format takes the place of the present one, or comes first or last where there is none.
    let private withFormat (format: byte[]) (extensions: HeaderExtension list) : HeaderExtension list list =
        if extensions |> List.exists _.IsBackingFormat then
            [
                extensions
                |> List.map (fun extension ->
                    if extension.IsBackingFormat then
                        BackingFormat format
                    else
                        extension)
            ]
        else
            [ BackingFormat format :: extensions; extensions @ [ BackingFormat format ] ]

    let private tryArrange (cluster: byte[]) (header: Header) (wanted: Header list) : Rewrite option =
        wanted
        |> List.tryPick (fun wanted -> places cluster header wanted |> List.tryPick (arrange cluster header wanted))

    /// The rewrites that lead to one of the wanted headers: where there is no way at once, the present name makes room
    /// first.
    let private plan (cluster: byte[]) (header: Header) (wanted: Header list) : Rewrite list option =
        match tryArrange cluster header wanted with
        | Some rewrite -> Some [ rewrite ]
        | None ->
            let nameBytes = header.BackingFile |> Option.map Array.length |> Option.defaultValue 0
            let farAway = (cluster.Length - nameBytes) &&& ~~~7

            arrange cluster header header farAway
            |> Option.bind (fun moved ->
                tryArrange moved.Cluster header wanted
                |> Option.map (fun rewrite -> [ moved; rewrite ]))

    /// The bytes behind the first sector in which clusters differ.
    let private difference (before: byte[]) (after: byte[]) : struct (int * int) =
        let mutable first = sectorBytes
        let mutable last = before.Length - 1

        while first <= last && before[first] = after[first] do
            first <- first + 1

        while last > first && before[last] = after[last] do
            last <- last - 1

        struct (first, max 0 (last - first + 1))

    let private apply (image: Image) (before: byte[]) (rewrite: Rewrite) : IoScript<Result<unit, int>> =
        let struct (first, count) = difference before rewrite.Cluster

        ioResult {
            if count > 0 then
                do! Settling.write (int64 first) (Array.sub rewrite.Cluster first count)
                do! Settling.flush image

            do!
                HeaderUpdate.putFirstSector
                    image
                    (Array.sub before 0 sectorBytes)
                    (Array.sub rewrite.Cluster 0 sectorBytes)
                    {
                        image.Header with
                            BackingFile = rewrite.Header.BackingFile
                            Extensions = rewrite.Header.Extensions
                    }
        }

    /// Puts a name and a format in the header; no name at all if it is empty, and then the format stays. EINVAL for a
    /// name of more than 1023 bytes, ENOSPC where the first cluster has no room for the old name beside the new one.
    let change (image: Image) (name: byte[]) (format: byte[]) : IoScript<Result<unit, int>> =
        if image.IsFenced then
            Finished(Error Errno.EIO)
        elif
            name.Length > Limits.backingFileBytes
            || format.Length >= Extension.backingFormatBytesMax
            || Array.contains 0uy name
        then
            Finished(Error Errno.EINVAL)
        else
            ioResult {
                let! cluster = Settling.read 0L image.ClusterBytes
                let! header = decode cluster |> Result.mapError (fun _ -> Errno.EIO) |> Finished

                let wanted =
                    if name.Length = 0 then
                        [ { header with BackingFile = None } ]
                    else
                        withFormat format header.Extensions
                        |> List.map (fun extensions -> {
                            header with
                                BackingFile = Some name
                                Extensions = extensions
                        })

                match wanted, plan cluster header wanted with
                | [ same ], _ when same = header -> return ()
                | _, None -> return! Finished(Error Errno.ENOSPC)
                | _, Some rewrites ->
                    let before = ref cluster

                    do!
                        IoScript.forAll 0L (int64 rewrites.Length - 1L) (fun i ->
                            ioResult {
                                do! apply image before.Value rewrites[int i]
                                before.Value <- rewrites[int i].Cluster
                            })
            }

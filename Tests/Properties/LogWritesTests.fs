/// The format of write logs: golden bytes, and logs written entry by entry against a reader that replays them.
module StorageDaemon.Tests.Properties.LogWritesTests

open System
open Expecto
open FsCheck
open StorageDaemon.Core.Filter

let private sectorBytes = 512

/// What a request of the test does: writes of one byte value, flushes and discards of a small device.
let private requestOf (kind: byte) (sector: byte) (sectors: byte) : LogWritesEntry =
    let sector = uint64 sector % 24UL
    let sectors = uint64 sectors % 8UL + 1UL

    match kind % 4uy with
    | 0uy -> {
        Sector = 0UL
        Sectors = 0UL
        Flags = LogWrites.flagFlush
        DataBytes = 0UL
      }
    | 1uy -> {
        Sector = sector
        Sectors = sectors
        Flags = LogWrites.flagDiscard
        DataBytes = 0UL
      }
    | 2uy -> {
        Sector = sector
        Sectors = sectors
        Flags = LogWrites.flagFua
        DataBytes = 0UL
      }
    | _ -> {
        Sector = sector
        Sectors = sectors
        Flags = 0UL
        DataBytes = 0UL
      }

let private writeLog (requests: LogWritesEntry list) : byte[] =
    let log: byte[] = Array.zeroCreate ((1 + 9 * requests.Length) * sectorBytes)
    let mutable cursor = LogWrites.first

    requests
    |> List.iteri (fun i request ->
        let at = int cursor.NextSector * sectorBytes
        LogWrites.encodeEntry request (Span(log, at, sectorBytes))
        let dataLength = int (LogWrites.dataSectors request) * sectorBytes
        Span(log, at + sectorBytes, dataLength).Fill(byte (i % 255) + 1uy)
        cursor <- ValueOption.get (LogWrites.advance (uint32 sectorBytes) request cursor))

    let super = {
        Entries = cursor.NextEntry
        SectorBytes = uint32 sectorBytes
    }
    LogWrites.encodeSuper super (Span(log, 0, sectorBytes))
    log

/// A reader of its own, as a replay tool reads: from the fields at their offsets, knowing nothing of the encoder.
let private replay (log: byte[]) : byte[] * int =
    let u64 at = BitConverter.ToUInt64(log, at)
    let device: byte[] = Array.zeroCreate (32 * sectorBytes)
    Expect.equal (u64 0) 0x6a736677736872UL "magic"
    Expect.equal (u64 8) 1UL "version"
    let size = BitConverter.ToInt32(log, 24)
    let mutable at = size

    for _ in 1UL .. u64 16 do
        let target, length, flags = int (u64 at) * size, int (u64 (at + 8)) * size, u64 (at + 16)
        at <- at + size

        if flags &&& 4UL <> 0UL then
            Array.Clear(device, target, length)
        else
            Array.Copy(log, at, device, target, length)
            at <- at + length

    device, at

[<Tests>]
let tests =
    testList "write log" [
        testProperty "replaying a log gives the device that the requests made"
        <| fun (requests: (byte * byte * byte) list) ->
            let requests =
                requests
                |> List.map (fun (kind, sector, sectors) -> requestOf kind sector sectors)
            let expected: byte[] = Array.zeroCreate (32 * sectorBytes)

            requests
            |> List.iteri (fun i request ->
                let discards = request.Flags &&& LogWrites.flagDiscard <> 0UL
                let value = if discards then 0uy else byte (i % 255) + 1uy
                Array.fill expected (int request.Sector * sectorBytes) (int request.Sectors * sectorBytes) value)

            let device, _ = replay (writeLog requests)
            Expect.equal device expected "same bytes"

        testProperty "walking a log's entries finds where it ends"
        <| fun (requests: (byte * byte * byte) list) ->
            let requests =
                requests
                |> List.map (fun (kind, sector, sectors) -> requestOf kind sector sectors)
            let log = writeLog requests
            let _, end' = replay log
            let mutable cursor = LogWrites.first

            for request in requests do
                let entry =
                    LogWrites.decodeEntry cursor.NextEntry (ReadOnlySpan(log, int cursor.NextSector * sectorBytes, 32))
                Expect.equal entry (Ok request) "the entry comes back"
                cursor <- ValueOption.get (LogWrites.advance 512u request cursor)

            Expect.equal (int cursor.NextSector * sectorBytes) end' "same end"
            Expect.equal cursor.NextEntry (uint64 requests.Length) "all entries"

        testProperty "no entry moves the end past the offsets of a file"
        <| fun (entries: (uint64 * uint64) list) ->
            let mutable cursor = LogWrites.first

            for sectors, flags in entries do
                let entry = {
                    Sector = 0UL
                    Sectors = sectors
                    Flags = flags &&& 31UL
                    DataBytes = 0UL
                }

                match LogWrites.advance 4096u entry cursor with
                | ValueSome next ->
                    Expect.isGreaterThan next.NextSector cursor.NextSector "forwards"
                    Expect.isLessThanOrEqual next.NextSector (uint64 Int64.MaxValue / 4096UL) "in bounds"
                    cursor <- next
                | ValueNone -> ()

        testProperty "a super block comes back, and garbage is refused"
        <| fun (entries: uint64) (shift: byte) (garbage: byte[]) ->
            let super = {
                Entries = entries
                SectorBytes = 512u <<< int (shift % 15uy)
            }
            let sector: byte[] = Array.zeroCreate 512
            LogWrites.encodeSuper super (Span sector)
            Expect.equal (LogWrites.decodeSuper (ReadOnlySpan sector)) (Ok super) "round trip"
            Expect.isError (LogWrites.decodeSuper (ReadOnlySpan garbage)) "garbage"

        test "texts of the real daemon" {
            let super (version: byte) (sectorBytes: uint32) =
                let sector: byte[] = Array.zeroCreate 512
                LogWrites.encodeSuper { Entries = 0UL; SectorBytes = sectorBytes } (Span sector)
                sector[8] <- version
                LogWrites.decodeSuper (ReadOnlySpan sector)

            Expect.equal (super 2uy 512u) (Error "Unsupported log version 2") "version"

            for bad in [ 0u; 100u; 513u; 16777216u ] do
                Expect.equal (super 1uy bad) (Error("Invalid log sector size " + string bad)) "sector size"

            let entry: byte[] = Array.zeroCreate 32
            entry[16] <- 32uy

            Expect.equal
                (LogWrites.decodeEntry 0UL (ReadOnlySpan entry))
                (Error "Invalid flags 0x20 in log entry 0")
                "flags"
        }

        test "golden bytes of the real daemon" {
            let sector: byte[] = Array.zeroCreate 512
            LogWrites.encodeSuper { Entries = 6UL; SectorBytes = 512u } (Span sector)
            let hex = Convert.ToHexString(sector, 0, 32)
            Expect.equal hex "7268737766736A00010000000000000006000000000000000002000000000000" "super block"
            let entry = requestOf 3uy 8uy 1uy
            LogWrites.encodeEntry entry (Span sector)
            let hex = Convert.ToHexString(sector, 0, 32)
            Expect.equal hex "0800000000000000020000000000000000000000000000000000000000000000" "entry"
        }
    ]

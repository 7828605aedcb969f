module StorageDaemon.Tests.Properties.VirtioMemory

open System
open System.Runtime.InteropServices
open Expecto
open FsCheck
open FsCheck.FSharp
open Microsoft.FSharp.NativeInterop
open StorageDaemon.Core.Virtio

let private forAll gen check = Prop.forAll (Arb.fromGen gen) check
let private many = { FsCheckConfig.defaultConfig with maxTest = 2000 }

let private region guest user length = {
    GuestAddress = guest
    UserAddress = user
    LengthBytes = length
}

/// Near both ends of the addresses, so that regions touch, overlap and wrap.
let private genAddress =
    Gen.oneof [
        Gen.choose (0, 12) |> Gen.map (fun i -> uint64 i * 8UL)
        Gen.choose (0, 12) |> Gen.map (fun i -> UInt64.MaxValue - uint64 i * 8UL)
    ]

let private genRegion =
    Gen.map3 region genAddress genAddress (Gen.choose (0, 4) |> Gen.map (fun i -> uint64 i * 8UL))

let private genRegions = Gen.choose (0, 4) |> Gen.bind (fun count -> Gen.listOfLength count genRegion)

let private naiveEnd address (length: uint64) =
    bigint (address: uint64) + bigint length

/// The rules in numbers that do not wrap.
let private isTable (regions: Region list) =
    let isWhole (region: Region) =
        region.LengthBytes > 0UL
        && naiveEnd region.GuestAddress region.LengthBytes <= bigint UInt64.MaxValue
        && naiveEnd region.UserAddress region.LengthBytes <= bigint UInt64.MaxValue

    let apart (first: Region) (second: Region) =
        naiveEnd first.GuestAddress first.LengthBytes <= bigint second.GuestAddress
        || naiveEnd second.GuestAddress second.LengthBytes <= bigint first.GuestAddress

    List.forall isWhole regions
    && List.indexed regions
       |> List.forall (fun (i, region) -> regions |> List.skip (i + 1) |> List.forall (apart region))

let private tableOf (regions: Region list) =
    regions
    |> List.mapi (fun i region -> struct (region, nativeint (0x1000 * (i + 1))))
    |> Array.ofList
    |> MemoryTable.Create

let private translation (regions: Region list, address: uint64, length: int) =
    let length = uint64 length

    match tableOf regions with
    | Error _ -> Expect.isFalse (isTable regions) "refused"
    | Ok table ->
        Expect.isTrue (isTable regions) "accepted"
        let mutable available = 77UL
        let mapped = table.Translate(address, &available)

        let holds start (region: Region) =
            bigint address >= bigint (start: uint64)
            && bigint address < naiveEnd start region.LengthBytes

        match
            List.indexed regions
            |> List.tryFind (fun (_, region) -> holds region.GuestAddress region)
        with
        | Some(i, region) ->
            let offset = address - region.GuestAddress
            Expect.equal mapped (nativeint (0x1000 * (i + 1)) + nativeint offset) "where"
            Expect.equal available (region.LengthBytes - offset) "how much"
            Expect.equal (table.GuestAddressOf mapped) address "back again"
            Expect.equal
                (table.TranslateWhole(address, length))
                (if length <= available then mapped else 0n)
                "a whole range"
        | None -> Expect.equal (mapped, available) (0n, 0UL) "nowhere"

        let ofUser = table.TranslateUser(address, length)

        let places = [
            for i, region in List.indexed regions do
                if
                    holds region.UserAddress region
                    && naiveEnd address length <= naiveEnd region.UserAddress region.LengthBytes
                then
                    nativeint (0x1000 * (i + 1)) + nativeint (address - region.UserAddress)
        ]

        Expect.isTrue
            (if places.IsEmpty then
                 ofUser = 0n
             else
                 List.contains ofUser places)
            "the front end's address"

/// The log of dirty pages against a set of pages.
let private dirty (ranges: (uint64 * uint64) list) =
    let length = 8
    let log =
        NativePtr.toNativeInt (NativePtr.ofVoidPtr<byte>(NativeMemory.AllocZeroed(unativeint length + 8un)))

    try
        for address, count in ranges do
            DirtyLog.mark log (uint64 length) address count

        let expected =
            set [
                for page in 0UL .. uint64 length * 8UL - 1UL do
                    for address, count in ranges do
                        if
                            count > 0UL
                            && bigint page * 4096I <= bigint address + bigint count - 1I
                            && bigint page * 4096I + 4095I >= bigint address
                        then
                            page
            ]

        let got =
            set [
                for page in 0UL .. uint64 (length + 8) * 8UL - 1UL do
                    if Shared.readU8 (log + nativeint (page / 8UL)) >>> int (page % 8UL) &&& 1uy = 1uy then
                        page
            ]

        Expect.equal got expected "pages"
    finally
        NativeMemory.Free(NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> log))

let private genDirtyAddress =
    Gen.oneof [
        Gen.choose (0, 70 * 4096) |> Gen.map uint64
        Gen.choose (0, 10000) |> Gen.map (fun i -> UInt64.MaxValue - uint64 i)
    ]

[<Tests>]
let tests =
    testList "Virtio.Memory" [
        testPropertyWithConfig many "translation"
        <| forAll (Gen.zip3 genRegions genAddress (Gen.choose (0, 40))) translation
        testPropertyWithConfig many "dirty pages"
        <| forAll
            (Gen.choose (0, 4)
             |> Gen.bind (fun count -> Gen.listOfLength count (Gen.zip genDirtyAddress genDirtyAddress)))
            dirty

        testCase "509 regions and no more"
        <| fun () ->
            let regions count = [ for i in 1..count -> region (uint64 i * 4096UL) 0UL 4096UL ]
            Expect.equal (Region.check (regions 509)) RegionError.None "509"
            Expect.equal (Region.check (regions 510)) RegionError.TooMany "510"
            Expect.equal (Region.check [ region 0UL 0UL (1UL <<< 57) ]) RegionError.TooLong "no process maps so much"
    ]

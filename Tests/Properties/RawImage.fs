module StorageDaemon.Tests.Properties.RawImage

open Expecto
open StorageDaemon.Core
open StorageDaemon.Core.Image

let private options offset size : RawOptions = { OffsetBytes = offset; SizeBytes = size }

let private settle offset size childBytes =
    match Raw.settle (options offset size) childBytes with
    | Ok geometry -> Ok(geometry.OffsetBytes, geometry.LengthBytes)
    | Error error -> Error error.Desc

[<Tests>]
let tests =
    testList "RawImage" [
        test "golden geometries" {
            let mib = 1048576L
            Expect.equal (settle None None mib) (Ok(0L, mib)) "all"
            Expect.equal (settle (Some 512L) None mib) (Ok(512L, mib - 512L)) "offset"
            Expect.equal (settle (Some 1L) None mib) (Ok(1L, mib)) "a partial sector counts"
            Expect.equal (settle (Some mib) None mib) (Ok(mib, 0L)) "nothing left"
            Expect.equal (settle (Some 488L) (Some 512L) 1024L) (Ok(488L, 512L)) "both"
            Expect.equal (settle None (Some 0L) mib) (Ok(0L, 0L)) "empty"
        }

        test "golden errors, in their order" {
            let error offset size =
                match settle offset size 1048576L with
                | Error text -> text
                | Ok _ -> "no error"

            Expect.equal
                (error (Some 1048577L) (Some 1L))
                "Offset (1048577) cannot be greater than size of the containing file (1048576)"
                "offset"

            Expect.equal
                (error (Some 512L) (Some 1048577L))
                "The sum of offset (512) and size (1048577) has to be smaller or equal to the  actual size of the containing file (1048576)"
                "sum"

            Expect.equal (error None (Some 1000L)) "Specified size is not multiple of 512" "multiple"

            Expect.equal
                (Raw.checkOptions (options None (Some -1L)))
                (QapiError.fail "Value '-1' is out of range for parameter 'size'")
                "negative"
        }

        test "resizing" {
            let childLength offset size bytes =
                Raw.childLength (options offset size) bytes |> Result.mapError _.Desc

            Expect.equal (childLength (Some 512L) None 1024L) (Ok 1536L) "offset"
            Expect.equal (childLength None (Some 512L) 512L) (Error "Cannot resize fixed-size raw disks") "fixed"

            Expect.equal
                (childLength (Some 512L) None System.Int64.MaxValue)
                (Error "Disk size too large for the chosen offset")
                "too large"
        }

        testProperty "whatever the options, the image lies inside its child"
        <| fun (offset: int64 option) (size: int64 option) (sectors: uint32) ->
            let childBytes = int64 sectors * 512L
            let given = options offset size

            match Raw.checkOptions given |> Result.bind (fun () -> Raw.settle given childBytes) with
            | Error _ -> true
            | Ok geometry ->
                geometry.OffsetBytes >= 0L
                && geometry.LengthBytes >= 0L
                && geometry.LengthBytes % 512L = 0L
                // The last sector may be a partial one.
                && geometry.OffsetBytes + geometry.LengthBytes < childBytes + 512L

        testProperty "a request maps if and only if all its bytes are in the image"
        <| fun (offset: int16) (length: int16) ->
            let geometry: RawGeometry = { OffsetBytes = 1000L; LengthBytes = 8192L; Fixed = true }

            let offset, length = int64 offset, int64 length
            let mapped = Raw.map &geometry offset length

            if offset >= 0L && length >= 0L && offset + length <= 8192L then
                mapped = ValueSome(offset + 1000L)
            else
                mapped = ValueNone

        test "requests at the end of the number range do not wrap" {
            let geometry: RawGeometry = { OffsetBytes = 1L; LengthBytes = 512L; Fixed = true }

            let max = System.Int64.MaxValue
            Expect.equal (Raw.map &geometry max max) ValueNone "both"
            Expect.equal (Raw.map &geometry 1L max) ValueNone "length"
        }
    ]

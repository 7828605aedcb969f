namespace StorageDaemon.Core.Qcow2

open System
open StorageDaemon.Core.Io

/// Reads that go to one place only. The mapping of an image that nobody may write to never changes, so that what is found
/// once holds as long as the image is open: chains of images are not walked for each read.
module internal Routing =
    let private pass (child: int) (shift: int64) (from: int64) (until: int64) (route: byref<Route>) =
        route <- { Child = child; Shift = shift; From = from; Until = until }

        true

    /// Bytes that the image does not have: those of the backing image, as far as it has them.
    let private below (image: Image) (offset: int64) (until: int64) (route: byref<Route>) =
        let length = ImageChildren.backingBytes image.Children offset (until - offset)

        length > 0L
        && pass image.Children.BackingChild 0L offset (offset + length) &route

    /// What a slice in memory says of the bytes from an offset on.
    let private fromSlice (image: Image) (offset: int64) (limit: int64) (route: byref<Route>) : bool =
        let g = image.Geometry

        match image.Slices.Find(Tables.sliceKey image offset) with
        | null -> false
        | slice when not slice.IsReady -> false
        | slice ->
            let index = Tables.indexInSlice image offset
            let run = Mapping.runAt &g (ReadOnlySpan slice.Bytes) index offset (limit - offset)

            if run.IsFaulty then
                false
            else
                match run.Kind with
                | ClusterKind.Normal ->
                    let shift = run.HostOffset - offset
                    pass image.Children.DataChild shift offset (offset + run.LengthBytes) &route
                | ClusterKind.Unallocated
                | ClusterKind.UnallocatedReserved -> below image offset (offset + run.LengthBytes) &route
                | _ -> false

    /// What tables in memory say about the bytes from an offset on, at most up to a limit.
    let find (image: Image) (offset: int64) (limit: int64) (route: byref<Route>) : bool =
        if image.IsWritable || image.IsDead || offset >= limit then
            false
        else
            let g = image.Geometry
            let l1Index = int (offset >>> Geometry.l1Bits &g)
            let entry = image.L1[l1Index]
            let span = 1L <<< Geometry.l1Bits &g

            if L1Entry.l2Offset entry = 0L then
                below image offset (min limit (offset - (offset &&& (span - 1L)) + span)) &route
            elif L1Entry.fault &g entry <> EntryFault.None then
                false
            else
                match image.LinearPlace offset with
                | -1L -> fromSlice image offset limit &route
                | place ->
                    let until = min limit (offset + Tables.bytesToSliceEnd image offset)
                    pass image.Children.DataChild (place - offset) offset until &route

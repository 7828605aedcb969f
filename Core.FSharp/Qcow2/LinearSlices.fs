namespace StorageDaemon.Core.Qcow2

open System

/// Slices of L2 tables whose clusters all have data and follow one another in the file, as large images have them where
/// space was laid out at once or data came in order. Such a slice is known by one number, so that reads all over an image
/// find their bytes though its tables do not fit into the cache. At most 2 MiB; what does not fit is forgotten and found
/// again by reading the slice.
[<Sealed>]
type LinearSlices() =
    /// Numbers of slices that stand together.
    static let pageBits = 10

    static let pages = 256

    /// Host offset of the first cluster, plus one; zero if it is not known. Bytes.
    let found: int64[][] = Array.zeroCreate pages

    /// Which slices a page is about: their key without the lower bits.
    let owners: int64[] = Array.zeroCreate pages

    let place (owner: int64) = int (owner &&& int64 (pages - 1))
    let within (key: int64) = int key &&& ((1 <<< pageBits) - 1)

    /// Whether the page of that owner has something to say.
    let isThere (owner: int64) =
        let at = place owner
        owners[at] = owner && not (isNull found[at])

    /// The host offset of the slice's first cluster in bytes, or -1 if nothing is known of the slice.
    member _.Find(key: int64) : int64 =
        let owner = key >>> pageBits

        if isThere owner then
            found[place owner][within key] - 1L
        else
            -1L

    member _.Learn(key: int64, hostOffset: int64) : unit =
        let owner = key >>> pageBits
        let at = place owner

        if isNull found[at] then
            found[at] <- Array.zeroCreate (1 <<< pageBits)
        elif owners[at] <> owner then
            Array.Clear found[at]

        owners[at] <- owner
        found[at][within key] <- hostOffset + 1L

    /// The slice changes.
    member _.Forget(key: int64) : unit =
        let owner = key >>> pageBits

        if isThere owner then
            found[place owner][within key] <- 0L

    member _.Clear() : unit = Array.Clear found

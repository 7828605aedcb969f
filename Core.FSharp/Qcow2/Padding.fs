namespace StorageDaemon.Core.Qcow2

/// Header extensions, snapshots and bitmaps of a directory begin at multiples of eight bytes.
module internal Padding =
    let roundUp (bytes: int) = (bytes + 7) &&& ~~~7

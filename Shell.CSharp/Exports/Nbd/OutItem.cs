namespace StorageDaemon.Shell.Exports.Nbd;

/// <summary>A piece of output that waits for the socket.</summary>
internal unsafe struct OutItem
{
    /// <summary>Bytes to send first.</summary>
    internal byte* Data;
    internal int Length;

    /// <summary>
    /// Then a range of a file, straight from the page cache, or zeroes where the descriptor is negative; length zero if
    /// none.
    /// </summary>
    internal int FileFd;
    internal long FileOffset;
    internal long FileLength;

    /// <summary>The descriptor is this item's own, to close when sent.</summary>
    internal bool OwnsFile;

    /// <summary>The request in flight that ends when this is sent; -1 for none.</summary>
    internal int Pending;

    /// <summary>Native memory to free when sent; null for none.</summary>
    internal byte* Owned;

    /// <summary>Bytes of <see cref="Owned"/> that count against what a client may leave unread.</summary>
    internal int CopiedBytes;
}

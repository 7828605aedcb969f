using System;
using StorageDaemon.Core;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Drivers;

/// <summary>
/// The last stretch of data that was found in a file. To take a hole for data only costs a read of zeroes, so the
/// stretch may be remembered; holes may be filled by other processes and are looked up each time.
/// </summary>
internal struct DataExtent
{
    private long _start;
    private long _end;
    private int _generation;

    internal readonly bool Covers(OpenFile file, long offset, long length) =>
        offset >= _start && offset + length <= _end && _generation == file.HoleGeneration;

    /// <summary>
    /// Whether a hole or data begins at the offset, and where that ends (at or beyond <paramref name="limit"/> means
    /// "covers all that was asked"). A file system that cannot tell has data everywhere. Clients ask for what they are
    /// told of, so a unit of the file's alignment that is data in part, as at the end of a file of odd length, is
    /// data as a whole.
    /// </summary>
    internal bool Lookup(OpenFile file, long offset, long limit, out long end)
    {
        if (Covers(file, offset, 1))
        {
            end = _end;
            return false;
        }

        int generation = file.HoleGeneration;
        long data = Libc.Lseek(file.Fd, offset, Libc.SEEK_DATA);
        if (data < 0)
        {
            // ENXIO: no data from here to the end of the file.
            end = limit;
            return Libc.Errno == Errno.ENXIO;
        }

        long unit = file.Alignment;
        end = data - (data % unit);
        if (end > offset)
        {
            return true;
        }

        long hole = Libc.Lseek(file.Fd, data, Libc.SEEK_HOLE);
        end = hole > offset ? Math.Min(hole + unit - 1 - ((hole + unit - 1) % unit), Math.Max(hole, limit)) : limit;
        _start = offset;
        _end = end;
        _generation = generation;
        return false;
    }
}

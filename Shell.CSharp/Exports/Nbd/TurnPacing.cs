using System;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Exports.Nbd;

/// <summary>
/// When a connection takes its next requests from the socket. A client with many reads in flight asks for them one by
/// one, and a server that always takes at once what is there deals with a few at a time: each receive, reply and wake-up
/// serves less, on both sides. So after a turn new requests may gather for a moment, the longer the more reads the client
/// keeps in flight: a seventh more of 4 KiB at a depth of 64, for less CPU time. Other connections go on meanwhile, and
/// a client with few requests in flight is never held up. Writes gain nothing by it.
/// </summary>
internal struct TurnPacing
{
    /// <summary>Fewer requests in flight are taken at once.</summary>
    private const int LeastDepth = 8;

    private const long NsPerRequest = 300;
    private const long LongestNs = 20_000;

    /// <summary>After so many turns the client's depth is measured anew.</summary>
    private const int TurnsPerProbe = 512;

    /// <summary>Without a client that has at least that many requests at once, there is nothing to measure.</summary>
    private const int LeastMean = 3;

    /// <summary>A probe is over when nothing more has come for so long: the client waits for replies.</summary>
    private const long QuietNs = 40_000;

    private const long LongestProbeNs = 300_000;

    private int _depth;
    private int _mean;
    private int _turns;
    private int _counted;
    private int _requests;
    private long _notBefore;
    private bool _probing;
    private long _probeStart;
    private long _lastGrowth;
    private int _pending;

    /// <summary>A few turns are enough for the first measurement.</summary>
    public TurnPacing() => _turns = TurnsPerProbe - 32;

    /// <summary>Whether the socket, which has something, may be read now; asked again soon if not.</summary>
    internal unsafe bool MayReceive(long nowNs, int fd)
    {
        if (!_probing)
        {
            return nowNs >= _notBefore;
        }

        int pending = 0;
        _ = Libc.Ioctl(fd, Libc.FIONREAD, &pending);
        if (pending > _pending)
        {
            _pending = pending;
            _lastGrowth = nowNs;
        }

        return nowNs - _lastGrowth > QuietNs || nowNs - _probeStart > LongestProbeNs;
    }

    /// <summary>A turn that took up reads is over.</summary>
    /// <param name="requests">How many.</param>
    internal void TurnEnded(long nowNs, int requests)
    {
        if (_probing)
        {
            _probing = false;

            // Less than usual: the client itself was held up.
            _depth = requests >= _mean ? requests : _depth;
        }

        _turns++;
        _counted++;
        _requests += requests;
        if (_turns >= TurnsPerProbe)
        {
            _mean = _requests / _counted;
            _probing = _mean >= LeastMean;
            _depth = _probing ? _depth : 0;
            _turns = 0;
            _counted = 0;
            _requests = 0;
            _probeStart = nowNs;
            _lastGrowth = nowNs;
            _pending = 0;
        }

        _notBefore = _depth < LeastDepth ? 0 : nowNs + Math.Min(_depth * NsPerRequest, LongestNs);
    }
}

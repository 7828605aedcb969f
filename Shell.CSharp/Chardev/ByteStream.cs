using System;
using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Chardev;

/// <summary>What became of a <see cref="ByteStream"/>.</summary>
internal enum StreamEnd
{
    /// <summary>The other side closed its end; output may still be possible.</summary>
    EndOfInput,

    /// <summary>Reading or writing failed, or the connection is gone.</summary>
    Broken,
}

/// <summary>
/// Non-blocking input and output on one or two descriptors. The owner closes them after disposing the stream.
/// The end is reported once, and never from within <see cref="Write"/>.
/// </summary>
internal sealed unsafe class ByteStream : IDisposable
{
    private const int ReadSize = 64 * 1024;

    private readonly Reactor _reactor;
    private readonly int _inputFd;
    private readonly int _outputFd;
    private readonly IByteStreamOwner _owner;
    private readonly OutputBuffer _output = new();
    private readonly byte[] _input = GC.AllocateUninitializedArray<byte>(ReadSize);
    private Reactor.Registration? _inputRegistration;
    private Reactor.Registration? _outputRegistration;
    private bool _wantsInput;
    private bool _inputEnded;
    private bool _broken;

    // A hang-up arrived while nobody was reading: epoll would report it again and again.
    private bool _isHungUp;
    private bool _isDisposed;

    /// <summary>A descriptor of -1 means no input or no output; both may be the same.</summary>
    internal ByteStream(Reactor reactor, int inputFd, int outputFd, IByteStreamOwner owner)
    {
        _reactor = reactor;
        _inputFd = inputFd;
        _outputFd = outputFd;
        _owner = owner;
        _inputEnded = inputFd < 0;
    }

    /// <summary>Bytes taken by <see cref="Write"/> but not by the kernel yet.</summary>
    internal int PendingBytes => _broken ? 0 : _output.Length;

    private bool IsShared => _inputFd == _outputFd;

    /// <summary>Starts or stops reading. A stream that does not read still notices a broken connection.</summary>
    internal void WantInput(bool wanted)
    {
        _wantsInput = wanted;
        Watch();
    }

    /// <summary>Writes what the kernel takes and keeps the rest for later.</summary>
    internal void Write(ReadOnlySpan<byte> bytes)
    {
        if (_isDisposed || _broken || _outputFd < 0)
        {
            return;
        }

        if (_output.Length > 0)
        {
            _output.Append(bytes);
            return;
        }

        int written = WriteSome(bytes);
        if (written < bytes.Length && !_broken)
        {
            _output.Append(bytes[written..]);
            Watch();
        }
    }

    /// <summary>Blocks until the pending output is written, but not longer than a given time.</summary>
    internal void Flush(int limitMs)
    {
        long deadline = Environment.TickCount64 + limitMs;
        while (_output.Length > 0 && !_isDisposed && !_broken)
        {
            var polled = new PollFd { Fd = _outputFd, Events = (short)Libc.EPOLLOUT };
            long left = deadline - Environment.TickCount64;
            if (left <= 0 || Libc.Poll(&polled, 1, (int)left) == 0)
            {
                return;
            }

            _output.Consume(WriteSome(_output.Pending));
        }
    }

    public void Dispose()
    {
        _isDisposed = true;
        _inputRegistration?.Dispose();
        _outputRegistration?.Dispose();
        _inputRegistration = null;
        _outputRegistration = null;
        _output.Clear();
    }

    private void Watch()
    {
        if (_isDisposed)
        {
            return;
        }

        bool read = _wantsInput && !_inputEnded;
        bool write = _output.Length > 0 && !_broken;
        if (IsShared)
        {
            // Without input, a registration for no events still tells of a hang-up, unless that is known already.
            uint events = (read ? Libc.EPOLLIN : _isHungUp ? 0 : Libc.EPOLLRDHUP) | (write ? Libc.EPOLLOUT : 0);
            bool watch = !_broken && !(_inputEnded && !write) && !(_isHungUp && events == 0);
            _inputRegistration = Watch(_inputRegistration, _inputFd, watch, events);
        }
        else
        {
            _inputRegistration = Watch(_inputRegistration, _inputFd, read, Libc.EPOLLIN);
            _outputRegistration = Watch(_outputRegistration, _outputFd, write, Libc.EPOLLOUT);
        }
    }

    private Reactor.Registration? Watch(Reactor.Registration? current, int fd, bool watch, uint events)
    {
        if (!watch)
        {
            current?.Dispose();
            return null;
        }

        current?.Modify(events);
        return current ?? _reactor.Register(fd, events, fd == _outputFd && !IsShared ? OnOutputReady : OnReady);
    }

    private void OnReady(uint events)
    {
        const uint gone = Libc.EPOLLHUP | Libc.EPOLLERR | Libc.EPOLLRDHUP;
        if (IsShared && (events & (Libc.EPOLLOUT | Libc.EPOLLERR)) != 0 && _output.Length > 0)
        {
            OnOutputReady(events);
        }

        if (_isDisposed || _broken)
        {
            return;
        }

        if (_wantsInput && (events & (Libc.EPOLLIN | gone)) != 0)
        {
            ReadOnce();
        }
        else if ((events & gone) != 0)
        {
            // Input may still wait in the socket for a reader who is only pausing: it decides.
            _isHungUp = true;
            Watch();
            _owner.OnStreamHungUp();
        }
    }

    private void ReadOnce()
    {
        nint count;
        int error;
        fixed (byte* buffer = _input)
        {
            count = Libc.Read(_inputFd, buffer, ReadSize);
            error = count < 0 ? Libc.Errno : 0;
        }

        if (count > 0)
        {
            _owner.OnStreamBytes(_input.AsSpan(0, (int)count));
        }
        else if (count == 0)
        {
            _inputEnded = true;
            Watch();
            _owner.OnStreamEnd(StreamEnd.EndOfInput);
        }
        else if (error is not (Core.Errno.EAGAIN or Core.Errno.EINTR))
        {
            _inputEnded = true;
            _broken = IsShared;
            Watch();
            _owner.OnStreamEnd(StreamEnd.Broken);
        }
    }

    private void OnOutputReady(uint events)
    {
        _output.Consume(WriteSome(_output.Pending));
        if (_broken)
        {
            return;
        }

        if (_output.Length == 0)
        {
            Watch();
            _owner.OnStreamDrained();
        }
    }

    /// <summary>How many bytes the kernel took; a failure marks the stream broken and reports it later.</summary>
    private int WriteSome(ReadOnlySpan<byte> bytes)
    {
        int done = 0;
        fixed (byte* start = bytes)
        {
            while (done < bytes.Length)
            {
                nint count = Libc.Write(_outputFd, start + done, (nuint)(bytes.Length - done));
                if (count > 0)
                {
                    done += (int)count;
                    continue;
                }

                int error = count < 0 ? Libc.Errno : Core.Errno.EIO;
                if (error == Core.Errno.EINTR)
                {
                    continue;
                }

                if (error != Core.Errno.EAGAIN)
                {
                    Break();
                }

                break;
            }
        }

        return done;
    }

    private void Break()
    {
        _broken = true;
        Watch();
        _reactor.Defer(() =>
        {
            if (!_isDisposed)
            {
                _owner.OnStreamEnd(StreamEnd.Broken);
            }
        });
    }
}

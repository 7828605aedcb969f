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

    private readonly Reactor reactor;
    private readonly int inputFd;
    private readonly int outputFd;
    private readonly IByteStreamOwner owner;
    private readonly OutputBuffer output = new();
    private readonly byte[] input = GC.AllocateUninitializedArray<byte>(ReadSize);
    private Reactor.Registration? inputRegistration;
    private Reactor.Registration? outputRegistration;
    private bool wantsInput;
    private bool inputEnded;
    private bool broken;

    // A hang-up arrived while nobody was reading: epoll would report it again and again.
    private bool isHungUp;
    private bool isDisposed;

    /// <summary>A descriptor of -1 means no input or no output; both may be the same.</summary>
    internal ByteStream(Reactor reactor, int inputFd, int outputFd, IByteStreamOwner owner)
    {
        this.reactor = reactor;
        this.inputFd = inputFd;
        this.outputFd = outputFd;
        this.owner = owner;
        inputEnded = inputFd < 0;
    }

    /// <summary>Bytes taken by <see cref="Write"/> but not by the kernel yet.</summary>
    internal int PendingBytes => broken ? 0 : output.Length;

    private bool IsShared => inputFd == outputFd;

    /// <summary>Starts or stops reading. A stream that does not read still notices a broken connection.</summary>
    internal void WantInput(bool wanted)
    {
        wantsInput = wanted;
        Watch();
    }

    /// <summary>Writes what the kernel takes and keeps the rest for later.</summary>
    internal void Write(ReadOnlySpan<byte> bytes)
    {
        if (isDisposed || broken || outputFd < 0)
        {
            return;
        }

        if (output.Length > 0)
        {
            output.Append(bytes);
            return;
        }

        int written = WriteSome(bytes);
        if (written < bytes.Length && !broken)
        {
            output.Append(bytes[written..]);
            Watch();
        }
    }

    /// <summary>Blocks until the pending output is written, but not longer than a given time.</summary>
    internal void Flush(int limitMs)
    {
        long deadline = Environment.TickCount64 + limitMs;
        while (output.Length > 0 && !isDisposed && !broken)
        {
            var polled = new PollFd { Fd = outputFd, Events = (short)Libc.EPOLLOUT };
            long left = deadline - Environment.TickCount64;
            if (left <= 0 || Libc.Poll(&polled, 1, (int)left) == 0)
            {
                return;
            }

            output.Consume(WriteSome(output.Pending));
        }
    }

    public void Dispose()
    {
        isDisposed = true;
        inputRegistration?.Dispose();
        outputRegistration?.Dispose();
        inputRegistration = null;
        outputRegistration = null;
        output.Clear();
    }

    private void Watch()
    {
        if (isDisposed)
        {
            return;
        }

        bool read = wantsInput && !inputEnded;
        bool write = output.Length > 0 && !broken;
        if (IsShared)
        {
            // Without input, a registration for no events still tells of a hang-up, unless that is known already.
            uint events = (read ? Libc.EPOLLIN : isHungUp ? 0 : Libc.EPOLLRDHUP) | (write ? Libc.EPOLLOUT : 0);
            bool watch = !broken && !(inputEnded && !write) && !(isHungUp && events == 0);
            inputRegistration = Watch(inputRegistration, inputFd, watch, events);
        }
        else
        {
            inputRegistration = Watch(inputRegistration, inputFd, read, Libc.EPOLLIN);
            outputRegistration = Watch(outputRegistration, outputFd, write, Libc.EPOLLOUT);
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
        return current ?? reactor.Register(fd, events, fd == outputFd && !IsShared ? OnOutputReady : OnReady);
    }

    private void OnReady(uint events)
    {
        const uint gone = Libc.EPOLLHUP | Libc.EPOLLERR | Libc.EPOLLRDHUP;
        if (IsShared && (events & (Libc.EPOLLOUT | Libc.EPOLLERR)) != 0 && output.Length > 0)
        {
            OnOutputReady(events);
        }

        if (isDisposed || broken)
        {
            return;
        }

        if (wantsInput && (events & (Libc.EPOLLIN | gone)) != 0)
        {
            ReadOnce();
        }
        else if ((events & gone) != 0)
        {
            // Input may still wait in the socket for a reader who is only pausing: it decides.
            isHungUp = true;
            Watch();
            owner.OnStreamHungUp();
        }
    }

    private void ReadOnce()
    {
        nint count;
        int error;
        fixed (byte* buffer = input)
        {
            count = Libc.Read(inputFd, buffer, ReadSize);
            error = count < 0 ? Libc.Errno : 0;
        }

        if (count > 0)
        {
            owner.OnStreamBytes(input.AsSpan(0, (int)count));
        }
        else if (count == 0)
        {
            inputEnded = true;
            Watch();
            owner.OnStreamEnd(StreamEnd.EndOfInput);
        }
        else if (error is not (Core.Errno.EAGAIN or Core.Errno.EINTR))
        {
            inputEnded = true;
            broken = IsShared;
            Watch();
            owner.OnStreamEnd(StreamEnd.Broken);
        }
    }

    private void OnOutputReady(uint events)
    {
        output.Consume(WriteSome(output.Pending));
        if (broken)
        {
            return;
        }

        if (output.Length == 0)
        {
            Watch();
            owner.OnStreamDrained();
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
                nint count = Libc.Write(outputFd, start + done, (nuint)(bytes.Length - done));
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
        broken = true;
        Watch();
        reactor.Defer(() =>
        {
            if (!isDisposed)
            {
                owner.OnStreamEnd(StreamEnd.Broken);
            }
        });
    }
}

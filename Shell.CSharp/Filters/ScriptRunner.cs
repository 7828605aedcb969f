using System;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Threading;
using Microsoft.FSharp.Core;
using StorageDaemon.Core;
using StorageDaemon.Core.Io;
using StorageDaemon.Shell.Drivers;
using StorageDaemon.Shell.IOThreads;

namespace StorageDaemon.Shell.Filters;

/// <summary>
/// Carries out a script of I/O on nodes: its requests on an IOThread, one after another, and what it computes between
/// them on the caller's own thread, which is another one.
/// </summary>
internal sealed unsafe class ScriptRunner : IRequestOwner, IDisposable
{
    private readonly IOThread _thread;
    private readonly IScriptChildren _children;
    private readonly ManualResetEventSlim _ended = new();
    private byte* _buffer;
    private nuint _capacity;
    private int _error;

    private ScriptRunner(IOThread thread, IScriptChildren children)
    {
        _thread = thread;
        _children = children;
    }

    /// <summary>Runs a script to its end; false if it was stopped before.</summary>
    internal static bool TryRun<T>(IOThread thread, IScriptChildren children, IoScript<T> script, out T result)
    {
        using ScriptRunner runner = new(thread, children);
        while (script is not IoScript<T>.Finished)
        {
            if (children.IsStopped)
            {
                result = default!;
                return false;
            }

            script = runner.Step(script);
        }

        result = ((IoScript<T>.Finished)script).Item;
        return true;
    }

    private IoScript<T> Step<T>(IoScript<T> script)
    {
        switch (script)
        {
            case IoScript<T>.ReadChild read:
                Send(RequestKind.Read, read.child, read.offset, read.length);
                return read.next.Invoke(_error == 0
                    ? FSharpResult<byte[], int>.NewOk(new ReadOnlySpan<byte>(_buffer, read.length).ToArray())
                    : FSharpResult<byte[], int>.NewError(_error));
            case IoScript<T>.WriteChild write:
                Reserve(write.data.Length);
                write.data.CopyTo(new Span<byte>(_buffer, write.data.Length));
                Send(RequestKind.Write, write.child, write.offset, write.data.Length);
                return write.next.Invoke(Done());
            case IoScript<T>.FlushChild flush:
                Send(RequestKind.Flush, flush.child, 0, 0);
                return flush.next.Invoke(Done());
            case IoScript<T>.DiscardChild discard:
                Send(RequestKind.Discard, discard.child, discard.offset, discard.length);
                return discard.next.Invoke(Done());
            case IoScript<T>.MeasureChild measure:
                return measure.next.Invoke(_children.Measure(measure.child));
            case IoScript<T>.ResizeChild resize:
                return resize.next.Invoke(_children.Resize(resize.child, resize.bytes, resize.mode));
            case IoScript<T>.Report report:
                _children.Report(report.current, report.total);
                return report.next.Invoke(null!);
            default:
                throw new UnreachableException();
        }
    }

    private void Send(RequestKind kind, int child, long offset, long length)
    {
        bool hasData = kind is RequestKind.Read or RequestKind.Write;
        if (hasData)
        {
            Reserve((int)length);
        }

        NodePath path = _children.Enter(child);
        if (kind == RequestKind.Write && offset + length > path.SizeBytes)
        {
            // The node cannot grow.
            _error = Errno.ENOSPC;
        }
        else
        {
            FileRequest request = new() { Kind = kind, Offset = offset, Length = length };
            _ended.Reset();
            _thread.Post(() => _thread.StartOn(path, in request, hasData ? _buffer : null, this, 0));
            _ended.Wait();
        }

        _children.Leave();
    }

    public void OnRequestDone(int tag, in FileRequest request)
    {
        _error = request.Error;
        _ended.Set();
    }

    private FSharpResult<Unit, int> Done() =>
        _error == 0 ? FSharpResult<Unit, int>.NewOk(null!) : FSharpResult<Unit, int>.NewError(_error);

    private void Reserve(int length)
    {
        if ((nuint)length > _capacity)
        {
            NativeMemory.AlignedFree(_buffer);
            _capacity = ((nuint)length + 4095) & ~(nuint)4095;
            _buffer = (byte*)NativeMemory.AlignedAlloc(_capacity, 4096);
        }
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(_buffer);
        _ended.Dispose();
    }
}

using System;
using System.Runtime.InteropServices;
using System.Threading;
using Microsoft.FSharp.Core;
using StorageDaemon.Core.Io;
using StorageDaemon.Shell.Drivers;
using StorageDaemon.Shell.IOThreads;

namespace StorageDaemon.Shell.Filters;

/// <summary>Carries out a script of I/O on a node's children, one request after another on an IOThread.</summary>
internal sealed unsafe class ScriptRunner<T> : IRequestOwner, IDisposable
{
    private readonly IOThread _thread;
    private readonly NodePath[] _children;
    private readonly ManualResetEventSlim _finished = new();
    private IoScript<T> _script;
    private byte* _buffer;
    private nuint _capacity;
    private int _error;
    private bool _isRunning;
    private bool _hasEnded;

    private ScriptRunner(IOThread thread, NodePath[] children, IoScript<T> script)
    {
        _thread = thread;
        _children = children;
        _script = script;
    }

    /// <summary>Runs a script to its end, from another thread than the IOThread.</summary>
    internal static T Run(IOThread thread, NodePath[] children, IoScript<T> script)
    {
        using ScriptRunner<T> runner = new(thread, children, script);
        thread.Post(runner.Go);
        runner._finished.Wait();
        return ((IoScript<T>.Finished)runner._script).Item;
    }

    /// <summary>Requests that end at once are gone through in a loop, however many there are.</summary>
    private void Go()
    {
        _isRunning = true;
        do
        {
            _hasEnded = false;
            if (_script is IoScript<T>.Finished)
            {
                _isRunning = false;
                _finished.Set();
                return;
            }

            Begin();
            if (_hasEnded)
            {
                TakeEnd();
            }
        }
        while (_hasEnded);
        _isRunning = false;
    }

    private void Begin()
    {
        switch (_script)
        {
            case IoScript<T>.ReadChild read:
                Start(RequestKind.Read, read.child, read.offset, read.length);
                break;
            case IoScript<T>.WriteChild write:
                Reserve(write.data.Length);
                write.data.CopyTo(new Span<byte>(_buffer, write.data.Length));
                Start(RequestKind.Write, write.child, write.offset, write.data.Length);
                break;
            case IoScript<T>.FlushChild flush:
                Start(RequestKind.Flush, flush.child, 0, 0);
                break;
            case IoScript<T>.DiscardChild discard:
                Start(RequestKind.Discard, discard.child, discard.offset, discard.length);
                break;
        }
    }

    private void Start(RequestKind kind, int child, long offset, long length)
    {
        bool hasData = kind is RequestKind.Read or RequestKind.Write;
        if (hasData)
        {
            Reserve((int)length);
        }

        FileRequest request = new() { Kind = kind, Offset = offset, Length = length };
        _thread.StartOn(_children[child], in request, hasData ? _buffer : null, this, 0);
    }

    public void OnRequestDone(int tag, in FileRequest request)
    {
        _error = request.Error;
        _hasEnded = true;
        if (!_isRunning)
        {
            TakeEnd();
            Go();
        }
    }

    private void TakeEnd()
    {
        switch (_script)
        {
            case IoScript<T>.ReadChild read:
                _script = read.next.Invoke(_error == 0
                    ? FSharpResult<byte[], int>.NewOk(new ReadOnlySpan<byte>(_buffer, read.length).ToArray())
                    : FSharpResult<byte[], int>.NewError(_error));
                break;
            case IoScript<T>.WriteChild write:
                _script = write.next.Invoke(Done());
                break;
            case IoScript<T>.FlushChild flush:
                _script = flush.next.Invoke(Done());
                break;
            case IoScript<T>.DiscardChild discard:
                _script = discard.next.Invoke(Done());
                break;
        }
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
        _finished.Dispose();
    }
}

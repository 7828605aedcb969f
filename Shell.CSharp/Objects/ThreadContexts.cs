using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Text;
using System.Threading;
using Microsoft.FSharp.Collections;
using StorageDaemon.Core.Daemon;
using StorageDaemon.Core.Qom;
using StorageDaemon.Shell.Cli;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Objects;

/// <summary>The threads of thread-context objects: they sleep, and show where threads like them may run.</summary>
internal sealed unsafe class ThreadContexts : IDisposable
{
    /// <summary>Room for as many processors as a number of 16 bits can name.</summary>
    private const int MaskBytes = 8192;

    private const int MaxListBytes = 65536;

    private readonly Dictionary<string, Sleeper> _threads = [];

    internal Answer Start(string id, ThreadContext settings)
    {
        var sleeper = new Sleeper(id);
        Answer placed = Place(sleeper, settings.Wanted?.Value);
        if (placed.IsRefused)
        {
            sleeper.Dispose();
        }
        else
        {
            _threads.Add(id, sleeper);
        }

        return placed;
    }

    internal Answer Place(string id, Affinity wanted) => Place(_threads[id], wanted);

    internal void Stop(string id)
    {
        if (_threads.Remove(id, out Sleeper? sleeper))
        {
            sleeper.Dispose();
        }
    }

    private static Answer Place(Sleeper sleeper, Affinity? wanted)
    {
        if (wanted is not null)
        {
            List<int> cpus = CpusOf(wanted);
            if (cpus.Count == 0)
            {
                return Refused("The nodes select no CPUs");
            }

            byte* mask = stackalloc byte[MaskBytes];
            new Span<byte>(mask, MaskBytes).Clear();
            foreach (int cpu in cpus)
            {
                mask[cpu / 8] |= (byte)(1 << (cpu % 8));
            }

            if (Libc.SchedSetAffinity(sleeper.ThreadId, MaskBytes, mask) < 0)
            {
                return Refused("Setting CPU affinity failed: " + Libc.Strerror(Libc.Errno));
            }
        }

        return Read(sleeper.ThreadId);
    }

    private static Answer Read(int threadId)
    {
        byte* mask = stackalloc byte[MaskBytes];
        new Span<byte>(mask, MaskBytes).Clear();
        if (Libc.SchedGetAffinity(threadId, MaskBytes, mask) < 0)
        {
            return Refused("Getting CPU affinity failed: " + Libc.Strerror(Libc.Errno));
        }

        List<long> cpus = [];
        for (int cpu = 0; cpu < MaskBytes * 8; cpu++)
        {
            if ((mask[cpu / 8] & (1 << (cpu % 8))) != 0)
            {
                cpus.Add(cpu);
            }
        }

        return Answer.NewThreadPlaced(threadId, ListModule.OfSeq(cpus));
    }

    private static List<int> CpusOf(Affinity wanted) => wanted switch
    {
        Affinity.Cpus cpus => [.. cpus.Item.Select(cpu => (int)cpu)],
        Affinity.Nodes nodes => [.. nodes.Item.SelectMany(CpusOfNode)],
        _ => throw new ArgumentOutOfRangeException(nameof(wanted)),
    };

    /// <summary>The processors of a NUMA node; none if there is no such node.</summary>
    private static IEnumerable<int> CpusOfNode(ushort node)
    {
        string path = "/sys/devices/system/node/node" + node.ToString(CultureInfo.InvariantCulture) + "/cpulist";
        FileContent content = BoundedFile.ReadContent(path, MaxListBytes);
        return ThreadContextModule.ofKernelList(Encoding.ASCII.GetString(content.Bytes));
    }

    private static Answer Refused(string text) => Answer.NewRefused(Core.QapiErrorModule.generic(text));

    public void Dispose()
    {
        foreach (Sleeper sleeper in _threads.Values)
        {
            sleeper.Dispose();
        }

        _threads.Clear();
    }

    /// <summary>A thread that does nothing until it is to end.</summary>
    private sealed class Sleeper : IDisposable
    {
        private const int StackBytes = 131072;

        private readonly ManualResetEventSlim _started = new();
        private readonly ManualResetEventSlim _end = new();
        private readonly Thread _thread;

        internal Sleeper(string name)
        {
            _thread = new Thread(Run, StackBytes) { IsBackground = true, Name = name };
            _thread.Start();
            _started.Wait();
        }

        internal int ThreadId { get; private set; }

        private void Run()
        {
            ThreadId = Libc.GetTid();
            _started.Set();
            _end.Wait();
        }

        public void Dispose()
        {
            _end.Set();
            _thread.Join();
            _started.Dispose();
            _end.Dispose();
        }
    }
}

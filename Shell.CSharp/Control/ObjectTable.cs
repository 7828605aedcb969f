using StorageDaemon.Core.Observe;
using StorageDaemon.Core.Qom;
using StorageDaemon.Shell.Filters;
using StorageDaemon.Shell.IOThreads;
using StorageDaemon.Shell.Observe;

namespace StorageDaemon.Shell.Control;

/// <summary>What users' objects stand for outside the core. On the control thread only.</summary>
internal sealed class ObjectTable(IOThreadPool threads, NodeTable nodes)
{
    /// <summary>Brings an object to life; throws where the process can have no more threads or descriptors.</summary>
    internal void Start(string id, UserObject settings)
    {
        switch (settings)
        {
            case UserObject.Iothread iothread:
                Trace.Write(TracePoints.IothreadStart, id);
                threads.Start(id, iothread.Item);
                break;
            case UserObject.ThrottleGroup group:
                nodes.CreateGroup(id, Core.Qom.ThrottleGroup.limits(group.Item));
                break;
        }
    }

    /// <summary>An object has other settings now.</summary>
    internal void Tune(string id, UserObject settings)
    {
        switch (settings)
        {
            case UserObject.Iothread iothread:
                threads.Tune(id, iothread.Item);
                break;
            case UserObject.ThrottleGroup group:
                nodes.SetGroupLimits(id, Core.Qom.ThrottleGroup.limits(group.Item));
                break;
        }
    }

    internal void Stop(string id, UserObject settings)
    {
        switch (settings)
        {
            case UserObject.Iothread:
                Trace.Write(TracePoints.IothreadStop, id);
                threads.Stop(id);
                break;
            case UserObject.ThrottleGroup:
                nodes.RemoveGroup(id);
                break;
        }
    }
}

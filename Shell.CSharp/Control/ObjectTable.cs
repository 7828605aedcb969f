using System;
using Microsoft.FSharp.Core;
using StorageDaemon.Core;
using StorageDaemon.Core.Daemon;
using StorageDaemon.Core.Observe;
using StorageDaemon.Core.Qom;
using StorageDaemon.Shell.Crypto;
using StorageDaemon.Shell.Filters;
using StorageDaemon.Shell.IOThreads;
using StorageDaemon.Shell.Objects;
using StorageDaemon.Shell.Observe;

namespace StorageDaemon.Shell.Control;

/// <summary>What users' objects stand for outside the core. On the control thread only.</summary>
/// <param name="threads">The threads of iothreads.</param>
/// <param name="nodes">Knows the throttle groups.</param>
/// <param name="reactor">The control thread's loop.</param>
/// <param name="authzFileRead">Told what the file of an authz-list-file holds after it has changed.</param>
internal sealed class ObjectTable(
    IOThreadPool threads, NodeTable nodes, Reactor reactor, Action<string, FSharpResult<byte[], string>> authzFileRead)
    : IDisposable
{
    private readonly SecretStore _secrets = new();
    private readonly ThreadContexts _contexts = new();
    private readonly AuthzFiles _authzFiles = new(reactor, authzFileRead);
    private readonly PrHelperTable _prHelpers = new();

    /// <summary>Brings an object to life; throws where the process can have no more threads or descriptors.</summary>
    internal Answer Start(string id, UserObject settings)
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
            case UserObject.ThreadContext context:
                return _contexts.Start(id, context.Item);
            case UserObject.AuthzListFile file:
                return _authzFiles.Start(id, file.Item);
            case UserObject.PrManagerHelper helper:
                return OfError(_prHelpers.Start(id, helper.Item.Path));
        }

        return Answer.Finished;
    }

    /// <summary>Gets the bytes of a secret.</summary>
    internal Answer LoadSecret(string id, SecretOrder order) => OfError(_secrets.Load(id, order));

    /// <summary>Lets the thread of an object run elsewhere.</summary>
    internal Answer PlaceThread(string id, Affinity wanted) => _contexts.Place(id, wanted);

    private static Answer OfError(QapiError? error) => error is null ? Answer.Finished : Answer.NewRefused(error);

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
            case UserObject.PrManagerHelper helper:
                _prHelpers.SetPath(id, helper.Item.Path);
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
            case UserObject.Secret or UserObject.SecretKeyring:
                _secrets.Remove(id);
                break;
            case UserObject.ThreadContext:
                _contexts.Stop(id);
                break;
            case UserObject.AuthzListFile:
                _authzFiles.Stop(id);
                break;
            case UserObject.PrManagerHelper:
                _prHelpers.Stop(id);
                break;
        }
    }

    public void Dispose()
    {
        _contexts.Dispose();
        _authzFiles.Dispose();
        _prHelpers.Dispose();
    }
}

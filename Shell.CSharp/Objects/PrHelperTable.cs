using System;
using System.Collections.Generic;
using StorageDaemon.Core;
using StorageDaemon.Shell.Net;

namespace StorageDaemon.Shell.Objects;

/// <summary>The helpers of pr-manager-helper objects, by id.</summary>
internal sealed class PrHelperTable : IDisposable
{
    private readonly Dictionary<string, PrHelperClient> _clients = [];

    /// <summary>Connects to a helper; the error if there is none.</summary>
    internal QapiError? Start(string id, string path)
    {
        Outcome<PrHelperClient> client = PrHelperClient.Connect(path);
        if (client.Error is not null)
        {
            return client.ToQapiError();
        }

        _clients.Add(id, client.Value);
        return null;
    }

    internal void SetPath(string id, string path) => _clients[id].Path = path;

    internal void Stop(string id)
    {
        if (_clients.Remove(id, out PrHelperClient? client))
        {
            client.Dispose();
        }
    }

    public void Dispose()
    {
        foreach (PrHelperClient client in _clients.Values)
        {
            client.Dispose();
        }

        _clients.Clear();
    }
}

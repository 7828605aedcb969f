using System;
using System.Collections.Generic;
using Microsoft.FSharp.Core;
using StorageDaemon.Core;
using StorageDaemon.Core.Json;
using StorageDaemon.Core.Qapi;
using StorageDaemon.Core.Qmp;
using StorageDaemon.Shell.Chardev;

namespace StorageDaemon.Shell.Control;

/// <summary>The monitors, all of which hear of each event.</summary>
internal sealed class MonitorTable(
    string package, FSharpFunc<string, bool> isCommand, Func<Request, FSharpResult<Json, QapiError>> execute)
{
    private readonly List<Monitor> _monitors = [];

    internal void Start(MonitorOptions options, CharacterDevice chardev)
    {
        bool pretty = FSharpOption<bool>.get_IsSome(options.Pretty) && options.Pretty.Value;
        Session.Config config = new(package, true, pretty, isCommand);
        Monitor monitor = new(chardev, config, execute);
        _monitors.Add(monitor);
        monitor.Start();
    }

    internal void Emit(string name, Json data)
    {
        long microseconds = (DateTime.UtcNow - DateTime.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond;
        foreach (Monitor monitor in _monitors)
        {
            monitor.Emit(name, data, microseconds / 1_000_000, microseconds % 1_000_000);
        }
    }
}

using System;
using System.Collections.Generic;
using System.Linq;
using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;
using StorageDaemon.Core;
using StorageDaemon.Core.Json;
using StorageDaemon.Core.Observe;
using StorageDaemon.Core.Qapi;
using StorageDaemon.Core.Qmp;
using StorageDaemon.Shell.Chardev;

namespace StorageDaemon.Shell.Control;

/// <summary>The monitors, all of which hear of each event.</summary>
internal sealed class MonitorTable(
    string package, FSharpFunc<string, bool> isCommand, Func<Request, FSharpResult<Json, QapiError>> execute)
{
    private readonly List<(string Chardev, Monitor Monitor)> _monitors = [];

    internal FSharpList<MonitorMetrics> Metrics() => ListModule.OfSeq(_monitors.Select(entry =>
    {
        Session.Counts counts = entry.Monitor.Counts;
        return new MonitorMetrics(entry.Chardev, counts.Commands, counts.Successes, counts.Errors, counts.Events);
    }));

    internal void Start(MonitorOptions options, CharacterDevice chardev)
    {
        bool pretty = FSharpOption<bool>.get_IsSome(options.Pretty) && options.Pretty.Value;
        Session.Config config = new(package, true, pretty, isCommand);
        Monitor monitor = new(chardev, config, execute);
        _monitors.Add((options.Chardev, monitor));
        monitor.Start();
    }

    internal void Emit(string name, Json data)
    {
        long microseconds = (DateTime.UtcNow - DateTime.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond;
        foreach ((_, Monitor monitor) in _monitors)
        {
            monitor.Emit(name, data, microseconds / 1_000_000, microseconds % 1_000_000);
        }
    }
}

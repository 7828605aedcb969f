using System;
using System.Collections.Generic;
using System.Diagnostics;
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
    Reactor reactor, string package, FSharpFunc<string, bool> isCommand, Func<Request, FSharpResult<Json, QapiError>> execute)
{
    private readonly List<(string Chardev, Monitor Monitor)> _monitors = [];
    private EventRate _rate = EventRateModule.empty;
    private bool _waiting;

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

    /// <summary>Tells an event, now or, where its kind comes too often, later.</summary>
    internal void Emit(string name, FSharpList<Tuple<string, Json>> data)
    {
        QmpEvent happened = new(name, data);
        (bool now, _rate) = EventRateModule.offer(Stopwatch.GetTimestamp(), happened, _rate);
        if (now)
        {
            Tell(happened);
        }

        WaitForPeriod();
    }

    private void WaitForPeriod()
    {
        if (!_waiting && EventRateModule.nextNs(_rate) is { Value: var due })
        {
            _waiting = true;
            long delayMs = Math.Max(0, (due - Stopwatch.GetTimestamp() + 999_999) / 1_000_000);
            _ = reactor.AfterMs(delayMs, () =>
            {
                _waiting = false;
                (FSharpList<QmpEvent> events, _rate) = EventRateModule.expire(Stopwatch.GetTimestamp(), _rate);
                foreach (QmpEvent late in events)
                {
                    Tell(late);
                }

                WaitForPeriod();
            });
        }
    }

    private void Tell(QmpEvent happened)
    {
        Json data = Json.NewObject(happened.Data);
        long microseconds = (DateTime.UtcNow - DateTime.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond;
        foreach ((_, Monitor monitor) in _monitors)
        {
            monitor.Emit(happened.Name, data, microseconds / 1_000_000, microseconds % 1_000_000);
        }
    }
}

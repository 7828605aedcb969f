using System;
using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Native;

namespace StorageDaemon.Shell.Supervision;

/// <summary>
/// Tells the supervisor how the daemon is. Signs of life come from the control thread's own loop, so that they stop
/// when it hangs.
/// </summary>
internal sealed class Supervisor : IDisposable
{
    /// <summary>Many changes in a row are told of once.</summary>
    private const int StatusDelayMs = 500;

    private readonly Reactor _reactor;
    private readonly Notifier? _notifier;
    private readonly long _signOfLifeMs;
    private readonly Func<string> _status;
    private string _toldStatus = "";
    private ReactorTimer? _statusTimer;
    private ReactorTimer? _signOfLife;
    private bool _isReady;

    /// <param name="reactor">The control thread's loop.</param>
    /// <param name="environment">What the supervisor wants.</param>
    /// <param name="status">A line about what the daemon does now.</param>
    internal Supervisor(Reactor reactor, SupervisorEnvironment environment, Func<string> status)
    {
        _reactor = reactor;
        _notifier = Notifier.Open(environment.NotifySocket);
        _status = status;
        // Twice in each period, as sd_watchdog_enabled(3) advises.
        _signOfLifeMs = environment.WatchdogMicroseconds > 0
            ? Math.Max(1, environment.WatchdogMicroseconds / 2000)
            : 0;
    }

    /// <summary>Everything is set up, and clients are let in.</summary>
    internal void Ready()
    {
        if (_notifier == null)
        {
            return;
        }

        _isReady = true;
        _toldStatus = _status();
        _notifier.Send("READY=1", "MAINPID=" + Libc.GetPid(), "STATUS=" + _toldStatus);
        if (_signOfLifeMs > 0)
        {
            ShowLife();
        }
    }

    /// <summary>What <c>status</c> says may have changed.</summary>
    internal void Changed()
    {
        if (_isReady)
        {
            _statusTimer ??= _reactor.AfterMs(StatusDelayMs, TellStatus);
        }
    }

    /// <summary>The end has begun.</summary>
    internal void Stopping()
    {
        _isReady = false;
        _statusTimer?.Cancel();
        _notifier?.Send("STOPPING=1", "STATUS=Ending exports");
    }

    private void TellStatus()
    {
        _statusTimer = null;
        string status = _status();
        if (_isReady && status != _toldStatus)
        {
            _toldStatus = status;
            _notifier!.Send("STATUS=" + status);
        }
    }

    private void ShowLife()
    {
        _notifier!.Send("WATCHDOG=1");
        _signOfLife = _reactor.AfterMs(_signOfLifeMs, ShowLife);
    }

    public void Dispose()
    {
        _signOfLife?.Cancel();
        _statusTimer?.Cancel();
        _notifier?.Dispose();
    }
}

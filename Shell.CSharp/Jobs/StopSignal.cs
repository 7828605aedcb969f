namespace StorageDaemon.Shell.Jobs;

/// <summary>Tells work on another thread to come to an end early.</summary>
internal sealed class StopSignal
{
    private volatile bool _isSet;

    internal bool IsSet => _isSet;

    internal void Set() => _isSet = true;
}

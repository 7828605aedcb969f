using System;
using StorageDaemon.Shell.Control;

namespace StorageDaemon.Shell.Chardev;

/// <summary>What character devices need from the process.</summary>
/// <param name="Reactor">The control thread's loop.</param>
/// <param name="Report">
/// Prints an error line that belongs to no command (after the program's name), e.g. a failed reconnect.
/// </param>
/// <param name="Inform">Prints an "info: ..." line in the context of the option being processed.</param>
/// <param name="Daemonized">Standard input and output will go away.</param>
internal sealed record ChardevContext(
    Reactor Reactor,
    Action<string> Report,
    Action<string> Inform,
    bool Daemonized)
{
    /// <summary>Prints text to standard output as it is.</summary>
    internal Action<string> Print { get; init; } = _ => { };

    /// <summary>Somebody at a shared device asks for the daemon's end.</summary>
    internal Action Quit { get; init; } = () => { };
}

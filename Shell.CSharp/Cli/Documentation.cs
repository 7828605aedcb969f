using System;
using System.CommandLine;
using StorageDaemon.Core.Docs;

namespace StorageDaemon.Shell.Cli;

/// <summary>
/// <c>storage-daemon docs …</c>: prints what the descriptions of the interface say, as manual pages and completions.
/// The daemon's own options are not its business: those are getopt's, with their order and abbreviations.
/// </summary>
internal static class Documentation
{
    /// <summary>The first word of a command line that is not the daemon's.</summary>
    internal const string Word = "docs";

    /// <summary>Runs the words behind <see cref="Word"/>; the exit status.</summary>
    /// <param name="arguments">The words.</param>
    /// <param name="package">The program's name and version.</param>
    internal static int Run(string[] arguments, string package)
    {
        Command completions = new("completions", "Completions for a shell.");
        completions.Subcommands.Add(Printing("bash", "For bash.", Completions.bash));
        completions.Subcommands.Add(Printing("zsh", "For zsh.", Completions.zsh));
        completions.Subcommands.Add(Printing("fish", "For fish.", Completions.fish));
        RootCommand root = new("Prints documentation of storage-daemon.");
        root.Subcommands.Add(Printing("man", "The manual page, storage-daemon(1).", () => ManualPage.text(package)));
        root.Subcommands.Add(Printing(
            "qmp-ref", "The reference of QMP, storage-daemon-qmp-ref(7).", () => QmpReference.text(package)));
        root.Subcommands.Add(completions);
        return root.Parse(arguments).Invoke();
    }

    private static Command Printing(string name, string description, Func<string> text)
    {
        Command command = new(name, description);
        command.SetAction(_ => ErrorReport.Print(text()));
        return command;
    }
}

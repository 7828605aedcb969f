using System;
using System.Collections.Generic;
using System.IO;
using Microsoft.FSharp.Core;
using StorageDaemon.Core;
using StorageDaemon.Core.Daemon;
using StorageDaemon.Core.Qom;
using StorageDaemon.Shell.Cli;
using StorageDaemon.Shell.Control;
using StorageDaemon.Shell.Net;

namespace StorageDaemon.Shell.Objects;

/// <summary>The files of authz-list-file objects. On the control thread only.</summary>
/// <param name="reactor">The control thread's loop.</param>
/// <param name="readAgain">Told what a file holds after it has changed, or why it could not be read.</param>
internal sealed class AuthzFiles(Reactor reactor, Action<string, FSharpResult<byte[], string>> readAgain) : IDisposable
{
    private readonly Dictionary<string, FileWatch> _watches = [];

    /// <summary>Reads the file of a new object, and watches it if the object wants that.</summary>
    internal Answer Start(string id, AuthzListFile settings)
    {
        // --daemonize changes the working directory.
        string path = Path.GetFullPath(settings.Filename);
        if (settings.Refresh)
        {
            // Before the file is read: no change can be missed.
            Outcome<FileWatch> watch = FileWatch.Start(path, reactor, () => readAgain(id, Read(path)));
            if (watch.Error is not null)
            {
                return Answer.NewRefused(watch.ToQapiError());
            }

            _watches.Add(id, watch.Value);
        }

        FSharpResult<byte[], string> content = Read(path);
        if (content.IsOk)
        {
            return Answer.NewBytes(content.ResultValue);
        }

        Stop(id);
        return Answer.NewRefused(QapiErrorModule.generic(content.ErrorValue));
    }

    private static FSharpResult<byte[], string> Read(string path)
    {
        Outcome<byte[]> content = BoundedFile.Read(path, AuthzListFileModule.MaxBytes);
        return content.Error is null
            ? FSharpResult<byte[], string>.NewOk(content.Value)
            : FSharpResult<byte[], string>.NewError(content.Error);
    }

    internal void Stop(string id)
    {
        if (_watches.Remove(id, out FileWatch? watch))
        {
            watch.Dispose();
        }
    }

    public void Dispose()
    {
        foreach (FileWatch watch in _watches.Values)
        {
            watch.Dispose();
        }

        _watches.Clear();
    }
}

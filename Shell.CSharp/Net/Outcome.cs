using System;
using StorageDaemon.Core;

namespace StorageDaemon.Shell.Net;

/// <summary>A value, or the text of the error that kept it from coming about.</summary>
internal readonly struct Outcome<T>
    where T : notnull
{
    private readonly T? _value;

    private Outcome(T? value, string? error, string? hint)
    {
        _value = value;
        Error = error;
        Hint = hint;
    }

    /// <summary>Null when there is a value.</summary>
    internal string? Error { get; }

    /// <summary>A second line that only the command line prints; null for none.</summary>
    internal string? Hint { get; }

    internal T Value => Error is null ? _value! : throw new InvalidOperationException(Error);

    /// <summary>The error as commands and options report it.</summary>
    internal QapiError ToQapiError()
    {
        QapiError error = QapiErrorModule.generic(Error);
        return Hint == null ? error : QapiErrorModule.withHint(Hint, error);
    }

    internal static Outcome<T> Ok(T _value) => new(_value, null, null);

    internal static Outcome<T> Fail(string error, string? hint = null) => new(default, error, hint);
}

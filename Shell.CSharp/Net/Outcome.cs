using System;

namespace StorageDaemon.Shell.Net;

/// <summary>A value, or the text of the error that kept it from coming about.</summary>
internal readonly struct Outcome<T>
    where T : notnull
{
    private readonly T? value;

    private Outcome(T? value, string? error)
    {
        this.value = value;
        Error = error;
    }

    /// <summary>Null when there is a value.</summary>
    internal string? Error { get; }

    internal T Value => Error is null ? value! : throw new InvalidOperationException(Error);

    internal static Outcome<T> Ok(T value) => new(value, null);

    internal static Outcome<T> Fail(string error) => new(default, error);
}

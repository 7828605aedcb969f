using System;
using System.Collections.Generic;
using System.Text;
using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;
using StorageDaemon.Core;
using StorageDaemon.Core.Json;
using StorageDaemon.Core.Observe;
using StorageDaemon.Core.Qmp;
using StorageDaemon.Shell.Chardev;
using StorageDaemon.Shell.Observe;

namespace StorageDaemon.Shell.Control;

/// <summary>
/// One QMP monitor on its character device. What to say and when is the session's; this runs it. Outputs are worked
/// off in a queue, since a command's end may be the next one's beginning.
/// </summary>
internal sealed class Monitor : IChardevFrontend
{
    private readonly CharacterDevice _chardev;
    private readonly Session.Config _config;
    private readonly Func<Request, FSharpResult<Json, QapiError>> _execute;
    private readonly Queue<Session.Output> _outputs = new();
    private Session.State _session = Session.initial;
    private byte[] _kept = [];
    private bool _pumping;
    private bool _reading = true;
    private bool _suspended;

    internal Monitor(
        CharacterDevice chardev, Session.Config config, Func<Request, FSharpResult<Json, QapiError>> execute)
    {
        _chardev = chardev;
        _config = config;
        _execute = execute;
    }

    /// <summary>What has gone through it since it was started.</summary>
    internal Session.Counts Counts => Session.counts(_session);

    /// <summary>Takes the device over; a client that is there already is greeted.</summary>
    internal void Start() => _ = _chardev.AttachFrontend(this);

    /// <summary>Tells the client of an event.</summary>
    internal void Emit(string name, Json data, long seconds, long microseconds)
    {
        (Session.State state, FSharpList<Session.Output> outputs) =
            Session.@event(_config, name, FSharpOption<Json>.Some(data), seconds, microseconds, _session);
        Take(state, outputs);
    }

    public void OnOpened()
    {
        _kept = [];
        _reading = true;
        (Session.State state, FSharpList<Session.Output> outputs) = Session.connected(_config, _session);
        Take(state, outputs);
    }

    public void OnClosed()
    {
        _kept = [];
        _reading = true;
        (Session.State state, FSharpList<Session.Output> outputs) =
            _chardev.OutputOutlivesInput ? Session.inputEnded(_session) : Session.disconnected(_session);
        Take(state, outputs);
    }

    public void OnDrained() => NoteUnread();

    private void NoteUnread()
    {
        (Session.State state, FSharpList<Session.Output> outputs) =
            Session.drained(_config, _chardev.PendingBytes, _session);
        Take(state, outputs);
    }

    public void OnBytes(ReadOnlySpan<byte> bytes)
    {
        if (_kept.Length > 0)
        {
            _kept = [.. _kept, .. bytes];
            return;
        }

        Receive(bytes);
    }

    private void Receive(ReadOnlySpan<byte> bytes)
    {
        (int consumed, Session.State state, FSharpList<Session.Output> outputs) =
            Session.received(_config, _session, bytes);
        _kept = consumed < bytes.Length ? bytes[consumed..].ToArray() : [];
        Take(state, outputs);
    }

    private void Take(Session.State state, FSharpList<Session.Output> outputs)
    {
        _session = state;
        foreach (Session.Output output in outputs)
        {
            _outputs.Enqueue(output);
        }

        if (_pumping)
        {
            return;
        }

        _pumping = true;
        bool sent = false;
        while (_outputs.TryDequeue(out Session.Output? output))
        {
            sent |= output.IsSend;
            Run(output);
            if (_outputs.Count == 0 && sent)
            {
                // What the socket took at once is read as far as this side can know.
                sent = false;
                NoteUnread();
            }
        }

        _pumping = false;
        ApplyFlow();
    }

    private void Run(Session.Output output)
    {
        switch (output)
        {
            case Session.Output.Send send:
                if (Trace.IsAny)
                {
                    Trace.Write(TracePoints.QmpReply, Encoding.UTF8.GetString(send.Item.Span).TrimEnd());
                }

                _chardev.Write(send.Item.Span);
                break;
            case Session.Output.Execute execute:
                if (Trace.IsAny)
                {
                    Trace.Write(
                        TracePoints.QmpCommand,
                        Redaction.commandText(execute.Item.Command, execute.Item.Arguments));
                }

                (Session.State state, FSharpList<Session.Output> outputs) =
                    Session.completed(_config, _execute(execute.Item), _session);
                Take(state, outputs);
                break;
            default:
                RunFlow(output);
                break;
        }
    }

    private void RunFlow(Session.Output output)
    {
        if (output.IsSuspendReading)
        {
            _reading = false;
        }
        else if (output.IsResumeReading)
        {
            _reading = true;
            byte[] kept = _kept;
            _kept = [];
            if (kept.Length > 0)
            {
                Receive(kept);
            }
        }
        else
        {
            _chardev.Disconnect();
        }
    }

    /// <summary>Brings the device's input in line with what the session wants, once all outputs are worked off.</summary>
    private void ApplyFlow()
    {
        bool suspend = !_reading || _kept.Length > 0;
        if (suspend == _suspended)
        {
            return;
        }

        _suspended = suspend;
        if (suspend)
        {
            _chardev.SuspendInput();
        }
        else
        {
            _chardev.ResumeInput();
        }
    }
}

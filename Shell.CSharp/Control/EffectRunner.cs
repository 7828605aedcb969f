using System;
using System.Diagnostics;
using System.Linq;
using Microsoft.FSharp.Collections;
using Microsoft.FSharp.Core;
using StorageDaemon.Core;
using StorageDaemon.Core.Daemon;
using StorageDaemon.Core.Json;
using StorageDaemon.Core.Observe;
using StorageDaemon.Shell.Chardev;
using StorageDaemon.Shell.Cli;
using StorageDaemon.Shell.Drivers;
using StorageDaemon.Shell.Exports;
using StorageDaemon.Shell.Exports.Nbd;
using StorageDaemon.Shell.Filters;
using StorageDaemon.Shell.IOThreads;
using StorageDaemon.Shell.Jobs;
using StorageDaemon.Shell.Native;
using Trace = StorageDaemon.Shell.Observe.Trace;

namespace StorageDaemon.Shell.Control;

/// <summary>Does what the core asks: calls that it waits for, and effects that it does not. It decides nothing.</summary>
internal sealed class EffectRunner(
    FileTable files,
    NodeTable nodes,
    LayerOpener layers,
    ObjectTable objects,
    IOThreadPool threads,
    ExportTable exports,
    NbdListener nbdServer,
    ChardevTable chardevs,
    MonitorTable monitors,
    JobRunner jobs,
    JobFiles jobFiles,
    JobScripts jobScripts,
    OverlayMaker overlays,
    Action shutdown)
{
    /// <summary>Carries a call out. Where the process has run out of descriptors or threads, the command fails.</summary>
    internal Answer Answer(Call call)
    {
        try
        {
            return Carry(call);
        }
        catch (System.IO.IOException e)
        {
            return Core.Daemon.Answer.NewRefused(QapiErrorModule.generic(e.Message));
        }
    }

    private Answer Carry(Call call)
    {
        switch (call)
        {
            case Call.OpenFiles open:
                return files.Open(open.Item);
            case Call.ApplyFiles apply:
                return files.Apply(apply.adopt, apply.Item2);
            case Call.TruncateFile truncate:
                return files.Truncate(truncate.Item1, truncate.bytes);
            case Call.MakeOverlay make:
                return overlays.Make(make.Item);
            case Call.ResizeImage resize:
                return layers.Resize(resize.Item1, resize.bytes);
            case Call.ChangeImage change:
                return layers.Change(change.Item1, change.Item2);
            case Call.BeginView begin:
                return layers.BeginView(begin.Item);
            case Call.RepairImage repair:
                return layers.Repair(repair.Item1, repair.Item2);
            case Call.ProbeImage probe:
                return FileOpener.Probe(probe.path);
            case Call.OpenLayer open:
                return layers.Open(open.Item);
            case Call.MeasureFile measure:
                return files.Measure(measure.Item);
            case Call.AllocatedSizes sizes:
                return files.AllocatedSizes(sizes.Item);
            case Call.Quiesce quiesce:
                exports.Quiesce(quiesce.Item1);
                jobScripts.Rest(quiesce.Item2);
                return Core.Daemon.Answer.Finished;
            case Call.OpenJobFile open:
                return jobFiles.Open(open.Item1, open.path, open.Item3);
            case Call.AwaitJob wait:
                return jobs.Await(wait.Item);
            case Call.OpenNbdServer open:
                threads.Prepare();
                return nbdServer.Open(open.Item);
            case Call.StartExport start:
                Trace.Write(TracePoints.ExportAdd, "key=" + start.Item.Key);
                return exports.Serve(start.Item);
            case Call.CountClients count:
                return Core.Daemon.Answer.NewCount(exports.CountClients(count.Item));
            case Call.StopExports stop:
                foreach (int key in stop.Item)
                {
                    Trace.Write(TracePoints.ExportStop, "key=" + key);
                }

                exports.StopAndWait(stop.Item);
                return Core.Daemon.Answer.Finished;
            case Call.StartObject start:
                return objects.Start(start.id, start.Item2);
            case Call.LoadSecret load:
                return objects.LoadSecret(load.id, load.Item2);
            case Call.PlaceThread place:
                return objects.PlaceThread(place.id, place.Item2);
            case Call.OpenChardev open:
                Trace.Write(TracePoints.ChardevOpen, open.id);
                return chardevs.Open(open.id, open.Item2);
            case Call.ReadFiles read:
                return Core.Daemon.Answer.NewContents(ListModule.OfSeq(read.paths.Select(path =>
                    Tuple.Create(path, ReadWhole(path, read.maxBytes)))));
            case Call.ReadRing read:
                return Core.Daemon.Answer.NewBytes(chardevs.ReadRing(read.id, read.limit));
            case Call.ReplaceChardev replace:
                return chardevs.Replace(replace.id, replace.Item2);
            case Call.StartMonitor start:
                monitors.Start(start.Item, chardevs.PortOf(start.Item.Chardev));
                return Core.Daemon.Answer.Finished;
            default:
                return AnswerPlain(call);
        }
    }

    private static FSharpResult<byte[], ReadFault> ReadWhole(string path, int maxBytes)
    {
        FileContent content = BoundedFile.ReadContent(path, maxBytes);
        if (content.Error == 0)
        {
            return FSharpResult<byte[], ReadFault>.NewOk(content.Bytes);
        }

        string reason = Libc.Strerror(content.Error);
        return FSharpResult<byte[], ReadFault>.NewError(
            content.IsOpened ? ReadFault.NewCannotRead(reason) : ReadFault.NewCannotOpen(reason));
    }

    private Answer AnswerPlain(Call call)
    {
        if (call.IsDescribeChardevs)
        {
            return Core.Daemon.Answer.NewChardevs(chardevs.Describe());
        }

        if (call.IsCountIo)
        {
            return Core.Daemon.Answer.NewCounted(CountIo());
        }

        if (call.IsCloseNbdServer)
        {
            nbdServer.Close();
            return Core.Daemon.Answer.Finished;
        }

        throw new UnreachableException();
    }

    /// <summary>What has been asked of nodes and exports so far; those of which nothing has been asked are left out.</summary>
    internal IoCounts CountIo() => new(
        new FSharpMap<long, IoCounters>(
            exports.NodeStats().Where(entry => !entry.Value.IsEmpty)
                .Select(entry => Tuple.Create(entry.Key, entry.Value.Snapshot()))),
        new FSharpMap<int, IoCounters>(
            exports.ExportStats().Where(entry => !entry.Stats.IsEmpty)
                .Select(entry => Tuple.Create(entry.Key, entry.Stats.Snapshot()))),
        new FSharpMap<long, Core.Qapi.BlockStatsSpecificFile>(
            files.Discards().Select(entry => Tuple.Create(entry.Node, entry.Discards))));

    internal void Run(Effect effect)
    {
        switch (effect)
        {
            case Effect.Emit emit:
                Trace.Write(TracePoints.QmpEvent, emit.name);
                monitors.Emit(emit.name, emit.data);
                break;
            case Effect.Complain complain:
                ErrorReport.ErrorWithoutLocation(complain.text);
                break;
            case Effect.Announce announce:
                ErrorReport.WriteLine(announce.text);
                break;
            case Effect.RelaxFiles relax:
                files.Relax(relax.Item);
                break;
            case Effect.SettleImages settle:
                layers.Settle(settle.Item);
                break;
            case Effect.CloseNodes close:
                files.Close(close.Item);
                nodes.Forget(close.Item);
                break;
            case Effect.RunFileTask run:
                jobFiles.Run(run.Item1, run.Item2);
                break;
            case Effect.RunNodeScript run:
                jobScripts.Run(run.Item1, run.Item2);
                break;
            case Effect.UpdateNodeScript update:
                jobScripts.Update(update.Item1, update.Item2);
                break;
            case Effect.ResumeNodeScripts resume:
                jobScripts.GoOn(resume.Item);
                break;
            case Effect.StopJobWork stop:
                jobs.Stop(stop.Item);
                break;
            case Effect.EndView end:
                nodes.EndView(end.Item);
                break;
            case Effect.UpdateExport update:
                exports.Update(update.Item);
                break;
            case Effect.LimitWrites limit:
                exports.LimitWrites(limit.Item);
                break;
            case Effect.ResumeExports resume:
                exports.Resume(resume.Item);
                break;
            case Effect.StopExport stop:
                Trace.Write(TracePoints.ExportStop, "key=" + stop.Item);
                exports.Stop(stop.Item);
                break;
            case Effect.TuneObject tune:
                objects.Tune(tune.id, tune.Item2);
                break;
            case Effect.StopObject stop:
                objects.Stop(stop.id, stop.Item2);
                break;
            case Effect.Warn warn:
                ErrorReport.Warning(warn.Item);
                break;
            case Effect.WriteChardev write:
                chardevs.Write(write.id, write.Item2);
                break;
            case Effect.CloseChardev close:
                Trace.Write(TracePoints.ChardevClose, close.id);
                chardevs.Close(close.id);
                break;
            default:
                RunPlain(effect);
                break;
        }
    }

    private void RunPlain(Effect effect)
    {
        if (effect.IsDiscardOpened)
        {
            files.DiscardOpened();
        }
        else if (effect.IsShutdown)
        {
            shutdown();
        }
        else
        {
            throw new UnreachableException();
        }
    }
}

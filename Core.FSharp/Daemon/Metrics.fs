namespace StorageDaemon.Core.Daemon

open System
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Observe
open StorageDaemon.Core.Qapi

/// What the shell has counted, by the keys that it knows exports and nodes by.
[<NoComparison; NoEquality>]
type MetricsSources = {
    Process: ProcessMetrics
    Nbd: NbdMetrics
    Monitors: MonitorMetrics list
    /// Clients of an export.
    Connections: Func<ExportKey, int>
    /// Requests under way of an export.
    InFlight: Func<ExportKey, int>
    Io: IoCounts
}

/// From the state and what has been counted to what the daemon tells about itself.
module Metrics =
    let private ofExport (state: State) (sources: MetricsSources) (export: Export) : ExportMetrics =
        let node = Graph.node state.Graph.Backends[export.Backend].Node state.Graph

        {
            Id = export.Id
            Type = ExportCodecs.exportTypeName (ExportProtocol.exportType export.Protocol)
            NodeName = node.Name
            Connections = sources.Connections.Invoke export.Key
            InFlight = sources.InFlight.Invoke export.Key
            Io = sources.Io.Exports.TryFind export.Key |> Option.defaultValue IoCounters.zero
        }

    let private ofNode (sources: MetricsSources) (id: NodeId) (node: Node) : NodeMetrics = {
        NodeName = node.Name
        Driver = Driver.name node.Driver
        Io = sources.Io.Nodes.TryFind id |> Option.defaultValue IoCounters.zero
    }

    let snapshot (state: State) (sources: MetricsSources) : MetricsSnapshot = {
        Package = state.Package
        Process = sources.Process
        Nbd = sources.Nbd
        Monitors = sources.Monitors
        Exports = State.exports state |> List.rev |> List.map (ofExport state sources)
        Nodes =
            state.Graph.Nodes
            |> Map.toList
            |> List.map (fun (id, node) -> ofNode sources id node)
    }

    /// The line that a supervisor shows of the daemon.
    let statusText (state: State) : string =
        let count number (noun: string) =
            string<int> number + " " + noun + (if number = 1 then "" else "s")

        "Serving "
        + count state.Exports.Count "export"
        + ", "
        + count state.Graph.Nodes.Count "node"

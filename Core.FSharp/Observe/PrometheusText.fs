namespace StorageDaemon.Core.Observe

open System
open System.Globalization
open System.Text

/// A snapshot in Prometheus' text format, version 0.0.4 (prometheus.io, "Exposition formats"): for each metric a
/// HELP and a TYPE line, then its samples. Units are seconds and bytes, as its naming rules ask.
module PrometheusText =
    /// The media type of the text.
    [<Literal>]
    let ContentType = "text/plain; version=0.0.4; charset=utf-8"

    type private Labels = (string * string) list

    let private escape (text: string) =
        text.Replace("\\", "\\\\").Replace("\"", "\\\"").Replace("\n", "\\n")

    let private labelText (labels: Labels) =
        if labels.IsEmpty then
            ""
        else
            let one (name, value) = name + "=\"" + escape value + "\""
            "{" + String.Join(',', labels |> List.map one) + "}"

    let private floatText (value: float) =
        value.ToString("R", CultureInfo.InvariantCulture)

    /// Nanoseconds as seconds, exactly.
    let private secondsText (ns: uint64) =
        (decimal ns / 1000000000m).ToString("0.#########", CultureInfo.InvariantCulture)

    let private head (out: StringBuilder) name metricType (help: string) =
        out
            .Append("# HELP ")
            .Append(name: string)
            .Append(' ')
            .Append(help)
            .Append("\n# TYPE ")
            .Append(name)
            .Append(' ')
            .Append(metricType: string)
            .Append('\n')
        |> ignore

    let private sample (out: StringBuilder) (name: string) (labels: Labels) (value: string) =
        out.Append(name).Append(labelText labels).Append(' ').Append(value).Append('\n')
        |> ignore

    /// A metric with its samples. Without any it is left out, its head too.
    let private metric out name metricType help (samples: (Labels * string) list) =
        if not samples.IsEmpty then
            head out name metricType help
            samples |> List.iter (fun (labels, value) -> sample out name labels value)

    let private counter out name help samples = metric out name "counter" help samples
    let private gauge out name help samples = metric out name "gauge" help samples

    /// The kinds of requests by the names that they have as a label.
    let private operations (io: IoCounters) : (string * OperationCounters) list = [
        "read", io.Read
        "write", io.Write
        "write_zeroes", io.WriteZeroes
        "discard", io.Discard
        "flush", io.Flush
    ]

    /// Upper bounds as labels.
    let private bounds = List.map secondsText LatencyHistogram.boundariesNs @ [ "+Inf" ]

    /// One histogram of a metric whose head is written.
    let private histogram (out: StringBuilder) name (labels: Labels) (counters: OperationCounters) =
        let total =
            List.fold2
                (fun total bound count ->
                    let sum: int64 = total + count
                    sample out (name + "_bucket") (labels @ [ "le", bound ]) (string sum)
                    sum)
                0L
                bounds
                counters.Latency

        sample out (name + "_sum") labels (secondsText (uint64 (max 0L counters.TotalNs)))
        sample out (name + "_count") labels (string total)

    /// The metrics of requests for exports or nodes: `prefix` is "storage_daemon_export_" or so, each item has the
    /// labels that name it.
    let private requests out prefix (subject: string) (items: (Labels * IoCounters) list) =
        let each (value: OperationCounters -> int64) = [
            for labels, io in items do
                for operation, counters in operations io do
                    labels @ [ "operation", operation ], string (value counters)
        ]

        let named name = prefix + name

        counter out (named "requests_total") ("Requests of " + subject + " that have ended well.") (each _.Operations)

        counter
            out
            (named "request_bytes_total")
            ("Bytes read, written, zeroed or discarded by requests of " + subject + ".")
            (each _.Bytes)

        counter
            out
            (named "request_errors_total")
            ("Requests of " + subject + " that have ended with an error.")
            (each _.Failed)

        if not items.IsEmpty then
            let name = named "request_duration_seconds"
            head out name "histogram" ("Time that requests of " + subject + " have taken, failed ones too.")

            for labels, io in items do
                for operation, counters in operations io do
                    histogram out name (labels @ [ "operation", operation ]) counters

    let private exports out (snapshot: MetricsSnapshot) =
        let labels (export: ExportMetrics) : Labels = [ "export", export.Id; "type", export.Type ]

        gauge out "storage_daemon_exports" "Exports by the node that they offer." [
            for export in snapshot.Exports -> labels export @ [ "node", export.NodeName ], "1"
        ]

        gauge out "storage_daemon_export_connections" "Clients connected to the export." [
            for export in snapshot.Exports -> labels export, string export.Connections
        ]

        gauge out "storage_daemon_export_requests_in_flight" "Requests of the export that are under way." [
            for export in snapshot.Exports -> labels export, string export.InFlight
        ]

        requests out "storage_daemon_export_" "the export" [
            for export in snapshot.Exports -> labels export, export.Io
        ]

    let private nodes out (snapshot: MetricsSnapshot) =
        gauge out "storage_daemon_nodes" "Block nodes by name and driver." [
            for node in snapshot.Nodes -> [ "node", node.NodeName; "driver", node.Driver ], "1"
        ]

        requests out "storage_daemon_node_" "the node" [
            for node in snapshot.Nodes -> [ "node", node.NodeName ], node.Io
        ]

    let private monitors out (snapshot: MetricsSnapshot) =
        let each (value: MonitorMetrics -> uint64) = [
            for monitor in snapshot.Monitors -> [ "chardev", monitor.Chardev ], string (value monitor)
        ]

        counter out "storage_daemon_qmp_commands_total" "Commands that QMP clients have sent." (each _.Commands)

        counter out "storage_daemon_qmp_replies_total" "Replies to QMP clients by their kind." [
            for monitor in snapshot.Monitors do
                [ "chardev", monitor.Chardev; "result", "return" ], string monitor.Successes
                [ "chardev", monitor.Chardev; "result", "error" ], string monitor.Errors
        ]

        counter out "storage_daemon_qmp_events_total" "Events that QMP clients were sent." (each _.Events)

    let private nbd out (nbd: NbdMetrics) =
        gauge out "storage_daemon_nbd_connections" "Connected NBD clients, those in the handshake included." [
            [], string nbd.Connections
        ]

        counter out "storage_daemon_nbd_accepted_connections_total" "NBD clients that were let in." [
            [], string nbd.Accepted
        ]

        counter out "storage_daemon_nbd_handshakes_total" "Handshakes of NBD clients by how they ended." [
            [ "result", "transmission" ], string nbd.HandshakesDone
            [ "result", "closed" ], string nbd.HandshakesFailed
        ]

    let private process' out (p: ProcessMetrics) =
        counter out "process_cpu_seconds_total" "User and system CPU time of the process." [
            [], floatText p.CpuSeconds
        ]
        gauge out "process_resident_memory_bytes" "Resident memory." [ [], string p.ResidentBytes ]
        gauge out "process_virtual_memory_bytes" "Virtual memory." [ [], string p.VirtualBytes ]
        gauge out "process_open_fds" "Open file descriptors." [ [], string p.OpenFds ]
        gauge out "process_max_fds" "Limit of open file descriptors." [ [], string p.MaxFds ]
        gauge out "process_threads" "Threads of the process." [ [], string p.Threads ]

        gauge out "process_start_time_seconds" "Start of the process since the epoch." [
            [], floatText p.StartTimeSeconds
        ]

    let encode (snapshot: MetricsSnapshot) : string =
        let out = StringBuilder()
        gauge out "storage_daemon_build_info" "The version of the daemon." [ [ "version", snapshot.Package ], "1" ]
        process' out snapshot.Process
        monitors out snapshot
        nbd out snapshot.Nbd
        exports out snapshot
        nodes out snapshot
        out.ToString()

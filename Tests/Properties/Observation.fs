/// What the daemon tells about itself, and what its supervisor tells it: metrics, HTTP, activation, configuration.
module StorageDaemon.Tests.Properties.Observation

open System
open System.Text
open Expecto
open FsCheck.FSharp
open StorageDaemon.Core
open StorageDaemon.Core.Json
open StorageDaemon.Core.Observe
open StorageDaemon.Core.Options

let private parse (text: string) =
    Http.parse (ReadOnlySpan(Encoding.Latin1.GetBytes text))

let private http =
    testList "http" [
        for text, expected in
            [
                "", HttpRequest.Incomplete
                "GET /metrics HTTP/1.1\r\n", HttpRequest.Incomplete
                "GET /metrics HTTP/1.1\r\n\r\n", HttpRequest.Get "/metrics"
                "GET /metrics?name=x HTTP/1.0\r\nHost: a\r\nContent-Length: 0\r\n\r\nrest", HttpRequest.Get "/metrics"
                "HEAD http://h:1/metrics HTTP/1.1\r\n\r\n", HttpRequest.Head "/metrics"
                "GET http://h HTTP/1.1\r\n\r\n", HttpRequest.Get "/"
                "PUT /metrics HTTP/1.1\r\n\r\n", HttpRequest.Refused 405
                "GET metrics HTTP/1.1\r\n\r\n", HttpRequest.Refused 400
                "GET  /metrics HTTP/1.1\r\n\r\n", HttpRequest.Refused 400
                "GET /metrics HTTP/1.1\r\nno colon\r\n\r\n", HttpRequest.Refused 400
                "GET /metrics HTTP/1.1\r\n: x\r\n\r\n", HttpRequest.Refused 400
                "GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", HttpRequest.Refused 413
                "GET /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n", HttpRequest.Refused 400
                "GET /metrics HTTP/3\r\n\r\n", HttpRequest.Refused 505
                "\r\n\r\n", HttpRequest.Refused 400
                System.String('a', Http.MaxHeadBytes), HttpRequest.Refused 431
            ] do
            testCase (text.Substring(0, min 60 text.Length)) (fun () -> Expect.equal (parse text) expected text)

        testProperty "any garbage is answered, and a request stays what it is however it arrives"
        <| Prop.forAll
            (Gen.elements [ "GET "; "/metrics"; " "; "HTTP/1.1"; "\r\n"; "\r\n\r\n"; ":"; "x"; "\000" ]
             |> Gen.listOf
             |> Gen.map (String.concat "")
             |> Arb.fromGen)
            (fun text ->
                let whole = parse text
                let firstComplete =
                    seq { 0 .. text.Length }
                    |> Seq.map (fun length -> parse (text.Substring(0, length)))
                    |> Seq.tryFind (fun request -> request <> HttpRequest.Incomplete)

                Expect.equal (Option.defaultValue HttpRequest.Incomplete firstComplete) whole "prefixes"

                let answer = Http.answer (fun () -> "m") whole |> Encoding.ASCII.GetString
                Expect.stringStarts answer "HTTP/1.1 " "a response")
    ]

let private counters (seed: int) : OperationCounters =
    let random = Random seed
    let latency = List.init LatencyHistogram.BinCount (fun _ -> int64 (random.Next 5))

    {
        Operations = List.sum latency
        Bytes = random.NextInt64 Int64.MaxValue
        Failed = int64 (random.Next 3)
        TotalNs = random.NextInt64 1000000000000L
        Latency = latency
    }

let private io seed : IoCounters = {
    IoCounters.zero with
        Read = counters seed
        Write = counters (seed + 1)
        WriteZeroes = counters (seed + 2)
        Discard = counters (seed + 3)
        Flush = counters (seed + 4)
}

let private snapshot names seed : MetricsSnapshot = {
    Package = "storage-daemon \"x\"\\y\nz"
    Process = {
        CpuSeconds = 0.25
        ResidentBytes = 4096L
        VirtualBytes = 8192L
        OpenFds = 7
        MaxFds = 1024L
        Threads = 3
        StartTimeSeconds = 1e9
    }
    Nbd = {
        Connections = 1L
        Accepted = 2UL
        HandshakesDone = 2UL
        HandshakesFailed = 0UL
    }
    Monitors = [
        {
            Chardev = "c"
            Commands = 3UL
            Successes = 2UL
            Errors = 1UL
            Events = 0UL
        }
    ]
    Exports =
        names
        |> List.map (fun name -> {
            Id = name
            Type = "nbd"
            NodeName = "n"
            Connections = 1
            InFlight = 3
            Io = io seed
        })
    Nodes =
        names
        |> List.map (fun name -> { NodeName = name; Driver = "raw"; Io = io seed })
}

/// The value of a label as the format's rules read it back.
let private unescape (text: string) =
    text.Replace("\\\\", "\001").Replace("\\n", "\n").Replace("\\\"", "\"").Replace("\001", "\\")

let private prometheus =
    testList "prometheus text" [
        testCase "samples" (fun () ->
            let text = PrometheusText.encode (snapshot [ "e" ] 3)

            for line in
                [
                    "# TYPE storage_daemon_export_request_duration_seconds histogram"
                    "# TYPE storage_daemon_export_requests_total counter"
                    "process_cpu_seconds_total 0.25"
                    "storage_daemon_build_info{version=\"storage-daemon \\\"x\\\"\\\\y\\nz\"} 1"
                    "storage_daemon_export_requests_total{export=\"e\",type=\"nbd\",operation=\"read\"} "
                    + string (counters 3).Operations
                    "storage_daemon_export_requests_in_flight{export=\"e\",type=\"nbd\"} 3"
                    "storage_daemon_export_request_duration_seconds_bucket{export=\"e\",type=\"nbd\",operation=\"read\",le=\"0.000001024\"} "
                    + string (counters 3).Latency[0]
                ] do
                Expect.contains (text.Split '\n') line "the line")

        testProperty "histograms are cumulative and end with their count; heads stand once, before their samples"
        <| fun (seed: int) ->
            let text = PrometheusText.encode (snapshot [ "a"; "bb" ] (abs (seed % 10000)))
            let lines = text.Split('\n', StringSplitOptions.RemoveEmptyEntries) |> List.ofArray
            let heads = lines |> List.filter _.StartsWith("# TYPE ")
            Expect.equal (List.distinct heads) heads "heads"

            let buckets =
                lines
                |> List.filter (fun line -> line.Contains "_bucket{")
                |> List.map (fun line ->
                    line.Substring(0, line.IndexOf ",le="), uint64 (line.Substring(line.LastIndexOf ' ' + 1)))
                |> List.groupBy fst
                |> List.map (fun (series, values) -> series, List.map snd values)

            Expect.equal buckets.Length (4 * 5) "series"

            for series, values in buckets do
                Expect.equal values (List.sort values) "cumulative"
                let count = series.Replace("_bucket{", "_count{") + "} " + string (List.last values)
                Expect.contains lines count "count"

        testProperty "labels are read back"
        <| fun (name: string) ->
            let name = if isNull name then "" else name
            let text = PrometheusText.encode (snapshot [ name ] 1)
            let start = "storage_daemon_export_connections{export=\""
            let at = text.IndexOf(start, StringComparison.Ordinal) + start.Length
            let stop = text.IndexOf("\",type=\"nbd\"} 1", at, StringComparison.Ordinal)
            Expect.equal (unescape (text.Substring(at, stop - at))) (name.Replace("\001", "\\")) "label"
    ]

let private activation =
    testList "activation" [
        testCase "names and numbers" (fun () ->
            let decode pid fds names = Activation.decode 7 pid fds names

            Expect.equal (decode "7" "2" "a:b") [ "a", 3; "b", 4 ] "names"
            Expect.equal (decode "7" "2" null) [ "unknown", 3; "unknown", 4 ] "no names"
            Expect.equal (decode "7" "3" "a::c:d") [ "a", 3; "unknown", 4; "c", 5 ] "an empty one, and one too many"

            for pid, fds in
                [
                    "8", "1"
                    null, "1"
                    "7", null
                    "7", "x"
                    "7", "-1"
                    "7", "5000"
                    "7", " 1"
                    "07", "1"
                ] do
                Expect.equal (decode pid fds "a") [] $"{pid} {fds}")

        testCase "looking up" (fun () ->
            let passed = [ "a", 3; "b", 4; "b", 5 ]
            Expect.equal (Activation.find "a" passed) (Ok 3) "one"
            let error name =
                match Activation.find name passed with
                | Error error -> error.Desc
                | Ok _ -> ""
            Expect.stringContains (error "c") "'c'; LISTEN_FDNAMES has: a, b" "none"
            Expect.stringContains (error "b") "2 descriptors" "two"
            Expect.isTrue (Activation.isName "a1") "name"
            for number in [ "1"; "-1"; "+1"; " 1"; "" ] do
                Expect.isFalse (Activation.isName number) number)
    ]

let private stepsOf (text: string) =
    ConfigFile.steps "--config f" (Encoding.UTF8.GetBytes text)

let private config =
    testList "config file" [
        testCase "sections in the documented order, each with its place" (fun () ->
            let text =
                """{"monitor": {"chardev": "c"}, "chardev": [{"path": "a,b", "backend": "file", "append": false, "to": 3}],
                    "object": [{"qom-type": "iothread", "id": "t"}, {"qom-type": "iothread", "id": "u"}], "trace": {"enable": "*"}}"""

            let expected =
                [
                    "trace", StartupStep.Trace "enable=*"
                    "object[0]", StartupStep.Object "{\"qom-type\": \"iothread\", \"id\": \"t\"}"
                    "object[1]", StartupStep.Object "{\"qom-type\": \"iothread\", \"id\": \"u\"}"
                    "chardev[0]", StartupStep.Chardev "backend=file,path=a,,b,append=off,to=3"
                    "monitor", StartupStep.Monitor "{\"chardev\": \"c\"}"
                ]
                |> List.map (fun (place, step) -> {
                    Location = Arguments("--config f: " + place)
                    Step = step
                })

            Expect.equal (stepsOf text) (Ok expected) "steps")

        testCase "the option's decoder reads a chardev as it was meant" (fun () ->
            let text = """{"chardev": {"id": "c,=x", "backend": "file", "path": ",=,,help"}}"""
            let step = (Result.defaultWith (fun _ -> failtest "steps") (stepsOf text)).Head.Step

            match step with
            | StartupStep.Chardev text -> Expect.equal text "backend=file,id=c,,=x,path=,,=,,,,help" "text"
            | _ -> failtest "a chardev")

        testCase "a file that is too long" (fun () ->
            match ConfigFile.steps "--config f" (Array.zeroCreate (ConfigFile.MaxBytes + 1)) with
            | Error(_, error) -> Expect.stringContains error.Desc "longer than" "error"
            | Ok _ -> failtest "an error")

        testProperty "no bytes throw"
        <| fun (bytes: byte array) -> ConfigFile.steps "--config f" (if isNull bytes then [||] else bytes) |> ignore
    ]

let private redaction =
    testList "redaction" [
        testCase "secrets are hidden, everything else is kept" (fun () ->
            let text command members = Redaction.commandText command members
            let secret = [ "qom-type", String "secret"; "id", String "s"; "data", String "x" ]

            Expect.equal
                (text "object-add" secret)
                "object-add {\"qom-type\": \"secret\", \"id\": \"s\", \"data\": \"***\"}"
                "object-add"

            Expect.stringContains (text "blockdev-add" secret) "\"data\": \"x\"" "other commands"
            let set property = [ "path", String "s"; "property", String property; "value", String "x" ]
            Expect.stringContains (text "qom-set" (set "data")) "\"value\": \"***\"" "qom-set of data"
            Expect.stringContains (text "qom-set" (set "other")) "\"value\": \"x\"" "qom-set of something else")
    ]

[<Tests>]
let tests = testList "Observation" [ http; prometheus; activation; config; redaction ]

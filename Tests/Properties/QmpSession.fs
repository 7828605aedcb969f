module StorageDaemon.Tests.Properties.QmpSessionTests

open System
open System.IO
open System.Reflection
open System.Text
open Expecto
open FsCheck.FSharp
open StorageDaemon.Core
open StorageDaemon.Core.Json
open StorageDaemon.Core.Qmp
open StorageDaemon.Tests.Generators
open StorageDaemon.Tests.Properties.QmpHarness

let private lines (text: string) =
    text.Split("\r\n", StringSplitOptions.RemoveEmptyEntries) |> List.ofArray

let private command (id: int) =
    "{'execute':'query-version','id':" + string<int> id + "}"

let private reply (id: int) =
    "{\"return\": {}, \"id\": " + string<int> id + "}\r\n"

let private nothing = Ok(Object [])

/// The recorded transcript: the messages that open a section, an input, and the lines that answered it.
let private transcript: (string * string * string list) list =
    use stream = Assembly.GetExecutingAssembly().GetManifestResourceStream "qmp-session.txt"
    use reader = new StreamReader(stream, Encoding.ASCII)
    let cases = ResizeArray<string * string * string list>()
    let mutable section = ""

    for line in reader.ReadToEnd().Split '\n' do
        if line.StartsWith "==" then
            section <- line.Substring(2).Trim()
        elif line.StartsWith "-> " then
            cases.Add((section, line.Substring 3, []))
        elif line.StartsWith "<- " then
            let section, input, answers = cases[cases.Count - 1]
            cases[cases.Count - 1] <- (section, input, answers @ [ line.Substring 3 ])

    List.ofSeq cases

/// Undoes the transcript's \xNN and \\.
let private unescape (text: string) : byte[] =
    let rec go position (found: ResizeArray<byte>) =
        if position = text.Length then
            found.ToArray()
        elif text[position] <> '\\' then
            found.Add(byte text[position])
            go (position + 1) found
        elif text[position + 1] = 'x' then
            found.Add(Convert.ToByte(text.Substring(position + 2, 2), 16))
            go (position + 4) found
        else
            found.Add '\\'B
            go (position + 2) found

    go 0 (ResizeArray())

let private golden =
    testList "as recorded" [
        for index, (section, input, expected) in List.indexed transcript ->
            test (string<int> index + " " + input) {
                let client = connect config true
                client.Type section
                client.Sent |> ignore
                client.Type(Array.append (unescape input) "\n@\n"B)
                Expect.equal (lines client.Sent) expected "answers"
            }
    ]

let private conversation cuts (bytes: byte[]) =
    let client = negotiate config true "[]"

    for piece in JsonGen.pieces cuts bytes do
        client.Type piece

    client.Sent, client.Requests

let private greeting =
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 2, \"minor\": 0, \"major\": 10}, \"package\": \""
    + config.Package
    + "\"}, \"capabilities\": [\"oob\"]}}\r\n"

let private connecting =
    testList "connecting" [
        test "greeting" {
            let client = Client(config, true)
            client.Connect()
            Expect.equal client.Sent greeting "greeting"
        }

        test "oob is not offered" {
            let client = Client({ config with OffersOob = false }, true)
            client.Connect()
            Expect.stringEnds client.Sent "\"capabilities\": []}}\r\n" "no capabilities"
            client.Type "{'execute':'qmp_capabilities','arguments':{'enable':['oob']}}"
            Expect.stringContains client.Sent "not available" "refused"
        }

        test "pretty" {
            let client = Client({ config with IsPretty = true }, true)
            client.Connect()
            client.Sent |> ignore
            client.Type "{'execute':'qmp_capabilities','id':[1]}"

            Expect.equal
                client.Sent
                "{\r\n    \"return\": {\r\n    },\r\n    \"id\": [\r\n        1\r\n    ]\r\n}\r\n"
                ""
        }

        test "a new client starts over" {
            let client = negotiate config true "['oob']"
            client.Type "{'execute':"
            client.Disconnect()
            client.Connect()
            Expect.equal client.Sent greeting "greeting"
            client.Type(command 1)
            Expect.stringContains client.Sent "Expecting capabilities negotiation" "negotiation"
        }

        test "a command outlives its client" {
            let client = negotiate config false "[]"
            client.Type(command 1)
            client.Disconnect()
            client.Connect()
            Expect.equal client.Sent greeting "greeting"
            Expect.isFalse client.IsReading "waits for the old command"
            client.Complete nothing
            Expect.equal client.Sent "" "the old client's reply is dropped"
            Expect.isTrue client.IsReading "goes on"
            client.Type "{'execute':'qmp_capabilities'}"
            Expect.equal client.Sent "{\"return\": {}}\r\n" "negotiated"
        }
    ]

let private queueing =
    testList "queueing" [
        test "without oob one command at a time is read" {
            let client = negotiate config false "[]"
            client.Type(command 1 + command 2)
            Expect.equal client.Requests.Length 1 "one is under way"
            Expect.isFalse client.IsReading "suspended"
            Expect.equal client.Kept (command 2).Length "the next is not read"
            client.Complete nothing
            Expect.equal client.Sent (reply 1) "reply"
            Expect.isTrue client.IsReading "resumed"
            client.Retry()
            Expect.equal client.Requests.Length 2 "the next is under way"
        }

        test "with oob eight commands wait" {
            let client = negotiate config false "['oob']"
            client.Type(String.Concat(List.map command [ 1..10 ]))
            Expect.equal client.Requests.Length 1 "one is under way"
            Expect.equal client.Kept (command 10).Length "eight are queued"
            Expect.isFalse client.IsReading "suspended"

            for id in 1..9 do
                client.Complete nothing
                Expect.equal client.Sent (reply id) "replies in order"

            Expect.isTrue client.IsReading "resumed"
        }

        test "out of band means at once" {
            let client = negotiate config false "['oob']"
            client.Type(command 1 + "@\n{'exec-oob':'query-version','id':2}")
            let error = "The command query-version does not support OOB"

            Expect.equal
                client.Sent
                (JsonPrinter.toString (Envelope.failure (Some(Int 2L)) (QapiError.generic error))
                 + "\r\n")
                ""

            client.Complete nothing
            let replies = lines client.Sent
            Expect.equal replies.Length 2 "reply, then the error that came after the command"
            Expect.stringContains replies[1] "stray '@'" "error"
        }

        test "a failed command" {
            let client = negotiate config false "[]"
            client.Type(command 1)
            client.Complete(Error(QapiError.ofClass DeviceNotFound "Device 'x' not found"))
            let error = "{\"class\": \"DeviceNotFound\", \"desc\": \"Device 'x' not found\"}"
            Expect.equal client.Sent ("{\"id\": 1, \"error\": " + error + "}\r\n") "error"
        }

        test "arguments" {
            let client = negotiate config false "[]"
            client.Type "{'execute':'query-version','arguments':{'b':1,'a':[]},'id':{}}"

            let request = {
                Command = "query-version"
                Arguments = [ "b", Int 1L; "a", List [] ]
                Id = Some(Object [])
            }

            Expect.equal client.Requests [ request ] "as written"
        }
    ]

let private unreadOutput =
    testList "a client that does not read" [
        test "gets no further commands executed" {
            let client = negotiate config true "[]"
            client.ReadsReplies <- false
            let many = String.replicate 20000 (command 1)
            client.Type many
            Expect.isFalse client.IsReading "suspended"
            let sent = client.Sent.Length
            Expect.isGreaterThan (int64 sent) Session.MaxUnreadReplies "over the bound"
            Expect.isLessThan (int64 sent) (Session.MaxUnreadReplies + 1000L) "by one reply"
            client.ReadsReplies <- true
            client.Read()
            client.Retry()
            Expect.equal client.Requests.Length 20000 "all are executed in the end"
        }

        test "does not get errors without bound" {
            let client = negotiate config true "['oob']"
            client.ReadsReplies <- false
            client.Type(Array.create 100000 ']'B)
            Expect.isLessThan (int64 client.Sent.Length) (Session.MaxUnreadReplies + 1000L) "bounded"
            Expect.isGreaterThan client.Kept 0 "input is left"
        }

        test "is closed when too many events pile up" {
            let client = negotiate config true "[]"
            client.ReadsReplies <- false
            let data = Some(Json.String(String.replicate 100000 "x"))

            for _ in 1..160 do
                client.Event "E" data

            Expect.isFalse client.IsClosed "below 16 MiB"

            for _ in 1..10 do
                client.Event "E" data

            Expect.isTrue client.IsClosed "above 16 MiB"
            Expect.isLessThan client.Sent.Length (17 <<< 20) "nothing is sent after that"
        }

        test "is not closed if it reads in between" {
            let client = negotiate config true "[]"
            let data = Some(Json.String(String.replicate 100000 "x"))

            for _ in 1..400 do
                client.Event "E" data

            Expect.isFalse client.IsClosed "all read"
        }
    ]

let private events =
    testList "events" [
        test "come after negotiation" {
            let client = connect config true
            client.Event "JOB" None
            Expect.equal client.Sent "" "none before"
            client.Type "{'execute':'qmp_capabilities'}"
            client.Sent |> ignore
            client.Event "JOB" (Some(Object [ "id", Json.String "j" ]))

            let timestamp = "{\"timestamp\": {\"seconds\": 1700000000, \"microseconds\": 123456}, "
            Expect.equal client.Sent (timestamp + "\"event\": \"JOB\", \"data\": {\"id\": \"j\"}}\r\n") "with data"
            client.Event "SHUTDOWN" None
            Expect.equal client.Sent (timestamp + "\"event\": \"SHUTDOWN\"}\r\n") "without data"
        }

        test "come before the reply of the command that caused them" {
            let client = negotiate config false "[]"
            client.Type(command 1)
            client.Event "JOB" None
            client.Complete nothing
            Expect.stringEnds client.Sent (reply 1) "reply last"
        }

        test "go on for a client that only reads" {
            let client = negotiate config false "[]"
            client.Type(command 1 + command 2 + "{'execute':")
            client.EndInput()
            client.Complete nothing
            Expect.equal client.Sent (reply 1) "the command under way is answered, those that wait are not"
            client.Event "JOB" None
            Expect.stringContains client.Sent "JOB" "an event"

            let other = connect config true
            other.EndInput()
            other.Event "JOB" None
            Expect.equal other.Sent "" "not without negotiation"
        }
    ]

[<Tests>]
let tests =
    testList "QmpSession" [
        golden
        connecting
        queueing
        unreadOutput
        events

        testProperty "answers the same however the bytes are cut"
        <| Prop.forAll (Arb.fromGen (Gen.zip JsonGen.junk JsonGen.cuts)) (fun (bytes, cuts) ->
            let whole = conversation [ 1000000 ] bytes
            whole = conversation cuts bytes && whole = conversation [ 1 ] bytes)
    ]

module StorageDaemon.Tests.Properties.QemuOpts

open System
open Expecto
open StorageDaemon.Core
open StorageDaemon.Core.Options
open StorageDaemon.Core.Chardev
open StorageDaemon.Core.Qapi
open StorageDaemon.Tests.Golden

let private group = {
    Name = "test"
    ImpliedKey = "kind"
    Types =
        Map.ofList [
            "kind", OptionType.Text
            "text", OptionType.Text
            "flag", OptionType.Bool
            "count", OptionType.Number
            "size", OptionType.Size
        ]
}

let private lines (text: string) hint =
    match hint with
    | Some hint -> text + "\n" + hint
    | None -> text

let private warningLines (warnings: Warning list) =
    warnings |> List.map (fun warning -> lines warning.Text warning.Hint)

/// Warnings and error of a --chardev value, with the checks that the opener makes before it opens anything.
let private chardevMessages text =
    let struct (warnings, request) = ChardevOptions.parse text

    let checkedRequest =
        match request with
        | Ok(ChardevRequest.Create({ Backend = ChardevBackend.Socket socket }, _)) ->
            ChardevOptions.validateSocket socket
        | Ok _ -> Ok()
        | Error error -> Error error

    match checkedRequest with
    | Ok() -> warningLines warnings, None
    | Error error -> warningLines warnings, Some(lines error.Desc error.Hint)

let private created text =
    match ChardevOptions.parse text with
    | struct (_, Ok(ChardevRequest.Create(chardev, _))) -> chardev
    | _ -> failtest ("not created: " + text)

let private socketOf text =
    match created text with
    | { Backend = ChardevBackend.Socket socket } -> socket
    | _ -> failtest ("no socket: " + text)

let private noLog: ChardevCommon = { Logfile = None; Logappend = None }

let private unixAddress path isAbstract tight =
    SocketAddress.Unix {
        Path = path
        Abstract = Some isAbstract
        Tight = Some tight
    }

let private parsed text =
    match QemuOpts.parse group text with
    | struct (_, Ok(OptionsOutcome.Options options)) -> options
    | _ -> failtest ("not parsed: " + text)

let private chardevTests =
    testList "chardev" [
        for text, warnings, error in OptionTexts.chardev do
            testCase ("as the real daemon: " + text)
            <| fun () -> Expect.equal (chardevMessages text) (warnings, error) text

        testCase "help"
        <| fun () ->
            Expect.equal ChardevOptions.optionHelpText OptionTexts.chardevOptions "options"

            Expect.equal
                ChardevOptions.typeHelpText
                "Available chardev backend types: \n  pty\n  file\n  udp\n  memory\n  stdio\n  socket\n  ringbuf\n  null\n  parallel\n  pipe\n  mux\n  serial\n  hub\n"
                "types"

            for text in [ "help"; "?"; "help,id=c"; "id=c,backend=help" ] do
                let struct (_, request) = ChardevOptions.parse text
                Expect.equal request (Ok ChardevRequest.ListTypes) text

            for text in [ "null,help"; "help,help"; "null,help,foo=1"; "id=a,help,id=1" ] do
                let struct (_, request) = ChardevOptions.parse text
                Expect.equal request (Ok ChardevRequest.ListOptions) text

        testCase "defaults of a listening socket"
        <| fun () ->
            Expect.equal
                (created "socket,id=c,path=s,server=on")
                {
                    Id = "c"
                    Backend =
                        ChardevBackend.Socket {
                            Common = noLog
                            Addr = unixAddress "s" false true
                            Server = Some true
                            Wait = Some true
                            Nodelay = Some false
                            Telnet = Some false
                            Tn3270 = Some false
                            Websocket = Some false
                            TlsCreds = None
                            TlsAuthz = None
                            Reconnect = None
                            ReconnectMs = None
                        }
                }
                "chardev"

        testCase "addresses"
        <| fun () ->
            let expected =
                SocketAddress.Inet {
                    Host = "h"
                    Port = "http"
                    Numeric = None
                    To = Some 65535us
                    Ipv4 = Some true
                    Ipv6 = None
                    KeepAlive = None
                    Mptcp = None
                }

            Expect.equal (socketOf "socket,id=c,host=h,port=http,to=-1,ipv4=y").Addr expected "inet"
            Expect.equal (socketOf "socket,id=c,port=5").Addr (SocketAddress.Fd "") "none"
            let address = (socketOf "socket,id=c,path=p,abstract=on,tight=off").Addr
            Expect.equal address (unixAddress "p" true false) "abstract"

        testCase "the short forms of delay"
        <| fun () ->
            let noDelay text =
                (socketOf ("socket,id=c,path=p," + text)).Nodelay
            Expect.equal (noDelay "nodelay") (Some true) "nodelay"
            Expect.equal (noDelay "delay") (Some false) "delay"
            Expect.equal (noDelay "delay=off") (Some true) "delay=off"
            Expect.equal (noDelay "nonodelay") (Some false) "nonodelay"

        testCase "the other types"
        <| fun () ->
            let backend text = (created text).Backend
            Expect.equal (backend "null,id=c") (ChardevBackend.Null noLog) "null"
            let stdio signal =
                ChardevBackend.Stdio { Common = noLog; Signal = Some signal }
            Expect.equal (backend "stdio,id=c") (stdio true) "stdio"
            Expect.equal (backend "stdio,id=c,signal=off") (stdio false) "signal"
            Expect.equal (backend "pty,id=c,path=p") (ChardevBackend.Pty { Common = noLog; Path = Some "p" }) "pty"
            let file =
                ChardevBackend.File {
                    Common = noLog
                    In = Some "i"
                    Out = "o"
                    Append = Some true
                }
            Expect.equal (backend "file,id=c,path=o,input-path=i,append=on") file "file"
            let hostdev: ChardevHostdev = { Common = noLog; Device = "d" }
            Expect.equal (backend "serial,id=c,path=d") (ChardevBackend.Serial hostdev) "serial"
            Expect.equal (backend "parallel,id=c,path=d") (ChardevBackend.Parallel hostdev) "parallel"
            Expect.equal (backend "pipe,id=c,path=d") (ChardevBackend.Pipe hostdev) "pipe"
            let ring: ChardevRingbuf = { Common = noLog; Size = Some 65536L }
            Expect.equal (backend "ringbuf,id=c,size=64k") (ChardevBackend.Ringbuf ring) "ringbuf"
            Expect.equal (backend "memory,id=c,size=0") (ChardevBackend.Memory { ring with Size = None }) "memory"
            let mux = ChardevBackend.Mux { Common = noLog; Chardev = "x" }
            Expect.equal (backend "mux,id=c,chardev=x") mux "mux"
            let hub = ChardevBackend.Hub { Common = noLog; Chardevs = [ "a"; "b" ] }
            Expect.equal (backend "hub,id=c,chardevs.0=a,chardevs.1=b,chardevs.3=d") hub "hub, up to the first gap"
            Expect.equal (backend "null,id=c,mux=on") (ChardevBackend.Null noLog) "the device below a mux"

        testCase "datagrams"
        <| fun () ->
            let udp text =
                match (created ("udp,id=c," + text)).Backend with
                | ChardevBackend.Udp { Remote = SocketAddress.Inet remote; Local = local } ->
                    let local =
                        match local with
                        | Some(SocketAddress.Inet local) -> Some(local.Host, local.Port)
                        | _ -> None

                    (remote.Host, remote.Port), local
                | _ -> failtest text

            Expect.equal (udp "port=9") (("localhost", "9"), None) "defaults"
            Expect.equal (udp "host=,port=9,localport=7") (("localhost", "9"), Some("", "7")) "a port"
            Expect.equal (udp "host=h,port=9,localaddr=l") (("h", "9"), Some("l", "0")) "an address"

        testCase "other types"
        <| fun () ->
            let logged = ChardevBackend.Null { Logfile = Some "l"; Logappend = Some true }
            let device = created "null,id=c,id=d,logfile=l,logappend=on"
            Expect.equal device { Id = "c"; Backend = logged } "log"

        testCase "reconnecting"
        <| fun () ->
            let delay text =
                ChardevOptions.reconnectDelayMs (socketOf ("socket,id=c,path=p" + text))
            Expect.equal (delay "") 0L "none"
            Expect.equal (delay ",reconnect=2") 2000L "seconds"
            Expect.equal (delay ",reconnect-ms=5") 5L "milliseconds"
            Expect.equal (delay ",reconnect=-1") 0L "negative"
            Expect.isGreaterThan (delay ",reconnect=9223372036854775807") 0L "huge"

        testCase "numbers of descriptors"
        <| fun () ->
            let read text =
                ChardevOptions.parseFd text |> Result.mapError (fun error -> error.Desc)
            Expect.equal (read "099") (Ok 99) "leading zero"
            Expect.equal (read " 99") (Ok 99) "leading blank"
            Expect.equal (read "-1") (Ok -1) "negative"

            for text in [ ""; "x"; "99x"; "99 "; "0x5"; "99999999999" ] do
                Expect.equal (read text) (Error("Unable to parse FD number " + text)) text
    ]

let private numberTests =
    testList "numbers" [
        testProperty "decimal and hexadecimal numbers"
        <| fun (value: uint64) ->
            Expect.equal (NumberText.parseUInt64 (value.ToString())) (Ok value) "decimal"
            Expect.equal (NumberText.parseUInt64 ("0x" + value.ToString "x")) (Ok value) "hexadecimal"
            Expect.equal (NumberText.parseUInt64 ("-" + value.ToString())) (Ok(0UL - value)) "negative"
            Expect.equal (NumberText.parseSize (value.ToString())) (Ok value) "size"

        testProperty "sizes with a suffix"
        <| fun (value: uint32) ->
            for suffix, shift in [ "b", 0; "K", 10; "m", 20; "G", 30; "t", 40; "P", 50; "e", 60 ] do
                let exact = bigint value <<< shift
                let expected =
                    if exact > bigint UInt64.MaxValue then
                        Error OutOfRange
                    else
                        Ok(uint64 exact)
                Expect.equal (NumberText.parseSize (value.ToString() + suffix)) expected suffix

        testCase "fractions are rounded to the nearest byte"
        <| fun () ->
            for text, expected in
                [
                    "1.5k", Ok 1536UL
                    ".5k", Ok 512UL
                    "1.k", Ok 1024UL
                    "1.0", Ok 1UL
                    "1.", Ok 1UL
                    "1.999999k", Ok 2048UL
                    "1.9995k", Ok 2047UL
                    "0.0000001k", Ok 0UL
                    "1.9999999999999999k", Ok 2048UL
                    "16.0E", Error OutOfRange
                    ".", Error Malformed
                    ".k", Error Malformed
                    "0.5B", Error Malformed
                    "1..5k", Error Malformed
                    "1.+5k", Error Malformed
                ] do
                Expect.equal (NumberText.parseSize text) expected text

        testProperty "no text throws"
        <| fun (text: string) ->
            let text = if isNull text then "" else text
            NumberText.parseSize text |> ignore
            NumberText.parseUInt64 text |> ignore
    ]

[<Tests>]
let tests =
    testList "QemuOpts" [
        chardevTests
        numberTests

        testProperty "any value survives with its commas doubled"
        <| fun (value: string) ->
            let value = if isNull value then "" else value
            let escaped = value.Replace(",", ",,")
            Expect.equal (QemuOpts.text "text" (parsed ("k,text=" + escaped + ",count=1"))) (Some value) "named"

            if not (value.Contains '=') && value <> "" then
                Expect.equal (QemuOpts.text "kind" (parsed (escaped + ",count=1"))) (Some value) "implied"

        testProperty "the last value counts"
        <| fun (first: bool) (second: bool) ->
            let spell value = if value then "flag=on" else "noflag"
            Expect.equal (QemuOpts.flag "flag" (parsed ("k," + spell first + "," + spell second))) (Some second) "flag"

        testProperty "no text throws"
        <| fun (text: string) ->
            let text = if isNull text then "" else text
            QemuOpts.parse group text |> ignore
            ChardevOptions.parse text |> ignore
    ]

/// Labels, socket address rules and the telnet filter.
module StorageDaemon.Tests.Properties.ChardevRulesTests

open System
open Expecto
open StorageDaemon.Core.Chardev

/// Feeds a whole input in pieces of a given size; gives the data that remain.
let private stripInPieces (piece: int) (input: byte[]) =
    let mutable state = TelnetState.Data

    input
    |> Array.chunkBySize piece
    |> Array.collect (fun chunk ->
        let buffer = Array.copy chunk
        let struct (kept, next) = Telnet.strip state (buffer.AsSpan())
        state <- next
        Array.take kept buffer)

/// Bytes in which telnet's own appear often.
let private telnetInput (bytes: byte[]) =
    bytes |> Array.map (fun b -> if b < 128uy then b else 240uy + b % 16uy)

let private any = Nullable<bool>()
let private on = Nullable true
let private off = Nullable false

[<Tests>]
let tests =
    testList "Chardev.Rules" [
        test "labels of disconnected sockets" {
            let label address isServer =
                Label.disconnected SocketProtocol.Plain address isServer

            Expect.equal
                (label (UnixLabel("rel.sock", false, false)) true)
                "disconnected:unix:rel.sock,server=on"
                "unix"

            Expect.equal (label (UnixLabel("x", false, false)) false) "disconnected:unix:x" "client"

            Expect.equal
                (label (UnixLabel("abs", true, true)) true)
                "disconnected:unix:abs,abstract=on,tight=on,server=on"
                "abstract"

            Expect.equal
                (label (UnixLabel("abs", true, false)) true)
                "disconnected:unix:abs,abstract=on,server=on"
                "padded"

            Expect.equal (label (InetLabel("::1", "33519")) true) "disconnected:tcp:::1:33519,server=on" "tcp"

            Expect.equal (label (VsockLabel("4294967295", "1234")) true) "disconnected:vsock:4294967295:1234" "vsock"

            Expect.equal (label (FdLabel "5") true) "disconnected:fd:5,server=on" "fd"

            Expect.equal
                (Label.disconnected SocketProtocol.Telnet (InetLabel("h", "1")) true)
                "disconnected:telnet:h:1,server=on"
                "telnet"
        }

        test "labels of connected sockets" {
            let label = Label.connected SocketProtocol.Plain

            Expect.equal (label (UnixEnd "/tmp/a.sock") (UnixEnd "") true) "unix:/tmp/a.sock,server=on" "unix server"

            Expect.equal (label (UnixEnd "") (UnixEnd "srv.sock") false) "unix:srv.sock" "unix client"

            Expect.equal
                (label (InetEnd("127.0.0.1", 10999, false)) (InetEnd("127.0.0.1", 49978, false)) true)
                "tcp:127.0.0.1:10999,server=on <-> 127.0.0.1:49978"
                "tcp"

            Expect.equal
                (label (InetEnd("::1", 10999, true)) (InetEnd("::1", 34768, true)) true)
                "tcp:[::1]:10999,server=on <-> [::1]:34768"
                "IPv6"

            Expect.equal (label OtherEnd OtherEnd false) "unknown" "other families"
        }

        test "descriptor numbers" {
            Expect.equal (AddressRules.parseFd "17") (Ok 17) "number"
            Expect.equal (AddressRules.parseFd " +3") (Ok 3) "as strtol takes it"
            Expect.equal (AddressRules.parseFd "-1") (Ok -1) "negative"
            Expect.equal (AddressRules.parseFd "") (Error "Unable to parse FD number ") "empty"
            Expect.equal (AddressRules.parseFd "1x") (Error "Unable to parse FD number 1x") "trailing"
            Expect.equal (AddressRules.parseFd "-") (Error "Unable to parse FD number -") "sign alone"

            for huge in [ "2147483648"; "99999999999999999999999999" ] do
                Expect.equal
                    (AddressRules.parseFd huge)
                    (Error("Unable to parse FD number " + huge + ": Numerical result out of range"))
                    huge
        }

        test "vsock numbers" {
            Expect.equal (AddressRules.parseVsockCid "4294967295") (Ok 4294967295u) "any"

            for bad in [ "x"; ""; "-1"; "4294967296" ] do
                Expect.equal (AddressRules.parseVsockCid bad) (Error("Failed to parse cid '" + bad + "'")) bad

            Expect.equal (AddressRules.parseVsockPort "y") (Error "Failed to parse port 'y'") "port"
        }

        test "families" {
            let cases = [
                "h", any, any, Ok FamilyChoice.AnyFamily
                "h", on, any, Ok FamilyChoice.Ipv4Only
                "h", any, off, Ok FamilyChoice.Ipv4Only
                "h", on, off, Ok FamilyChoice.Ipv4Only
                "h", any, on, Ok FamilyChoice.Ipv6Only
                "h", off, any, Ok FamilyChoice.Ipv6Only
                "h", off, on, Ok FamilyChoice.Ipv6Only
                "h", on, on, Ok FamilyChoice.AnyFamily
                "", on, on, Ok FamilyChoice.Ipv6Dual
                "::", on, on, Ok FamilyChoice.Ipv6Dual
                "h", off, off, Error "Cannot disable IPv4 and IPv6 at same time"
            ]

            for host, ipv4, ipv6, expected in cases do
                Expect.equal
                    (AddressRules.family host ipv4 ipv6)
                    expected
                    (host + " " + string ipv4 + " " + string ipv6)
        }

        testProperty "any descriptor number is read back"
        <| fun (n: int) -> AddressRules.parseFd (string n) = Ok n

        testProperty "no text makes the parsers throw"
        <| fun (text: string) ->
            let text = if isNull text then "" else text
            AddressRules.parseFd text |> ignore
            AddressRules.parseVsockCid text |> ignore
            AddressRules.parseVsockPort text |> ignore

        test "telnet: options, subnegotiation and the doubled escape" {
            let strip = stripInPieces 100
            Expect.equal (strip [| 65uy; 255uy; 251uy; 3uy; 66uy |]) "AB"B "WILL"
            Expect.equal (strip [| 65uy; 255uy; 241uy; 66uy |]) "AB"B "NOP takes no option"
            Expect.equal (strip [| 65uy; 255uy; 255uy; 66uy |]) [| 65uy; 255uy; 66uy |] "escape"

            Expect.equal
                (strip [| 65uy; 255uy; 250uy; 24uy; 0uy; 255uy; 255uy; 88uy; 255uy; 240uy; 66uy |])
                "AB"B
                "subnegotiation"
        }

        testProperty "telnet: any chunking gives the same data"
        <| fun (bytes: byte[]) ->
            let input = telnetInput bytes
            let whole = stripInPieces (input.Length + 1) input
            stripInPieces 1 input = whole && stripInPieces 3 input = whole

        testProperty "telnet: data without the escape byte pass unchanged"
        <| fun (bytes: byte[]) ->
            let input = bytes |> Array.filter (fun b -> b <> 255uy)
            stripInPieces 7 input = input
    ]

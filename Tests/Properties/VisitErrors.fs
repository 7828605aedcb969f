/// The texts of errors about arguments and options, as the real daemon 10.0.2 gave them.
module StorageDaemon.Tests.Properties.VisitErrors

open Expecto
open StorageDaemon.Core.Json
open StorageDaemon.Core.Qapi
open StorageDaemon.Core.Qom
open StorageDaemon.Tests

let private handle command = Command.bind command ignore

let private commands =
    [
        handle Commands.qmpCapabilities
        handle Commands.queryVersion
        handle Commands.blockdevAdd
        handle Commands.blockResize
        handle Commands.queryBlockstats
        handle Commands.nbdServerStart
        handle Commands.blockExportAdd
        handle Commands.objectAdd
        handle Commands.qomList
        handle Commands.qomGet
        handle Commands.qomSet
        handle Commands.qomListTypes
        handle Commands.chardevAdd
    ]
    |> List.map (fun binding -> binding.Schema.Name, binding)
    |> Map.ofList

/// Command, arguments, error.
let private golden = [
    "blockdev-add", "{}", "Parameter 'driver' is missing"
    "blockdev-add", """{"driver":5}""", "Invalid parameter type for 'driver', expected: string"
    "blockdev-add", """{"driver":"foo"}""", "Parameter 'driver' does not accept value 'foo'"
    "blockdev-add", """{"driver":"raw"}""", "Parameter 'file' is missing"
    "blockdev-add", """{"driver":"raw","file":5}""", "Invalid parameter type for 'file', expected: BlockdevRef"
    "blockdev-add", """{"driver":"raw","file":null}""", "Invalid parameter type for 'file', expected: BlockdevRef"
    "blockdev-add", """{"driver":"raw","file":{"driver":"file"}}""", "Parameter 'file.filename' is missing"
    "blockdev-add",
    """{"driver":"raw","file":{"driver":"raw","file":{"filename":"a"}}}""",
    "Parameter 'file.file.driver' is missing"
    "blockdev-add",
    """{"driver":"raw","file":{"driver":"raw","file":5}}""",
    "Invalid parameter type for 'file', expected: BlockdevRef"
    "blockdev-add",
    """{"driver":"raw","file":{"driver":"raw","file":{"driver":3}}}""",
    "Invalid parameter type for 'file.file.driver', expected: string"
    "blockdev-add",
    """{"driver":"raw","file":{"driver":"file","filename":"a","foo":1},"zoo":1}""",
    "Parameter 'file.foo' is unexpected"
    "blockdev-add",
    """{"driver":"raw","file":{"driver":"file"},"node-name":7}""",
    "Invalid parameter type for 'node-name', expected: string"
    "blockdev-add", """{"driver":"null-co","size":"5"}""", "Invalid parameter type for 'size', expected: integer"
    "blockdev-add", """{"driver":"null-co","size":5.5}""", "Invalid parameter type for 'size', expected: integer"
    "blockdev-add",
    """{"driver":"null-co","size":9223372036854775808}""",
    "Invalid parameter type for 'size', expected: integer"
    "blockdev-add", """{"driver":"null-co","latency-ns":"x"}""", "Parameter 'latency-ns' expects uint64"
    "blockdev-add", """{"driver":"null-co","latency-ns":true}""", "Parameter 'latency-ns' expects uint64"
    "blockdev-add",
    """{"driver":"null-co","latency-ns":18446744073709551616}""",
    "Parameter 'latency-ns' expects uint64"
    "blockdev-add",
    """{"driver":"null-co","read-zeroes":1}""",
    "Invalid parameter type for 'read-zeroes', expected: boolean"
    "blockdev-add",
    """{"driver":"null-co","node-name":null}""",
    "Invalid parameter type for 'node-name', expected: string"
    "blockdev-add", """{"driver":"null-co","cache":5}""", "Invalid parameter type for 'cache', expected: object"
    "blockdev-add",
    """{"driver":"null-co","cache":{"direct":"on"}}""",
    "Invalid parameter type for 'cache.direct', expected: boolean"
    "blockdev-add", """{"driver":"null-co","cache":{"zirect":"on"}}""", "Parameter 'cache.zirect' is unexpected"
    "blockdev-add", """{"driver":"null-co","discard":"x"}""", "Parameter 'discard' does not accept value 'x'"
    "blockdev-add", """{"driver":"null-co","discard":5}""", "Invalid parameter type for 'discard', expected: string"
    "blockdev-add", """{"driver":"blkreplay"}""", "Parameter 'image' is missing"
    "nbd-server-start", "{}", "Parameter 'addr' is missing"
    "nbd-server-start", """{"addr":"x"}""", "Invalid parameter type for 'addr', expected: object"
    "nbd-server-start", """{"addr":{}}""", "Parameter 'addr.type' is missing"
    "nbd-server-start", """{"addr":{"type":"inet"}}""", "Parameter 'addr.data' is missing"
    "nbd-server-start", """{"addr":{"type":"inet","data":{}}}""", "Parameter 'addr.data.host' is missing"
    "nbd-server-start", """{"addr":{"type":"inet","data":{"host":"h"}}}""", "Parameter 'addr.data.port' is missing"
    "nbd-server-start",
    """{"addr":{"type":"inet","data":{"host":"h","port":"1","to":65536}}}""",
    "Parameter 'to' expects uint16_t"
    "nbd-server-start",
    """{"addr":{"type":"inet","data":{"host":"h","port":"1","to":-1}}}""",
    "Parameter 'to' expects uint16_t"
    "nbd-server-start",
    """{"addr":{"type":"inet","data":{"host":"h","port":"1","to":"1"}}}""",
    "Parameter 'addr.data.to' expects uint64"
    "nbd-server-start",
    """{"addr":{"type":"unix","data":{"path":"h"},"path":"x"}}""",
    "Parameter 'addr.path' is unexpected"
    "nbd-server-start",
    """{"max-connections":4294967296,"addr":{"type":"unix","data":{"path":"h"}}}""",
    "Parameter 'max-connections' expects uint32_t"
    "qmp_capabilities", """{"enable":"oob"}""", "Invalid parameter type for 'enable', expected: array"
    "qmp_capabilities", """{"enable":["oob","x"]}""", "Parameter 'null' does not accept value 'x'"
    "qmp_capabilities", """{"enable":["oob",5]}""", "Invalid parameter type for 'enable[1]', expected: string"
    "object-add", "{}", "Parameter 'qom-type' is missing"
    "object-add", """{"qom-type":"bogus"}""", "Parameter 'qom-type' does not accept value 'bogus'"
    "object-add", """{"qom-type":"iothread"}""", "Parameter 'id' is missing"
    "object-add", """{"qom-type":"iothread","id":"a","props":{}}""", "Parameter 'props' is unexpected"
    "object-add",
    """{"qom-type":"iothread","id":"a","poll-grow":1.5}""",
    "Invalid parameter type for 'poll-grow', expected: integer"
    "object-add", """{"qom-type":"acpi-generic-initiator","id":"a"}""", "Parameter 'pci-dev' is missing"
    "object-add",
    """{"qom-type":"acpi-generic-port","id":"a","pci-bus":"x","node":4294967296}""",
    "Parameter 'node' expects uint32_t"
    "object-add",
    """{"qom-type":"memory-backend-ram","id":"a","size":1,"host-nodes":[65536]}""",
    "Parameter 'null' expects uint16_t"
    "object-add",
    """{"qom-type":"memory-backend-ram","id":"a","size":1,"host-nodes":["x"]}""",
    "Parameter 'host-nodes[0]' expects uint64"
    "object-add", """{"qom-type":"memory-backend-ram","id":"a","size":"x"}""", "Parameter 'size' expects uint64"
    "object-add", """{"qom-type":"can-bus","id":"a","zz":true}""", "Parameter 'zz' is unexpected"
    "object-add",
    """{"qom-type":"x-vfio-user-server","id":"a","socket":{"type":"unix"}}""",
    "Parameter 'socket.path' is missing"
    "object-add",
    """{"qom-type":"x-vfio-user-server","id":"a","socket":{"type":"unix","path":"x","y":1}}""",
    "Parameter 'socket.y' is unexpected"
    "block_resize", """{"size":true}""", "Invalid parameter type for 'size', expected: integer"
    "qom-set", """{"path":"/objects","property":"x"}""", "Parameter 'value' is missing"
    "qom-get", """{"path":"/","property":3}""", "Invalid parameter type for 'property', expected: string"
    "qom-list", """{"path":"/","size":true,"a":1}""", "Parameter 'size' is unexpected"
    "qom-list-types", """{"abstract":"x"}""", "Invalid parameter type for 'abstract', expected: boolean"
    "query-version", """{"size":true}""", "Parameter 'size' is unexpected"
    "query-blockstats", """{"query-nodes":null}""", "Invalid parameter type for 'query-nodes', expected: boolean"
    "chardev-add", """{"id":"x","backend":{"type":"null"}}""", "Parameter 'backend.data' is missing"
    "chardev-add", """{"id":"x","backend":{"type":"file","data":{}}}""", "Parameter 'backend.data.out' is missing"
    "chardev-add", """{"id":"x","backend":{"type":"dbus","data":{}}}""", "Parameter 'backend.data.name' is missing"
    "chardev-add",
    """{"id":"x","backend":{"type":"null","data":{"logappend":3}}}""",
    "Invalid parameter type for 'backend.data.logappend', expected: boolean"
    "chardev-add",
    """{"id":"x","backend":{"type":"vc","data":{"width":"x"}}}""",
    "Invalid parameter type for 'backend.data.width', expected: integer"
    "chardev-add",
    """{"id":"x","backend":{"type":"socket","data":{"addr":{"type":"unix","data":{"path":"x","zz":1}}}}}""",
    "Parameter 'backend.data.addr.data.zz' is unexpected"
]

/// Arguments that the real daemon accepts at this stage, whatever comes of them later.
let private accepted = [
    "blockdev-add", """{"driver":"null-co","latency-ns":-1}"""
    "blockdev-add", """{"driver":"blkreplay","image":"x"}"""
    "object-add", """{"qom-type":"cryptodev-backend","id":"a","throttle-bps":-1}"""
    "object-add", """{"qom-type":"tls-cipher-suites","id":"a"}"""
    "chardev-add", """{"id":"x","backend":{"type":"qemu-vdagent","data":{}}}"""
    "block-export-add", """{"type":"nbd","id":"e","node-name":"n","iothread":"t"}"""
    "block-export-add", """{"type":"nbd","id":"e","node-name":"n","iothread":["t","u"]}"""
]

/// The members that an option string means. Keys are paths; parts that are all numbers are indexes of lists.
let rec private ofPairs (pairs: (string list * string) list) : Json =
    match pairs with
    | [ [], value ] -> String value
    | _ ->
        let children =
            pairs
            |> List.groupBy (fst >> List.head)
            |> List.map (fun (key, group) -> key, ofPairs (group |> List.map (fun (path, v) -> List.tail path, v)))

        if children |> List.forall (fun (key, _) -> key |> Seq.forall System.Char.IsDigit) then
            List(children |> List.map snd)
        else
            Object children

let private optionMembers (text: string) =
    let pairs =
        text.Split ','
        |> Array.toList
        |> List.map (fun pair ->
            let at = pair.IndexOf '='
            (pair.Substring(0, at)).Split '.' |> Array.toList, pair.Substring(at + 1))

    match ofPairs pairs with
    | Object members -> members
    | _ -> []

let private errorOf codec text =
    match StructCodec.decode Dialect.KeyVal codec (optionMembers text) with
    | Ok _ -> "accepted"
    | Error error -> error.Desc

let private checkOptions codec (cases: (string * string) list) =
    for text, expected in cases do
        Expect.equal (errorOf codec text) expected text

[<Tests>]
let tests =
    testList "qapi errors" [
        test "arguments of commands" {
            for name, arguments, expected in golden do
                match commands[name].Decode(JsonText.parseMembers arguments) with
                | Ok() -> failtest (name + " " + arguments + " was accepted")
                | Error error -> Expect.equal error.Desc expected (name + " " + arguments)
        }

        test "accepted arguments" {
            for name, arguments in accepted do
                Expect.isOk (commands[name].Decode(JsonText.parseMembers arguments)) (name + " " + arguments)
        }

        test "unknown command" {
            match Command.find commands "foo" with
            | Ok _ -> failtest "found"
            | Error error ->
                Expect.equal error.Desc "The command foo has not been found" "text"
                Expect.equal error.Class StorageDaemon.Core.CommandNotFound "class"
        }

        test "options of nodes" {
            checkOptions BlockCodecs.blockdevOptions [
                "driver=null-co,size=1M", "Parameter 'size' expects integer"
                "driver=null-co,size=9223372036854775808", "Parameter 'size' expects integer"
                "driver=null-co,latency-ns=abc", "Parameter 'latency-ns' expects integer"
                "driver=null-co,latency-ns=-5", "accepted"
                "driver=null-co,read-zeroes=1", "Parameter 'read-zeroes' expects 'on' or 'off'"
                "driver=null-co,read-zeroes=y", "accepted"
                "driver=null-co,read-zeroes.x=1", "Parameters 'read-zeroes.*' are unexpected"
                "driver=null-co,cache=5", "Invalid parameter type for 'cache', expected: object"
                "driver=null-co,cache.direct=maybe", "Parameter 'cache.direct' expects 'on' or 'off'"
                "driver=null-co,cache.direct.x=2", "Parameters 'cache.direct.*' are unexpected"
                "driver=null-co,discard=x", "Parameter 'discard' does not accept value 'x'"
                "driver=null-co,discard.x=y", "Parameters 'discard.*' are unexpected"
                "driver=null-co,node-name.0=x", "Parameters 'node-name.*' are unexpected"
                "node-name=n,driver.x=y", "Parameters 'driver.*' are unexpected"
                "driver=raw,file.driver=raw", "Parameter 'file.file' is missing"
                "driver=raw,file.driver=raw,file.file=", "accepted"
                "driver=raw,file.driver=raw,file.file.0=x", "Invalid parameter type for 'file', expected: BlockdevRef"
                "driver=raw,file.driver=raw,file.file.driver=zz", "Parameter 'driver' does not accept value 'zz'"
                "driver=raw,file.driver=raw,file.file.driver=null-co,file.file.size=x",
                "Parameter 'file.file.size' expects integer"
            ]
        }

        test "options of objects" {
            checkOptions ObjectCodecs.objectOptions [
                "qom-type=foo,id=x", "Parameter 'qom-type' does not accept value 'foo'"
                "qom-type=memory-backend-ram,id=a,size=x", "Parameter 'size' expects size"
                "qom-type=memory-backend-ram,id=a,size=1.5k", "accepted"
                "qom-type=memory-backend-ram,id=a,size.x=1", "Parameters 'size.*' are unexpected"
                "qom-type=memory-backend-ram,id=a,size=1,host-nodes.0=65536", "Parameter 'null' expects uint16_t"
                "qom-type=memory-backend-ram,id=a,size=1,host-nodes.0=x", "Parameter 'host-nodes.0' expects integer"
                "qom-type=memory-backend-ram,id=a,size=1,host-nodes=1",
                "Invalid parameter type for 'host-nodes', expected: array"
                "qom-type=memory-backend-ram,id=a,size=1,host-nodes.x=1",
                "Invalid parameter type for 'host-nodes', expected: array"
                "qom-type=memory-backend-ram,id=a,size=1,host-nodes.0.x=3", "Parameters 'host-nodes.0.*' are unexpected"
                "qom-type=sev-guest,id=a,reduced-phys-bits=x", "Parameter 'reduced-phys-bits' expects integer"
                "qom-type=sev-guest,id=a,reduced-phys-bits=-1", "Parameter 'reduced-phys-bits' expects uint32_t"
            ]
        }

        test "options of the NBD server" {
            checkOptions ExportCodecs.nbdServerOptions [
                "addr=x", "Invalid parameter type for 'addr', expected: object"
                "type=unix,path=x", "Parameter 'addr' is missing"
                "addr.type=unix,path=x", "Parameter 'addr.path' is missing"
                "addr.type=unix,addr.path=x,max-connections=-1", "Parameter 'max-connections' expects uint32_t"
                "addr.type=inet,addr.host=x,addr.port=1,addr.to=99999", "Parameter 'to' expects uint16_t"
                "addr.type=inet,addr.host=x,addr.port=1,addr.to=x", "Parameter 'addr.to' expects integer"
                "addr.type=inet,addr.host=x,addr.port=1,addr.ipv4=x", "Parameter 'addr.ipv4' expects 'on' or 'off'"
            ]
        }

        test "options of exports and monitors" {
            checkOptions ExportCodecs.blockExportOptions [
                "type=nbd,id=x,node-name=y,foo.bar=1", "Parameter 'foo' is unexpected"
                "type=nbd,id=x,node-name=y,foo.0=1,foo.1=4", "Parameter 'foo' is unexpected"
                "type=bogus,id=f,node-name=x", "Parameter 'type' does not accept value 'bogus'"
            ]

            checkOptions MiscCodecs.monitorOptions [
                "chardev=x,mode=foo", "Parameter 'mode' does not accept value 'foo'"
                "mode=control", "Parameter 'chardev' is missing"
            ]
        }

        test "help about objects" {
            Expect.equal
                (ObjectHelp.properties "iothread")
                (Some(
                    "iothread options:\n  aio-max-batch=<int>\n  poll-grow=<int>\n  poll-max-ns=<int>\n"
                    + "  poll-shrink=<int>\n  thread-pool-max=<int>\n  thread-pool-min=<int>\n"
                ))
                "properties"

            Expect.equal (ObjectHelp.properties "qtest") None "a type that is not built"
            Expect.equal
                ObjectHelp.types
                ("List of user creatable objects:\n  authz-list\n  authz-list-file\n  authz-simple\n  iothread\n"
                 + "  main-loop\n  pr-manager-helper\n  secret\n  secret_keyring\n  thread-context\n  throttle-group\n")
                "types"
        }
    ]

/// QMP conversations that have to go the same way with both daemons. One request a line; lines that begin with a word:
///   await EVENT            reads until the event has come
///   raw N TEXT             sends TEXT and reads N messages
///   junk TEXT              sends TEXT and a request after it, and reads up to that one's reply
///   nbd NAME EXPORT        connects an NBD client to n.sock and goes into transmission
///   write NAME BYTES       that client writes BYTES bytes at 0 and flushes
///   close NAME             that client disconnects
module StorageDaemon.Tests.Differential.QmpScripts

type QmpScript = {
    Name: string
    Arguments: string
    /// Whether the conversation begins with qmp_capabilities.
    Negotiate: bool
    Lines: string
}

let script (name: string) (arguments: string) (lines: string) : QmpScript = {
    Name = name
    Arguments = arguments
    Negotiate = true
    Lines = lines
}

let private protocol: QmpScript list = [
    {
        Name = "protocol: negotiation"
        Arguments = ""
        Negotiate = false
        Lines =
            """
{"execute": "query-version"}
{"execute": "nonexistent"}
{"execute": "query-version", "id": 1}
{"execute": "qmp_capabilities", "arguments": {"enable": ["foo"]}}
{"execute": "qmp_capabilities", "arguments": {"enable": "oob"}}
{"execute": "qmp_capabilities", "arguments": {"bogus": 1}}
{"exec-oob": "qmp_capabilities"}
{"execute": "qmp_capabilities", "arguments": {"enable": ["oob"]}, "id": "caps"}
{"execute": "qmp_capabilities"}
{"exec-oob": "query-version"}
{"exec-oob": "query-version", "id": 3}
{"exec-oob": "qmp_capabilities"}
{"exec-oob": "nonexistent"}
{"exec-oob": 1}
{"execute": "query-version"}
"""
    }
    {
        Name = "protocol: junk before negotiation"
        Arguments = ""
        Negotiate = false
        Lines =
            """
[1]
{"execute": }
{"execute": "qmp_capabilities"}
{"exec-oob": "query-version"}
"""
    }
    script
        "protocol: shape of requests"
        ""
        """
{"execute": "query-version", "id": {"a": [1, null]}}
{"execute": "query-version", "id": null}
{"execute": "query-version", "id": "x", "control": {"run-oob": true}}
{"execute": "query-version", "foo": 1}
{"execute": "query-version", "exec-oob": "query-version"}
{"arguments": {}}
{}
{"id": 5}
{"execute": 1}
{"execute": null}
{"execute": "query-version", "arguments": []}
{"execute": "query-version", "arguments": null}
{"execute": "query-version", "arguments": "x"}
{"execute": "query-version", "arguments": {}}
{"execute": "query-version", "arguments": {"a": 1}}
{"execute": "nonexistent", "id": 7}
{"execute": ""}
[1,2]
"str"
1
true
null
raw 1 {'execute':'query-version','id':'single-quote'}
raw 1 {'execute':'query-version','id':'a"b'}
raw 2 {"execute":"query-version"}{"execute":"query-version","id":2}
raw 2 {"execute":"query-version","id":[]}[]
raw 1 { "execute" : "query-version" , "id" : { "deep" : [ { } , [ ] , "" ] } }
"""
    script
        "protocol: numbers and strings"
        ""
        """
raw 1 {"execute":"query-version","id":1e400}
{"execute":"query-version","id":18446744073709551615}
{"execute":"query-version","id":18446744073709551616}
{"execute":"query-version","id":9223372036854775808}
{"execute":"query-version","id":-9223372036854775808}
{"execute":"query-version","id":-9223372036854775809}
{"execute":"query-version","id":-0}
{"execute":"query-version","id":1.50}
{"execute":"query-version","id":1e3}
{"execute":"query-version","id":1E-7}
{"execute":"query-version","id":0.1}
{"execute":"query-version","id":123456789.125}
{"execute":"query-version","id":1e22}
{"execute":"query-version","id":01}
{"execute":"query-version","id":1.}
{"execute":"query-version","id":-}
{"execute":"query-version","id":+1}
{"execute":"query-version","id":"\ud83d\ude00 \u0000 x"}
{"execute":"query-version","id":"\ud83d"}
{"execute":"query-version","id":"\ude00\ud83d"}
{"execute":"query-version","id":"é ü 漢 😀"}
{"execute":"query-version","id":"\b\f\n\r\t\/\\\" \u007f"}
{"execute":"query-version","id":"\x"}
{"execute":"query-version","id":"\u12"}
{"execute":"query-version","id":"\u12G4"}
"""
    script
        "protocol: junk"
        ""
        """
junk {"execute": }
junk {"execute":"query-version"]
junk {"execute":"query-version","execute":"quit"}
junk {"a":1,"a":2}
junk {"execute" "query-version"}
junk {"execute":"query-version",}
junk {,}
junk {1:2}
junk [1,]
junk [,1]
junk [1 2]
junk {"execute":"query-version" "id":1}
junk }
junk :
junk ,
junk foo
junk nul 
junk TRUE 
junk $
junk @@
{"execute":"query-version","id":"after"}
"""
    script
        "protocol: deep nesting"
        ""
        (let nested (depth: int) =
            $"""{{"execute":"query-version","id":{String.replicate depth "["}{String.replicate depth "]"}}}"""

         String.concat "\n" [
             nested 100
             nested 1022
             nested 1023
             nested 1024
             """{"execute":"query-version","id":1}"""
         ])
]

let private errors: QmpScript =
    script
        "errors: nothing there"
        ""
        """
{"execute": "blockdev-del", "arguments": {"node-name": "nope"}}
{"execute": "blockdev-del", "arguments": {}}
{"execute": "blockdev-del"}
{"execute": "blockdev-del", "arguments": {"node-name": 1}}
{"execute": "blockdev-del", "arguments": {"node-name": "nope", "id": "nope"}}
{"execute": "block_resize", "arguments": {"node-name": "nope", "size": 1}}
{"execute": "block_resize", "arguments": {"device": "nope", "size": 1}}
{"execute": "block_resize", "arguments": {"device": "nope", "node-name": "nope", "size": 1}}
{"execute": "block_resize", "arguments": {"size": 1}}
{"execute": "block_resize", "arguments": {"node-name": "nope", "size": "1"}}
{"execute": "block_resize", "arguments": {"node-name": "nope", "size": 1.5}}
{"execute": "block_resize", "arguments": {"node-name": "nope", "size": 9223372036854775808}}
{"execute": "chardev-remove", "arguments": {"id": "nope"}}
{"execute": "chardev-change", "arguments": {"id": "nope", "backend": {"type": "null", "data": {}}}}
{"execute": "object-del", "arguments": {"id": "nope"}}
{"execute": "qom-get", "arguments": {"path": "/nope", "property": "a"}}
{"execute": "qom-set", "arguments": {"path": "/nope", "property": "a", "value": 1}}
{"execute": "qom-set", "arguments": {"path": "/nope", "property": "a"}}
{"execute": "qom-list", "arguments": {"path": "/objects/nope"}}
{"execute": "qom-list", "arguments": {"path": "nope"}}
{"execute": "qom-list", "arguments": {"path": ""}}
{"execute": "qom-list-properties", "arguments": {"typename": "nope"}}
{"execute": "nbd-server-remove", "arguments": {"name": "zz"}}
{"execute": "nbd-server-stop"}
{"execute": "nbd-server-add", "arguments": {"device": "nope"}}
{"execute": "block-export-del", "arguments": {"id": "zz"}}
{"execute": "block-export-del", "arguments": {"id": "zz", "mode": "bogus"}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e", "node-name": "nope"}}
{"execute": "block-export-add", "arguments": {"type": "bogus", "id": "e", "node-name": "nope"}}
{"execute": "block-export-add", "arguments": {"id": "e", "node-name": "nope"}}
{"execute": "query-block"}
{"execute": "query-blockstats"}
{"execute": "query-blockstats", "arguments": {"query-nodes": true}}
{"execute": "query-blockstats", "arguments": {"query-nodes": 1}}
{"execute": "query-named-block-nodes"}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "query-block-exports"}
{"execute": "blockdev-add", "arguments": {"driver": "null-co"}}
{"execute": "blockdev-add", "arguments": {"node-name": "n"}}
{"execute": "blockdev-add", "arguments": {"driver": "bogus", "node-name": "n"}}
{"execute": "blockdev-add", "arguments": {"driver": ["file"], "node-name": "n"}}
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "n"}}
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "n", "filename": 1}}
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "n", "filename": "img/nonexist"}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "n", "file": "nope"}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "n", "file": {"driver": "file", "filename": "img/nonexist"}}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "n", "file": {"driver": "file"}}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "n", "file": {"filename": "x"}}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "n", "file": {"driver": "raw", "file": {"driver": "file", "filename": "img/nonexist"}}}}
"""

let private nodes: QmpScript list = [
    script
        "blockdev: add, query, delete"
        ""
        """
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "f0", "filename": "img/r.raw"}}
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "f0", "filename": "img/r.raw"}}
{"execute": "query-named-block-nodes"}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "r0", "file": "f0"}}
{"execute": "query-named-block-nodes"}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "query-blockstats", "arguments": {"query-nodes": true}}
{"execute": "query-block"}
{"execute": "blockdev-del", "arguments": {"node-name": "f0"}}
{"execute": "blockdev-del", "arguments": {"node-name": "r0"}}
{"execute": "blockdev-del", "arguments": {"node-name": "r0"}}
{"execute": "query-named-block-nodes"}
{"execute": "blockdev-del", "arguments": {"node-name": "f0"}}
{"execute": "query-named-block-nodes"}
"""
    script
        "blockdev: inline children"
        ""
        """
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "r0", "file": {"driver": "file", "filename": "img/r.raw"}}}
{"execute": "query-named-block-nodes"}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "r1", "offset": 4096, "size": 8192, "file": {"driver": "file", "node-name": "f1", "filename": "img/odd.raw", "read-only": true}, "read-only": true}}
{"execute": "query-named-block-nodes"}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "query-blockstats", "arguments": {"query-nodes": true}}
{"execute": "blockdev-del", "arguments": {"node-name": "f1"}}
{"execute": "blockdev-del", "arguments": {"node-name": "r1"}}
{"execute": "blockdev-del", "arguments": {"node-name": "r0"}}
{"execute": "query-named-block-nodes"}
"""
    script
        "blockdev: options"
        ""
        """
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "a", "filename": "img/r.raw", "cache": {"direct": true, "no-flush": true}, "discard": "unmap", "detect-zeroes": "unmap"}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "ra", "file": "a", "detect-zeroes": "unmap"}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "ra", "file": "a", "detect-zeroes": "on", "discard": "ignore"}}
{"execute": "query-named-block-nodes"}
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "b", "filename": "img/empty.raw", "read-only": true, "force-share": true}}
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "c", "filename": "img/odd.raw", "auto-read-only": true}}
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "d", "filename": "img/odd.raw", "force-share": true}}
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "d", "filename": "img/odd.raw", "cache": {"direct": 1}}}
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "d", "filename": "img/odd.raw", "cache": {"foo": true}}}
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "d", "filename": "img/odd.raw", "aio": "bogus"}}
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "d", "filename": "img/odd.raw", "aio": "native"}}
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "d", "filename": "img/odd.raw", "locking": "bogus"}}
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "d", "filename": "img/odd.raw", "pr-manager": "nope"}}
{"execute": "blockdev-add", "arguments": {"driver": "host_device", "node-name": "d", "filename": "img/odd.raw"}}
{"execute": "blockdev-add", "arguments": {"driver": "host_cdrom", "node-name": "d", "filename": "img/odd.raw"}}
{"execute": "query-named-block-nodes"}
{"execute": "query-blockstats", "arguments": {"query-nodes": true}}
"""
    script
        "blockdev: null"
        ""
        """
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "n0"}}
{"execute": "blockdev-add", "arguments": {"driver": "null-aio", "node-name": "n1", "size": 1000, "latency-ns": 1000, "read-zeroes": true, "read-only": true}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "r0", "file": "n0", "size": 65536}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "r1", "file": "r0", "offset": 512}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "r2", "file": "n0", "offset": 2147483648}}
{"execute": "query-named-block-nodes"}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "query-blockstats", "arguments": {"query-nodes": true}}
{"execute": "blockdev-del", "arguments": {"node-name": "r0"}}
{"execute": "blockdev-del", "arguments": {"node-name": "n0"}}
"""
    script
        "blockdev: raw ranges"
        "--blockdev file,node-name=f,filename=img/odd.raw,read-only=on"
        """
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "r", "file": "f"}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "r", "file": "f", "read-only": true, "offset": 1000000}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "r", "file": "f", "read-only": true, "offset": 1000001}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "r", "file": "f", "read-only": true, "offset": 1000448, "size": 0}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "r2", "file": "f", "read-only": true, "offset": 512, "size": 1000}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "r3", "file": "f", "read-only": true, "offset": 512, "size": 1024}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "r4", "file": "f", "read-only": true, "offset": 18446744073709551615}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "r4", "file": "f", "read-only": true, "offset": -1}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
"""
    script
        "blockdev: resize"
        "--blockdev file,node-name=f,filename=img/r.raw --blockdev raw,node-name=r,file=f --blockdev null-co,node-name=n --blockdev file,node-name=ro,filename=img/odd.raw,read-only=on"
        """
{"execute": "block_resize", "arguments": {"node-name": "r", "size": 8388608}}
{"execute": "block_resize", "arguments": {"node-name": "r", "size": 8388609}}
{"execute": "block_resize", "arguments": {"node-name": "r", "size": -1}}
{"execute": "block_resize", "arguments": {"node-name": "r", "size": 0}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "block_resize", "arguments": {"node-name": "f", "size": 1048576}}
{"execute": "block_resize", "arguments": {"node-name": "n", "size": 1048576}}
{"execute": "block_resize", "arguments": {"node-name": "ro", "size": 1048576}}
{"execute": "block_resize", "arguments": {"node-name": "r", "size": 9223372036854775807}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "s", "file": "n", "size": 4096}}
{"execute": "block_resize", "arguments": {"node-name": "s", "size": 8192}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
"""
    script
        "blockdev: image locks inside one process"
        "--blockdev file,node-name=f,filename=img/r.raw --blockdev raw,node-name=r,file=f --blockdev file,node-name=g,filename=img/r.raw --blockdev raw,node-name=s,file=g --nbd-server addr.type=unix,addr.path=n.sock"
        """
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e0", "node-name": "r", "writable": true}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e1", "node-name": "s", "writable": true}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e1", "node-name": "s"}}
{"execute": "block_resize", "arguments": {"node-name": "s", "size": 8388608}}
{"execute": "query-block-exports"}
{"execute": "block-export-del", "arguments": {"id": "e0"}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e2", "node-name": "s", "writable": true}}
{"execute": "query-block-exports"}
"""
]

let private exports: QmpScript list = [
    script
        "exports: life"
        "--blockdev file,node-name=f,filename=img/r.raw --blockdev raw,node-name=r,file=f --blockdev null-co,node-name=ro,read-only=on"
        """
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e0", "node-name": "r"}}
{"execute": "nbd-server-add", "arguments": {"device": "r"}}
{"execute": "nbd-server-start", "arguments": {"addr": {"type": "unix", "path": "n.sock"}}}
{"execute": "nbd-server-start", "arguments": {"addr": {"type": "bogus", "data": {}}}}
{"execute": "nbd-server-start", "arguments": {"addr": {"type": "unix", "data": {}}}}
{"execute": "nbd-server-start", "arguments": {"addr": {"type": "fd", "data": {"str": "nofd"}}}}
{"execute": "nbd-server-start", "arguments": {"addr": {"type": "inet", "data": {"host": "127.0.0.1"}}}}
{"execute": "nbd-server-start", "arguments": {"addr": {"type": "unix", "data": {"path": "n.sock"}}, "tls-creds": "nope"}}
{"execute": "nbd-server-start", "arguments": {"addr": {"type": "unix", "data": {"path": "n.sock"}}, "max-connections": -1}}
{"execute": "nbd-server-start", "arguments": {"addr": {"type": "unix", "data": {"path": "n.sock"}}, "bogus": 1}}
{"execute": "nbd-server-start", "arguments": {"addr": {"type": "unix", "data": {"path": "n.sock"}}}}
{"execute": "nbd-server-start", "arguments": {"addr": {"type": "unix", "data": {"path": "n.sock"}}}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e0", "node-name": "r", "writable": true, "name": ""}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e0", "node-name": "r"}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e1", "node-name": "r", "name": ""}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "0e", "node-name": "r"}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e1", "node-name": "ro", "writable": true}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e1", "node-name": "ro", "iothread": "nope"}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e1", "node-name": "ro", "bogus": 1}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e1", "node-name": "ro", "name": 1}}
{"execute": "block_resize", "arguments": {"node-name": "r", "size": 16777216}}
{"execute": "nbd-server-add", "arguments": {"device": "r", "writable": true}}
{"execute": "nbd-server-add", "arguments": {"device": "r"}}
{"execute": "nbd-server-add", "arguments": {"device": "ro", "writable": true, "name": "named", "description": "words"}}
{"execute": "query-block-exports"}
{"execute": "blockdev-del", "arguments": {"node-name": "r"}}
{"execute": "blockdev-del", "arguments": {"node-name": "f"}}
{"execute": "block-export-del", "arguments": {"id": "e0"}}
{"execute": "nbd-server-remove", "arguments": {"name": "r", "mode": "hard"}}
{"execute": "nbd-server-remove", "arguments": {"name": "named"}}
{"execute": "query-block-exports"}
{"execute": "block_resize", "arguments": {"node-name": "r", "size": 16777216}}
{"execute": "nbd-server-stop"}
{"execute": "nbd-server-stop"}
{"execute": "blockdev-del", "arguments": {"node-name": "r"}}
"""
    script
        "exports: with a client"
        "--blockdev file,node-name=f,filename=img/r.raw --blockdev raw,node-name=r,file=f --nbd-server addr.type=unix,addr.path=n.sock"
        """
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e0", "node-name": "r", "writable": true}}
nbd A r
write A 4096
{"execute": "query-blockstats", "arguments": {"query-nodes": true}}
{"execute": "block-export-del", "arguments": {"id": "e0"}}
{"execute": "query-block-exports"}
{"execute": "block-export-del", "arguments": {"id": "e0", "mode": "hard"}}
await BLOCK_EXPORT_DELETED
{"execute": "query-block-exports"}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e0", "node-name": "r", "writable": true}}
nbd B r
{"execute": "nbd-server-remove", "arguments": {"name": "r"}}
close B
"""
    script
        "exports: server stopped with a client"
        "--blockdev null-co,node-name=n --nbd-server addr.type=unix,addr.path=n.sock --export nbd,id=e0,node-name=n"
        """
nbd A n
{"execute": "nbd-server-stop"}
{"execute": "query-block-exports"}
{"execute": "nbd-server-start", "arguments": {"addr": {"type": "unix", "data": {"path": "n2.sock"}}}}
{"execute": "query-block-exports"}
"""
    script
        "exports: quit order"
        "--blockdev null-co,node-name=n --nbd-server addr.type=unix,addr.path=n.sock --export nbd,id=e0,node-name=n --export nbd,id=e1,node-name=n,name=other"
        """
{"execute": "query-block-exports"}
"""
    script
        "exports: iothread"
        "--object iothread,id=t0 --blockdev null-co,node-name=n --nbd-server addr.type=unix,addr.path=n.sock"
        """
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e0", "node-name": "n", "iothread": "t0"}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e1", "node-name": "n", "iothread": "t0", "fixed-iothread": true, "name": "a"}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e2", "node-name": "n", "fixed-iothread": true, "name": "b"}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e3", "node-name": "n", "iothread": "t1", "name": "c"}}
{"execute": "query-block-exports"}
"""
]

let private objects: QmpScript list = [
    script
        "objects: iothread"
        ""
        """
{"execute": "object-add", "arguments": {"qom-type": "iothread", "id": "t0"}}
{"execute": "object-add", "arguments": {"qom-type": "iothread", "id": "t0"}}
{"execute": "object-add", "arguments": {"qom-type": "iothread"}}
{"execute": "object-add", "arguments": {"id": "t1"}}
{"execute": "object-add", "arguments": {"qom-type": "bogus", "id": "t1"}}
{"execute": "object-add", "arguments": {"qom-type": "iothread", "id": "1t"}}
{"execute": "object-add", "arguments": {"qom-type": "iothread", "id": "t1", "bogus": 1}}
{"execute": "object-add", "arguments": {"qom-type": "iothread", "id": "t1", "poll-max-ns": "1"}}
{"execute": "object-add", "arguments": {"qom-type": "iothread", "id": "t1", "poll-max-ns": -1}}
{"execute": "object-add", "arguments": {"qom-type": "iothread", "id": "t1", "poll-max-ns": 1000, "poll-grow": 3, "poll-shrink": 4, "aio-max-batch": 5, "thread-pool-min": 1, "thread-pool-max": 8}}
{"execute": "qom-list", "arguments": {"path": "/objects"}}
{"execute": "qom-list", "arguments": {"path": "/objects/t1"}}
{"execute": "qom-get", "arguments": {"path": "/objects/t1", "property": "poll-max-ns"}}
{"execute": "qom-get", "arguments": {"path": "/objects/t1", "property": "poll-grow"}}
{"execute": "qom-get", "arguments": {"path": "/objects/t1", "property": "poll-shrink"}}
{"execute": "qom-get", "arguments": {"path": "/objects/t1", "property": "aio-max-batch"}}
{"execute": "qom-get", "arguments": {"path": "/objects/t1", "property": "thread-pool-min"}}
{"execute": "qom-get", "arguments": {"path": "/objects/t1", "property": "thread-pool-max"}}
{"execute": "qom-get", "arguments": {"path": "/objects/t0", "property": "poll-max-ns"}}
{"execute": "qom-get", "arguments": {"path": "/objects/t0", "property": "thread-pool-max"}}
{"execute": "qom-get", "arguments": {"path": "/objects/t0", "property": "type"}}
{"execute": "qom-get", "arguments": {"path": "/objects/t0", "property": "bogus"}}
{"execute": "qom-get", "arguments": {"path": "t0", "property": "type"}}
{"execute": "qom-set", "arguments": {"path": "/objects/t0", "property": "poll-max-ns", "value": 5}}
{"execute": "qom-get", "arguments": {"path": "/objects/t0", "property": "poll-max-ns"}}
{"execute": "qom-set", "arguments": {"path": "/objects/t0", "property": "poll-max-ns", "value": "5"}}
{"execute": "qom-set", "arguments": {"path": "/objects/t0", "property": "poll-max-ns", "value": -5}}
{"execute": "qom-set", "arguments": {"path": "/objects/t0", "property": "type", "value": "x"}}
{"execute": "qom-set", "arguments": {"path": "/objects/t0", "property": "bogus", "value": 1}}
{"execute": "qom-set", "arguments": {"path": "/objects/t0", "property": "thread-pool-min", "value": 100}}
{"execute": "qom-list", "arguments": {"path": "/"}}
{"execute": "qom-list-properties", "arguments": {"typename": "iothread"}}
{"execute": "object-del", "arguments": {"id": "t1"}}
{"execute": "object-del", "arguments": {"id": "t1"}}
{"execute": "object-del", "arguments": {"id": "t0"}}
{"execute": "qom-list", "arguments": {"path": "/objects"}}
"""
]

let private chardevs: QmpScript list = [
    script
        "chardevs"
        ""
        """
{"execute": "query-chardev"}
{"execute": "chardev-add", "arguments": {"id": "c0", "backend": {"type": "null", "data": {}}}}
{"execute": "chardev-add", "arguments": {"id": "c0", "backend": {"type": "null", "data": {}}}}
{"execute": "chardev-add", "arguments": {"id": "0c", "backend": {"type": "null", "data": {}}}}
{"execute": "chardev-add", "arguments": {"id": "c1", "backend": {"type": "null"}}}
{"execute": "chardev-add", "arguments": {"id": "c1", "backend": {"type": "bogus", "data": {}}}}
{"execute": "chardev-add", "arguments": {"id": "c1", "backend": {"data": {}}}}
{"execute": "chardev-add", "arguments": {"id": "c1", "backend": "null"}}
{"execute": "chardev-add", "arguments": {"id": "c1"}}
{"execute": "chardev-add", "arguments": {"id": "c1", "backend": {"type": "file", "data": {}}}}
{"execute": "chardev-add", "arguments": {"id": "c1", "backend": {"type": "file", "data": {"out": "img/out"}}}}
{"execute": "chardev-add", "arguments": {"id": "c2", "backend": {"type": "file", "data": {"out": "/nonexist/out"}}}}
{"execute": "chardev-add", "arguments": {"id": "c2", "backend": {"type": "file", "data": {"out": "img/out", "append": true, "bogus": 1}}}}
{"execute": "chardev-add", "arguments": {"id": "c2", "backend": {"type": "pty", "data": {}}}}
{"execute": "chardev-add", "arguments": {"id": "c3", "backend": {"type": "socket", "data": {"addr": {"type": "unix", "data": {"path": "c3.sock"}}}}}}
{"execute": "chardev-add", "arguments": {"id": "c4", "backend": {"type": "socket", "data": {"addr": {"type": "unix", "data": {"path": "c4.sock"}}, "server": false}}}}
{"execute": "chardev-add", "arguments": {"id": "c4", "backend": {"type": "socket", "data": {"addr": {"type": "unix", "data": {"path": "c4.sock"}}, "server": true, "wait": false}}}}
{"execute": "chardev-add", "arguments": {"id": "c5", "backend": {"type": "socket", "data": {"addr": {"type": "inet", "data": {"host": "127.0.0.1"}}, "server": true, "wait": false}}}}
{"execute": "chardev-add", "arguments": {"id": "c5", "backend": {"type": "socket", "data": {"addr": {"type": "fd", "data": {"str": "nofd"}}, "server": true, "wait": false}}}}
{"execute": "chardev-add", "arguments": {"id": "c5", "backend": {"type": "socket", "data": {"addr": {"type": "unix", "data": {"path": "/nonexist/c"}}, "server": true, "wait": false}}}}
{"execute": "chardev-add", "arguments": {"id": "c5", "backend": {"type": "socket", "data": {"addr": {"type": "unix", "data": {"path": "c5.sock"}}, "server": true, "wait": false, "reconnect-ms": 10}}}}
{"execute": "query-chardev"}
{"execute": "chardev-change", "arguments": {"id": "c0", "backend": {"type": "file", "data": {"out": "img/out2"}}}}
{"execute": "chardev-change", "arguments": {"id": "c0", "backend": {"type": "file", "data": {"out": "/nonexist/out2"}}}}
{"execute": "chardev-change", "arguments": {"id": "qmp", "backend": {"type": "null", "data": {}}}}
{"execute": "query-chardev"}
{"execute": "chardev-remove", "arguments": {"id": "qmp"}}
{"execute": "chardev-remove", "arguments": {"id": "c0"}}
{"execute": "chardev-remove", "arguments": {"id": "c1"}}
{"execute": "chardev-remove", "arguments": {"id": "c2"}}
{"execute": "chardev-remove", "arguments": {"id": "c4"}}
{"execute": "query-chardev"}
"""
    script
        "chardevs: from the command line"
        "--chardev null,id=a --chardev file,id=b,path=img/out --chardev socket,id=c,path=c.sock,server=on,wait=off --chardev pty,id=d --chardev null,id=m2 --monitor chardev=m2"
        """
{"execute": "query-chardev"}
{"execute": "chardev-remove", "arguments": {"id": "m2"}}
{"execute": "chardev-change", "arguments": {"id": "c", "backend": {"type": "null", "data": {}}}}
{"execute": "query-chardev"}
"""
]

let private devices: QmpScript list = [
    script
        "devices: memory"
        ""
        """
{"execute": "chardev-add", "arguments": {"id": "r0", "backend": {"type": "ringbuf", "data": {}}}}
{"execute": "chardev-add", "arguments": {"id": "r1", "backend": {"type": "ringbuf", "data": {"size": 1}}}}
{"execute": "chardev-add", "arguments": {"id": "r2", "backend": {"type": "ringbuf", "data": {"size": 2}}}}
{"execute": "chardev-add", "arguments": {"id": "r3", "backend": {"type": "ringbuf", "data": {"size": 3}}}}
{"execute": "chardev-add", "arguments": {"id": "r4", "backend": {"type": "ringbuf", "data": {"size": 4}}}}
{"execute": "chardev-add", "arguments": {"id": "r5", "backend": {"type": "ringbuf", "data": {"size": 8}}}}
{"execute": "chardev-add", "arguments": {"id": "r6", "backend": {"type": "ringbuf", "data": {"size": 0}}}}
{"execute": "chardev-add", "arguments": {"id": "r7", "backend": {"type": "ringbuf", "data": {"size": -1}}}}
{"execute": "chardev-add", "arguments": {"id": "r8", "backend": {"type": "ringbuf", "data": {"size": 65536}}}}
{"execute": "chardev-add", "arguments": {"id": "r9", "backend": {"type": "ringbuf", "data": {"size": 65535}}}}
{"execute": "chardev-add", "arguments": {"id": "m", "backend": {"type": "memory", "data": {"size": 16}}}}
{"execute": "chardev-add", "arguments": {"id": "m2", "backend": {"type": "ringbuf", "data": {"size": "16"}}}}
{"execute": "ringbuf-read", "arguments": {"device": "nope", "size": 10}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 10}}
{"execute": "ringbuf-read", "arguments": {"device": "r5", "size": 10}}
{"execute": "ringbuf-read", "arguments": {"device": "qmp", "size": 10}}
{"execute": "ringbuf-write", "arguments": {"device": "r5", "data": "abcdef"}}
{"execute": "ringbuf-read", "arguments": {"device": "r5", "size": 3}}
{"execute": "ringbuf-read", "arguments": {"device": "r5", "size": 100}}
{"execute": "ringbuf-write", "arguments": {"device": "r5", "data": "ghijklmnopq"}}
{"execute": "ringbuf-read", "arguments": {"device": "r5", "size": 3}}
{"execute": "ringbuf-read", "arguments": {"device": "r5", "size": 100}}
{"execute": "ringbuf-write", "arguments": {"device": "r5", "data": "12345678"}}
{"execute": "ringbuf-read", "arguments": {"device": "r5", "size": 3}}
{"execute": "ringbuf-read", "arguments": {"device": "r5", "size": 100}}
{"execute": "ringbuf-write", "arguments": {"device": "r5", "data": ""}}
{"execute": "ringbuf-read", "arguments": {"device": "r5", "size": 3}}
{"execute": "ringbuf-read", "arguments": {"device": "r5", "size": 100}}
{"execute": "ringbuf-write", "arguments": {"device": "r5", "data": "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}}
{"execute": "ringbuf-read", "arguments": {"device": "r5", "size": 3}}
{"execute": "ringbuf-read", "arguments": {"device": "r5", "size": 100}}
{"execute": "ringbuf-read", "arguments": {"device": "r5", "size": 0}}
{"execute": "ringbuf-read", "arguments": {"device": "r5", "size": -1}}
{"execute": "ringbuf-read", "arguments": {"device": "r5", "size": "1"}}
{"execute": "ringbuf-read", "arguments": {"device": "r5"}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "_/4A", "format": "base64"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100, "format": "base64"}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "//4A", "format": "base64"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100, "format": "base64"}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "AGFi", "format": "base64"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100, "format": "base64"}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "AGF", "format": "base64"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100, "format": "base64"}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "AG Fi", "format": "base64"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100, "format": "base64"}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "A===", "format": "base64"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100, "format": "base64"}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "AAAA====", "format": "base64"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100, "format": "base64"}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "=AAA", "format": "base64"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100, "format": "base64"}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "AA=A", "format": "base64"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100, "format": "base64"}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "AAA=AAAA", "format": "base64"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100, "format": "base64"}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "YQ", "format": "base64"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100, "format": "base64"}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "YQ=", "format": "base64"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100, "format": "base64"}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "!", "format": "base64"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100, "format": "base64"}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "YWJj\n", "format": "base64"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100, "format": "base64"}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "é", "format": "base64"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100, "format": "base64"}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "/4Bh", "format": "base64"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "wIBh", "format": "base64"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "7aCA", "format": "base64"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "4pg=", "format": "base64"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "8J+YgA==", "format": "base64"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "9JCAgA==", "format": "base64"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "YcOp", "format": "base64"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "4pg7", "format": "base64"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "gIE=", "format": "base64"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "7+8=", "format": "base64"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "+Pn6", "format": "base64"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "AGFi", "format": "base64"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "é😀\u0000x"}}
{"execute": "ringbuf-read", "arguments": {"device": "m", "size": 100, "format": "base64"}}
{"execute": "ringbuf-write", "arguments": {"device": "m", "data": "x", "format": "foo"}}
{"execute": "ringbuf-write", "arguments": {"device": "nope", "data": "!", "format": "base64"}}
{"execute": "ringbuf-write", "arguments": {"device": "qmp", "data": "x"}}
{"execute": "chardev-send-break", "arguments": {"id": "m"}}
{"execute": "chardev-send-break", "arguments": {"id": "nope"}}
{"execute": "chardev-send-break", "arguments": {"id": "qmp"}}
{"execute": "query-chardev"}
{"execute": "qom-list", "arguments": {"path": "/chardevs"}}
{"execute": "qom-list", "arguments": {"path": "/chardevs/m"}}
{"execute": "chardev-remove", "arguments": {"id": "m"}}
"""
    script
        "devices: shared"
        ""
        """
{"execute": "chardev-add", "arguments": {"id": "n", "backend": {"type": "null", "data": {}}}}
{"execute": "chardev-add", "arguments": {"id": "n2", "backend": {"type": "null", "data": {}}}}
{"execute": "chardev-add", "arguments": {"id": "rb", "backend": {"type": "ringbuf", "data": {"size": 1024}}}}
{"execute": "chardev-add", "arguments": {"id": "mx", "backend": {"type": "mux", "data": {"chardev": "nope"}}}}
{"execute": "chardev-add", "arguments": {"id": "mx", "backend": {"type": "mux", "data": {"chardev": "n"}}}}
{"execute": "chardev-add", "arguments": {"id": "mx2", "backend": {"type": "mux", "data": {"chardev": "n"}}}}
{"execute": "chardev-add", "arguments": {"id": "mx3", "backend": {"type": "mux", "data": {"chardev": "qmp"}}}}
{"execute": "chardev-add", "arguments": {"id": "mm", "backend": {"type": "mux", "data": {"chardev": "mx"}}}}
{"execute": "chardev-add", "arguments": {"id": "h0", "backend": {"type": "hub", "data": {"chardevs": []}}}}
{"execute": "chardev-add", "arguments": {"id": "h1", "backend": {"type": "hub", "data": {"chardevs": ["nope"]}}}}
{"execute": "chardev-add", "arguments": {"id": "h2", "backend": {"type": "hub", "data": {"chardevs": ["n2", "rb"]}}}}
{"execute": "chardev-add", "arguments": {"id": "h3", "backend": {"type": "hub", "data": {"chardevs": ["rb"]}}}}
{"execute": "chardev-add", "arguments": {"id": "h4", "backend": {"type": "hub", "data": {"chardevs": ["mx"]}}}}
{"execute": "chardev-add", "arguments": {"id": "h5", "backend": {"type": "hub", "data": {"chardevs": ["h2"]}}}}
{"execute": "chardev-add", "arguments": {"id": "z0", "backend": {"type": "null", "data": {}}}}
{"execute": "chardev-add", "arguments": {"id": "z1", "backend": {"type": "null", "data": {}}}}
{"execute": "chardev-add", "arguments": {"id": "z2", "backend": {"type": "null", "data": {}}}}
{"execute": "chardev-add", "arguments": {"id": "z3", "backend": {"type": "null", "data": {}}}}
{"execute": "chardev-add", "arguments": {"id": "z4", "backend": {"type": "null", "data": {}}}}
{"execute": "chardev-add", "arguments": {"id": "z5", "backend": {"type": "null", "data": {}}}}
{"execute": "chardev-add", "arguments": {"id": "h6", "backend": {"type": "hub", "data": {"chardevs": ["z0", "z1", "z2", "z3", "z4"]}}}}
{"execute": "chardev-add", "arguments": {"id": "h7", "backend": {"type": "hub", "data": {"chardevs": ["z0", "z0"]}}}}
{"execute": "chardev-add", "arguments": {"id": "h8", "backend": {"type": "hub", "data": {"chardevs": ["z1", "z2", "z3", "z4"]}}}}
{"execute": "chardev-add", "arguments": {"id": "mh", "backend": {"type": "mux", "data": {"chardev": "h2"}}}}
{"execute": "query-chardev"}
{"execute": "qom-list", "arguments": {"path": "/chardevs"}}
{"execute": "chardev-remove", "arguments": {"id": "n"}}
{"execute": "chardev-remove", "arguments": {"id": "n2"}}
{"execute": "chardev-remove", "arguments": {"id": "rb"}}
{"execute": "chardev-remove", "arguments": {"id": "h8"}}
{"execute": "chardev-remove", "arguments": {"id": "mx"}}
{"execute": "chardev-remove", "arguments": {"id": "z1"}}
{"execute": "chardev-change", "arguments": {"id": "mx", "backend": {"type": "null", "data": {}}}}
{"execute": "chardev-change", "arguments": {"id": "h2", "backend": {"type": "null", "data": {}}}}
{"execute": "chardev-change", "arguments": {"id": "n", "backend": {"type": "null", "data": {}}}}
{"execute": "chardev-change", "arguments": {"id": "nope", "backend": {"type": "null", "data": {}}}}
{"execute": "chardev-change", "arguments": {"id": "z5", "backend": {"type": "mux", "data": {"chardev": "z0"}}}}
{"execute": "chardev-remove", "arguments": {"id": "z0"}}
{"execute": "chardev-remove", "arguments": {"id": "z5"}}
{"execute": "chardev-remove", "arguments": {"id": "z0"}}
{"execute": "chardev-send-break", "arguments": {"id": "mx"}}
{"execute": "query-chardev"}
"""
    script
        "devices: ports"
        ""
        """
{"execute": "chardev-add", "arguments": {"id": "u1", "backend": {"type": "udp", "data": {"remote": {"type": "inet", "data": {"host": "127.0.0.1", "port": "5555"}}}}}}
{"execute": "chardev-add", "arguments": {"id": "u2", "backend": {"type": "udp", "data": {"remote": {"type": "inet", "data": {"host": "127.0.0.1", "port": "5555"}}, "local": {"type": "inet", "data": {"host": "", "port": "0"}}}}}}
{"execute": "chardev-add", "arguments": {"id": "u3", "backend": {"type": "udp", "data": {"remote": {"type": "unix", "data": {"path": "/x"}}}}}}
{"execute": "chardev-add", "arguments": {"id": "u3", "backend": {"type": "udp", "data": {"remote": {"type": "fd", "data": {"str": "3"}}}}}}
{"execute": "chardev-add", "arguments": {"id": "u4", "backend": {"type": "udp", "data": {"remote": {"type": "inet", "data": {"host": "", "port": "5555"}}}}}}
{"execute": "chardev-add", "arguments": {"id": "u5", "backend": {"type": "udp", "data": {"remote": {"type": "inet", "data": {"host": "127.0.0.1", "port": ""}}}}}}
{"execute": "chardev-add", "arguments": {"id": "u6", "backend": {"type": "udp", "data": {"remote": {"type": "inet", "data": {"host": "127.0.0.1", "port": "0"}}}}}}
{"execute": "chardev-add", "arguments": {"id": "u8", "backend": {"type": "udp", "data": {"remote": {"type": "inet", "data": {"host": "nonexist.invalid", "port": "99"}}}}}}
{"execute": "chardev-add", "arguments": {"id": "u9", "backend": {"type": "udp", "data": {"remote": {"type": "inet", "data": {"host": "127.0.0.1", "port": "99"}}, "local": {"type": "inet", "data": {"host": "nonexist.invalid", "port": "9"}}}}}}
{"execute": "chardev-add", "arguments": {"id": "u10", "backend": {"type": "udp", "data": {"remote": {"type": "inet", "data": {"host": "127.0.0.1", "port": "99"}}, "local": {"type": "inet", "data": {"host": "1.2.3.4", "port": "9"}}}}}}
{"execute": "chardev-add", "arguments": {"id": "u11", "backend": {"type": "udp", "data": {"remote": {"type": "inet", "data": {"host": "127.0.0.1", "port": "99", "ipv4": false, "ipv6": false}}}}}}
{"execute": "chardev-add", "arguments": {"id": "u12", "backend": {"type": "udp", "data": {"remote": {"type": "inet", "data": {"host": "127.0.0.1", "port": "99", "ipv4": false, "ipv6": true}}}}}}
{"execute": "chardev-add", "arguments": {"id": "u13", "backend": {"type": "udp", "data": {"remote": {"type": "inet", "data": {"host": "127.0.0.1", "port": "foo"}}}}}}
{"execute": "chardev-add", "arguments": {"id": "p1", "backend": {"type": "pipe", "data": {"device": "/nope"}}}}
{"execute": "chardev-add", "arguments": {"id": "p2", "backend": {"type": "pipe", "data": {"device": "img/r.raw"}}}}
{"execute": "chardev-add", "arguments": {"id": "s1", "backend": {"type": "serial", "data": {"device": "/dev/null"}}}}
{"execute": "chardev-add", "arguments": {"id": "s4", "backend": {"type": "serial", "data": {"device": "/nope"}}}}
{"execute": "chardev-add", "arguments": {"id": "l1", "backend": {"type": "parallel", "data": {"device": "/dev/null"}}}}
{"execute": "chardev-add", "arguments": {"id": "l2", "backend": {"type": "parallel", "data": {"device": "/nope"}}}}
{"execute": "chardev-add", "arguments": {"id": "w1", "backend": {"type": "socket", "data": {"addr": {"type": "unix", "data": {"path": "w.sock"}}, "server": true, "wait": false, "websocket": true}}}}
{"execute": "chardev-add", "arguments": {"id": "w2", "backend": {"type": "socket", "data": {"addr": {"type": "unix", "data": {"path": "w.sock2"}}, "server": false, "websocket": true}}}}
{"execute": "chardev-add", "arguments": {"id": "w3", "backend": {"type": "socket", "data": {"addr": {"type": "unix", "data": {"path": "x.sock", "abstract": true}}, "server": true, "wait": false, "telnet": true}}}}
{"execute": "qom-get", "arguments": {"path": "/chardevs/w1", "property": "addr"}}
{"execute": "qom-get", "arguments": {"path": "/chardevs/w3", "property": "addr"}}
{"execute": "qom-get", "arguments": {"path": "/chardevs/w1", "property": "connected"}}
{"execute": "chardev-add", "arguments": {"id": "tz", "backend": {"type": "socket", "data": {"addr": {"type": "inet", "data": {"host": "127.0.0.1", "port": "0"}}, "server": true, "wait": false, "tls-creds": "foo", "tls-authz": "x"}}}}
{"execute": "chardev-add", "arguments": {"id": "tz", "backend": {"type": "socket", "data": {"addr": {"type": "inet", "data": {"host": "127.0.0.1", "port": "0"}}, "server": true, "wait": false, "tls-authz": "x"}}}}
{"execute": "query-chardev"}
{"execute": "qom-list-properties", "arguments": {"typename": "chardev-mux"}}
{"execute": "qom-list-properties", "arguments": {"typename": "chardev-hub"}}
{"execute": "qom-list-properties", "arguments": {"typename": "chardev-udp"}}
{"execute": "qom-list-properties", "arguments": {"typename": "chardev-ringbuf"}}
{"execute": "qom-list-properties", "arguments": {"typename": "chardev-memory"}}
{"execute": "qom-list-properties", "arguments": {"typename": "chardev-pipe"}}
{"execute": "qom-list-properties", "arguments": {"typename": "chardev-serial"}}
{"execute": "qom-list-properties", "arguments": {"typename": "chardev-parallel"}}
"""
    script
        "devices: from the command line"
        "--chardev null,id=a,mux=on --chardev ringbuf,id=r,size=64k --chardev ringbuf,id=q --chardev hub,id=h,chardevs.0=r,chardevs.1=q --chardev mux,id=m,chardev=h"
        """
{"execute": "query-chardev"}
{"execute": "chardev-remove", "arguments": {"id": "a-base"}}
{"execute": "chardev-remove", "arguments": {"id": "a"}}
{"execute": "chardev-remove", "arguments": {"id": "a-base"}}
{"execute": "query-chardev"}
"""
]

let all: QmpScript list =
    List.concat [ protocol; [ errors ]; nodes; exports; objects; chardevs; devices ]

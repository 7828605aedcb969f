/// QMP conversations about nodes, and about things that are not there; in the language of `QmpScripts`.
module StorageDaemon.Tests.Differential.NodeScripts

open StorageDaemon.Tests.Differential.QmpScripts

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

let all: QmpScript list = [
    errors
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

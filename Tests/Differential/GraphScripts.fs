/// QMP conversations about graphs that change while they are used; in the language of `QmpScripts`.
module StorageDaemon.Tests.Differential.GraphScripts

open StorageDaemon.Tests.Differential.QmpScripts

let all: QmpScript list = [
    script
        "graph: reopen"
        ""
        """
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "f", "filename": "img/r.raw"}}
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "g", "filename": "img/odd2.raw"}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "r", "file": "f"}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "r", "file": "f"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "file": "f"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "zz", "file": "f"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "r"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "r", "filename": "img/r.raw"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "r", "file": "g"}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "x-debug-query-block-graph"}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "r", "file": "f", "read-only": true}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "r", "file": "f", "offset": 512}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "r", "file": "f", "size": 512}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "r", "file": "f", "size": 513}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "r", "file": "f"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "r", "file": "r"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "r", "file": {"driver": "file", "filename": "img/r.raw"}}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "r", "file": {"driver": "file", "filename": "img/r.raw", "node-name": "f"}}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "f", "filename": "img/odd2.raw"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "f", "filename": "img/r.raw", "cache": {"direct": true}}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "f", "filename": "img/r.raw", "aio": "io_uring"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "f", "filename": "img/r.raw", "aio": "native"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "f", "filename": "img/r.raw", "locking": "off"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "f", "filename": "img/r.raw", "locking": "auto"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "f", "filename": "img/r.raw", "x-check-cache-dropped": true}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "f", "filename": "img/r.raw", "drop-cache": false}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "f", "filename": "img/r.raw", "aio-max-batch": 3}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "f", "filename": "img/r.raw", "discard": "unmap"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "f", "filename": "img/r.raw", "detect-zeroes": "unmap"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "f", "filename": "img/r.raw", "detect-zeroes": "on"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "f", "filename": "img/r.raw", "read-only": true, "auto-read-only": true}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "f", "filename": "img/r.raw", "force-share": true}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "f", "filename": "img/r.raw"}, {"driver": "file", "node-name": "f", "filename": "img/r.raw"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "r", "file": "f", "read-only": true}, {"driver": "file", "node-name": "nope", "filename": "img/r.raw"}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "n"}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "null-co", "node-name": "n"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "null-co", "node-name": "n", "size": 512}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "null-co", "node-name": "n", "latency-ns": 512}]}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "in", "file": {"driver": "file", "filename": "img/c.raw"}}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "in", "file": {"driver": "file", "filename": "img/c.raw", "read-only": true}}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "in", "file": "g"}]}}
{"execute": "x-debug-query-block-graph"}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
"""
    script
        "graph: reopen and commands with an export"
        ""
        """
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "f", "filename": "img/r.raw"}}
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "g", "filename": "img/odd2.raw", "locking": "off", "discard": "unmap", "cache": {"direct": true}}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "r", "file": "f"}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "n", "size": 1024}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "g", "filename": "img/odd2.raw"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "g", "filename": "img/odd2.raw", "locking": "off"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "null-co", "node-name": "n"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "f", "filename": "img/r.raw", "discard": "unmap"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "f", "filename": "img/r.raw", "detect-zeroes": "on"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "f", "filename": "img/r.raw", "detect-zeroes": "unmap", "discard": "unmap"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "f", "filename": "img/r.raw", "read-only": true, "auto-read-only": true}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "f", "filename": "img/r.raw", "read-only": true, "force-share": true}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "f", "filename": "img/r.raw", "force-share": true}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "f", "filename": "img/r.raw"}, {"driver": "file", "node-name": "f", "filename": "img/r.raw", "read-only": true}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "r", "file": "f"}, {"driver": "file", "node-name": "f", "filename": "img/r.raw", "read-only": true}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "f", "filename": "img/r.raw", "read-only": true}, {"driver": "raw", "node-name": "r", "file": "f", "read-only": true}]}}
{"execute": "nbd-server-start", "arguments": {"addr": {"type": "unix", "data": {"path": "n.sock"}}}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e", "node-name": "r", "writable": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "f", "filename": "img/r.raw"}, {"driver": "raw", "node-name": "r", "file": "f"}]}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e", "node-name": "r", "writable": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "r", "file": "f", "read-only": true}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "f", "filename": "img/r.raw", "read-only": true}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "f", "filename": "img/r.raw", "auto-read-only": true, "read-only": true}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "f", "filename": "img/r.raw", "auto-read-only": true, "read-only": false}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "r", "file": "f", "offset": 4096}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "r", "file": "f", "size": 4096}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "r", "file": "g"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "r", "file": "n"}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-set-active", "arguments": {"node-name": "r", "active": false}}
{"execute": "blockdev-set-active", "arguments": {"node-name": "n", "active": false}}
{"execute": "blockdev-set-active", "arguments": {"node-name": "f", "active": false}}
{"execute": "blockdev-set-active", "arguments": {"node-name": "zz", "active": false}}
{"execute": "blockdev-set-active", "arguments": {"active": false}}
{"execute": "x-debug-query-block-graph"}
{"execute": "blockdev-set-active", "arguments": {"active": true}}
{"execute": "blockdev-del", "arguments": {"node-name": "f"}}
{"execute": "block-set-write-threshold", "arguments": {"node-name": "r", "write-threshold": -1}}
{"execute": "block-set-write-threshold", "arguments": {"node-name": "r", "write-threshold": 18446744073709551615}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "x-blockdev-set-iothread", "arguments": {"node-name": "r", "iothread": "zz"}}
{"execute": "x-blockdev-set-iothread", "arguments": {"node-name": "g", "iothread": "zz"}}
{"execute": "x-blockdev-set-iothread", "arguments": {"node-name": "g", "iothread": null}}
{"execute": "x-blockdev-set-iothread", "arguments": {"node-name": "r", "iothread": null, "force": true}}
{"execute": "change-backing-file", "arguments": {"device": "r", "image-node-name": "r", "backing-file": "x"}}
{"execute": "change-backing-file", "arguments": {"device": "r", "image-node-name": "zz", "backing-file": "x"}}
{"execute": "change-backing-file", "arguments": {"device": "zz", "image-node-name": "f", "backing-file": "x"}}
{"execute": "change-backing-file", "arguments": {"device": "r", "image-node-name": "f", "backing-file": "x"}}
{"execute": "change-backing-file", "arguments": {"device": "r", "image-node-name": "g", "backing-file": "x"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "r"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "zz"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "r", "node": "f"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "r", "node": "zz"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "r", "child": "file"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "r", "child": "zz"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "r", "child": "file", "node": "g"}}
{"execute": "blockdev-snapshot", "arguments": {"node": "r", "overlay": "g"}}
{"execute": "blockdev-snapshot", "arguments": {"node": "r", "overlay": "zz"}}
{"execute": "blockdev-snapshot", "arguments": {"node": "zz", "overlay": "r"}}
{"execute": "blockdev-snapshot", "arguments": {"node": "r", "overlay": "r"}}
{"execute": "blockdev-snapshot", "arguments": {"node": "f", "overlay": "n"}}
{"execute": "blockdev-snapshot", "arguments": {"node": "n", "overlay": "f"}}
{"execute": "blockdev-snapshot-sync", "arguments": {"node-name": "r", "snapshot-file": "img/missing.raw"}}
{"execute": "blockdev-snapshot-sync", "arguments": {"node-name": "r", "snapshot-file": "img/missing.raw", "snapshot-node-name": "x", "format": "raw"}}
{"execute": "blockdev-snapshot-sync", "arguments": {"node-name": "r", "snapshot-file": "img/missing.raw", "snapshot-node-name": "x", "format": "raw", "mode": "existing"}}
{"execute": "blockdev-snapshot-sync", "arguments": {"node-name": "r", "snapshot-file": "img/odd2.raw", "snapshot-node-name": "x", "format": "raw", "mode": "existing"}}
{"execute": "blockdev-snapshot-sync", "arguments": {"node-name": "r", "snapshot-file": "img/missing.raw", "snapshot-node-name": "x", "format": "nope"}}
{"execute": "transaction", "arguments": {"actions": [{"type": "abort", "data": {}}]}}
{"execute": "transaction", "arguments": {"actions": [], "properties": {"completion-mode": "grouped"}}}
{"execute": "transaction", "arguments": {"actions": [{"type": "abort", "data": {}}], "properties": {"completion-mode": "grouped"}}}
{"execute": "transaction", "arguments": {"actions": [{"type": "blockdev-snapshot", "data": {"node": "f", "overlay": "zz"}}, {"type": "abort", "data": {}}]}}
{"execute": "transaction", "arguments": {"actions": [{"type": "abort", "data": {}}, {"type": "blockdev-snapshot", "data": {"node": "f", "overlay": "zz"}}]}}
{"execute": "transaction", "arguments": {"actions": [{"type": "abort"}]}}
{"execute": "transaction", "arguments": {"actions": [{"type": "blockdev-snapshot-sync", "data": {"node-name": "f", "snapshot-file": "zz"}}]}}
"""
    script
        "graph: what cannot be an overlay"
        "--blockdev file,node-name=f,filename=img/r.raw --blockdev raw,node-name=r,file=f --object throttle-group,id=tg --blockdev file,node-name=g,filename=img/odd2.raw --blockdev throttle,node-name=t,file=g,throttle-group=tg --blockdev copy-on-read,node-name=c,file=t --blockdev preallocate,node-name=p,file=t --blockdev raw,node-name=q,file=t --nbd-server addr.type=unix,addr.path=n.sock"
        (let withFormat (format: string) (more: string) =
            $"""{{"execute": "blockdev-snapshot-sync", "arguments": {{"node-name": "r", "snapshot-node-name": "x", "format": "{format}", {more}}}}}"""

         let formats = [
             "file"
             "host_device"
             "host_cdrom"
             "raw"
             "null-co"
             "null-aio"
             "throttle"
             "copy-on-read"
             "compress"
             "preallocate"
             "nope"
         ]

         [
             for overlay in [ "t"; "c"; "p"; "q"; "g" ] do
                 $"""{{"execute": "blockdev-snapshot", "arguments": {{"node": "r", "overlay": "{overlay}"}}}}"""

             for format in formats do
                 withFormat format "\"snapshot-file\": \"img/c.raw\""
                 withFormat format "\"snapshot-file\": \"img/c.raw\", \"mode\": \"existing\""

             withFormat "null-co" "\"snapshot-file\": \"null-co://\", \"mode\": \"existing\""
             withFormat "null-aio" "\"snapshot-file\": \"null-aio://\", \"mode\": \"existing\""
             """{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e", "node-name": "t"}}"""
             """{"execute": "blockdev-snapshot", "arguments": {"node": "r", "overlay": "t"}}"""
             """{"execute": "blockdev-snapshot", "arguments": {"node": "r", "overlay": "g"}}"""
             """{"execute": "block-export-del", "arguments": {"id": "e"}}"""
             """{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e", "node-name": "q"}}"""
             """{"execute": "blockdev-snapshot", "arguments": {"node": "r", "overlay": "t"}}"""
             """{"execute": "query-named-block-nodes", "arguments": {"flat": true}}"""
         ]
         |> String.concat "\n")
    script
        "graph: iothread of a node with an export"
        "--object iothread,id=t0 --object iothread,id=t1 --blockdev null-co,node-name=n --blockdev raw,node-name=r,file=n --blockdev null-co,node-name=m --nbd-server addr.type=unix,addr.path=n.sock --export nbd,id=e,node-name=r,iothread=t0 --export nbd,id=m,node-name=m,fixed-iothread=on"
        """
{"execute": "x-blockdev-set-iothread", "arguments": {"node-name": "r", "iothread": "t1"}}
{"execute": "x-blockdev-set-iothread", "arguments": {"node-name": "r", "iothread": "t1", "force": false}}
{"execute": "x-blockdev-set-iothread", "arguments": {"node-name": "n", "iothread": "t1"}}
{"execute": "x-blockdev-set-iothread", "arguments": {"node-name": "r", "iothread": "t1", "force": true}}
nbd A r
{"execute": "x-blockdev-set-iothread", "arguments": {"node-name": "r", "iothread": "t0", "force": true}}
{"execute": "x-blockdev-set-iothread", "arguments": {"node-name": "n", "iothread": null}}
{"execute": "object-del", "arguments": {"id": "t1"}}
{"execute": "object-del", "arguments": {"id": "t0"}}
{"execute": "x-blockdev-set-iothread", "arguments": {"node-name": "m", "iothread": "t0"}}
{"execute": "x-blockdev-set-iothread", "arguments": {"node-name": "m", "iothread": "t0", "force": true}}
{"execute": "x-blockdev-set-iothread", "arguments": {"node-name": "m", "iothread": null, "force": true}}
{"execute": "query-block-exports"}
close A
"""
    script
        "graph: snapshots, activation, resize"
        ""
        """
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "f", "filename": "img/r.raw"}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "r", "file": "f"}}
{"execute": "blockdev-snapshot-sync", "arguments": {"node-name": "r", "snapshot-file": "img/missing.raw", "snapshot-node-name": "x", "format": "raw"}}
{"execute": "blockdev-snapshot-sync", "arguments": {"node-name": "r", "snapshot-file": "img/missing.raw", "snapshot-node-name": "x", "format": "raw", "mode": "existing"}}
{"execute": "blockdev-snapshot-sync", "arguments": {"node-name": "r", "snapshot-file": "img/odd2.raw", "snapshot-node-name": "x", "format": "raw", "mode": "existing"}}
{"execute": "blockdev-snapshot-sync", "arguments": {"node-name": "r", "snapshot-file": "img/odd2.raw", "snapshot-node-name": "r", "format": "raw", "mode": "existing"}}
{"execute": "blockdev-snapshot-sync", "arguments": {"node-name": "r", "snapshot-file": "img/odd2.raw", "snapshot-node-name": "1x", "format": "raw", "mode": "existing"}}
{"execute": "blockdev-snapshot-sync", "arguments": {"node-name": "r", "snapshot-file": "img/odd2.raw", "snapshot-node-name": "x", "format": "nope", "mode": "existing"}}
{"execute": "blockdev-snapshot-sync", "arguments": {"node-name": "r", "snapshot-file": "img/odd2.raw", "snapshot-node-name": "x", "format": "nope"}}
{"execute": "blockdev-snapshot-sync", "arguments": {"node-name": "r", "snapshot-file": "img/odd2.raw", "snapshot-node-name": "x", "format": "file"}}
{"execute": "blockdev-snapshot-sync", "arguments": {"node-name": "r", "snapshot-file": "", "snapshot-node-name": "x", "format": "raw"}}
{"execute": "blockdev-snapshot-sync", "arguments": {"node-name": "r", "snapshot-file": "", "snapshot-node-name": "x", "format": "raw", "mode": "existing"}}
{"execute": "blockdev-snapshot-sync", "arguments": {"node-name": "f", "snapshot-file": "img/missing.raw", "snapshot-node-name": "x", "format": "raw"}}
{"execute": "blockdev-snapshot", "arguments": {"node": "r", "overlay": "f"}}
{"execute": "blockdev-snapshot", "arguments": {"node": "f", "overlay": "r"}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "r2", "file": {"driver": "file", "filename": "img/c.raw", "node-name": "cc"}}}
{"execute": "blockdev-snapshot", "arguments": {"node": "r", "overlay": "r2"}}
{"execute": "blockdev-snapshot", "arguments": {"node": "cc", "overlay": "r2"}}
{"execute": "blockdev-snapshot", "arguments": {"node": "r2", "overlay": "cc"}}
{"execute": "transaction", "arguments": {"actions": [{"type": "blockdev-snapshot", "data": {"node": "r", "overlay": "r2"}}, {"type": "abort", "data": {}}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "change-backing-file", "arguments": {"device": "f", "image-node-name": "f", "backing-file": "x"}}
{"execute": "change-backing-file", "arguments": {"device": "cc", "image-node-name": "f", "backing-file": "x"}}
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "ia", "filename": "img/odd2.raw", "active": false}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "ir", "file": "ia", "active": false}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "ir2", "file": "ia"}}
{"execute": "blockdev-set-active", "arguments": {"node-name": "ia", "active": true}}
{"execute": "blockdev-set-active", "arguments": {"node-name": "ir", "active": true}}
{"execute": "blockdev-set-active", "arguments": {"node-name": "ia", "active": false}}
{"execute": "blockdev-set-active", "arguments": {"node-name": "ir", "active": false}}
{"execute": "x-debug-query-block-graph"}
{"execute": "blockdev-set-active", "arguments": {"node-name": "ir", "active": false}}
{"execute": "nbd-server-start", "arguments": {"addr": {"type": "unix", "data": {"path": "n.sock"}}}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "ro", "node-name": "ir", "allow-inactive": true}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "rw", "node-name": "r", "writable": true, "allow-inactive": true}}
{"execute": "blockdev-set-active", "arguments": {"node-name": "r", "active": false}}
{"execute": "blockdev-set-active", "arguments": {"active": false}}
{"execute": "blockdev-set-active", "arguments": {"active": true}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "rw2", "node-name": "r2", "writable": true}}
{"execute": "blockdev-set-active", "arguments": {"node-name": "r2", "active": false}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "ro2", "node-name": "cc"}}
{"execute": "blockdev-set-active", "arguments": {"node-name": "cc", "active": false}}
{"execute": "block_resize", "arguments": {"node-name": "ia", "size": 8192}}
{"execute": "blockdev-set-active", "arguments": {"node-name": "ia", "active": false}}
{"execute": "blockdev-set-active", "arguments": {"node-name": "ir", "active": false}}
{"execute": "block_resize", "arguments": {"node-name": "ia", "size": 4096}}
{"execute": "blockdev-snapshot", "arguments": {"node": "ir", "overlay": "ia"}}
"""
    script
        "graph: write threshold"
        "--blockdev file,node-name=f,filename=img/r.raw --blockdev raw,node-name=r,file=f,offset=4096 --nbd-server addr.type=unix,addr.path=n.sock --export nbd,id=e0,node-name=r,writable=on"
        """
{"execute": "block-set-write-threshold", "arguments": {"node-name": "r", "write-threshold": 65536}}
nbd A r
write A 4096
{"execute": "query-named-block-nodes"}
write A 65536
write A 65537
await BLOCK_WRITE_THRESHOLD
write A 65537
{"execute": "query-named-block-nodes"}
{"execute": "block-set-write-threshold", "arguments": {"node-name": "f", "write-threshold": 4096}}
write A 512
await BLOCK_WRITE_THRESHOLD
{"execute": "block-set-write-threshold", "arguments": {"node-name": "f", "write-threshold": 4096}}
{"execute": "block-set-write-threshold", "arguments": {"node-name": "f", "write-threshold": 0}}
write A 512
{"execute": "block-set-write-threshold", "arguments": {"node-name": "f", "write-threshold": "1"}}
{"execute": "query-blockstats", "arguments": {"query-nodes": true}}
"""
    script
        "filters: throttle groups"
        ""
        """
{"execute": "object-add", "arguments": {"qom-type": "throttle-group", "id": "tg"}}
{"execute": "object-add", "arguments": {"qom-type": "throttle-group", "id": "tg1", "limits": {"iops-total": 10, "iops-read": 5}}}
{"execute": "object-add", "arguments": {"qom-type": "throttle-group", "id": "tg1", "limits": {"iops-total": -10}}}
{"execute": "object-add", "arguments": {"qom-type": "throttle-group", "id": "tg1", "limits": {"iops-total-max": 10}}}
{"execute": "object-add", "arguments": {"qom-type": "throttle-group", "id": "tg1", "limits": {"iops-total": 100, "iops-total-max": 10}}}
{"execute": "object-add", "arguments": {"qom-type": "throttle-group", "id": "tg1", "limits": {"iops-total-max-length": 10}}}
{"execute": "object-add", "arguments": {"qom-type": "throttle-group", "id": "tg1", "limits": {"iops-total": 1, "iops-total-max-length": 10}}}
{"execute": "object-add", "arguments": {"qom-type": "throttle-group", "id": "tg1", "limits": {"iops-total": 1, "iops-total-max": 10, "iops-total-max-length": 0}}}
{"execute": "object-add", "arguments": {"qom-type": "throttle-group", "id": "tg1", "limits": {"iops-total": 1, "iops-total-max": 10, "iops-total-max-length": 4294967296}}}
{"execute": "object-add", "arguments": {"qom-type": "throttle-group", "id": "tg1", "limits": {"iops-total": 1, "iops-total-max": 1000000000000, "iops-total-max-length": 100000}}}
{"execute": "object-add", "arguments": {"qom-type": "throttle-group", "id": "tg1", "limits": {"iops-total": 1000000000000001}}}
{"execute": "object-add", "arguments": {"qom-type": "throttle-group", "id": "tg1", "limits": {"iops-size": 10}}}
{"execute": "object-add", "arguments": {"qom-type": "throttle-group", "id": "tg1", "limits": {"iops-size": -1}}}
{"execute": "object-add", "arguments": {"qom-type": "throttle-group", "id": "tg1", "limits": {"iops-total": 0, "iops-size": 4294967296}}}
{"execute": "object-add", "arguments": {"qom-type": "throttle-group", "id": "tg2", "x-iops-total": 10}}
{"execute": "object-add", "arguments": {"qom-type": "throttle-group", "id": "tg3", "x-iops-total": -10}}
{"execute": "object-add", "arguments": {"qom-type": "throttle-group", "id": "tg3", "x-iops-total": 10, "limits": {"bps-total": 5}}}
{"execute": "object-add", "arguments": {"qom-type": "throttle-group", "id": "tg4", "x-iops-total-max-length": 0}}
{"execute": "object-add", "arguments": {"qom-type": "throttle-group", "id": "tg4", "x-iops-total-max-length": 4294967296}}
{"execute": "object-add", "arguments": {"qom-type": "throttle-group", "id": "tg4", "x-iops-total-max-length": 5}}
{"execute": "object-add", "arguments": {"qom-type": "throttle-group", "id": "tg4", "x-iops-size": 5}}
{"execute": "object-add", "arguments": {"qom-type": "throttle-group", "id": "1tg"}}
{"execute": "object-add", "arguments": {"qom-type": "throttle-group", "id": "tg"}}
{"execute": "qom-list", "arguments": {"path": "/objects/tg"}}
{"execute": "qom-get", "arguments": {"path": "/objects/tg", "property": "limits"}}
{"execute": "qom-get", "arguments": {"path": "/objects/tg3", "property": "limits"}}
{"execute": "qom-get", "arguments": {"path": "/objects/tg2", "property": "x-iops-total"}}
{"execute": "qom-get", "arguments": {"path": "/objects/tg2", "property": "x-iops-total-max-length"}}
{"execute": "qom-set", "arguments": {"path": "/objects/tg2", "property": "x-iops-total", "value": 3}}
{"execute": "qom-set", "arguments": {"path": "/objects/tg2", "property": "limits", "value": {"iops-total": 3}}}
{"execute": "qom-set", "arguments": {"path": "/objects/tg2", "property": "limits", "value": {"iops-read": 3}}}
{"execute": "qom-set", "arguments": {"path": "/objects/tg2", "property": "limits", "value": {"iops-total": 0, "iops-read": 3}}}
{"execute": "qom-set", "arguments": {"path": "/objects/tg2", "property": "limits", "value": 3}}
{"execute": "qom-set", "arguments": {"path": "/objects/tg2", "property": "limits", "value": {"bogus": 3}}}
{"execute": "qom-set", "arguments": {"path": "/objects/tg2", "property": "limits", "value": {"iops-size": "a"}}}
{"execute": "qom-get", "arguments": {"path": "/objects/tg2", "property": "limits"}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "n"}}
{"execute": "blockdev-add", "arguments": {"driver": "throttle", "node-name": "t", "throttle-group": "nope", "file": "n"}}
{"execute": "blockdev-add", "arguments": {"driver": "throttle", "node-name": "t", "throttle-group": "tg2", "file": "n"}}
{"execute": "blockdev-add", "arguments": {"driver": "throttle", "node-name": "t2", "throttle-group": "tg2", "file": {"driver": "file", "filename": "img/r.raw"}}}
{"execute": "blockdev-add", "arguments": {"driver": "throttle", "node-name": "t3", "throttle-group": "tg2"}}
{"execute": "blockdev-add", "arguments": {"driver": "throttle", "node-name": "t3", "file": "n"}}
{"execute": "query-named-block-nodes"}
{"execute": "query-blockstats", "arguments": {"query-nodes": true}}
{"execute": "object-del", "arguments": {"id": "tg2"}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "throttle", "node-name": "t", "throttle-group": "tg", "file": "n"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "throttle", "node-name": "t", "throttle-group": "nope", "file": "n"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "throttle", "node-name": "t", "throttle-group": "tg", "file": "t2"}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-add", "arguments": {"driver": "copy-on-read", "node-name": "c1", "file": "t2"}}
{"execute": "blockdev-add", "arguments": {"driver": "copy-on-read", "node-name": "c2", "file": "t2", "bottom": "nope"}}
{"execute": "blockdev-add", "arguments": {"driver": "copy-on-read", "node-name": "c3", "file": "t2", "bottom": "t2"}}
{"execute": "blockdev-add", "arguments": {"driver": "copy-on-read", "node-name": "c4", "file": "t2", "read-only": true}}
{"execute": "blockdev-add", "arguments": {"driver": "compress", "node-name": "p1", "file": "t2"}}
{"execute": "blockdev-add", "arguments": {"driver": "compress", "node-name": "p1", "file": "n"}}
{"execute": "blockdev-add", "arguments": {"driver": "preallocate", "node-name": "q1", "file": "t2"}}
{"execute": "blockdev-add", "arguments": {"driver": "preallocate", "node-name": "q2", "file": {"driver": "file", "filename": "img/odd2.raw"}, "prealloc-align": 1000}}
{"execute": "blockdev-add", "arguments": {"driver": "preallocate", "node-name": "q2", "file": {"driver": "file", "filename": "img/odd2.raw"}, "prealloc-align": 4096, "prealloc-size": 8192}}
{"execute": "x-debug-query-block-graph"}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "object-del", "arguments": {"id": "tg"}}
{"execute": "qom-list-properties", "arguments": {"typename": "throttle-group"}}
"""
    script
        "filters: what passes requests on"
        ""
        """
{"execute": "object-add", "arguments": {"qom-type": "throttle-group", "id": "tg"}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "n"}}
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "f", "filename": "img/r.raw"}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "r", "file": "f"}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "rs", "file": "f", "offset": 512}}
{"execute": "blockdev-add", "arguments": {"driver": "compress", "node-name": "p1", "file": "n"}}
{"execute": "blockdev-add", "arguments": {"driver": "compress", "node-name": "p1", "file": "f"}}
{"execute": "blockdev-add", "arguments": {"driver": "compress", "node-name": "p1", "file": "r"}}
{"execute": "blockdev-add", "arguments": {"driver": "compress", "node-name": "p1", "file": "rs"}}
{"execute": "blockdev-add", "arguments": {"driver": "copy-on-read", "node-name": "c", "file": "r"}}
{"execute": "blockdev-add", "arguments": {"driver": "copy-on-read", "node-name": "c2", "file": "r", "bottom": "r"}}
{"execute": "blockdev-add", "arguments": {"driver": "copy-on-read", "node-name": "c3", "file": {"driver": "file", "filename": "img/odd2.raw", "read-only": true}}}
{"execute": "blockdev-add", "arguments": {"driver": "copy-on-read", "node-name": "c3", "read-only": true, "file": {"driver": "file", "filename": "img/odd2.raw"}}}
{"execute": "blockdev-add", "arguments": {"driver": "copy-on-read", "node-name": "c5", "file": "r", "active": false}}
{"execute": "blockdev-add", "arguments": {"driver": "copy-on-read", "node-name": "c6", "file": {"driver": "file", "filename": "img/odd2.raw", "active": false}, "active": false}}
{"execute": "blockdev-add", "arguments": {"driver": "throttle", "node-name": "t", "throttle-group": "tg", "file": "c"}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "throttle", "node-name": "t", "throttle-group": "tg", "file": "c", "read-only": true}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "copy-on-read", "node-name": "c", "file": "r"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "copy-on-read", "node-name": "c", "file": "r", "bottom": "r"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "compress", "node-name": "p1", "file": "r"}]}}
{"execute": "blockdev-add", "arguments": {"driver": "preallocate", "node-name": "q", "file": "r", "prealloc-align": 0}}
{"execute": "blockdev-add", "arguments": {"driver": "preallocate", "node-name": "q0", "file": "r", "prealloc-align": -512}}
{"execute": "blockdev-add", "arguments": {"driver": "preallocate", "node-name": "q1", "file": "r", "prealloc-size": 5}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "preallocate", "node-name": "q1", "file": "r", "prealloc-size": 1024}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "preallocate", "node-name": "q1", "file": "r", "prealloc-align": 100}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "preallocate", "node-name": "q1", "file": "r"}]}}
{"execute": "block_resize", "arguments": {"node-name": "t", "size": 1048576}}
{"execute": "block_resize", "arguments": {"node-name": "q1", "size": 2097152}}
{"execute": "nbd-server-start", "arguments": {"addr": {"type": "unix", "data": {"path": "n.sock"}}}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e", "node-name": "t", "writable": true}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e2", "node-name": "q1", "writable": true}}
{"execute": "x-debug-query-block-graph"}
{"execute": "blockdev-del", "arguments": {"node-name": "c"}}
{"execute": "query-blockstats", "arguments": {"query-nodes": true}}
{"execute": "query-named-block-nodes"}
"""
    script
        "graph: reopen reaches the children that were described"
        ""
        """
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "i", "file": {"driver": "file", "node-name": "if", "filename": "img/r.raw"}}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "i", "file": "if", "read-only": true}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "i", "file": "if", "read-only": false}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "i", "file": "if", "read-only": true, "cache": {"direct": true}}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "i", "file": "if", "cache": {"direct": false}}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "i", "file": {"driver": "file", "filename": "img/r.raw"}}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "j", "file": {"driver": "file", "node-name": "jf", "filename": "img/c.raw", "read-only": false, "cache": {"direct": false}}}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "j", "file": "jf", "read-only": true, "cache": {"direct": true, "no-flush": true}, "detect-zeroes": "on"}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "jf", "filename": "img/c.raw"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "j", "file": "jf", "cache": {"direct": true}}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "t", "file": {"driver": "raw", "node-name": "m", "file": {"driver": "file", "node-name": "b", "filename": "img/odd2.raw"}}}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "t", "file": "m", "read-only": true, "cache": {"no-flush": true}}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "t", "file": {"driver": "raw", "file": "b"}}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "t", "file": {"driver": "raw", "file": "b", "read-only": false}, "cache": {"direct": true}}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
"""
    script
        "graph: what a reopen keeps"
        ""
        """
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "i", "file": {"driver": "file", "node-name": "if", "filename": "img/r.raw"}}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "i", "file": "if", "auto-read-only": true}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "i", "file": "if", "detect-zeroes": "unmap", "discard": "unmap"}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "i", "file": "if"}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "i", "file": "if", "detect-zeroes": "unmap"}]}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "j", "file": {"driver": "raw", "node-name": "jm", "offset": 512, "file": {"driver": "file", "node-name": "jf", "filename": "img/c.raw", "drop-cache": false}}}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "j", "file": "jm"}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "j", "file": {"driver": "raw", "file": "jf"}}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "j", "file": {"driver": "raw", "file": {"driver": "file", "filename": "img/c.raw"}}}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "jf", "filename": "img/c.raw", "drop-cache": false, "read-only": true}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "j", "file": "jm"}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "j", "file": "jm", "read-only": false}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "j", "file": {"driver": "raw", "file": {"driver": "file", "filename": "img/c.raw", "drop-cache": false}}, "read-only": false}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "i", "file": "if", "read-only": true}, {"driver": "file", "node-name": "if", "filename": "img/r.raw"}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "if", "filename": "img/r.raw"}, {"driver": "raw", "node-name": "i", "file": "if", "read-only": true}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "i", "file": "if", "cache": {"direct": true}}, {"driver": "raw", "node-name": "i", "file": "if"}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "object-add", "arguments": {"qom-type": "throttle-group", "id": "g"}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "throttle", "node-name": "t", "throttle-group": "g", "file": "tf"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "throttle", "node-name": "t", "throttle-group": "g", "file": {"driver": "file", "filename": "img/odd2.raw", "node-name": "tf"}}]}}
"""
    script
        "graph: what a reopen cannot change"
        ""
        """
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "t", "file": {"driver": "raw", "node-name": "m", "file": {"driver": "file", "node-name": "b", "filename": "img/r.raw"}}}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "m", "file": "b", "read-only": true}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "m", "file": "b"}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "t", "file": "m"}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "t", "file": "m", "read-only": true}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "t", "file": "m"}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "m", "file": "b"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "t", "file": "m"}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "m", "detect-zeroes": "on", "file": {"driver": "file", "filename": "img/r.raw"}}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "t", "file": "m"}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "t", "file": {"driver": "raw", "node-name": "x", "file": "zz"}}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "t", "read-only": true, "file": {"driver": "raw", "node-name": "x", "force-share": false, "file": {"driver": "file", "filename": "img/r.raw", "node-name": "y", "aio": "io_uring", "locking": "on", "pr-manager": "z"}}}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "m", "file": {"driver": "null-co", "size": 5}}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "m", "file": {"driver": "host_device", "filename": "img/r.raw"}}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "m", "file": {"driver": "file", "filename": "img/r.raw", "force-share": true, "node-name": "b", "locking": "on"}}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "throttle", "node-name": "m", "throttle-group": "g", "force-share": true, "file": "b"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "throttle", "node-name": "m", "throttle-group": "g", "file": "nosuch"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "copy-on-read", "node-name": "m", "file": "b"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "blkdebug", "node-name": "m", "image": "b"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "m", "filename": "b"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "null-co", "node-name": "m"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "b", "file": "b"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "null-co", "node-name": "b"}]}}
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "d", "filename": "img/c.raw"}}
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "f", "filename": "img/odd2.raw"}}
{"execute": "blockdev-add", "arguments": {"driver": "blkdebug", "node-name": "bd", "image": "d"}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "blkdebug", "node-name": "bd", "image": "f"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "blkdebug", "node-name": "bd", "image": "nosuch"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "blkdebug", "node-name": "bd", "image": {"driver": "file", "filename": "img/c.raw"}}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "blkdebug", "node-name": "bd", "image": "d", "read-only": true}]}}
{"execute": "blockdev-add", "arguments": {"driver": "blkdebug", "node-name": "be", "image": {"driver": "null-co", "node-name": "n"}}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "blkdebug", "node-name": "be", "image": "n", "read-only": true}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "blkdebug", "node-name": "be", "image": {"driver": "null-co"}}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "blkdebug", "node-name": "be", "image": {"driver": "null-co", "size": 6}}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "blkdebug", "node-name": "be", "image": "n"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "blkdebug", "node-name": "be", "image": "d"}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "blkdebug", "node-name": "be", "image": {"driver": "null-co", "size": 6}}]}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "x1", "file": "d"}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "x1", "file": {"driver": "file", "filename": "img/c.raw"}}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "x1", "file": {"driver": "file", "node-name": "d", "filename": "img/c.raw"}}]}}
"""
    script
        "graph: force-share, and the order of checks"
        ""
        """
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "b", "filename": "img/r.raw", "read-only": true, "force-share": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "b", "filename": "img/r.raw", "read-only": true}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "b", "filename": "img/r.raw", "read-only": true, "force-share": true}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "b", "filename": "img/r.raw", "force-share": true}]}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "m", "read-only": true, "file": {"driver": "file", "node-name": "mf", "filename": "img/c.raw", "force-share": true}}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "raw", "node-name": "m", "file": "mf", "read-only": true}]}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "p", "read-only": true, "force-share": true, "file": {"driver": "file", "node-name": "pf", "filename": "img/c.raw"}}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "file", "node-name": "pf", "filename": "img/c.raw", "read-only": true}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "n1"}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "n2"}}
{"execute": "nbd-server-start", "arguments": {"addr": {"type": "unix", "data": {"path": "n.sock"}}}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e1", "node-name": "n1", "writable": true}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e2", "node-name": "n2", "writable": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "null-co", "node-name": "n1", "read-only": true}, {"driver": "null-co", "node-name": "n2", "read-only": true}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "null-co", "node-name": "n2", "read-only": true}, {"driver": "null-co", "node-name": "n1", "read-only": true}]}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "r1", "file": "n1"}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e3", "node-name": "r1", "writable": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "null-co", "node-name": "n1", "read-only": true}, {"driver": "raw", "node-name": "r1", "file": "n1", "read-only": true}]}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "i", "active": false}}
{"execute": "blockdev-add", "arguments": {"driver": "quorum", "node-name": "q", "children": ["i", "i"], "vote-threshold": 1, "active": false}}
{"execute": "blockdev-add", "arguments": {"driver": "quorum", "node-name": "q2", "children": ["i", "i"], "vote-threshold": 1, "rewrite-corrupted": true, "active": false}}
"""
    script
        "graph: children of a quorum"
        ""
        """
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "a"}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "b"}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "c"}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "d"}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "big", "size": 2097152}}
{"execute": "blockdev-add", "arguments": {"driver": "quorum", "node-name": "q", "children": ["a", "b"], "vote-threshold": 1}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q", "node": "c"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q", "node": "c"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q", "node": "q"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "a", "node": "c"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q", "child": "children.1"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q", "node": "d"}}
{"execute": "nbd-server-start", "arguments": {"addr": {"type": "unix", "data": {"path": "n.sock"}}}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "eb", "node-name": "b", "writable": true}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q", "node": "b"}}
{"execute": "blockdev-add", "arguments": {"driver": "quorum", "node-name": "q2", "children": ["d", "d"], "vote-threshold": 2, "blkverify": true}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q2", "node": "b"}}
{"execute": "x-debug-query-block-graph"}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
"""
]

/// QMP conversations about exports and the NBD server; in the language of `QmpScripts`.
module StorageDaemon.Tests.Differential.ExportScripts

open StorageDaemon.Tests.Differential.QmpScripts

let all: QmpScript list = [
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
        "exports: FUSE, refused"
        "--blockdev file,node-name=f,filename=img/r.raw --blockdev raw,node-name=r,file=f --blockdev null-co,node-name=ro,read-only=on"
        """
{"execute": "block-export-add", "arguments": {"type": "fuse", "id": "e0", "node-name": "r"}}
{"execute": "block-export-add", "arguments": {"type": "fuse", "id": "e0", "node-name": "r", "mountpoint": "/"}}
{"execute": "block-export-add", "arguments": {"type": "fuse", "id": "e0", "node-name": "r", "mountpoint": "/dev/null"}}
{"execute": "block-export-add", "arguments": {"type": "fuse", "id": "e0", "node-name": "r", "mountpoint": "img/none"}}
{"execute": "block-export-add", "arguments": {"type": "fuse", "id": "e0", "node-name": "r", "mountpoint": ""}}
{"execute": "block-export-add", "arguments": {"type": "fuse", "id": "e0", "node-name": "r", "mountpoint": "/", "allow-other": "no"}}
{"execute": "block-export-add", "arguments": {"type": "fuse", "id": "e0", "node-name": "r", "mountpoint": "/", "growable": 1}}
{"execute": "block-export-add", "arguments": {"type": "fuse", "id": "e0", "node-name": "r", "mountpoint": "/", "bogus": 1}}
{"execute": "block-export-add", "arguments": {"type": "fuse", "id": "e0", "node-name": "r", "mountpoint": "/", "allow-inactive": true}}
{"execute": "block-export-add", "arguments": {"type": "fuse", "id": "e0", "node-name": "ro", "mountpoint": "/", "writable": true}}
{"execute": "block-export-add", "arguments": {"type": "fuse", "id": "e0", "node-name": "r", "mountpoint": "/", "iothread": "nope"}}
{"execute": "query-block-exports"}
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
    script
        "exports: vhost-user-blk, life"
        "--object iothread,id=t0 --blockdev file,node-name=f,filename=img/r.raw --blockdev raw,node-name=r,file=f --blockdev null-co,node-name=ro,read-only=on"
        """
{"execute": "block-export-add", "arguments": {"type": "vhost-user-blk", "id": "e0", "node-name": "r"}}
{"execute": "block-export-add", "arguments": {"type": "vhost-user-blk", "id": "e0", "node-name": "r", "addr": "v.sock"}}
{"execute": "block-export-add", "arguments": {"type": "vhost-user-blk", "id": "e0", "node-name": "r", "addr": {}}}
{"execute": "block-export-add", "arguments": {"type": "vhost-user-blk", "id": "e0", "node-name": "r", "addr": {"type": "bogus"}}}
{"execute": "block-export-add", "arguments": {"type": "vhost-user-blk", "id": "e0", "node-name": "r", "addr": {"type": "unix"}}}
{"execute": "block-export-add", "arguments": {"type": "vhost-user-blk", "id": "e0", "node-name": "r", "addr": {"type": "unix", "data": {"path": "v.sock"}}}}
{"execute": "block-export-add", "arguments": {"type": "vhost-user-blk", "id": "e0", "node-name": "r", "addr": {"type": "unix", "path": 1}}}
{"execute": "block-export-add", "arguments": {"type": "vhost-user-blk", "id": "e0", "node-name": "r", "addr": {"type": "fd", "str": "nofd"}}}
{"execute": "block-export-add", "arguments": {"type": "vhost-user-blk", "id": "e0", "node-name": "r", "addr": {"type": "inet", "host": "127.0.0.1", "port": "1"}}}
{"execute": "block-export-add", "arguments": {"type": "vhost-user-blk", "id": "e0", "node-name": "r", "addr": {"type": "unix", "path": "no/v.sock"}}}
{"execute": "block-export-add", "arguments": {"type": "vhost-user-blk", "id": "e0", "node-name": "r", "addr": {"type": "unix", "path": "v.sock"}, "num-queues": 0}}
{"execute": "block-export-add", "arguments": {"type": "vhost-user-blk", "id": "e0", "node-name": "r", "addr": {"type": "unix", "path": "v.sock"}, "num-queues": -1}}
{"execute": "block-export-add", "arguments": {"type": "vhost-user-blk", "id": "e0", "node-name": "r", "addr": {"type": "unix", "path": "v.sock"}, "num-queues": 65536}}
{"execute": "block-export-add", "arguments": {"type": "vhost-user-blk", "id": "e0", "node-name": "r", "addr": {"type": "unix", "path": "v.sock"}, "num-queues": "1"}}
{"execute": "block-export-add", "arguments": {"type": "vhost-user-blk", "id": "e0", "node-name": "r", "addr": {"type": "unix", "path": "v.sock"}, "logical-block-size": 1000}}
{"execute": "block-export-add", "arguments": {"type": "vhost-user-blk", "id": "e0", "node-name": "r", "addr": {"type": "unix", "path": "v.sock"}, "logical-block-size": 4194304}}
{"execute": "block-export-add", "arguments": {"type": "vhost-user-blk", "id": "e0", "node-name": "r", "addr": {"type": "unix", "path": "v.sock"}, "allow-inactive": true}}
{"execute": "block-export-add", "arguments": {"type": "vhost-user-blk", "id": "e0", "node-name": "r", "addr": {"type": "unix", "path": "v.sock"}, "name": "n"}}
{"execute": "block-export-add", "arguments": {"type": "vhost-user-blk", "id": "e0", "node-name": "ro", "addr": {"type": "unix", "path": "v.sock"}, "writable": true}}
{"execute": "block-export-add", "arguments": {"type": "vhost-user-blk", "id": "e0", "node-name": "no", "addr": {"type": "unix", "path": "v.sock"}}}
{"execute": "block-export-add", "arguments": {"type": "vhost-user-blk", "id": "e0", "node-name": "r", "addr": {"type": "unix", "path": "v.sock"}, "iothread": "nope"}}
{"execute": "query-block-exports"}
{"execute": "block-export-add", "arguments": {"type": "vhost-user-blk", "id": "e0", "node-name": "r", "addr": {"type": "unix", "path": "v.sock"}, "writable": true, "iothread": "t0"}}
{"execute": "block-export-add", "arguments": {"type": "vhost-user-blk", "id": "e0", "node-name": "r", "addr": {"type": "unix", "path": "w.sock"}}}
{"execute": "block-export-add", "arguments": {"type": "vhost-user-blk", "id": "e1", "node-name": "ro", "addr": {"type": "unix", "path": "w.sock"}, "num-queues": 4, "logical-block-size": 4096, "writethrough": true}}
{"execute": "query-block-exports"}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-del", "arguments": {"node-name": "r"}}
{"execute": "blockdev-del", "arguments": {"node-name": "f"}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "above", "file": "r"}}
{"execute": "blockdev-del", "arguments": {"node-name": "above"}}
{"execute": "block-export-del", "arguments": {"id": "e0"}}
{"execute": "query-block-exports"}
{"execute": "block-export-del", "arguments": {"id": "e0"}}
{"execute": "block-export-add", "arguments": {"type": "vhost-user-blk", "id": "e0", "node-name": "r", "addr": {"type": "unix", "path": "v.sock"}}}
{"execute": "block-export-del", "arguments": {"id": "e0", "mode": "hard"}}
{"execute": "block-export-del", "arguments": {"id": "e1", "mode": "safe"}}
{"execute": "query-block-exports"}
{"execute": "object-del", "arguments": {"id": "t0"}}
{"execute": "blockdev-del", "arguments": {"node-name": "r"}}
"""
    script
        "exports: vhost-user-blk beside NBD"
        "--blockdev file,node-name=f,filename=img/r.raw --blockdev raw,node-name=r,file=f --nbd-server addr.type=unix,addr.path=n.sock --export vhost-user-blk,id=v,node-name=r,writable=on,addr.type=unix,addr.path=v.sock"
        """
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e0", "node-name": "r", "writable": true}}
{"execute": "query-block-exports"}
{"execute": "block_resize", "arguments": {"node-name": "r", "size": 8388608}}
nbd A r
write A 4096
{"execute": "nbd-server-stop"}
{"execute": "query-block-exports"}
"""
]

/// QMP conversations about the drivers for redundancy and tests; in the language of `QmpScripts`.
module StorageDaemon.Tests.Differential.FilterScripts

open StorageDaemon.Tests.Differential.QmpScripts

let all: QmpScript list = [
    script
        "quorum: options and children"
        ""
        """
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "c0", "size": 1048576, "read-zeroes": true}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "c1", "size": 1048576, "read-zeroes": true}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "c2", "size": 1048576, "read-zeroes": true}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "c3", "size": 2097152, "read-zeroes": true}}
{"execute": "blockdev-add", "arguments": {"driver": "quorum", "node-name": "q", "children": [], "vote-threshold": 1}}
{"execute": "blockdev-add", "arguments": {"driver": "quorum", "node-name": "q", "children": ["c0"], "vote-threshold": 0}}
{"execute": "blockdev-add", "arguments": {"driver": "quorum", "node-name": "q", "children": ["c0"], "vote-threshold": -1}}
{"execute": "blockdev-add", "arguments": {"driver": "quorum", "node-name": "q", "children": ["c0"], "vote-threshold": 2}}
{"execute": "blockdev-add", "arguments": {"driver": "quorum", "node-name": "q", "children": ["c0", "c1", "c2"], "vote-threshold": 2, "blkverify": true}}
{"execute": "blockdev-add", "arguments": {"driver": "quorum", "node-name": "q", "children": ["c0", "c1"], "vote-threshold": 1, "blkverify": true}}
{"execute": "blockdev-add", "arguments": {"driver": "quorum", "node-name": "q", "children": ["c0", "c1"], "vote-threshold": 2, "blkverify": true, "rewrite-corrupted": true}}
{"execute": "blockdev-add", "arguments": {"driver": "quorum", "node-name": "q", "children": ["c0", "c1"], "vote-threshold": 2, "rewrite-corrupted": true, "read-pattern": "fifo"}}
{"execute": "blockdev-add", "arguments": {"driver": "quorum", "node-name": "q", "children": ["c0", "c3"], "vote-threshold": 1}}
{"execute": "blockdev-add", "arguments": {"driver": "quorum", "node-name": "q", "children": ["c0", "c0"], "vote-threshold": 1}}
{"execute": "blockdev-add", "arguments": {"driver": "quorum", "node-name": "q", "children": ["c0", "c1"], "vote-threshold": 4294967297}}
{"execute": "blockdev-del", "arguments": {"node-name": "q"}}
{"execute": "blockdev-add", "arguments": {"driver": "quorum", "node-name": "q", "children": ["c0", "c1"], "vote-threshold": 2}}
{"execute": "x-debug-query-block-graph"}
{"execute": "x-blockdev-change", "arguments": {"parent": "q", "child": "children.1"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q", "child": "children.7"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q", "node": "c2"}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q", "child": "children.0"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q", "node": "c0"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q", "node": "c3"}}
{"execute": "x-debug-query-block-graph"}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "quorum", "node-name": "q", "children": ["c0", "c1"], "vote-threshold": 2}]}}
{"execute": "blockdev-snapshot", "arguments": {"node": "q", "overlay": "c3"}}
{"execute": "block_resize", "arguments": {"node-name": "q", "size": 2097152}}
{"execute": "blockdev-set-active", "arguments": {"node-name": "q", "active": false}}
{"execute": "query-blockstats", "arguments": {"query-nodes": true}}
"""
    script
        "quorum: permissions and changes"
        ""
        """
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "c0", "size": 1048576, "read-zeroes": true}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "c1", "size": 1048576, "read-zeroes": true}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "c3", "size": 2097152, "read-zeroes": true}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "n", "size": 1048576}}
{"execute": "blockdev-add", "arguments": {"driver": "quorum", "node-name": "q", "children": ["c0", "c3"], "vote-threshold": 1}}
{"execute": "blockdev-add", "arguments": {"driver": "quorum", "node-name": "q3", "children": ["c0", "n"], "vote-threshold": 2, "blkverify": true, "read-pattern": "quorum"}}
{"execute": "blockdev-add", "arguments": {"driver": "quorum", "node-name": "q4", "children": ["n", "c1"], "vote-threshold": 2, "rewrite-corrupted": true}}
{"execute": "blockdev-add", "arguments": {"driver": "quorum", "node-name": "q5", "children": ["n", "c1"], "vote-threshold": 2, "rewrite-corrupted": true, "read-only": true}}
{"execute": "blockdev-add", "arguments": {"driver": "quorum", "node-name": "q6", "children": ["n", "c1"], "vote-threshold": 3, "read-pattern": "fifo"}}
{"execute": "blockdev-add", "arguments": {"driver": "quorum", "node-name": "q7", "children": ["n", "c1"], "vote-threshold": 1, "read-pattern": "fifo"}}
{"execute": "blockdev-add", "arguments": {"driver": "quorum", "node-name": "q8", "children": ["n", "n"], "vote-threshold": 1, "read-pattern": "fifo"}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "r8", "file": "q8"}}
{"execute": "x-debug-query-block-graph"}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q8", "node": "r8"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q3", "node": "c3"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q4", "child": "children.0"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q7", "child": "children.0"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q7", "child": "children.1"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q8", "child": "children.0"}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "quorum", "node-name": "q8", "children": ["c0", "c1"], "vote-threshold": 2}]}}
{"execute": "blockdev-add", "arguments": {"driver": "compress", "node-name": "cq", "file": "q8"}}
{"execute": "nbd-server-start", "arguments": {"addr": {"type": "unix", "data": {"path": "n.sock"}}}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e7", "node-name": "q7", "writable": true}}
{"execute": "x-debug-query-block-graph"}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e3", "node-name": "q3", "writable": true}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e", "node-name": "q", "writable": true}}
{"execute": "query-block-exports"}
"""
    script
        "blkverify"
        ""
        """
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "c0", "size": 1048576}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "c1", "size": 1048576}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-add", "arguments": {"driver": "blkverify", "node-name": "v", "test": "c0", "raw": "c1"}}
{"execute": "x-debug-query-block-graph"}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "blkverify", "node-name": "v", "test": "c0", "raw": "c1"}]}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e7", "node-name": "v", "writable": true}}
{"execute": "x-debug-query-block-graph"}
{"execute": "block_resize", "arguments": {"node-name": "v", "size": 2097152}}
{"execute": "blockdev-del", "arguments": {"node-name": "v"}}
{"execute": "x-debug-query-block-graph"}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "x-debug-query-block-graph"}
"""
    script
        "blklogwrites and blkdebug: permissions before options"
        ""
        """
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "c", "size": 1048576, "read-only": true}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "log", "size": 1048576, "read-only": true}}
{"execute": "blockdev-add", "arguments": {"driver": "blklogwrites", "node-name": "l7", "file": "c", "log": "log", "read-only": true}}
{"execute": "blockdev-add", "arguments": {"driver": "blklogwrites", "node-name": "l8", "file": "c", "log": "log"}}
{"execute": "blockdev-add", "arguments": {"driver": "blklogwrites", "node-name": "l8", "file": "c", "log": "log", "log-sector-size": 3}}
{"execute": "x-debug-query-block-graph"}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "d", "size": 1048576}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "log2", "size": 1048576}}
{"execute": "blockdev-add", "arguments": {"driver": "blklogwrites", "node-name": "l9", "file": "d", "log": "log2"}}
{"execute": "blockdev-add", "arguments": {"driver": "blklogwrites", "node-name": "l10", "file": "d", "log": "log2", "log-sector-size": 3}}
{"execute": "blockdev-add", "arguments": {"driver": "blklogwrites", "node-name": "l10", "file": "d", "log": "log2", "log-super-update-interval": 0}}
{"execute": "blockdev-add", "arguments": {"driver": "blkdebug", "node-name": "b1", "image": "d", "unshare-child-perms": ["resize"]}}
{"execute": "blockdev-add", "arguments": {"driver": "blkdebug", "node-name": "b2", "image": "d", "unshare-child-perms": ["resize"], "align": 512}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
"""
    script
        "blklogwrites"
        ""
        """
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "c0", "size": 1048576, "read-zeroes": true}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "c1", "size": 1048576, "read-zeroes": true}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "l", "size": 1048576, "read-zeroes": true}}
{"execute": "nbd-server-start", "arguments": {"addr": {"type": "unix", "data": {"path": "n.sock"}}}}
{"execute": "blockdev-add", "arguments": {"driver": "blklogwrites", "node-name": "w", "file": "c0", "log": "l", "log-sector-size": 1000}}
{"execute": "blockdev-add", "arguments": {"driver": "blklogwrites", "node-name": "w", "file": "c0", "log": "l", "log-super-update-interval": 0}}
{"execute": "blockdev-add", "arguments": {"driver": "blklogwrites", "node-name": "w", "file": "c0", "log": "l", "log-append": true, "log-sector-size": 512}}
{"execute": "blockdev-add", "arguments": {"driver": "blklogwrites", "node-name": "w", "file": "c0", "log": "l"}}
{"execute": "x-debug-query-block-graph"}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "blklogwrites", "node-name": "w", "file": "c0", "log": "l"}]}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e7", "node-name": "w", "writable": true}}
{"execute": "x-debug-query-block-graph"}
{"execute": "block_resize", "arguments": {"node-name": "w", "size": 2097152}}
{"execute": "blockdev-add", "arguments": {"driver": "blklogwrites", "node-name": "w2", "file": "c1", "log": "l"}}
{"execute": "blockdev-del", "arguments": {"node-name": "w"}}
{"execute": "blockdev-add", "arguments": {"driver": "blklogwrites", "node-name": "w4", "file": "c1", "log": {"driver": "file", "filename": "log", "node-name": "ll"}, "log-sector-size": 4096}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
"""
    script
        "blkdebug"
        ""
        """
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "c0", "size": 1048576, "read-zeroes": true}}
{"execute": "blockdev-add", "arguments": {"driver": "blkdebug", "node-name": "e1", "image": "c0", "align": 3}}
{"execute": "blockdev-add", "arguments": {"driver": "blkdebug", "node-name": "e2", "image": "c0", "align": 4294967296}}
{"execute": "blockdev-add", "arguments": {"driver": "blkdebug", "node-name": "e3", "image": "c0", "max-transfer": 1000}}
{"execute": "blockdev-add", "arguments": {"driver": "blkdebug", "node-name": "e4", "image": "c0", "opt-write-zero": 1000}}
{"execute": "blockdev-add", "arguments": {"driver": "blkdebug", "node-name": "e5", "image": "c0", "max-write-zero": 1000}}
{"execute": "blockdev-add", "arguments": {"driver": "blkdebug", "node-name": "e6", "image": "c0", "opt-discard": 1000}}
{"execute": "blockdev-add", "arguments": {"driver": "blkdebug", "node-name": "e7", "image": "c0", "max-discard": 1000}}
{"execute": "blockdev-add", "arguments": {"driver": "blkdebug", "node-name": "e8", "image": "c0", "align": 4096, "max-transfer": 1024}}
{"execute": "blockdev-add", "arguments": {"driver": "blkdebug", "node-name": "e9", "image": "c0", "align": 512, "max-write-zero": 65536, "opt-write-zero": 4096, "opt-discard": 8192, "max-discard": 4096}}
{"execute": "blockdev-add", "arguments": {"driver": "blkdebug", "node-name": "e10", "image": "c0", "align": 512, "max-write-zero": 65536, "opt-write-zero": 4096, "opt-discard": 4096, "max-discard": 8192, "inject-error": [{"event": "read_aio", "errno": 28, "sector": 4, "once": true, "state": 1, "immediately": true, "iotype": "read"}], "set-state": [{"event": "none", "new_state": 3}], "take-child-perms": ["write"], "unshare-child-perms": ["resize"]}}
{"execute": "blockdev-add", "arguments": {"driver": "blkdebug", "node-name": "e11", "image": "c0", "inject-error": [{"event": "read_aio", "errno": -3}]}}
{"execute": "blockdev-add", "arguments": {"driver": "blkdebug", "node-name": "e12", "image": "c0", "inject-error": [{"event": "read_aio", "sector": -3}]}}
{"execute": "blockdev-add", "arguments": {"driver": "blkdebug", "node-name": "e13", "image": "c0", "set-state": [{"event": "read_aio", "state": 0, "new_state": 0}]}}
{"execute": "blockdev-add", "arguments": {"driver": "blkdebug", "node-name": "e14", "image": "c0", "set-state": [{"event": "read_aio", "state": -1, "new_state": -4}]}}
{"execute": "blockdev-add", "arguments": {"driver": "blkdebug", "node-name": "e15", "image": "c0", "align": 0, "max-transfer": 0, "opt-write-zero": 0, "max-discard": 0}}
{"execute": "blockdev-add", "arguments": {"driver": "blkdebug", "node-name": "e16", "image": "c0", "align": -1}}
{"execute": "blockdev-add", "arguments": {"driver": "blkdebug", "node-name": "e17", "image": "c0", "inject-error": [{"event": "read_aio", "errno": 0}]}}
{"execute": "x-debug-query-block-graph"}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "blkdebug", "node-name": "e15", "image": "c0", "align": 0}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "blkdebug", "node-name": "e15", "image": "c0", "align": 0, "max-transfer": 0, "opt-write-zero": 0, "max-discard": 0}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "blkdebug", "node-name": "e15", "image": "c0", "align": 0, "max-transfer": 512, "opt-write-zero": 0, "max-discard": 0}]}}
"""
    script
        "quorum: numbers of children"
        ""
        """
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "c0", "size": 1048576, "read-zeroes": true}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "c1", "size": 1048576, "read-zeroes": true}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "c2", "size": 1048576, "read-zeroes": true}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "c3", "size": 1048576, "read-zeroes": true}}
{"execute": "blockdev-add", "arguments": {"driver": "quorum", "node-name": "q", "children": ["c0", "c1", "c2"], "vote-threshold": 1}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q", "child": "children.1"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q", "node": "c3"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q", "child": "children.2"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q", "child": "children.3"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q", "node": "c1"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q", "node": "c2"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q", "child": "children.0"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q", "child": "children.4"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q", "node": "q"}}
{"execute": "x-blockdev-change", "arguments": {"parent": "q", "node": "c2"}}
{"execute": "x-debug-query-block-graph"}
"""
    script
        "what inactive nodes want of their children"
        ""
        """
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "a", "size": 1048576, "read-zeroes": true}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "l", "size": 1048576, "read-zeroes": true}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "b", "size": 1048576, "read-zeroes": true}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "c", "size": 1048576, "read-zeroes": true}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "d", "size": 1048576, "read-zeroes": true}}
{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "e", "size": 1048576, "read-zeroes": true}}
{"execute": "blockdev-add", "arguments": {"driver": "blkverify", "node-name": "v", "raw": "b", "test": "c"}}
{"execute": "blockdev-add", "arguments": {"driver": "quorum", "node-name": "q", "children": ["d", "e"], "vote-threshold": 1}}
{"execute": "blockdev-add", "arguments": {"driver": "blklogwrites", "node-name": "w", "file": "a", "log": "l"}}
{"execute": "blockdev-set-active", "arguments": {"node-name": "w", "active": false}}
{"execute": "x-debug-query-block-graph"}
{"execute": "blockdev-set-active", "arguments": {"active": false}}
{"execute": "x-debug-query-block-graph"}
{"execute": "blockdev-set-active", "arguments": {"node-name": "w", "active": true}}
{"execute": "x-debug-query-block-graph"}
{"execute": "blockdev-set-active", "arguments": {"active": true}}
{"execute": "x-debug-query-block-graph"}
"""
    script
        "throttle: the file before the group"
        ""
        """
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "f", "filename": "img/r.raw"}}
{"execute": "blockdev-snapshot-sync", "arguments": {"node-name": "f", "snapshot-file": "nope.raw", "snapshot-node-name": "o", "format": "throttle", "mode": "existing"}}
{"execute": "blockdev-snapshot-sync", "arguments": {"node-name": "f", "snapshot-file": "img/odd2.raw", "snapshot-node-name": "o", "format": "throttle", "mode": "existing"}}
{"execute": "blockdev-snapshot-sync", "arguments": {"node-name": "f", "snapshot-file": "img/odd2.raw", "snapshot-node-name": "o", "format": "throttle"}}
{"execute": "blockdev-add", "arguments": {"driver": "throttle", "node-name": "t", "throttle-group": "", "file": "f"}}
{"execute": "blockdev-add", "arguments": {"driver": "throttle", "node-name": "t", "throttle-group": "nope", "file": {"driver": "file", "filename": "nope.raw"}}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
"""
    script
        "preallocate: a parent that resizes"
        ""
        """
{"execute": "nbd-server-start", "arguments": {"addr": {"type": "unix", "data": {"path": "n.sock"}}}}
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "a", "filename": "img/r.raw"}}
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "l", "filename": "img/odd2.raw"}}
{"execute": "blockdev-add", "arguments": {"driver": "preallocate", "node-name": "p", "file": "l"}}
{"execute": "blockdev-add", "arguments": {"driver": "blklogwrites", "node-name": "w", "file": "a", "log": "p"}}
{"execute": "x-debug-query-block-graph"}
{"execute": "blockdev-set-active", "arguments": {"node-name": "p", "active": false}}
{"execute": "block_resize", "arguments": {"node-name": "p", "size": 1048576}}
{"execute": "block_resize", "arguments": {"node-name": "l", "size": 1048576}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e", "node-name": "p", "writable": true}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e", "node-name": "p"}}
{"execute": "x-debug-query-block-graph"}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "preallocate", "node-name": "p", "file": "l", "prealloc-align": 65536}]}}
{"execute": "blockdev-del", "arguments": {"node-name": "p"}}
{"execute": "blockdev-del", "arguments": {"node-name": "w"}}
{"execute": "x-debug-query-block-graph"}
{"execute": "block-export-del", "arguments": {"id": "e"}}
{"execute": "blockdev-del", "arguments": {"node-name": "p"}}
"""
]

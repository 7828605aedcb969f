/// QMP conversations about qcow2 images; in the language of `QmpScripts`.
module StorageDaemon.Tests.Differential.Qcow2Scripts

open StorageDaemon.Tests.Differential.QmpScripts

/// The images that the scripts begin with: one by itself, one over it, one over a raw image.
let private images =
    """
run qemu-img create -q -f qcow2 img/base.qcow2 64M
run qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 img/ov.qcow2
run qemu-img create -q -f qcow2 -b r.raw -F raw img/ovr.qcow2 64M
"""

let private over (name: string) (lines: string) : QmpScript =
    script ("qcow2: " + name) "" (images + lines)

let all: QmpScript list = [
    over
        "options, reopen and names of images"
        """
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "file": {"driver": "file", "filename": "img/ov.qcow2"}}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "b2", "read-only": true, "file": {"driver": "file", "filename": "img/base.qcow2"}}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "qcow2", "node-name": "n", "file": {"driver": "file", "filename": "img/ov.qcow2"}}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "qcow2", "node-name": "n", "backing": null, "file": {"driver": "file", "filename": "img/ov.qcow2"}}]}}
{"execute": "x-debug-query-block-graph"}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "qcow2", "node-name": "n", "backing": "b2", "file": {"driver": "file", "filename": "img/ov.qcow2"}}]}}
{"execute": "x-debug-query-block-graph"}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "qcow2", "node-name": "n", "backing": null, "lazy-refcounts": true, "file": {"driver": "file", "filename": "img/ov.qcow2"}}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "qcow2", "node-name": "n", "backing": "n", "file": {"driver": "file", "filename": "img/ov.qcow2"}}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "qcow2", "node-name": "n", "backing": {"driver": "file", "filename": "img/r.raw"}, "file": {"driver": "file", "filename": "img/ov.qcow2"}}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "qcow2", "node-name": "n", "backing": "zz", "file": {"driver": "file", "filename": "img/ov.qcow2"}}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "qcow2", "node-name": "n", "backing": null, "cache-size": 100, "l2-cache-size": 200, "file": {"driver": "file", "filename": "img/ov.qcow2"}}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "qcow2", "node-name": "n", "backing": null, "read-only": true, "file": {"driver": "file", "filename": "img/ov.qcow2"}}]}}
{"execute": "block_resize", "arguments": {"node-name": "n", "size": 134217728}}
{"execute": "blockdev-del", "arguments": {"node-name": "n"}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "overlap-check": "bogus", "file": {"driver": "file", "filename": "img/ov.qcow2"}}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "cache-size": 100, "l2-cache-size": 200, "file": {"driver": "file", "filename": "img/ov.qcow2"}}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "cache-size": -1, "file": {"driver": "file", "filename": "img/ov.qcow2"}}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "l2-cache-entry-size": 1000, "file": {"driver": "file", "filename": "img/ov.qcow2"}}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "cache-clean-interval": -5, "file": {"driver": "file", "filename": "img/ov.qcow2"}}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "cache-clean-interval": 10000000000, "file": {"driver": "file", "filename": "img/ov.qcow2"}}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "cache-size": 100, "l2-cache-size": 50, "refcount-cache-size": 50, "file": {"driver": "file", "filename": "img/ov.qcow2"}}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "cache-size": 100, "l2-cache-size": 50, "refcount-cache-size": 200, "file": {"driver": "file", "filename": "img/ov.qcow2"}}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "cache-size": 100, "refcount-cache-size": 200, "file": {"driver": "file", "filename": "img/ov.qcow2"}}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "discard-no-unref": true, "overlap-check": {"template": "all", "main-header": false}, "pass-discard-request": true, "file": {"driver": "file", "filename": "img/ov.qcow2"}}}
{"execute": "block_resize", "arguments": {"node-name": "n", "size": 134217729}}
{"execute": "block_resize", "arguments": {"node-name": "n", "size": 134217728}}
{"execute": "block_resize", "arguments": {"node-name": "n", "size": 67108864}}
{"execute": "blockdev-del", "arguments": {"node-name": "n"}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "file": {"driver": "file", "filename": "img/r.raw"}}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "data-file": {"driver": "file", "filename": "img/r.raw"}, "file": {"driver": "file", "filename": "img/ov.qcow2"}}}
run qemu-img create -q -f qcow2 -o data_file=img/df.raw,data_file_raw=on img/d.qcow2 16M
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "file": {"driver": "file", "filename": "img/d.qcow2"}}}
{"execute": "query-named-block-nodes"}
{"execute": "x-debug-query-block-graph"}
run rm img/df.raw
{"execute": "blockdev-del", "arguments": {"node-name": "n"}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "file": {"driver": "file", "filename": "img/d.qcow2"}}}
run mv img/base.qcow2 img/bb.qcow2
{"execute": "blockdev-del", "arguments": {"node-name": "b2"}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "file": {"driver": "file", "filename": "img/ov.qcow2"}}}
run mv img/bb.qcow2 img/base.qcow2
run qemu-img rebase -u -F raw -b nbx:foo img/ov.qcow2
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "file": {"driver": "file", "filename": "img/ov.qcow2"}}}
run qemu-img rebase -u -F foo -b base.qcow2 img/ov.qcow2
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "file": {"driver": "file", "filename": "img/ov.qcow2"}}}
run qemu-img rebase -u -F qcow2 -b ov.qcow2 img/ov.qcow2
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "file": {"driver": "file", "filename": "img/ov.qcow2"}}}
run qemu-img rebase -u -F qcow2 -b base.qcow2 img/ov.qcow2
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "file": {"driver": "file", "filename": "img/ov.qcow2"}}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n2", "file": {"driver": "file", "filename": "img/ov.qcow2"}}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n2", "file": {"driver": "file", "filename": "img/base.qcow2"}}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n3", "file": {"driver": "raw", "offset": 0, "file": {"driver": "file", "filename": "img/ovr.qcow2"}}}}
"""
    over
        "backing images given and named"
        """
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "file": {"driver": "file", "filename": "img/base.qcow2"}}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "qcow2", "node-name": "n", "file": {"driver": "file", "filename": "img/base.qcow2"}}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "qcow2", "node-name": "n", "backing": null, "file": {"driver": "file", "filename": "img/base.qcow2"}}]}}
{"execute": "blockdev-del", "arguments": {"node-name": "n"}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "backing": null, "file": {"driver": "file", "filename": "img/ov.qcow2"}}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "qcow2", "node-name": "n", "file": {"driver": "file", "filename": "img/ov.qcow2"}}]}}
{"execute": "query-named-block-nodes"}
{"execute": "blockdev-del", "arguments": {"node-name": "n"}}
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "r", "read-only": true, "filename": "img/r.raw"}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "backing": "r", "file": {"driver": "file", "filename": "img/ov.qcow2"}}}
{"execute": "query-named-block-nodes"}
{"execute": "blockdev-del", "arguments": {"node-name": "n"}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "cache-size": 1000000, "backing": "r", "file": {"driver": "file", "filename": "img/ov.qcow2"}}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "qcow2", "node-name": "n", "backing": "r", "cache-size": 2000000, "read-only": true, "file": {"driver": "file", "filename": "img/ov.qcow2"}}]}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "qcow2", "node-name": "n", "backing": "r", "file": {"driver": "file", "filename": "img/ov.qcow2"}}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-del", "arguments": {"node-name": "n"}}
{"execute": "blockdev-del", "arguments": {"node-name": "r"}}
{"execute": "blockdev-add", "arguments": {"driver": "file", "node-name": "f", "read-only": true, "filename": "img/base.qcow2"}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "file": "f"}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "read-only": true, "file": "f"}}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "qcow2", "node-name": "n", "read-only": false, "file": "f"}]}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "o", "discard": "unmap", "detect-zeroes": "unmap", "cache": {"direct": true, "no-flush": true}, "backing": {"driver": "qcow2", "node-name": "bb", "file": {"driver": "file", "filename": "img/base.qcow2"}}, "file": {"driver": "file", "filename": "img/ov.qcow2"}}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "q", "file": {"driver": "null-co"}}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "q", "backing": "zz", "file": {"driver": "null-co"}}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "q", "backing": "n", "file": {"driver": "null-co"}}}
"""
    over
        "snapshots, activation and lengths"
        """
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "file": {"driver": "file", "node-name": "nf", "filename": "img/base.qcow2"}}}
run qemu-img create -q -f qcow2 -b img/base.qcow2 -F qcow2 img/x1.qcow2
run qemu-img create -q -f qcow2 -b img/x1.qcow2 -F qcow2 img/x2.qcow2
{"execute": "nbd-server-start", "arguments": {"addr": {"type": "unix", "data": {"path": "img/s4.sock"}}}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e", "node-name": "n", "writable": true}}
{"execute": "blockdev-snapshot-sync", "arguments": {"node-name": "n", "snapshot-file": "img/x1.qcow2", "snapshot-node-name": "x1", "mode": "existing"}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "x-debug-query-block-graph"}
{"execute": "blockdev-snapshot-sync", "arguments": {"node-name": "n", "snapshot-file": "img/x2.qcow2", "snapshot-node-name": "x2", "mode": "existing"}}
{"execute": "blockdev-snapshot-sync", "arguments": {"node-name": "x1", "snapshot-file": "img/x2.qcow2", "snapshot-node-name": "x2", "mode": "existing"}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-del", "arguments": {"node-name": "x2"}}
{"execute": "blockdev-del", "arguments": {"node-name": "x1"}}
{"execute": "blockdev-del", "arguments": {"node-name": "n"}}
{"execute": "block-export-del", "arguments": {"id": "e"}}
{"execute": "blockdev-del", "arguments": {"node-name": "x2"}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "y", "backing": null, "file": {"driver": "file", "filename": "img/x1.qcow2"}}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "z", "backing": null, "file": {"driver": "file", "filename": "img/x2.qcow2"}}}
{"execute": "transaction", "arguments": {"actions": [{"type": "blockdev-snapshot", "data": {"node": "n", "overlay": "y"}}, {"type": "blockdev-snapshot", "data": {"node": "y", "overlay": "z"}}]}}
{"execute": "x-debug-query-block-graph"}
{"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "qcow2", "node-name": "z", "backing": "n", "file": {"driver": "file", "filename": "img/x2.qcow2"}}]}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "i", "active": false, "file": {"driver": "file", "filename": "img/ovr.qcow2"}}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "x-debug-query-block-graph"}
{"execute": "block_resize", "arguments": {"node-name": "i", "size": 134217728}}
{"execute": "blockdev-set-active", "arguments": {"node-name": "i", "active": true}}
{"execute": "block_resize", "arguments": {"node-name": "i", "size": 134217728}}
{"execute": "blockdev-set-active", "arguments": {"node-name": "i", "active": false}}
{"execute": "blockdev-set-active", "arguments": {"node-name": "i", "active": true}}
"""
    // Only the first listing compares: afterwards the images differ in space, as tables are copied before they change.
    over
        "internal snapshots"
        """
run qemu-img snapshot -c s0 img/base.qcow2
run qemu-img create -q -f qcow2 img/p.qcow2 4M
run qemu-img create -q -f qcow2 -o refcount_bits=1,preallocation=metadata img/narrow.qcow2 4M
run qemu-img create -q -f qcow2 -o data_file=img/df.raw img/d.qcow2 4M
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "n", "file": {"driver": "file", "filename": "img/base.qcow2"}}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "p", "file": {"driver": "file", "filename": "img/p.qcow2"}}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "w", "file": {"driver": "file", "filename": "img/narrow.qcow2"}}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "d", "file": {"driver": "file", "filename": "img/d.qcow2"}}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "r", "file": {"driver": "file", "node-name": "rf", "filename": "img/r.raw"}}}
{"execute": "query-named-block-nodes"}
{"execute": "blockdev-snapshot-internal-sync", "arguments": {"device": "zz", "name": "a"}}
{"execute": "blockdev-snapshot-internal-sync", "arguments": {"device": "rf", "name": "a"}}
{"execute": "blockdev-snapshot-internal-sync", "arguments": {"device": "r", "name": "a"}}
{"execute": "blockdev-snapshot-internal-sync", "arguments": {"device": "r", "name": ""}}
{"execute": "blockdev-snapshot-internal-sync", "arguments": {"device": "d", "name": "a"}}
{"execute": "blockdev-snapshot-internal-sync", "arguments": {"device": "d", "name": ""}}
{"execute": "blockdev-snapshot-internal-sync", "arguments": {"device": "n", "name": ""}}
{"execute": "blockdev-snapshot-delete-internal-sync", "arguments": {"device": "zz", "name": "a"}}
{"execute": "blockdev-snapshot-delete-internal-sync", "arguments": {"device": "rf", "name": "a"}}
{"execute": "blockdev-snapshot-delete-internal-sync", "arguments": {"device": "r", "name": "a"}}
{"execute": "blockdev-snapshot-delete-internal-sync", "arguments": {"device": "r"}}
{"execute": "blockdev-snapshot-delete-internal-sync", "arguments": {"device": "d", "name": "a"}}
{"execute": "blockdev-snapshot-delete-internal-sync", "arguments": {"device": "n"}}
{"execute": "blockdev-snapshot-internal-sync", "arguments": {"device": "n", "name": "s0"}}
{"execute": "blockdev-snapshot-internal-sync", "arguments": {"device": "n", "name": "a"}}
{"execute": "blockdev-snapshot-internal-sync", "arguments": {"device": "n", "name": "a"}}
{"execute": "blockdev-snapshot-internal-sync", "arguments": {"device": "n", "name": "2"}}
{"execute": "blockdev-snapshot-internal-sync", "arguments": {"device": "w", "name": "a"}}
{"execute": "blockdev-snapshot-delete-internal-sync", "arguments": {"device": "n", "name": "x"}}
{"execute": "blockdev-snapshot-delete-internal-sync", "arguments": {"device": "n", "id": "x"}}
{"execute": "blockdev-snapshot-delete-internal-sync", "arguments": {"device": "n", "id": "1", "name": "a"}}
{"execute": "blockdev-snapshot-delete-internal-sync", "arguments": {"device": "n", "id": "", "name": ""}}
{"execute": "blockdev-snapshot-delete-internal-sync", "arguments": {"device": "n", "id": "2", "name": "a"}}
{"execute": "blockdev-snapshot-delete-internal-sync", "arguments": {"device": "n", "name": "s0"}}
{"execute": "blockdev-snapshot-delete-internal-sync", "arguments": {"device": "n", "id": "3"}}
{"execute": "blockdev-snapshot-internal-sync", "arguments": {"device": "n", "name": "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"}}
{"execute": "blockdev-snapshot-internal-sync", "arguments": {"device": "n", "name": "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"}}
{"execute": "blockdev-snapshot-delete-internal-sync", "arguments": {"device": "n", "name": "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"}}
{"execute": "blockdev-snapshot-delete-internal-sync", "arguments": {"device": "n", "name": "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"}}
{"execute": "blockdev-snapshot-delete-internal-sync", "arguments": {"device": "n", "name": "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"}}
{"execute": "blockdev-snapshot-internal-sync", "arguments": {"device": "p", "name": "éééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé"}}
{"execute": "blockdev-snapshot-delete-internal-sync", "arguments": {"device": "p", "id": "1"}}
{"execute": "transaction", "arguments": {"actions": [{"type": "blockdev-snapshot-internal-sync", "data": {"device": "n", "name": "x"}}, {"type": "blockdev-snapshot-internal-sync", "data": {"device": "p", "name": "x"}}]}}
{"execute": "transaction", "arguments": {"actions": [{"type": "blockdev-snapshot-internal-sync", "data": {"device": "n", "name": "y"}}, {"type": "abort", "data": {}}]}}
{"execute": "transaction", "arguments": {"actions": [{"type": "blockdev-snapshot-internal-sync", "data": {"device": "n", "name": "y"}}, {"type": "blockdev-snapshot-internal-sync", "data": {"device": "p", "name": "x"}}]}}
{"execute": "transaction", "arguments": {"actions": [{"type": "blockdev-snapshot-internal-sync", "data": {"device": "n", "name": "y"}}, {"type": "blockdev-snapshot-internal-sync", "data": {"device": "n", "name": "z"}}]}}
{"execute": "transaction", "arguments": {"actions": [{"type": "blockdev-snapshot-internal-sync", "data": {"device": "p", "name": "y"}}, {"type": "blockdev-snapshot-internal-sync", "data": {"device": "w", "name": "y"}}]}}
{"execute": "transaction", "arguments": {"actions": [{"type": "blockdev-snapshot-internal-sync", "data": {"device": "n", "name": "k"}}, {"type": "blockdev-snapshot-internal-sync", "data": {"device": "zz", "name": "k"}}]}}
{"execute": "transaction", "arguments": {"actions": [{"type": "blockdev-snapshot-internal-sync", "data": {"device": "r", "name": "k"}}]}}
{"execute": "transaction", "arguments": {"actions": [{"type": "blockdev-snapshot-internal-sync", "data": {"device": "n", "name": "g"}}], "properties": {"completion-mode": "grouped"}}}
{"execute": "nbd-server-start", "arguments": {"addr": {"type": "unix", "data": {"path": "img/s5.sock"}}}}
{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e", "node-name": "p", "writable": true}}
{"execute": "blockdev-snapshot-internal-sync", "arguments": {"device": "p", "name": "under"}}
{"execute": "blockdev-snapshot-delete-internal-sync", "arguments": {"device": "p", "name": "under"}}
{"execute": "blockdev-add", "arguments": {"driver": "copy-on-read", "node-name": "c", "file": "n"}}
{"execute": "blockdev-snapshot-internal-sync", "arguments": {"device": "c", "name": "cc"}}
{"execute": "blockdev-snapshot-internal-sync", "arguments": {"device": "n", "name": "cc"}}
{"execute": "blockdev-snapshot-delete-internal-sync", "arguments": {"device": "n", "name": "cc"}}
{"execute": "blockdev-snapshot-delete-internal-sync", "arguments": {"device": "c", "name": "cc"}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "i", "active": false, "file": {"driver": "file", "filename": "img/ovr.qcow2"}}}
{"execute": "blockdev-snapshot-internal-sync", "arguments": {"device": "i", "name": "a"}}
{"execute": "blockdev-snapshot-delete-internal-sync", "arguments": {"device": "i", "name": "a"}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "ro", "backing": null, "read-only": true, "file": {"driver": "file", "filename": "img/ov.qcow2"}}}
{"execute": "blockdev-snapshot-internal-sync", "arguments": {"device": "ro", "name": "a"}}
{"execute": "blockdev-snapshot-internal-sync", "arguments": {"device": "ro", "name": ""}}
{"execute": "blockdev-snapshot-delete-internal-sync", "arguments": {"device": "ro", "name": "a"}}
"""
    over
        "names of backing images that change"
        """
run qemu-img create -q -f qcow2 -o cluster_size=512,compat=0.10 -b base.qcow2 -F qcow2 img/small.qcow2
run qemu-img create -q -f qcow2 -b ov.qcow2 -F qcow2 img/top.qcow2
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "b", "read-only": true, "file": {"driver": "file", "filename": "img/base.qcow2"}}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "o", "backing": "b", "read-only": true, "file": {"driver": "file", "filename": "img/ov.qcow2"}}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "t", "backing": "o", "file": {"driver": "file", "filename": "img/top.qcow2"}}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "r", "file": {"driver": "file", "filename": "img/ovr.qcow2"}}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "s", "backing": "b", "file": {"driver": "file", "filename": "img/small.qcow2"}}}
{"execute": "blockdev-add", "arguments": {"driver": "qcow2", "node-name": "a", "backing": "b", "read-only": true, "file": {"driver": "file", "filename": "img/ov.qcow2"}}}
{"execute": "change-backing-file", "arguments": {"device": "zz", "image-node-name": "t", "backing-file": "x"}}
{"execute": "change-backing-file", "arguments": {"device": "t", "image-node-name": "zz", "backing-file": "x"}}
{"execute": "change-backing-file", "arguments": {"device": "o", "image-node-name": "o", "backing-file": "x"}}
{"execute": "change-backing-file", "arguments": {"device": "b", "image-node-name": "b", "backing-file": "x"}}
{"execute": "change-backing-file", "arguments": {"device": "t", "image-node-name": "b", "backing-file": "x"}}
{"execute": "change-backing-file", "arguments": {"device": "t", "image-node-name": "r", "backing-file": "x"}}
{"execute": "change-backing-file", "arguments": {"device": "r", "image-node-name": "t", "backing-file": "x"}}
{"execute": "change-backing-file", "arguments": {"device": "s", "image-node-name": "s", "backing-file": "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "change-backing-file", "arguments": {"device": "t", "image-node-name": "t", "backing-file": "zz.qcow2"}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "change-backing-file", "arguments": {"device": "t", "image-node-name": "t", "backing-file": "json:{}"}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "change-backing-file", "arguments": {"device": "t", "image-node-name": "t", "backing-file": ""}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "change-backing-file", "arguments": {"device": "t", "image-node-name": "t", "backing-file": "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"}}
{"execute": "change-backing-file", "arguments": {"device": "t", "image-node-name": "t", "backing-file": "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"}}
{"execute": "change-backing-file", "arguments": {"device": "t", "image-node-name": "t", "backing-file": "ov.qcow2"}}
{"execute": "change-backing-file", "arguments": {"device": "t", "image-node-name": "o", "backing-file": "img/base.qcow2"}}
{"execute": "query-named-block-nodes"}
{"execute": "x-debug-query-block-graph"}
{"execute": "change-backing-file", "arguments": {"device": "r", "image-node-name": "r", "backing-file": "other.raw"}}
{"execute": "query-named-block-nodes", "arguments": {"flat": true}}
{"execute": "blockdev-add", "arguments": {"driver": "copy-on-read", "node-name": "c", "file": "t"}}
{"execute": "change-backing-file", "arguments": {"device": "c", "image-node-name": "t", "backing-file": "ov.qcow2"}}
{"execute": "change-backing-file", "arguments": {"device": "c", "image-node-name": "c", "backing-file": "x"}}
{"execute": "blockdev-add", "arguments": {"driver": "raw", "node-name": "rt", "file": "c"}}
{"execute": "change-backing-file", "arguments": {"device": "rt", "image-node-name": "t", "backing-file": "x"}}
"""
]

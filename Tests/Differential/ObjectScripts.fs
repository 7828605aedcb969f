/// QMP conversations about objects, in the form of `QmpScripts`.
module StorageDaemon.Tests.Differential.ObjectScripts

open StorageDaemon.Tests.Differential.QmpScripts

let all: QmpScript list = [
    script
        "objects: properties of types"
        ""
        """
{"execute": "qom-list-properties", "arguments": {"typename": "secret"}}
{"execute": "qom-list-properties", "arguments": {"typename": "secret_common"}}
{"execute": "qom-list-properties", "arguments": {"typename": "secret_keyring"}}
{"execute": "qom-list-properties", "arguments": {"typename": "main-loop"}}
{"execute": "qom-list-properties", "arguments": {"typename": "thread-context"}}
{"execute": "qom-list-properties", "arguments": {"typename": "authz"}}
{"execute": "qom-list-properties", "arguments": {"typename": "authz-simple"}}
{"execute": "qom-list-properties", "arguments": {"typename": "authz-list"}}
{"execute": "qom-list-properties", "arguments": {"typename": "authz-list-file"}}
{"execute": "qom-list-properties", "arguments": {"typename": "authz-listfile"}}
{"execute": "qom-list-properties", "arguments": {"typename": "pr-manager"}}
{"execute": "qom-list-properties", "arguments": {"typename": "pr-manager-helper"}}
"""
    script
        "objects: secret"
        ""
        """
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s0", "data": "hello"}}
{"execute": "qom-list", "arguments": {"path": "/objects/s0"}}
{"execute": "qom-get", "arguments": {"path": "/objects/s0", "property": "data"}}
{"execute": "qom-get", "arguments": {"path": "/objects/s0", "property": "file"}}
{"execute": "qom-get", "arguments": {"path": "/objects/s0", "property": "format"}}
{"execute": "qom-get", "arguments": {"path": "/objects/s0", "property": "keyid"}}
{"execute": "qom-get", "arguments": {"path": "/objects/s0", "property": "iv"}}
{"execute": "qom-get", "arguments": {"path": "/objects/s0", "property": "loaded"}}
{"execute": "qom-get", "arguments": {"path": "/objects/s0", "property": "type"}}
{"execute": "qom-set", "arguments": {"path": "/objects/s0", "property": "data", "value": "x"}}
{"execute": "qom-get", "arguments": {"path": "/objects/s0", "property": "data"}}
{"execute": "qom-set", "arguments": {"path": "/objects/s0", "property": "data", "value": 3}}
{"execute": "qom-set", "arguments": {"path": "/objects/s0", "property": "file", "value": "x"}}
{"execute": "qom-get", "arguments": {"path": "/objects/s0", "property": "file"}}
{"execute": "qom-set", "arguments": {"path": "/objects/s0", "property": "file", "value": 3}}
{"execute": "qom-set", "arguments": {"path": "/objects/s0", "property": "format", "value": "base64"}}
{"execute": "qom-get", "arguments": {"path": "/objects/s0", "property": "format"}}
{"execute": "qom-set", "arguments": {"path": "/objects/s0", "property": "format", "value": "nope"}}
{"execute": "qom-set", "arguments": {"path": "/objects/s0", "property": "format", "value": 3}}
{"execute": "qom-set", "arguments": {"path": "/objects/s0", "property": "keyid", "value": "nope"}}
{"execute": "qom-get", "arguments": {"path": "/objects/s0", "property": "keyid"}}
{"execute": "qom-set", "arguments": {"path": "/objects/s0", "property": "iv", "value": "nope"}}
{"execute": "qom-get", "arguments": {"path": "/objects/s0", "property": "iv"}}
{"execute": "qom-set", "arguments": {"path": "/objects/s0", "property": "zzz", "value": "nope"}}
{"execute": "qom-set", "arguments": {"path": "/objects/s0", "property": "type", "value": "nope"}}
{"execute": "qom-set", "arguments": {"path": "/objects/s0", "property": "type", "value": 1}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s1"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s1", "data": "a", "file": "b"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s1", "file": "/nonexistent"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s1", "file": "/tmp"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s1", "file": "/dev/null"}}
{"execute": "qom-get", "arguments": {"path": "/objects/s1", "property": "data"}}
{"execute": "object-del", "arguments": {"id": "s1"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s1", "data": ""}}
{"execute": "object-del", "arguments": {"id": "s1"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s1", "data": "&&&", "format": "base64"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s1", "data": "aGVsbG8", "format": "base64"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s1", "data": "aGVsbG8=", "format": "base64"}}
{"execute": "qom-get", "arguments": {"path": "/objects/s1", "property": "data"}}
{"execute": "object-del", "arguments": {"id": "s1"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s1", "data": "aGVsbG8=\n", "format": "base64"}}
{"execute": "object-del", "arguments": {"id": "s1"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s1", "data": "/w==", "format": "base64"}}
{"execute": "object-del", "arguments": {"id": "s1"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s1", "data": "AAAA", "format": "base64"}}
{"execute": "object-del", "arguments": {"id": "s1"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s1", "data": "x", "format": "hex"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s1", "data": "x", "keyid": "nope"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s1", "data": "x", "iv": "nope"}}
{"execute": "object-del", "arguments": {"id": "s1"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s1", "data": "x", "keyid": "s0"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s1", "data": "x", "keyid": "s0", "iv": "AAAA"}}
{"execute": "object-add", "arguments": {"qom-type": "iothread", "id": "t0"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s1", "data": "x", "keyid": "t0", "iv": "AAAA"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s0", "data": "x"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s0"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "0", "data": "x"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "0"}}
"""
    script
        "objects: encrypted secrets"
        ""
        """
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "key", "data": "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=", "format": "base64"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "short", "data": "abc"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "e", "data": "ClVSn1WBrJWc+oSsxpK4zw==", "format": "base64", "keyid": "key", "iv": "aXZpdml2aXZpdml2aXZpdg=="}}
{"execute": "qom-get", "arguments": {"path": "/objects/e", "property": "data"}}
{"execute": "qom-get", "arguments": {"path": "/objects/e2", "property": "data"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "e3", "data": "71eo1fwL3zfUKmBJ9GUunA==", "format": "base64", "keyid": "key", "iv": "aXZpdml2aXZpdml2aXZpdg=="}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "b", "data": "ClVSn1WBrJWc+oSsxpK4zw==", "format": "base64", "keyid": "key"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "b", "data": "ClVSn1WBrJWc+oSsxpK4zw==", "format": "base64", "keyid": "key", "iv": "AAAA"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "b", "data": "ClVSn1WBrJWc+oSsxpK4zw==", "format": "base64", "keyid": "key", "iv": "!!"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "b", "data": "ClVSn1WBrJWc+oSsxpK4zw==", "format": "base64", "keyid": "key", "iv": ""}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "b", "data": "ClVSn1WBrJWc+oSsxpK4zw==", "format": "base64", "keyid": "", "iv": "aXZpdml2aXZpdml2aXZpdg=="}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "b", "data": "ClVSn1WBrJWc+oSsxpK4zw==", "format": "base64", "keyid": "short", "iv": "aXZpdml2aXZpdml2aXZpdg=="}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "b", "data": "AAAA", "format": "base64", "keyid": "key", "iv": "aXZpdml2aXZpdml2aXZpdg=="}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "b", "data": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "format": "base64", "keyid": "key", "iv": "aXZpdml2aXZpdml2aXZpdg=="}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "b", "data": "ClVSn1WBrJWc+oSsxpK4zw==", "keyid": "key", "iv": "aXZpdml2aXZpdml2aXZpdg=="}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "b", "data": "", "format": "base64", "keyid": "key", "iv": "aXZpdml2aXZpdml2aXZpdg=="}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "b1", "data": "", "format": "raw", "keyid": "key", "iv": "aXZpdml2aXZpdml2aXZpdg=="}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "b", "data": "ClVSn1WBrJWc+oSsxpK4zw==", "format": "base64", "keyid": "e", "iv": "aXZpdml2aXZpdml2aXZpdg=="}}
{"execute": "object-del", "arguments": {"id": "key"}}
{"execute": "object-del", "arguments": {"id": "e"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "b3", "data": "", "format": "base64"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "b4", "data": "", "file": "/nope"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "b5", "file": ""}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "b6", "data": "A", "format": "base64"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "b7", "data": "AA", "format": "base64"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "b8", "data": "A=A=", "format": "base64"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "b9", "data": "AA==AA==", "format": "base64"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "b10", "data": "AAAA\u0000", "format": "base64"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "b11", "data": "AA AA", "format": "base64"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "b12", "data": "AA\r\nAA\n", "format": "base64"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "b13", "data": "AA\tAA", "format": "base64"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "b14", "data": "AA-_", "format": "base64"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "b16", "file": "/root"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "b17", "file": "x\u0001y"}}
{"execute": "object-add", "arguments": {"qom-type": "secret_keyring", "id": "k1"}}
{"execute": "object-add", "arguments": {"qom-type": "secret_keyring", "id": "k1", "serial": 1}}
{"execute": "object-add", "arguments": {"qom-type": "secret_keyring", "id": "k1", "serial": 0}}
{"execute": "object-add", "arguments": {"qom-type": "secret_keyring", "id": "k1", "serial": -1}}
{"execute": "object-add", "arguments": {"qom-type": "secret_keyring", "id": "k1", "serial": -5}}
{"execute": "object-add", "arguments": {"qom-type": "secret_keyring", "id": "k1", "serial": 99999999999}}
{"execute": "object-add", "arguments": {"qom-type": "secret_keyring", "id": "k1", "serial": "1"}}
{"execute": "object-add", "arguments": {"qom-type": "secret_keyring", "id": "k2", "serial": -3}}
{"execute": "object-add", "arguments": {"qom-type": "secret_keyring", "id": "k3", "serial": 1, "data": "x"}}
{"execute": "object-add", "arguments": {"qom-type": "secret_keyring", "id": "k3", "serial": 1, "format": "base64", "keyid": "nope"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "key", "data": "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=", "format": "base64"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s", "data": "&&&", "format": "base64", "keyid": "nope"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s", "data": "&&&", "format": "base64", "keyid": "key"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s", "data": "&&&", "format": "base64", "keyid": "key", "iv": "&&"}}
{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s", "file": "/nope", "format": "base64", "keyid": "nope"}}
"""
    script
        "objects: main-loop"
        ""
        """
{"execute": "object-add", "arguments": {"qom-type": "main-loop", "id": "m0"}}
{"execute": "qom-list", "arguments": {"path": "/objects/m0"}}
{"execute": "qom-get", "arguments": {"path": "/objects/m0", "property": "thread-pool-min"}}
{"execute": "qom-get", "arguments": {"path": "/objects/m0", "property": "thread-pool-max"}}
{"execute": "qom-get", "arguments": {"path": "/objects/m0", "property": "aio-max-batch"}}
{"execute": "object-add", "arguments": {"qom-type": "main-loop", "id": "m1"}}
{"execute": "object-add", "arguments": {"qom-type": "main-loop", "id": "m0"}}
{"execute": "object-add", "arguments": {"qom-type": "main-loop", "id": "m1", "thread-pool-min": -1}}
{"execute": "object-del", "arguments": {"id": "m0"}}
{"execute": "object-add", "arguments": {"qom-type": "main-loop", "id": "m2", "thread-pool-min": 5, "thread-pool-max": 3}}
{"execute": "object-add", "arguments": {"qom-type": "main-loop", "id": "m2", "thread-pool-min": 5, "thread-pool-max": 10, "aio-max-batch": 7}}
{"execute": "qom-set", "arguments": {"path": "/objects/m2", "property": "thread-pool-min", "value": 11}}
{"execute": "qom-set", "arguments": {"path": "/objects/m2", "property": "thread-pool-max", "value": "a"}}
{"execute": "qom-set", "arguments": {"path": "/objects/m2", "property": "thread-pool-max", "value": 0}}
{"execute": "qom-set", "arguments": {"path": "/objects/m2", "property": "aio-max-batch", "value": -1}}
{"execute": "qom-set", "arguments": {"path": "/objects/m2", "property": "poll-max-ns", "value": 1}}
{"execute": "qom-get", "arguments": {"path": "/objects/m2", "property": "thread-pool-max"}}
{"execute": "object-add", "arguments": {"qom-type": "main-loop", "id": "m3", "poll-max-ns": 1}}
{"execute": "object-del", "arguments": {"id": "m2"}}
"""
    script
        "objects: thread-context"
        ""
        """
{"execute": "object-add", "arguments": {"qom-type": "thread-context", "id": "c0"}}
{"execute": "qom-get", "arguments": {"path": "/objects/c0", "property": "cpu-affinity"}}
{"execute": "qom-get", "arguments": {"path": "/objects/c0", "property": "node-affinity"}}
{"execute": "qom-set", "arguments": {"path": "/objects/c0", "property": "cpu-affinity", "value": [0]}}
{"execute": "qom-get", "arguments": {"path": "/objects/c0", "property": "cpu-affinity"}}
{"execute": "qom-set", "arguments": {"path": "/objects/c0", "property": "cpu-affinity", "value": []}}
{"execute": "qom-set", "arguments": {"path": "/objects/c0", "property": "cpu-affinity", "value": 0}}
{"execute": "qom-set", "arguments": {"path": "/objects/c0", "property": "cpu-affinity", "value": ["a"]}}
{"execute": "qom-set", "arguments": {"path": "/objects/c0", "property": "cpu-affinity", "value": [-1]}}
{"execute": "qom-set", "arguments": {"path": "/objects/c0", "property": "cpu-affinity", "value": [1, 0, 1]}}
{"execute": "qom-get", "arguments": {"path": "/objects/c0", "property": "cpu-affinity"}}
{"execute": "qom-set", "arguments": {"path": "/objects/c0", "property": "cpu-affinity", "value": [5000]}}
{"execute": "qom-set", "arguments": {"path": "/objects/c0", "property": "cpu-affinity", "value": [70000]}}
{"execute": "qom-set", "arguments": {"path": "/objects/c0", "property": "cpu-affinity", "value": [100]}}
{"execute": "qom-set", "arguments": {"path": "/objects/c0", "property": "cpu-affinity", "value": [0, 100]}}
{"execute": "qom-get", "arguments": {"path": "/objects/c0", "property": "cpu-affinity"}}
{"execute": "qom-set", "arguments": {"path": "/objects/c0", "property": "node-affinity", "value": [0]}}
{"execute": "qom-set", "arguments": {"path": "/objects/c0", "property": "node-affinity", "value": 0}}
{"execute": "qom-set", "arguments": {"path": "/objects/c0", "property": "node-affinity", "value": []}}
{"execute": "qom-set", "arguments": {"path": "/objects/c0", "property": "thread-id", "value": 1}}
{"execute": "object-add", "arguments": {"qom-type": "thread-context", "id": "c1", "cpu-affinity": [0]}}
{"execute": "qom-get", "arguments": {"path": "/objects/c1", "property": "cpu-affinity"}}
{"execute": "qom-get", "arguments": {"path": "/objects/c1", "property": "node-affinity"}}
{"execute": "object-add", "arguments": {"qom-type": "thread-context", "id": "c2", "cpu-affinity": []}}
{"execute": "object-add", "arguments": {"qom-type": "thread-context", "id": "c2", "node-affinity": []}}
{"execute": "object-add", "arguments": {"qom-type": "thread-context", "id": "c2", "node-affinity": [0]}}
{"execute": "qom-get", "arguments": {"path": "/objects/c2", "property": "node-affinity"}}
{"execute": "qom-get", "arguments": {"path": "/objects/c2", "property": "cpu-affinity"}}
{"execute": "object-add", "arguments": {"qom-type": "thread-context", "id": "c3", "node-affinity": [9]}}
{"execute": "object-add", "arguments": {"qom-type": "thread-context", "id": "c4", "node-affinity": [0], "cpu-affinity": [0]}}
{"execute": "object-add", "arguments": {"qom-type": "thread-context", "id": "c5", "cpu-affinity": [200]}}
{"execute": "object-add", "arguments": {"qom-type": "thread-context", "id": "c6", "cpu-affinity": [70000]}}
{"execute": "object-add", "arguments": {"qom-type": "thread-context", "id": "c7", "cpu-affinity": [2000]}}
{"execute": "object-add", "arguments": {"qom-type": "thread-context", "id": "c8", "cpu-affinity": 0}}
{"execute": "object-add", "arguments": {"qom-type": "thread-context", "id": "c9", "cpu-affinity": [1, 1, 0]}}
{"execute": "qom-get", "arguments": {"path": "/objects/c9", "property": "cpu-affinity"}}
{"execute": "object-add", "arguments": {"qom-type": "thread-context", "id": "c10", "thread-id": 4}}
{"execute": "object-del", "arguments": {"id": "c1"}}
{"execute": "object-add", "arguments": {"qom-type": "thread-context", "id": "t", "cpu-affinity": ["a"]}}
{"execute": "object-add", "arguments": {"qom-type": "thread-context", "id": "t", "cpu-affinity": [-1]}}
{"execute": "object-add", "arguments": {"qom-type": "thread-context", "id": "t", "cpu-affinity": [1.5]}}
{"execute": "object-add", "arguments": {"qom-type": "thread-context", "id": "t", "cpu-affinity": [0, 5000]}}
{"execute": "object-add", "arguments": {"qom-type": "thread-context", "id": "t1", "node-affinity": [70000]}}
{"execute": "object-add", "arguments": {"qom-type": "thread-context", "id": "t1", "node-affinity": [5000]}}
{"execute": "object-add", "arguments": {"qom-type": "thread-context", "id": "t1", "node-affinity": [0, 7]}}
{"execute": "qom-get", "arguments": {"path": "/objects/t1", "property": "cpu-affinity"}}
{"execute": "object-add", "arguments": {"qom-type": "thread-context", "id": "t2"}}
{"execute": "qom-set", "arguments": {"path": "/objects/t2", "property": "cpu-affinity", "value": [1.5]}}
{"execute": "qom-set", "arguments": {"path": "/objects/t2", "property": "cpu-affinity", "value": [true]}}
{"execute": "qom-set", "arguments": {"path": "/objects/t2", "property": "cpu-affinity", "value": [0, 70000]}}
{"execute": "qom-set", "arguments": {"path": "/objects/t2", "property": "node-affinity", "value": [5]}}
{"execute": "qom-set", "arguments": {"path": "/objects/t2", "property": "node-affinity", "value": ["x"]}}
{"execute": "qom-set", "arguments": {"path": "/objects/t2", "property": "cpu-affinity", "value": {}}}
"""
    script
        "objects: authz"
        ""
        """
{"execute": "object-add", "arguments": {"qom-type": "authz-simple", "id": "a0"}}
{"execute": "object-add", "arguments": {"qom-type": "authz-simple", "id": "a0", "identity": "fred"}}
{"execute": "qom-get", "arguments": {"path": "/objects/a0", "property": "identity"}}
{"execute": "qom-set", "arguments": {"path": "/objects/a0", "property": "identity", "value": "bob"}}
{"execute": "qom-get", "arguments": {"path": "/objects/a0", "property": "identity"}}
{"execute": "qom-set", "arguments": {"path": "/objects/a0", "property": "identity", "value": 1}}
{"execute": "object-add", "arguments": {"qom-type": "authz-list", "id": "l0"}}
{"execute": "qom-get", "arguments": {"path": "/objects/l0", "property": "policy"}}
{"execute": "qom-get", "arguments": {"path": "/objects/l0", "property": "rules"}}
{"execute": "qom-set", "arguments": {"path": "/objects/l0", "property": "policy", "value": "allow"}}
{"execute": "qom-get", "arguments": {"path": "/objects/l0", "property": "policy"}}
{"execute": "qom-set", "arguments": {"path": "/objects/l0", "property": "policy", "value": "x"}}
{"execute": "qom-set", "arguments": {"path": "/objects/l0", "property": "policy", "value": 1}}
{"execute": "qom-set", "arguments": {"path": "/objects/l0", "property": "rules", "value": [{"match": "f*", "policy": "deny", "format": "glob"}]}}
{"execute": "qom-get", "arguments": {"path": "/objects/l0", "property": "rules"}}
{"execute": "qom-set", "arguments": {"path": "/objects/l0", "property": "rules", "value": [{"match": "f*", "policy": "deny"}]}}
{"execute": "qom-get", "arguments": {"path": "/objects/l0", "property": "rules"}}
{"execute": "qom-set", "arguments": {"path": "/objects/l0", "property": "rules", "value": [{"match": "f*"}]}}
{"execute": "qom-set", "arguments": {"path": "/objects/l0", "property": "rules", "value": [{"policy": "deny"}]}}
{"execute": "qom-set", "arguments": {"path": "/objects/l0", "property": "rules", "value": [{"match": "f", "policy": "deny", "x": 1}]}}
{"execute": "qom-set", "arguments": {"path": "/objects/l0", "property": "rules", "value": [3]}}
{"execute": "qom-set", "arguments": {"path": "/objects/l0", "property": "rules", "value": 3}}
{"execute": "qom-set", "arguments": {"path": "/objects/l0", "property": "rules", "value": []}}
{"execute": "qom-get", "arguments": {"path": "/objects/l0", "property": "rules"}}
{"execute": "object-add", "arguments": {"qom-type": "authz-list", "id": "l1", "policy": "allow", "rules": [{"match": "f*", "policy": "deny", "format": "glob"}, {"match": "b", "policy": "allow", "format": "exact"}, {"match": "c", "policy": "allow"}]}}
{"execute": "qom-get", "arguments": {"path": "/objects/l1", "property": "rules"}}
{"execute": "qom-list", "arguments": {"path": "/objects/l1"}}
{"execute": "object-add", "arguments": {"qom-type": "authz-list", "id": "l2", "policy": "no"}}
{"execute": "object-add", "arguments": {"qom-type": "authz-list", "id": "l2", "rules": [{"match": "f", "policy": "no"}]}}
{"execute": "object-add", "arguments": {"qom-type": "authz-list", "id": "l2", "rules": [{"match": "f", "policy": "deny", "format": "regex"}]}}
{"execute": "object-add", "arguments": {"qom-type": "authz-list", "id": "l2", "rules": [{"match": "f"}]}}
{"execute": "object-add", "arguments": {"qom-type": "authz-listfile", "id": "f0"}}
"""
    script
        "objects: pr-manager-helper"
        ""
        """
{"execute": "object-add", "arguments": {"qom-type": "pr-manager-helper", "id": "p0"}}
{"execute": "object-add", "arguments": {"qom-type": "pr-manager-helper", "id": "p0", "path": "/nope"}}
{"execute": "object-add", "arguments": {"qom-type": "pr-manager-helper", "id": "p0", "path": ""}}
{"execute": "object-add", "arguments": {"qom-type": "pr-manager-helper", "id": "p0", "path": "/0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"}}
"""
]

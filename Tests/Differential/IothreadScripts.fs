/// QMP conversations about iothread objects; in the language of `QmpScripts`.
module StorageDaemon.Tests.Differential.IothreadScripts

open StorageDaemon.Tests.Differential.QmpScripts

let all: QmpScript list = [
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

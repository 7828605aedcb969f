/// QMP conversations about character devices; in the language of `QmpScripts`.
module StorageDaemon.Tests.Differential.ChardevScripts

open StorageDaemon.Tests.Differential.QmpScripts

let all: QmpScript list = [
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
        "chardevs: a change that fails"
        ""
        """
{"execute": "chardev-add", "arguments": {"id": "c0", "backend": {"type": "null", "data": {}}}}
{"execute": "chardev-change", "arguments": {"id": "c0", "backend": {"type": "file", "data": {"out": "/nonexist/out2"}}}}
{"execute": "query-chardev"}
{"execute": "chardev-remove", "arguments": {"id": "c0"}}
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

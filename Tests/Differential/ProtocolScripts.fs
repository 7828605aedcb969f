/// QMP conversations about the protocol itself: negotiation, the shape of requests, junk; in the language of `QmpScripts`.
module StorageDaemon.Tests.Differential.ProtocolScripts

open StorageDaemon.Tests.Differential.QmpScripts

let all: QmpScript list = [
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

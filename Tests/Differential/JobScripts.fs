/// QMP conversations about jobs; in the language of `QmpScripts`. A job that is to be asked something while it works
/// writes hundreds of megabytes, and is asked in the same breath.
module StorageDaemon.Tests.Differential.JobScripts

open StorageDaemon.Tests.Differential.QmpScripts

let private create (id: string) (options: string) =
    $"""{{"execute": "blockdev-create", "arguments": {{"job-id": "{id}", "options": {{{options}}}}}}}"""

let private file (id: string) (options: string) =
    create id $"\"driver\": \"file\", {options}"

let private verb (name: string) (id: string) =
    $"""{{"execute": "job-{name}", "arguments": {{"id": "{id}"}}}}"""

let private query = """{"execute": "query-jobs"}"""

/// A job with a file that is made in a moment, to its end and out.
let private brief (options: string) = [ file "b" options; "concluded b"; query; verb "dismiss" "b" ]

/// A job that cannot begin: it has concluded before the reply.
let private vain (options: string) = [ file "v" options; query; verb "dismiss" "v" ]

let private lines (parts: string list) = String.concat "\n" parts

let private everyVerb (id: string) =
    [ "cancel"; "pause"; "resume"; "complete"; "finalize"; "dismiss" ]
    |> List.map (fun name -> verb name id)

let all: QmpScript list = [
    script
        "jobs: a file is made"
        ""
        (lines [
            file "j" "\"filename\": \"img/new.raw\", \"size\": 1048576"
            "concluded j"
            query
            "length img/new.raw"
            file "j" "\"filename\": \"img/other.raw\", \"size\": 1048576"
            verb "pause" "j"
            verb "resume" "j"
            verb "cancel" "j"
            verb "complete" "j"
            verb "finalize" "j"
            verb "dismiss" "j"
            yield! everyVerb "j"
            query
            // What was there before is gone.
            yield! brief "\"filename\": \"img/r.raw\", \"size\": 65536"
            "length img/r.raw"
            yield! brief "\"filename\": \"img/full.raw\", \"size\": 200000, \"preallocation\": \"full\""
            "length img/full.raw"
            yield! brief "\"filename\": \"img/falloc.raw\", \"size\": 200000, \"preallocation\": \"falloc\""
            "length img/falloc.raw"
            yield! brief "\"filename\": \"img/nil.raw\", \"size\": 0"
            yield! brief "\"filename\": \"img/nil.raw\", \"size\": 0, \"preallocation\": \"falloc\""
            yield! brief "\"filename\": \"img/nil.raw\", \"size\": 0, \"preallocation\": \"full\""
            "length img/nil.raw"
            yield!
                brief
                    "\"filename\": \"img/hints.raw\", \"size\": 4096, \"nocow\": true, \"extent-size-hint\": 0, \"preallocation\": \"off\""
            yield! brief "\"filename\": \"file:x\", \"size\": 4097"
            "length file:x"
            yield! brief "\"filename\": \"json:{}\", \"size\": 4096"
            "length json:{}"
        ])
    script
        "jobs: a file that cannot be made"
        ""
        (lines [
            yield! vain "\"filename\": \"img/none/new.raw\", \"size\": 512"
            yield! vain "\"filename\": \"\", \"size\": 512"
            yield! vain "\"filename\": \".\", \"size\": 512"
            yield! vain "\"filename\": \"qmp.sock\", \"size\": 512"
            yield! vain "\"filename\": \"/dev/fdset/1\", \"size\": 512"
            yield! vain "\"filename\": \"img/r.raw\", \"size\": 512, \"extent-size-hint\": 4294967296"
            yield! vain "\"filename\": \"img/r.raw\", \"size\": 512, \"extent-size-hint\": -1"
            yield! brief "\"filename\": \"/dev/null\", \"size\": 0"
            yield! brief "\"filename\": \"img/r.raw\", \"size\": 512, \"extent-size-hint\": 4294967295"
            for size in [ "-1"; "9223372036854775807"; "9223372036854775808"; "18446744073709551615" ] do
                yield! brief $"\"filename\": \"img/r.raw\", \"size\": {size}"
                yield! brief $"\"filename\": \"img/r.raw\", \"size\": {size}, \"preallocation\": \"full\""
                yield! brief $"\"filename\": \"img/r.raw\", \"size\": {size}, \"preallocation\": \"falloc\""
            "length img/r.raw"
            yield! brief "\"filename\": \"img/c.raw\", \"size\": 65536, \"preallocation\": \"metadata\""
            "length img/c.raw"
            query
        ])
    script
        "jobs: options of creation"
        ""
        (lines [
            for driver in
                [
                    "raw"
                    "host_device"
                    "host_cdrom"
                    "null-co"
                    "null-aio"
                    "throttle"
                    "quorum"
                    "preallocate"
                    "copy-on-read"
                    "compress"
                    "blkdebug"
                    "blkverify"
                    "blklogwrites"
                    "blkreplay"
                    "nope"
                ] do
                create "j" $"\"driver\": \"{driver}\""
            create "1j" "\"driver\": \"raw\""
            create "j" "\"driver\": \"raw\", \"size\": 1"
            create "j" ""
            create "j" "\"driver\": 1"
            """{"execute": "blockdev-create"}"""
            """{"execute": "blockdev-create", "arguments": {"job-id": "j"}}"""
            """{"execute": "blockdev-create", "arguments": {"job-id": 1, "options": {"driver": "raw"}}}"""
            """{"execute": "blockdev-create", "arguments": {"job-id": "j", "options": "file"}}"""
            file "j" "\"filename\": \"x\""
            file "j" "\"size\": 1"
            file "j" "\"filename\": 1, \"size\": 1"
            file "j" "\"filename\": \"x\", \"size\": \"1\""
            file "j" "\"filename\": \"x\", \"size\": 1.5"
            file "j" "\"filename\": \"x\", \"size\": 1, \"preallocation\": \"none\""
            file "j" "\"filename\": \"x\", \"size\": 1, \"nocow\": 1"
            file "j" "\"filename\": \"x\", \"size\": 1, \"extent-size-hint\": \"1M\""
            file "j" "\"filename\": \"x\", \"size\": 1, \"more\": 1"
            for id in [ ""; "1j"; "#j"; "j k"; "j/k" ] do
                file id "\"filename\": \"x\", \"size\": 1"
            yield! everyVerb "nope"
            """{"execute": "job-cancel"}"""
            """{"execute": "job-cancel", "arguments": {"id": 1}}"""
            """{"execute": "job-cancel", "arguments": {"id": "j", "force": true}}"""
            """{"execute": "query-jobs", "arguments": {"id": "j"}}"""
            query
        ])
    script
        "jobs: a file that others use"
        "--blockdev file,node-name=f,filename=img/r.raw --nbd-server addr.type=unix,addr.path=n.sock"
        (lines [
            // A node that nobody uses has no locks.
            yield! brief "\"filename\": \"img/r.raw\", \"size\": 65536"
            """{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e", "node-name": "f", "writable": true}}"""
            yield! vain "\"filename\": \"img/r.raw\", \"size\": 4096"
            """{"execute": "block-export-del", "arguments": {"id": "e"}}"""
            """{"execute": "block-export-add", "arguments": {"type": "nbd", "id": "e", "node-name": "f"}}"""
            yield! vain "\"filename\": \"img/r.raw\", \"size\": 4096"
            "length img/r.raw"
        ])
    script
        "jobs: questions while it works"
        ""
        (lines [
            let written (mib: int) =
                $"\"filename\": \"img/big.raw\", \"size\": {mib * 1048576}, \"preallocation\": \"full\""

            let big = written 512

            let all =
                file "w" big
                :: [
                    query
                    verb "resume" "w"
                    verb "pause" "w"
                    query
                    verb "pause" "w"
                    verb "complete" "w"
                    verb "finalize" "w"
                    verb "dismiss" "w"
                    file "w" big
                    query
                    verb "resume" "w"
                    verb "resume" "w"
                    verb "pause" "w"
                    // The last question: here the work ends soon after, there at its own time.
                    verb "cancel" "w"
                ]

            // It begins with two events.
            $"raw {all.Length + 2} {System.String.Concat all}"
            "concluded w"
            query
            yield! everyVerb "w"
            // Who pauses it asks in vain, and may not even take it back.
            let pause = verb "pause" "w"
            let again = file "w" (written 128)
            $"raw 4 {again}{pause}"
            "concluded w"
            verb "resume" "w"
            verb "pause" "w"
            "length img/big.raw"
        ])
    script
        "jobs: the end of the daemon"
        "--blockdev file,node-name=f,filename=img/r.raw --nbd-server addr.type=unix,addr.path=n.sock --export nbd,id=e,node-name=f"
        (lines [
            file "a" "\"filename\": \"img/a.raw\", \"size\": 65536"
            "concluded a"
            file "b" "\"filename\": \"img/none/b.raw\", \"size\": 65536"
            file "c" "\"filename\": \"img/c.raw\", \"size\": 65536"
            "concluded c"
        ])
]

/// Images made by blockdev-create, option by option: the same errors, and images that the real tools find the same. In
/// the language of `QmpScripts`.
module StorageDaemon.Tests.Differential.CreateScripts

open StorageDaemon.Tests.Differential.QmpScripts

let private command (name: string) (arguments: string) =
    $"""{{"execute": "{name}", "arguments": {{{arguments}}}}}"""

let private create (id: string) (file: string) (options: string) =
    let rest = if options = "" then "" else ", " + options

    command "blockdev-create" $"\"job-id\": \"{id}\", \"options\": {{\"driver\": \"qcow2\", \"file\": {file}{rest}}}"

let private query = """{"execute": "query-jobs"}"""
let private dismiss (id: string) =
    command "job-dismiss" $"\"id\": \"{id}\""
let private lines (parts: string list) = String.concat "\n" parts

/// A node over the file; none of it is left afterwards.
let private add (node: string) (file: string) =
    command "blockdev-add" $"\"driver\": \"file\", \"node-name\": \"{node}\", \"filename\": \"{file}\""

let private remove (node: string) =
    command "blockdev-del" $"\"node-name\": \"{node}\""

/// A job on the node `f`, to its end and out.
let private briefOn (file: string) (options: string) = [ "job b " + create "b" file options; query; dismiss "b" ]

let private brief (options: string) = briefOn "\"f\"" options

let private mib = "\"size\": 1048576"

/// An image that is made in an empty file, with an empty data file beside it; each of its own.
let private made (number: int) (options: string) = [
    let name = $"img/new{number}"
    $"empty {name}"
    $"empty {name}.data"
    add "f" name
    add "d" $"{name}.data"
    yield! brief options
    remove "f"
    remove "d"
    $"length {name}"
    $"length {name}.data"
    $"image {name}"

    // Room that is reserved makes the real daemon count its clusters anew.
    if not (options.Contains "falloc" || options.Contains "full") then
        $"bytes {name}"
]

let private shapes = [
    ""
    "\"cluster-size\": 512"
    "\"cluster-size\": 4096"
    "\"cluster-size\": 2097152"
    "\"extended-l2\": true"
    "\"extended-l2\": true, \"cluster-size\": 16384, \"lazy-refcounts\": true"
    "\"version\": \"v2\""
    "\"refcount-bits\": 1"
    "\"refcount-bits\": 64, \"compression-type\": \"zstd\""
    "\"data-file\": \"d\""
    "\"data-file\": \"d\", \"data-file-raw\": true"
]

let private named = [
    "\"backing-file\": \"none.img\", \"backing-fmt\": \"raw\""
    "\"backing-file\": \"none.img\", \"backing-fmt\": \"raw\", \"version\": \"v2\""
    "\"backing-file\": \"none.img\", \"data-file\": \"d\", \"cluster-size\": 1024"
]

let private with' (more: string) (options: string) =
    if options = "" then more else more + ", " + options

let private images: string list = [
    yield! List.map (with' mib) shapes
    "\"size\": 0"
    "\"size\": 512"
    "\"size\": 1099511627776"
    "\"size\": 1099511627776, \"cluster-size\": 4096, \"refcount-bits\": 8"
    "\"size\": 1049088, \"data-file\": \"d\""
    "\"size\": 1049088, \"data-file\": \"d\", \"data-file-raw\": true"

    for mode in [ "metadata"; "falloc"; "full" ] do
        yield!
            shapes
            // Where one refcount block is not enough, the real daemon puts the others among the data.
            |> List.filter (fun shape -> mode <> "metadata" || not (shape.Contains "512"))
            |> List.map (with' $"{mib}, \"preallocation\": \"{mode}\"")

        $"\"size\": 1049088, \"preallocation\": \"{mode}\""
]

let private mistakes: string list = [
    for size in [ "1"; "511"; "513"; "9223372036854775807"; "18446744073709551615" ] do
        $"\"size\": {size}"

    for cluster in [ "0"; "256"; "513"; "4194304"; "8589934592"; "-1" ] do
        $"{mib}, \"cluster-size\": {cluster}"

    for bits in [ "0"; "3"; "65"; "128"; "-1"; "4294967296" ] do
        $"{mib}, \"refcount-bits\": {bits}"

    for option in
        [
            "\"refcount-bits\": 8"
            "\"lazy-refcounts\": true"
            "\"extended-l2\": true"
            "\"compression-type\": \"zstd\""
            "\"data-file\": \"d\""
            "\"refcount-bits\": 3, \"lazy-refcounts\": true, \"extended-l2\": true"
            "\"refcount-bits\": 3, \"lazy-refcounts\": true"
            "\"data-file\": \"d\", \"compression-type\": \"zstd\""
        ] do
        $"{mib}, \"version\": \"v2\", {option}"

    $"{mib}, \"extended-l2\": true, \"cluster-size\": 8192"
    $"{mib}, \"backing-fmt\": \"raw\""
    $"{mib}, \"backing-fmt\": \"raw\", \"version\": \"v2\", \"lazy-refcounts\": true"
    $"{mib}, \"preallocation\": \"metadata\", \"backing-file\": \"x\""
    $"{mib}, \"data-file-raw\": true"
    $"{mib}, \"data-file-raw\": true, \"data-file\": \"d\", \"backing-file\": \"x\""
    $"{mib}, \"data-file\": \"nope\""
    $"{mib}, \"data-file\": \"nope\", \"cluster-size\": 3"
    "\"size\": 5, \"data-file\": \"nope\", \"backing-fmt\": \"raw\""
]

let private unreadable: string list = [
    $"{mib}, \"version\": \"v4\""
    $"{mib}, \"compression-type\": \"lz4\""
    $"{mib}, \"preallocation\": \"none\""
    $"{mib}, \"backing-file\": \"x\", \"backing-fmt\": \"nope\""
    $"{mib}, \"more\": 1"
    "\"cluster-size\": 512"
]

let private twoNodes =
    "--blockdev file,node-name=f,filename=img/empty.raw --blockdev file,node-name=d,filename=img/c.raw"

let all: QmpScript list = [
    script
        "create qcow2: mistakes"
        twoNodes
        (lines [
            yield! List.collect brief mistakes
            yield! unreadable |> List.map (create "v" "\"f\"")
            create "v" "1" mib
            create "v" "{\"driver\": \"file\"}" mib
            query
            "length img/empty.raw"
        ])
    script
        "create qcow2: too much"
        twoNodes
        (lines [
            for size in [ "144115188075855872"; "9223372036854775296"; "9223372036854775808" ] do
                yield! brief $"\"size\": {size}"
            yield! brief "\"size\": 137438953984, \"cluster-size\": 512"
            for length in [ 600; 1024 ] do
                let name = System.String('n', length)
                yield! brief $"{mib}, \"cluster-size\": 512, \"backing-fmt\": \"raw\", \"backing-file\": \"{name}\""
        ])
    script "create qcow2: images" "" (lines (images |> List.mapi made |> List.concat))
    script
        "create qcow2: names"
        ""
        (lines (named |> List.mapi (fun i options -> made i (with' mib options)) |> List.concat))
    script
        "create qcow2: nodes"
        "--blockdev file,node-name=f,filename=img/empty.raw --blockdev file,node-name=ro,filename=img/r.raw,read-only=on --blockdev null-co,node-name=n,size=1048576 --blockdev file,node-name=s,filename=img/c.raw --blockdev raw,node-name=slice,file=s,size=262144 --blockdev file,node-name=e,filename=img/odd2.raw --nbd-server addr.type=unix,addr.path=n.sock --export nbd,id=e,node-name=e"
        (lines [
            for file in [ "\"nope\""; "\"\""; "\"ro\""; "\"e\"" ] do
                yield! briefOn file mib
            for file in
                [
                    "\"n\""
                    "\"slice\""
                    "{\"driver\": \"file\", \"filename\": \"img/odd.raw\"}"
                    "{\"driver\": \"raw\", \"node-name\": \"r\", \"file\": {\"driver\": \"file\", \"filename\": \"img/odd.raw\"}}"
                ] do
                yield! briefOn file mib
            remove "r"
            "image img/odd.raw"
            yield! briefOn "{\"driver\": \"file\", \"filename\": \"img/none\"}" mib
            yield! briefOn "{\"driver\": \"file\", \"node-name\": \"f\", \"filename\": \"img/odd.raw\"}" mib
            for data in [ "n"; "slice"; "ro"; "e"; "f" ] do
                yield! brief $"{mib}, \"data-file\": \"{data}\""
            yield! brief $"{mib}, \"data-file\": \"n\", \"data-file-raw\": true"
            yield! brief $"\"size\": 262144, \"data-file\": \"slice\", \"data-file-raw\": true"
            yield! brief $"\"size\": 2097152, \"data-file\": \"n\", \"preallocation\": \"full\""
            """{"execute": "query-named-block-nodes", "arguments": {"flat": true}}"""
        ])
    script
        "create qcow2: over something else"
        twoNodes
        (lines [
            yield! brief $"{mib}, \"data-file\": \"d\""
            "length img/c.raw"
            yield! brief "\"size\": 8388608, \"preallocation\": \"metadata\""
            "image img/empty.raw"
            yield! brief mib
            "length img/empty.raw"
            "image img/empty.raw"
            yield! briefOn "\"d\"" $"{mib}, \"preallocation\": \"full\""
        ])
]

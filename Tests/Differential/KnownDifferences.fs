/// Where this daemon differs from the real one on purpose. Everything else that differs is a failure.
/// What is not built yet is no entry here: no script asks for it.
module StorageDaemon.Tests.Differential.KnownDifferences

open System.Text.RegularExpressions

/// One difference: in the tests whose name matches, a line of the real daemon may stand against a line of this one.
[<NoComparison; NoEquality>]
type KnownDifference = { Test: Regex; Real: Regex; Ours: Regex; Reason: string }

let private difference (test: string) (real: string) (ours: string) (reason: string) : KnownDifference = {
    Test = Regex test
    Real = Regex real
    Ours = Regex ours
    Reason = reason
}

let table: KnownDifference list = [
    difference
        "protocol: numbers"
        "\"id\": inf"
        "\"desc\": \"JSON parse error"
        "an id of 1e400 comes back from the real daemon as `inf`, which is not JSON"
    difference
        "protocol: shape|protocol"
        "(QMP input member|Parameter) '.*' is unexpected"
        "(QMP input member|Parameter) '.*' is unexpected"
        "of several unexpected members the real daemon names the first in its hash table, this one the first written"
    difference
        "^chardevs: a change that fails$"
        "^<- \\{\"return\": \\[(?!.*\"c0\")"
        "^<- \\{\"return\": \\[.*\"label\": \"c0\""
        "a failed chardev-change loses the old device in the real daemon"
    difference
        "^chardevs: a change that fails$"
        "\"Chardev 'c0' not found\""
        "^<- \\{\"return\": \\{\\}\\}$"
        "the device that the real daemon has lost cannot be removed there"
    difference
        "blockdev: resize"
        "\"actual-size\": 4096"
        "\"actual-size\": 0"
        "the real daemon writes the first block of a file that grows from nothing, to probe alignments by it"
    difference
        "requests that end the connection"
        "WRITE without PAYLOAD_LEN: $"
        "WRITE without PAYLOAD_LEN: .+"
        "the real daemon may drop the reply to a client that has closed its sending side; this one sends it"
    difference
        "malformed options"
        "(LIST|SET)_META_CONTEXT trailing byte"
        "0x80000003|LIST after"
        "the real daemon leaves bytes after the last query unread and takes them for the next option"
    difference
        "objects: (encrypted )?secret"
        "\"return\": \"[^/]*\""
        "Property 'secret.data' is not readable"
        "the real daemon shows secrets to everybody who asks"
    difference
        "size=-1$"
        "exit code 134|Unexpected error"
        "exit code 1$|is out of range for parameter 'size'$"
        "the real daemon aborts on a negative size"
    difference
        "vhost-user.*logical-block-size=0$"
        "^(runs|exit code 0|)$"
        "^(ended by itself|exit code 1)$|must be a power of 2 between 512 and 2097152$"
        "the real daemon offers a disk with blocks of no bytes, which no driver takes"
]

/// Names that only this daemon lists.
let additions: Set<string> = Set.ofList [ "x-block-check" ]

/// Contradictions of the schemas, as the comparison words them, that are meant.
let schema: (string * string) list = [
    "block-export-add(arguments).iothread: alternate against builtin",
    "an export may be served by several iothreads: a list besides the one id"
    "query-blockstats(result)[]: the real daemon has no 'x-exports'", "figures of exports"
    "x-block-check: the real daemon has no such command or event", "checks of images in use"
    "query-jobs(result)[].type: the real daemon has no 'x-block-check'", "checks of images in use"
    "query-jobs(result)[]: the real daemon has no 'x-block-check'", "what such a check has found"
    "object-add(arguments).qom-type: the real daemon has no 'authz-list-file'", "the type has its own name too"
    "object-add(arguments): the real daemon has no 'authz-list-file'", "the type has its own name too"
]

/// The reason why these two lines may differ in this test, if there is one.
let reason (test: string) (real: string) (ours: string) : string option =
    table
    |> List.tryFind (fun known -> known.Test.IsMatch test && known.Real.IsMatch real && known.Ours.IsMatch ours)
    |> Option.map (fun known -> known.Reason)

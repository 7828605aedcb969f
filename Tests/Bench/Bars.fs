/// The figures that this daemon has to reach, as ratios to a rival and as absolute limits.
module StorageDaemon.Bench.Bars

/// The least ratio of ours to a rival in a case.
let ratios: (string * string * float) list = [
    "4k randread qd16", "real", 3.0
    "4k randread qd64", "real", 3.0
    "4k randread qd16", "real io_uring", 1.7
    "4k randread qd64", "real io_uring", 1.7
    "4k randread qd16", "real io_uring+iothread", 1.2
    "4k randread qd64", "real io_uring+iothread", 1.2
    "4k randread qd16", "nbdkit", 1.3
    "4k randread qd64", "nbdkit", 1.3
    "4k randread qd16 x4", "real", 4.0
    "4k randwrite qd16", "real", 1.5
    "4k randwrite qd64", "real", 1.5
    "4k randread qd1", "real", 1.5
    "4k randread qd1", "real io_uring", 1.2
    "1m read qd4", "real", 2.0
    "nbdcopy out", "real", 1.5
    "nbdcopy in", "real", 1.5
    "vhost-user 4k randread qd1", "real", 1.3
    "vhost-user 4k randread qd1", "real io_uring", 1.3
    "vhost-user 4k randread qd32", "real", 2.5
    "vhost-user 4k randread qd32", "real io_uring", 1.3
    "vhost-user 4k randread qd1 x2", "real io_uring", 1.0
    "vhost-user 4k randread qd32 x2", "real io_uring", 1.3
]

/// The most CPU per operation in microseconds, and the most as a part of the real daemon's.
let cpu: (string * float * float) list = [
    "4k randread qd16", 6.0, 1.0 / 3.0
    "4k randread qd64", 6.0, 1.0 / 3.0
    "vhost-user 4k randread qd32", 3.0, 1.0 / 3.0
    "vhost-user 4k randread qd32 x2", 3.0, 1.0 / 3.0
]

/// Our own figure: at least, for rates, and at most, where less is better.
let absolute: (string * float) list = [ "qmp sync", 20000.0; "start-up", 25.0; "idle memory", 40.0 ]

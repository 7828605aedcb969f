namespace StorageDaemon.Core

/// Linux error numbers (asm-generic/errno-base.h, errno.h) that the daemon names, and the C library's texts for them.
module Errno =
    [<Literal>]
    let EPERM = 1

    [<Literal>]
    let ENOENT = 2

    [<Literal>]
    let EINTR = 4

    [<Literal>]
    let EIO = 5

    [<Literal>]
    let ENXIO = 6

    [<Literal>]
    let EBADF = 9

    [<Literal>]
    let EAGAIN = 11

    [<Literal>]
    let ENOMEM = 12

    [<Literal>]
    let EACCES = 13

    [<Literal>]
    let EBUSY = 16

    [<Literal>]
    let EEXIST = 17

    [<Literal>]
    let ENODEV = 19

    [<Literal>]
    let EISDIR = 21

    [<Literal>]
    let EINVAL = 22

    [<Literal>]
    let EMFILE = 24

    [<Literal>]
    let EFBIG = 27

    [<Literal>]
    let ENOSPC = 28

    [<Literal>]
    let EROFS = 30

    [<Literal>]
    let EPIPE = 32

    [<Literal>]
    let ERANGE = 34

    [<Literal>]
    let ENOSYS = 38

    [<Literal>]
    let EPROTO = 71

    [<Literal>]
    let EOVERFLOW = 75

    [<Literal>]
    let ENOTSUP = 95

    [<Literal>]
    let ENOMEDIUM = 123

    [<Literal>]
    let EADDRINUSE = 98

    [<Literal>]
    let ENOTCONN = 107

    [<Literal>]
    let ECONNREFUSED = 111

    [<Literal>]
    let ECONNRESET = 104

    [<Literal>]
    let ESHUTDOWN = 108

    [<Literal>]
    let EDQUOT = 122

    [<Literal>]
    let ECANCELED = 125

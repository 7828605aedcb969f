namespace StorageDaemon.Core.Chardev

open System

/// Which address families a host name may resolve to.
type FamilyChoice =
    | AnyFamily = 0
    | Ipv4Only = 1
    /// IPv6 without mapped IPv4 clients: the wildcard must not take the IPv4 port too.
    | Ipv6Only = 2
    /// One IPv6 socket that also takes IPv4 clients.
    | Ipv6Dual = 3

/// Rules of socket addresses (QAPI SocketAddress) that need no system call. Errors are the real daemon's texts.
module AddressRules =
    /// Capacity of `sun_path` (unix(7)), bytes.
    [<Literal>]
    let SunPathLength = 108

    let private isSpace (c: char) = c = ' ' || (c >= '\t' && c <= '\r')

    /// An optional sign and decimal digits after white space, as strtol(3) takes them, with nothing behind.
    /// Saturates far outside 64 bits, so that the caller's range check sees it. ValueNone: not a number.
    let private parseDecimal (text: string) : int64 voption =
        let mutable i = 0

        while i < text.Length && isSpace text[i] do
            i <- i + 1

        let negative = i < text.Length && text[i] = '-'

        if i < text.Length && (text[i] = '-' || text[i] = '+') then
            i <- i + 1

        let first = i
        let mutable value = 0L

        while i < text.Length && Char.IsAsciiDigit text[i] do
            value <- min (value * 10L + int64 (int text[i] - int '0')) (1L <<< 56)
            i <- i + 1

        if i = first || i < text.Length then
            ValueNone
        else
            ValueSome(if negative then -value else value)

    /// The number of a descriptor passed by the parent process. A negative number is taken here and fails later
    /// as "not a socket", as with the real daemon.
    let parseFd (text: string) : Result<int, string> =
        match parseDecimal text with
        | ValueNone -> Error("Unable to parse FD number " + text)
        | ValueSome n when n > int64 Int32.MaxValue || n < int64 Int32.MinValue ->
            Error("Unable to parse FD number " + text + ": Numerical result out of range")
        | ValueSome n -> Ok(int n)

    let private parseVsockPart name (text: string) =
        match parseDecimal text with
        | ValueSome n when n >= 0L && n <= int64 UInt32.MaxValue -> Ok(uint32 n)
        | _ -> Error("Failed to parse " + name + " '" + text + "'")

    /// A context id of vsock(7): 32 bits, VMADDR_CID_ANY is 4294967295.
    let parseVsockCid (text: string) = parseVsockPart "cid" text

    let parseVsockPort (text: string) = parseVsockPart "port" text

    /// The families that `ipv4` and `ipv6` leave, each absent, off or on. Both on with a host name means either,
    /// with the wildcard host one IPv6 socket for both.
    let family (host: string) (ipv4: Nullable<bool>) (ipv6: Nullable<bool>) : Result<FamilyChoice, string> =
        let isOn (flag: Nullable<bool>) = flag.HasValue && flag.Value
        let isOff (flag: Nullable<bool>) = flag.HasValue && not flag.Value

        match isOn ipv4, isOff ipv4, isOn ipv6, isOff ipv6 with
        | _, true, _, true -> Error "Cannot disable IPv4 and IPv6 at same time"
        | true, _, true, _ when host = "" || host = "::" -> Ok FamilyChoice.Ipv6Dual
        | true, _, true, _ -> Ok FamilyChoice.AnyFamily
        | _, true, _, _
        | _, _, true, _ -> Ok FamilyChoice.Ipv6Only
        | true, _, _, _
        | _, _, _, true -> Ok FamilyChoice.Ipv4Only
        | _ -> Ok FamilyChoice.AnyFamily

    /// Bytes of `sun_path` that a path may fill: an abstract name spends one on its leading NUL.
    let maxUnixPathBytes (isAbstract: bool) =
        if isAbstract then SunPathLength - 1 else SunPathLength

    let unixPathTooLong (path: string) =
        "UNIX socket path '" + path + "' is too long"

    let unixPathHint (isAbstract: bool) =
        "Path must be less than " + string<int>(maxUnixPathBytes isAbstract) + " bytes"

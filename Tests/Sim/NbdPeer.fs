/// The client's end of a socket pair whose other end an NbdConnection serves, in the transmission phase from the
/// start. It never blocks, so that one test thread drives many.
module internal StorageDaemon.Tests.Sim.NbdPeer

#nowarn "9"

open System
open System.Collections.Generic
open Microsoft.FSharp.NativeInterop
open StorageDaemon.Core
open StorageDaemon.Core.Nbd
open StorageDaemon.Core.Nbd.Wire
open StorageDaemon.Shell.Native
open StorageDaemon.Tests.Reference

/// A request as it was sent.
type Sent = {
    Command: uint16
    Flags: uint16
    Offset: int64
    Length: int
    Payload: byte[]
}

/// All chunks of a request's reply put together.
type Answer = {
    Cookie: uint64
    Sent: Sent
    /// NBD error, zero for success.
    Error: uint32
    /// Of a read: the data, holes as zeroes.
    Data: byte[]
    /// Of a block status: length and flags of each extent.
    Extents: (uint64 * uint64) list
}

type private Growing(sent: Sent) =
    member val Sent = sent
    member val Data =
        (if sent.Command = NBD_CMD_READ then
             Array.zeroCreate<byte> sent.Length
         else
             [||])
    member val Covered = 0 with get, set
    member val Error = 0u with get, set
    member val Extents: (uint64 * uint64) list = [] with get, set

let private sendSome (fd: int) (bytes: byte[]) (at: int) : int =
    use p = fixed &bytes[at]
    int (Libc.Send(fd, NativePtr.toVoidPtr p, unativeint (bytes.Length - at), Libc.MSG_NOSIGNAL))

let private receiveSome (fd: int) (bytes: byte[]) (at: int) (count: int) : int =
    use p = fixed &bytes[at]
    int (Libc.Recv(fd, NativePtr.toVoidPtr p, unativeint count, 0))

/// Two connected sockets that do not block, the server's first.
let socketPair () : struct (int * int) =
    let pair = NativePtr.stackalloc<int> 2
    let kind = Libc.SOCK_STREAM ||| Libc.SOCK_NONBLOCK ||| Libc.SOCK_CLOEXEC

    if Libc.SocketPair(Libc.AF_UNIX, kind, 0, pair) < 0 then
        failwith "socketpair"

    struct (NativePtr.get pair 0, NativePtr.get pair 1)

/// Two ends of a TCP connection that do not block, the server's first. By system calls: closing a socket of the
/// framework makes its duplicates blocking.
let tcpPair () : struct (int * int) =
    let mutable length = 16u
    // struct sockaddr_in of 127.0.0.1, any port.
    let bytes = NativePtr.stackalloc<byte> 16
    Span<byte>(NativePtr.toVoidPtr bytes, 16).Clear()
    NativePtr.set bytes 0 (byte Libc.AF_INET)
    NativePtr.set bytes 4 127uy
    NativePtr.set bytes 7 1uy
    let address = NativePtr.toVoidPtr bytes
    let check result =
        if result < 0 then failwith "TCP over loopback" else result
    let listener = check (Libc.Socket(Libc.AF_INET, Libc.SOCK_STREAM ||| Libc.SOCK_CLOEXEC, 0))
    check (Libc.Bind(listener, address, length)) |> ignore
    check (Libc.Listen(listener, 1)) |> ignore
    check (Libc.GetSockName(listener, address, &&length)) |> ignore
    let client = check (Libc.Socket(Libc.AF_INET, Libc.SOCK_STREAM ||| Libc.SOCK_CLOEXEC, 0))
    check (Libc.Connect(client, address, length)) |> ignore
    check (Libc.Fcntl(client, Libc.F_SETFL, nativeint Libc.O_NONBLOCK)) |> ignore
    let flags = Libc.SOCK_CLOEXEC ||| Libc.SOCK_NONBLOCK
    let nowhere = NativePtr.toVoidPtr (NativePtr.nullPtr<byte>)
    let server = check (Libc.Accept4(listener, nowhere, NativePtr.nullPtr<uint32>, flags))
    Libc.Close listener |> ignore
    struct (server, client)

[<Sealed>]
type NbdPeer(fd: int, mode: ReplyMode) =
    let outgoing = Queue<byte[]>()
    let waiting = Dictionary<uint64, Growing>()
    let answers = Queue<Answer>()
    let mutable outgoingAt = 0
    let mutable input = Array.zeroCreate<byte> 65536
    let mutable filled = 0
    let mutable nextCookie = 1UL
    let mutable isClosed = false
    let mutable isOpen = true

    /// Bytes of the whole message at the start of the input, and of its part before the data of a simple reply.
    /// Zero if there is not yet enough to tell.
    let measure (at: int) : struct (int * int) =
        let available = filled - at
        let number offset width =
            NbdNaiveClient.number input (at + offset) width

        if available < 16 then
            struct (0, 0)
        else
            match uint32 (number 0 4) with
            | NBD_SIMPLE_REPLY_MAGIC ->
                let isRead, request = waiting.TryGetValue(number 8 8)
                let data =
                    if isRead && number 4 4 = 0UL then
                        request.Data.Length
                    else
                        0
                struct (16 + data, 16)
            | NBD_STRUCTURED_REPLY_MAGIC when available >= 20 ->
                let length = 20 + int (number 16 4)
                struct (length, length)
            | NBD_EXTENDED_REPLY_MAGIC when available >= 32 ->
                let length = 32 + int (number 24 8)
                struct (length, length)
            | NBD_STRUCTURED_REPLY_MAGIC
            | NBD_EXTENDED_REPLY_MAGIC -> struct (0, 0)
            | magic -> failwith ("not a reply: magic 0x" + magic.ToString "x8")

    let put (request: Growing) (offset: uint64) (length: int) (data: byte[]) =
        let at = int (int64 offset - request.Sent.Offset)

        if
            request.Sent.Command <> NBD_CMD_READ
            || at < 0
            || at + length > request.Data.Length
        then
            failwith "data outside the range that was asked for"

        if data.Length > 0 then
            Array.blit data 0 request.Data at length

        request.Covered <- request.Covered + length

    let take (message: NbdNaiveClient.ReplyMessage) (simpleData: byte[]) =
        let known, request = waiting.TryGetValue message.Cookie

        if not known then
            failwith ("a reply to cookie " + string message.Cookie + ", which waits for none")

        match message.Chunk with
        | NbdNaiveClient.SimpleReply error ->
            request.Error <- error

            if simpleData.Length > 0 then
                put request (uint64 request.Sent.Offset) simpleData.Length simpleData
        | NbdNaiveClient.NoContent -> ()
        | NbdNaiveClient.Data(offset, data) -> put request offset data.Length data
        | NbdNaiveClient.Hole(offset, length) -> put request offset (int length) [||]
        | NbdNaiveClient.Status(_, extents) -> request.Extents <- request.Extents @ extents
        | NbdNaiveClient.Error(error, _)
        | NbdNaiveClient.ErrorOffset(error, _, _) -> request.Error <- error

        if message.IsLast then
            waiting.Remove message.Cookie |> ignore

            if request.Error = 0u && request.Covered <> request.Data.Length then
                failwith "a successful read that leaves bytes out, or gives some twice"

            answers.Enqueue {
                Cookie = message.Cookie
                Sent = request.Sent
                Error = request.Error
                Data = request.Data
                Extents = request.Extents
            }

    let parse () =
        let mutable at = 0
        let mutable going = true

        while going do
            let struct (total, head) = measure at

            if total = 0 || filled - at < total then
                going <- false
            else
                let message, _ = NbdNaiveClient.replyMessage input[at .. at + head - 1]
                take message input[at + head .. at + total - 1]
                at <- at + total

        if at > 0 then
            Array.Copy(input, at, input, 0, filled - at)
            filled <- filled - at

    member _.Fd = fd
    member _.Mode = mode
    /// Requests without a complete reply.
    member _.Waiting = waiting.Count
    /// The server has closed.
    member _.IsClosed = isClosed
    member _.HasUnsent = outgoing.Count > 0
    /// Bytes of a reply that is not complete.
    member _.Unparsed = filled

    /// Queues any bytes.
    member _.SendBytes(bytes: byte[]) =
        if bytes.Length > 0 then
            outgoing.Enqueue bytes

    /// Queues a request; its cookie.
    member this.Send(command: uint16, flags: uint16, offset: int64, length: int, payload: byte[]) : uint64 =
        let cookie = nextCookie
        nextCookie <- nextCookie + 1UL

        let flags =
            if mode = ReplyMode.Extended && command = NBD_CMD_WRITE then
                flags ||| NBD_CMD_FLAG_PAYLOAD_LEN
            else
                flags

        let sent = {
            Command = command
            Flags = flags
            Offset = offset
            Length = length
            Payload = payload
        }
        waiting.Add(cookie, Growing sent)
        this.SendBytes(NbdNaiveClient.request mode flags command cookie (uint64 offset) (uint64 length))
        this.SendBytes payload
        cookie

    /// Sends what the socket takes; true if something went.
    member _.PumpOut() : bool =
        let mutable moved = false
        let mutable going = not isClosed

        while going && outgoing.Count > 0 do
            // Many small requests leave together.
            if outgoing.Count > 1 && outgoing.Peek().Length < 64 && outgoingAt = 0 then
                let joined = Array.concat outgoing
                outgoing.Clear()
                outgoing.Enqueue joined

            let head = outgoing.Peek()
            let count = sendSome fd head outgoingAt

            if count < 0 then
                going <- false
            else
                moved <- true
                outgoingAt <- outgoingAt + count

                if outgoingAt = head.Length then
                    outgoing.Dequeue() |> ignore
                    outgoingAt <- 0

        moved

    /// Receives at most so many bytes; true if some came.
    member _.PumpIn(most: int) : bool =
        if input.Length - filled < most then
            Array.Resize(&input, max (input.Length * 2) (filled + most))

        let count = receiveSome fd input filled most

        if count > 0 then
            filled <- filled + count
            parse ()
            true
        else
            if count = 0 || Libc.Errno <> Errno.EAGAIN then
                isClosed <- true

            false

    /// Moves bytes both ways; true if some moved.
    member this.Pump() : bool =
        let sent = this.PumpOut()
        this.PumpIn 65536 || sent

    /// The next complete reply.
    member _.TryAnswer(answer: byref<Answer>) : bool = answers.TryDequeue(&answer)

    member _.Close() =
        if isOpen then
            isOpen <- false
            isClosed <- true
            Libc.Close fd |> ignore

    interface IDisposable with
        member this.Dispose() = this.Close()

/// Waits a moment for something to happen on any of the peers' sockets.
let waitForAny (peers: NbdPeer list) : unit =
    let fds = [|
        for peer in peers do
            if not peer.IsClosed then
                let events = Libc.EPOLLIN ||| (if peer.HasUnsent then Libc.EPOLLOUT else 0u)
                PollFd(Fd = peer.Fd, Events = int16 events)
    |]

    if fds.Length > 0 then
        use p = fixed &fds[0]
        Libc.Poll(p, unativeint fds.Length, 5) |> ignore

/// Pumps until a peer has an answer; fails after a while.
let answerOf (peer: NbdPeer) : Answer =
    let clock = Diagnostics.Stopwatch.StartNew()
    let mutable answer = Unchecked.defaultof<Answer>

    while not (peer.TryAnswer &answer) do
        if clock.ElapsedMilliseconds > 10000L then
            failwith "no answer within ten seconds"

        if peer.IsClosed then
            failwith "the server has closed"

        if not (peer.Pump()) then
            waitForAny [ peer ]

    answer

/// One request and its answer.
let ask (peer: NbdPeer) command flags offset length payload : Answer =
    peer.Send(command, flags, offset, length, payload) |> ignore
    answerOf peer

/// Pumps until as many answers as are waited for have come.
let allAnswers (peer: NbdPeer) : Answer list = [
    for _ in 1 .. peer.Waiting do
        answerOf peer
]

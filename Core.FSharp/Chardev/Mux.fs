namespace StorageDaemon.Core.Chardev

open System
open System.Globalization
open System.Numerics
open System.Text

/// What the input of a shared device asks for, in order.
[<RequireQualifiedAccess; NoComparison>]
type MuxInput =
    /// Input of a frontend.
    | Deliver of frontend: int * ReadOnlyMemory<byte>
    /// A text for the device itself.
    | Reply of ReadOnlyMemory<byte>
    /// A break for a frontend.
    | Break of frontend: int
    /// End the daemon.
    | Quit

/// A device that several frontends share: all of them write to it, one of them, which has the focus, reads.
/// Ctrl-A begins a command to the device itself.
type MuxState = {
    /// The frontends that are there, a bit for each number.
    Frontends: int
    /// -1 without frontends.
    Focus: int
    GotEscape: bool
    Timestamps: bool
    /// When the first line since they were switched on was written, in milliseconds; what timestamps count from.
    TimestampsStartMs: int64 voption
    /// The next byte written begins a line.
    LineStart: bool
}

module Mux =
    [<Literal>]
    let MaxFrontends = 4

    [<Literal>]
    let private Escape = 1uy

    let initial = {
        Frontends = 0
        Focus = -1
        GotEscape = false
        Timestamps = false
        TimestampsStartMs = ValueNone
        LineStart = false
    }

    let private memory (text: string) =
        ReadOnlyMemory(Encoding.ASCII.GetBytes text)

    /// The real daemon's, with what it calls "console" and "monitor".
    let private help =
        memory (
            "\n\rC-a h    print this help\n\r"
            + "C-a x    exit emulator\n\r"
            + "C-a s    save disk data back to file (if -snapshot)\n\r"
            + "C-a t    toggle console timestamps\n\r"
            + "C-a b    send break (magic sysrq)\n\r"
            + "C-a c    switch between console and monitor\n\r"
            + "C-a C-a  sends C-a\n\r"
        )

    let private farewell = memory "QEMU: Terminated\n\r"

    /// One more frontend, which gets the focus; none if there are as many as there can be.
    let attach (state: MuxState) : MuxState voption =
        let number = BitOperations.TrailingZeroCount(~~~state.Frontends)

        if number >= MaxFrontends then
            ValueNone
        else
            ValueSome {
                state with
                    Frontends = state.Frontends ||| (1 <<< number)
                    Focus = number
            }

    /// The frontend after the one that has the focus, in turn; -1 if there is none.
    let private nextFocus (state: MuxState) =
        [ 1..MaxFrontends ]
        |> List.map (fun step -> (state.Focus + step + MaxFrontends) % MaxFrontends)
        |> List.tryFind (fun number -> state.Frontends &&& (1 <<< number) <> 0)
        |> Option.defaultValue -1

    /// A frontend has gone.
    let detach (frontend: int) (state: MuxState) : MuxState =
        let state = {
            state with
                Frontends = state.Frontends &&& ~~~(1 <<< frontend)
        }

        if state.Focus = frontend then
            { state with Focus = nextFocus state }
        else
            state

    /// What the byte after Ctrl-A does. `s` has nothing to do: no drive of this daemon has a snapshot that it could
    /// write back by itself.
    let private command (state: MuxState) (key: byte) : struct (MuxState * MuxInput list) =
        match char key with
        | 'h'
        | '?' -> struct (state, [ MuxInput.Reply help ])
        | 'x' -> struct (state, [ MuxInput.Reply farewell; MuxInput.Quit ])
        | 'b' when state.Focus >= 0 -> struct (state, [ MuxInput.Break state.Focus ])
        | 'c' -> struct ({ state with Focus = nextFocus state }, [])
        | 't' ->
            struct ({
                        state with
                            Timestamps = not state.Timestamps
                            TimestampsStartMs = ValueNone
                            LineStart = false
                    },
                    [])
        | _ -> struct (state, [])

    /// Takes input of the device. Bytes are copied.
    let input (state: MuxState) (bytes: ReadOnlySpan<byte>) : struct (MuxState * MuxInput list) =
        let mutable state = state
        let mutable outputs = []
        let pending = ResizeArray<byte>()

        let flush (focus: int) outputs =
            if pending.Count = 0 then
                outputs
            else
                let delivered = MuxInput.Deliver(focus, ReadOnlyMemory(pending.ToArray()))
                pending.Clear()
                // Without a frontend nobody reads it.
                if focus < 0 then outputs else delivered :: outputs

        for b in bytes do
            if state.GotEscape && b <> Escape then
                outputs <- flush state.Focus outputs
                let struct (next, done') = command { state with GotEscape = false } b
                state <- next
                outputs <- List.rev done' @ outputs
            elif b = Escape && not state.GotEscape then
                state <- { state with GotEscape = true }
            else
                state <- { state with GotEscape = false }
                pending.Add b

        struct (state, List.rev (flush state.Focus outputs))

    let private timestamp (elapsedMs: int64) =
        let part (value: int64) (format: string) =
            value.ToString(format, CultureInfo.InvariantCulture)

        let seconds = elapsedMs / 1000L

        "["
        + part (seconds / 3600L) "00"
        + ":"
        + part (seconds / 60L % 60L) "00"
        + ":"
        + part (seconds % 60L) "00"
        + "."
        + part (elapsedMs % 1000L) "000"
        + "] "

    /// What is to be written for output of a frontend at a time of any origin, in milliseconds.
    let output (nowMs: int64) (state: MuxState) (bytes: ReadOnlySpan<byte>) : struct (MuxState * byte[]) =
        if not state.Timestamps then
            struct (state, bytes.ToArray())
        else
            let written = ResizeArray<byte>(bytes.Length + 32)
            let mutable start = state.TimestampsStartMs
            let mutable lineStart = state.LineStart

            for b in bytes do
                if lineStart then
                    let began = ValueOption.defaultValue nowMs start
                    start <- ValueSome began
                    written.AddRange(Encoding.ASCII.GetBytes(timestamp (max 0L (nowMs - began))))

                written.Add b
                lineStart <- b = byte '\n'

            struct ({
                        state with
                            TimestampsStartMs = start
                            LineStart = lineStart
                    },
                    written.ToArray())

namespace StorageDaemon.Core.Chardev

open System

/// Where the telnet filter stands inside a command sequence (RFC 854).
type TelnetState =
    | Data = 0
    /// After IAC.
    | Command = 1
    /// After IAC WILL/WONT/DO/DONT: one option byte follows.
    | Option = 2
    /// Inside IAC SB ... IAC SE.
    | Subnegotiation = 3
    /// After IAC inside a subnegotiation.
    | SubnegotiationCommand = 4

/// The telnet protocol of a socket character device: a fixed negotiation, then commands are taken out of the input.
module Telnet =
    [<Literal>]
    let private IAC = 255uy

    [<Literal>]
    let private SB = 250uy

    [<Literal>]
    let private SE = 240uy

    [<Literal>]
    let private WILL = 251uy

    /// Sent to each new client (RFC 857, 858, 856): WILL ECHO, WILL SUPPRESS-GO-AHEAD, WILL BINARY, DO BINARY.
    let greeting: byte[] = [| IAC; WILL; 1uy; IAC; WILL; 3uy; IAC; WILL; 0uy; IAC; 253uy; 0uy |]

    /// Sent to each new tn3270 client: DO/WILL END-OF-RECORD, DO/WILL BINARY, DO TERMINAL-TYPE, SEND TERMINAL-TYPE.
    let greetingTn3270: byte[] = [|
        IAC
        253uy
        25uy
        IAC
        WILL
        25uy
        IAC
        253uy
        0uy
        IAC
        WILL
        0uy
        IAC
        253uy
        24uy
        IAC
        SB
        24uy
        1uy
        IAC
        SE
    |]

    /// Takes the commands out of `buffer` in place. Returns how many bytes of data remain at its start, and the state
    /// for the next piece; IAC IAC is one data byte of 255.
    let strip (state: TelnetState) (buffer: Span<byte>) : struct (int * TelnetState) =
        let mutable state = state
        let mutable kept = 0

        for i in 0 .. buffer.Length - 1 do
            let b = buffer[i]

            match state with
            | TelnetState.Data when b = IAC -> state <- TelnetState.Command
            | TelnetState.Data ->
                buffer[kept] <- b
                kept <- kept + 1
            | TelnetState.Command when b = IAC ->
                buffer[kept] <- b
                kept <- kept + 1
                state <- TelnetState.Data
            | TelnetState.Command when b = SB -> state <- TelnetState.Subnegotiation
            | TelnetState.Command when b >= WILL -> state <- TelnetState.Option
            | TelnetState.Subnegotiation ->
                if b = IAC then
                    state <- TelnetState.SubnegotiationCommand
            | TelnetState.SubnegotiationCommand ->
                state <-
                    (if b = SE then
                         TelnetState.Data
                     else
                         TelnetState.Subnegotiation)
            | _ -> state <- TelnetState.Data

        struct (kept, state)

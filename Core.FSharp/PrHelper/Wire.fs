namespace StorageDaemon.Core.PrHelper

open System
open StorageDaemon.Core

/// What a helper of persistent reservations answers (SAM-5, 5.3 and SPC-5, 4.4).
[<NoComparison>]
type PrReply = {
    /// The SCSI status: `Wire.Good`, `Wire.CheckCondition`, ...
    Status: int
    /// Sense data, of which something is said with CHECK CONDITION only.
    Sense: byte array
    /// Bytes that follow: what PERSISTENT RESERVE IN has found.
    PayloadLength: int
}

/// The protocol between a client and qemu-pr-helper (QEMU docs/interop/pr-helper.rst). All numbers are big-endian:
///
///     connection:  <- features of the helper (4)  -> those that are wanted (4)
///     command:     -> CDB (16), with the device's descriptor; then the parameters of PERSISTENT RESERVE OUT
///                  <- status (4), payload length (4), sense data (96); then the payload
module Wire =
    [<Literal>]
    let FeaturesLength = 4

    [<Literal>]
    let CdbLength = 16

    [<Literal>]
    let SenseLength = 96

    [<Literal>]
    let ReplyLength = 104

    /// The most bytes of parameters or payload.
    [<Literal>]
    let MaxDataBytes = 8192

    [<Literal>]
    let PersistentReserveIn = 0x5Euy

    [<Literal>]
    let PersistentReserveOut = 0x5Fuy

    [<Literal>]
    let Good = 0

    [<Literal>]
    let CheckCondition = 2

    /// The features to ask for: none are defined.
    let wantedFeatures: byte array = Array.zeroCreate FeaturesLength

    /// The length that a CDB gives for parameters or payload: bytes 7 and 8 of PERSISTENT RESERVE IN, 5 to 8 of OUT.
    /// None if it is no command for the helper.
    let dataLength (cdb: byte array) : int option =
        if cdb.Length < 9 || cdb.Length > CdbLength then
            None
        else
            let length =
                match cdb[0] with
                | PersistentReserveIn -> int64 (BigEndian.readU16 (ReadOnlySpan cdb) 7)
                | PersistentReserveOut -> int64 (BigEndian.readU32 (ReadOnlySpan cdb) 5)
                | _ -> Int64.MaxValue

            if length <= int64 MaxDataBytes then
                Some(int length)
            else
                None

    /// The bytes of a command with the parameters of PERSISTENT RESERVE OUT. None if it is no command for the helper,
    /// or the parameters have not the length that the CDB says.
    let encodeRequest (cdb: byte array) (parameters: byte array) : byte array option =
        let expected =
            dataLength cdb
            |> Option.map (fun length -> if cdb[0] = PersistentReserveOut then length else 0)

        if expected = Some parameters.Length then
            Some(Array.concat [ cdb; Array.zeroCreate (CdbLength - cdb.Length); parameters ])
        else
            None

    /// Reads the fixed part of the reply to a command. None if the helper violates the protocol.
    let decodeReply (cdb: byte array) (reply: byte array) : PrReply option =
        if reply.Length <> ReplyLength then
            None
        else
            let status = int (BigEndian.readU32 (ReadOnlySpan reply) 0)
            let length = BigEndian.readU32 (ReadOnlySpan reply) 4

            let most =
                if cdb[0] = PersistentReserveIn && status = Good then
                    defaultArg (dataLength cdb) 0
                else
                    0

            if length > uint32 most then
                None
            else
                Some {
                    Status = status
                    Sense = Array.sub reply 8 SenseLength
                    PayloadLength = int length
                }

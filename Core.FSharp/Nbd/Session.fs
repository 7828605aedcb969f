namespace StorageDaemon.Core.Nbd

open System.Runtime.CompilerServices

/// A metadata context of an export ("Metadata querying"): `base:allocation`, `qemu:allocation-depth` or
/// `qemu:dirty-bitmap:NAME`.
type ContextInfo = {
    /// Identifies the context in replies; unique within the export and never changes while it exists.
    Id: uint32
    Name: string
}

/// What a client may learn about an export before it enters transmission.
type ExportInfo = {
    Name: string
    Description: string option
    SizeBytes: uint64
    /// NBD_FLAG_* of the export. NBD_FLAG_SEND_DF and NBD_FLAG_BLOCK_STAT_PAYLOAD depend on the connection: the
    /// handshake adds them.
    TransmissionFlags: uint16
    /// Smallest unit of offset and length in bytes that needs no read-modify-write: a power of two.
    MinimumBlock: uint32
    PreferredBlock: uint32
    MaximumBlock: uint32
    /// In the order in which they are listed.
    Contexts: ContextInfo list
    /// The shell's handle; two exports of one name at different times have different keys.
    Key: int
}

/// How replies look in the transmission phase, as negotiated by NBD_OPT_STRUCTURED_REPLY or NBD_OPT_EXTENDED_HEADERS.
type ReplyMode =
    /// Simple replies only.
    | Simple = 0uy
    /// Structured replies for reads, block status and errors; 32-bit lengths.
    | Structured = 1uy
    /// Extended requests and replies, 64-bit lengths.
    | Extended = 2uy

/// The outcome of a handshake: all that the transmission phase needs to know. Never changes during a connection.
[<Struct; IsReadOnly; NoEquality; NoComparison>]
type Session =
    val Mode: ReplyMode
    val ReadOnly: bool
    val SizeBytes: uint64
    /// The key of the export's description.
    val ExportKey: int
    /// The selected metadata contexts in the export's order, at most `Session.MaxContexts`.
    val Contexts: ContextInfo[]

    new(mode, readOnly, sizeBytes, exportKey, contexts) =
        {
            Mode = mode
            ReadOnly = readOnly
            SizeBytes = sizeBytes
            ExportKey = exportKey
            Contexts = contexts
        }

    /// Most contexts that one client may select: a request carries its choice of them as one bit each.
    static member MaxContexts = 64

/// Whether the connection may or must be upgraded to TLS ("TLS support", "Server-side requirements").
type Policy =
    /// NOTLS: NBD_OPT_STARTTLS is refused.
    | NoTls
    /// SELECTIVETLS: the client decides.
    | TlsAllowed
    /// FORCEDTLS: any other option is refused until the upgrade.
    | TlsRequired

/// What the shell must do next.
[<NoEquality; NoComparison>]
type Output =
    /// All input is consumed and more is needed.
    | NeedMore
    /// Send these bytes, then feed again with the rest of the input.
    | Send of byte[]
    /// Send these bytes; what follows on the connection belongs to the transmission phase.
    | Enter of reply: byte[] * session: Session
    /// Send these bytes, throw away every byte received so far, and start TLS as the server. What is fed afterwards
    /// comes out of the encrypted channel.
    | StartTls of byte[]
    /// Send these bytes and close the connection.
    | Close of byte[]

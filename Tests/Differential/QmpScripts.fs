/// QMP conversations that have to go the same way with both daemons. One request a line; lines that begin with a word:
///   await EVENT            reads until the event has come
///   concluded JOB          reads until the job has concluded
///   job JOB REQUEST        begins a job and reads until it has concluded; notes the reply first, whenever it comes
///   length FILE            notes how long a file is
///   empty FILE             makes an empty file
///   bytes FILE             notes a hash of what is in a file
///   image FILE             notes what qemu-img info, check and map say of an image
///   raw N TEXT             sends TEXT and reads N messages
///   junk TEXT              sends TEXT and a request after it, and reads up to that one's reply
///   nbd NAME EXPORT        connects an NBD client to n.sock and goes into transmission
///   write NAME BYTES       that client writes BYTES bytes at 0 and flushes
///   close NAME             that client disconnects
///   run PROGRAM ARGUMENTS  runs a program in the daemon's directory
module StorageDaemon.Tests.Differential.QmpScripts

type QmpScript = {
    Name: string
    Arguments: string
    /// Whether the conversation begins with qmp_capabilities.
    Negotiate: bool
    Lines: string
}

let script (name: string) (arguments: string) (lines: string) : QmpScript = {
    Name = name
    Arguments = arguments
    Negotiate = true
    Lines = lines
}

/// Directories of a test's own, gone when it ends, and the images in them.
module StorageDaemon.Tests.Harness.TempDir

open System
open System.IO

/// A fresh directory with a short path: a Unix socket's path has 107 bytes at most.
type TempDir() =
    let root = Directory.CreateTempSubdirectory("sd-").FullName
    member _.Path = root
    /// The absolute path of a file in it.
    member _.File(name: string) : string = Path.Combine(root, name)

    interface IDisposable with
        member _.Dispose() =
            try
                Directory.Delete(root, true)
            with :? IOException ->
                () // a tool that was killed may still be writing; the directory is only litter

/// Creates a sparse file of `length` bytes.
let sparse (path: string) (length: int64) : unit =
    use file = new FileStream(path, FileMode.Create, FileAccess.Write)
    file.SetLength length

/// Byte `i` of `patterned` images: no period of a power of two, so that a misplaced block shows.
let patternByte (i: int64) : byte =
    byte ((i * 167L + i / 251L) % 249L + 1L)

/// The bytes [offset, offset + length) of the pattern.
let pattern (offset: int64) (length: int) : byte[] =
    Array.init length (fun i -> patternByte (offset + int64 i))

/// Creates a file of `length` bytes of the pattern.
let patterned (path: string) (length: int64) : unit =
    use file = new FileStream(path, FileMode.Create, FileAccess.Write)
    let chunk = 1 <<< 20

    for start in 0L .. int64 chunk .. length - 1L do
        file.Write(pattern start (int (min (int64 chunk) (length - start))))

/// Creates a file with data and holes in turn: `blocks` pairs of 64 KiB data and 64 KiB hole.
let striped (path: string) (blocks: int) : unit =
    let block = 65536
    sparse path (int64 (2 * blocks * block))
    use file = new FileStream(path, FileMode.Open, FileAccess.Write)

    for i in 0 .. blocks - 1 do
        file.Position <- int64 (2 * i * block)
        file.Write(pattern file.Position block)

/// The file system in memory with which a guest of the tests starts: Debian's kernel modules, a static busybox, and
/// whatever programs of this machine the test wants, with their libraries.
module StorageDaemon.Tests.Harness.Initramfs

open System
open System.Collections.Generic
open System.IO
open System.Text
open System.Text.RegularExpressions

/// What a guest is made of.
type Contents = {
    /// Names or paths of programs of this machine. The guest finds them by name, before busybox's.
    Programs: string list
    /// Kernel modules, loaded in this order; what one needs must stand before it.
    Modules: string list
    /// Further files: path here, path in the guest.
    Files: (string * string) list
    /// The script that is the guest's task, a file in Tests/EndToEnd/Guest.
    Script: string
    /// Variables that the script finds set.
    Variables: (string * string) list
}

let private dataFile (name: string) =
    Path.Combine(Binaries.repositoryRoot, "Tests", "EndToEnd", "Guest", name)

/// Where kernel and busybox are kept between runs: outside the tree, for all checkouts.
let private cache =
    let caches =
        match Environment.GetEnvironmentVariable "XDG_CACHE_HOME" with
        | null
        | "" -> Path.Combine(Environment.GetFolderPath Environment.SpecialFolder.UserProfile, ".cache")
        | path -> path

    Path.Combine(caches, "storage-daemon-tests", "guest")

/// The directory with kernel, modules and busybox, or why there is none.
let private fetched: Lazy<Result<string, string>> =
    lazy
        (match
            [ "bash"; "apt-get"; "dpkg-deb" ]
            |> List.tryFind (fun tool -> (ChildProcess.find tool).IsNone)
         with
         | Some missing -> Error $"requires {missing}, which is not installed"
         | None ->
             let result =
                 ChildProcess.runFor (TimeSpan.FromMinutes 3.0) "/" "bash" [ dataFile "fetch-kernel"; cache ]

             if result.ExitCode = 0 then
                 Ok cache
             else
                 Error $"requires a kernel for guests, which could not be fetched: {result.Error.Trim()}")

/// A file of what was fetched; without it the test is skipped.
let private fetchedFile (name: string) : string =
    match fetched.Value with
    | Ok directory -> Path.Combine(directory, name)
    | Error reason -> Requires.skip reason

let kernel () : string = fetchedFile "vmlinuz"

/// The program and its libraries, as the dynamic linker would load them.
let private libraries (program: string) : string list =
    let result = ChildProcess.run "/" (Requires.tool "ldd") [ program ]

    // A static program is no failure.
    [
        for found in Regex.Matches(result.Output, @"(?m)(?:=> |^\s+)(/\S+) \(0x") -> found.Groups[1].Value
    ]

/// Writes cpio's "newc" format, which the kernel unpacks; see its Documentation/driver-api/early-userspace/buffer-format.rst.
type private Archive(output: Stream) =
    let directories = HashSet<string>()
    let mutable inode = 0

    let pad () =
        while output.Position % 4L <> 0L do
            output.WriteByte 0uy

    let entry (name: string) (mode: int) (device: int * int) (length: int64) (write: unit -> unit) =
        inode <- inode + 1
        let name = Encoding.UTF8.GetBytes(name + "\000")
        let major, minor = device

        let fields = [ inode; mode; 0; 0; 1; 0; int length; 0; 0; major; minor; name.Length; 0 ]

        output.Write(Encoding.ASCII.GetBytes("070701" + String.concat "" [ for field in fields -> $"%08x{field}" ]))
        output.Write name
        pad ()
        write ()
        pad ()

    let nothing () = ()

    member this.Directory(path: string) : unit =
        let path = path.Trim '/'

        if path <> "" && directories.Add path then
            this.Directory(Path.GetDirectoryName path)
            entry path 0o040755 (0, 0) 0L nothing

    member this.CharacterDevice(path: string, device: int * int) : unit =
        this.Directory(Path.GetDirectoryName path)
        entry (path.TrimStart '/') 0o020600 device 0L nothing

    member this.File(path: string, source: string) : unit =
        this.Directory(Path.GetDirectoryName path)
        use input = File.OpenRead source

        entry (path.TrimStart '/') 0o100755 (0, 0) input.Length (fun () -> input.CopyTo output)

    member this.Text(path: string, text: string) : unit =
        this.Directory(Path.GetDirectoryName path)
        let bytes = Encoding.UTF8.GetBytes text
        entry (path.TrimStart '/') 0o100755 (0, 0) bytes.Length (fun () -> output.Write bytes)

    member _.End() : unit = entry "TRAILER!!!" 0 (0, 0) 0L nothing

/// Writes such a file system to `path`. Skips the test when a program or the kernel cannot be had.
let write (path: string) (contents: Contents) : unit =
    let programs = contents.Programs |> List.map Requires.tool
    let busybox = fetchedFile "busybox"
    use output = File.Create path
    let archive = Archive output

    for directory in [ "/proc"; "/sys"; "/dev"; "/tmp"; "/run"; "/bin"; "/usr/bin" ] do
        archive.Directory directory

    // The kernel opens it before the script can mount anything.
    archive.CharacterDevice("/dev/console", (5, 1))
    archive.File("/bin/busybox", busybox)
    archive.File("/init", dataFile "init")
    archive.File("/lib.sh", dataFile "lib.sh")

    for program in programs do
        archive.File("/usr/bin/" + Path.GetFileName program, program)

    for library in programs |> List.collect libraries |> List.distinct do
        archive.File(library, library)

    for name in contents.Modules do
        archive.File($"/modules/{name}.ko", fetchedFile $"modules/{name}.ko")

    archive.Text("/modules/order", String.concat "\n" contents.Modules)

    for source, place in contents.Files do
        archive.File(place, source)

    let variables = contents.Variables |> List.map (fun (name, value) -> $"{name}='{value}'\n")

    // The shell prefers applets of its own to programs, but functions to both.
    let functions = [
        for program in programs do
            let name = Path.GetFileName program

            if Regex.IsMatch(name, @"^\w+$") then
                $"{name}() {{ /usr/bin/{name} \"$@\"; }}\n"
    ]

    let prelude = String.concat "" (variables @ functions) + ". /lib.sh\n"
    archive.Text("/run", prelude + File.ReadAllText(dataFile contents.Script))
    archive.End()

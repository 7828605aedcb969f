/// FUSE exports: ordinary programs on the mounted file.
module StorageDaemon.Tests.EndToEnd.Fuse

open System
open System.IO
open Expecto
open StorageDaemon.Tests.Harness
open StorageDaemon.Tests.Harness.TempDir

let private MiB = 1L <<< 20

let private isMounted (path: string) : bool =
    File.ReadLines "/proc/self/mounts"
    |> Seq.exists (fun line -> line.Split(' ')[1] = path)

/// `disk.raw` or `disk.qcow2` of a length, node `disk`, as the FUSE export `e` at `mnt`; a monitor at `q.sock`. With
/// `on` another mount point, which must exist.
type Mounted(binary: string, format: string, length: int64, options: string, more: string list, on: string) =
    do
        Requires.that Environment.IsPrivilegedProcess "requires root, to mount"
        Requires.that (File.Exists "/dev/fuse") "requires /dev/fuse"

    let directory = new TempDir()
    let image = "disk." + format

    do
        if format = "raw" then
            patterned (directory.File image) length
        else
            let qemuImg = Requires.tool "qemu-img"
            patterned (directory.File "source.raw") length

            ChildProcess.runOk directory.Path qemuImg [ "convert"; "-O"; format; "source.raw"; image ]
            |> ignore

        sparse (directory.File "mnt") 0L

    let arguments =
        [
            "--blockdev"
            $"driver=file,node-name=file,filename={image},discard=unmap"
            "--blockdev"
            $"driver={format},node-name=disk,file=file,discard=unmap"
        ]
        @ more
        @ [ "--export"; $"type=fuse,id=e,node-name=disk,mountpoint={on}{options}" ]
        @ Daemon.monitor "q.sock"

    let mutable child = Daemon.start binary directory.Path arguments

    new(format: string, length: int64, options: string) =
        new Mounted(Binaries.daemon.Value, format, length, options, [], "mnt")

    member _.Directory = directory
    member _.Path = directory.File on
    member _.Child = child
    member _.Qmp() =
        QmpClient.QmpClient.Negotiated(directory.File "q.sock")
    member _.Run(tool: string, arguments: string list) =
        ChildProcess.run directory.Path (Requires.tool tool) arguments
    member _.RunOk(tool: string, arguments: string list) =
        ChildProcess.runOk directory.Path (Requires.tool tool) arguments

    /// Kills the daemon and starts it anew.
    member _.KillAndRestart() : unit =
        child.Signal Native.SIGKILL
        child.WaitExit Wait.defaultTimeout |> ignore
        (child :> IDisposable).Dispose()
        child <- Daemon.start binary directory.Path arguments

    /// Ends the daemon by SIGTERM, which must go well and leave no mount.
    member this.Stop() : unit =
        Expect.equal (Daemon.stop child) 0 child.Error
        Expect.isFalse (isMounted this.Path) "unmounted"

    interface IDisposable with
        member this.Dispose() =
            (child :> IDisposable).Dispose()

            if isMounted this.Path then
                ChildProcess.run "/" "umount" [ "-l"; this.Path ] |> ignore

            (directory :> IDisposable).Dispose()

let private formats = [ "raw"; "qcow2" ]
let private forFormats (name: string) (body: string -> unit) =
    formats
    |> List.map (fun format -> testCase (name + ", " + format) (fun () -> body format))

let private copies =
    forFormats "dd, cp and qemu-img" (fun format ->
        use disk = new Mounted(format, 8L * MiB, ",writable=on")
        disk.RunOk("cp", [ "mnt"; "out" ]) |> ignore
        Expect.isTrue (File.ReadAllBytes(disk.Directory.File "out") = pattern 0L (8 * int MiB)) "copied out"
        disk.RunOk("dd", [ "if=/dev/zero"; "of=mnt"; "bs=1000"; "count=3"; "seek=7"; "conv=notrunc" ])
        |> ignore
        disk.RunOk("dd", [ "if=/dev/zero"; "of=out"; "bs=1000"; "count=3"; "seek=7"; "conv=notrunc" ])
        |> ignore
        disk.RunOk("cmp", [ "mnt"; "out" ]) |> ignore
        patterned (disk.Directory.File "in") (5L * MiB)
        // Opened with O_TRUNC: the image keeps its length.
        disk.RunOk("cp", [ "in"; "mnt" ]) |> ignore
        disk.RunOk("cp", [ "in"; "out2" ]) |> ignore
        disk.RunOk("dd", [ "if=out"; "of=out2"; "bs=1M"; "skip=5"; "seek=5"; "conv=notrunc" ])
        |> ignore
        disk.RunOk("qemu-img", [ "compare"; "-f"; "raw"; "-F"; "raw"; "mnt"; "out2" ])
        |> ignore
        disk.RunOk("dd", [ "if=mnt"; "of=out3"; "bs=64k"; "iflag=direct" ]) |> ignore
        disk.RunOk("cmp", [ "out2"; "out3" ]) |> ignore
        disk.RunOk(
            "qemu-io",
            [
                "-f"
                "raw"
                "-c"
                "write -P 7 64k 128k"
                "-c"
                "read -P 7 64k 128k"
                "-c"
                "discard 64k 64k"
                "-c"
                "write -z 128k 64k"
                "-c"
                "read -P 0 128k 64k"
                "-c"
                "flush"
                "mnt"
            ]
        )
        |> fun output -> Expect.isFalse (output.Contains "fail") output

        disk.Stop()

        if format = "qcow2" then
            disk.RunOk("qemu-img", [ "check"; "disk.qcow2" ]) |> ignore)

let private load =
    forFormats "fio, several jobs" (fun format ->
        use disk = new Mounted(format, 32L * MiB, ",writable=on")

        for engine in
            [
                [ "--ioengine=psync" ]
                [ "--ioengine=libaio"; "--iodepth=16"; "--direct=1" ]
            ] do
            disk.RunOk(
                "fio",
                [
                    "--name=v"
                    "--filename=mnt"
                    "--rw=randwrite"
                    "--bsrange=512-256k"
                    "--bs_unaligned=0"
                    "--size=8M"
                    "--offset_increment=8M"
                    "--numjobs=4"
                    "--verify=crc32c"
                    "--verify_fatal=1"
                    "--do_verify=1"
                    "--thread"
                ]
                @ engine
            )
            |> ignore

        disk.Stop()

        if format = "qcow2" then
            disk.RunOk("qemu-img", [ "check"; "disk.qcow2" ]) |> ignore)

let private fileSystem =
    testCase "a file system" (fun () ->
        use disk = new Mounted("qcow2", 32L * MiB, ",writable=on")
        disk.RunOk("mkfs.ext4", [ "-q"; "-F"; "mnt" ]) |> ignore
        patterned (disk.Directory.File "in") (3L * MiB)
        disk.RunOk("debugfs", [ "-w"; "-R"; "write in file"; "mnt" ]) |> ignore
        disk.RunOk("debugfs", [ "-R"; "dump file out"; "mnt" ]) |> ignore
        disk.RunOk("cmp", [ "in"; "out" ]) |> ignore
        disk.RunOk("e2fsck", [ "-f"; "-n"; "mnt" ]) |> ignore
        disk.Stop()
        disk.RunOk("qemu-img", [ "check"; "disk.qcow2" ]) |> ignore)

/// System calls on the file, each with what came of it.
let private calls =
    """
import os, sys, fcntl, mmap, ctypes
m = sys.argv[1]
def t(name, call):
    try: print(name, call())
    except OSError as e: print(name, e.errno)
def size(): return os.stat(m).st_size
t('truncating open', lambda: os.close(os.open(m, os.O_RDWR | os.O_TRUNC))); t('size', size)
fd = os.open(m, os.O_RDWR)
for length in 1000, 1 << 20, 0, 1 << 20: t('ftruncate', lambda: os.ftruncate(fd, length)); t('size', size)
for offset, length in ((1 << 20) - 100, 1000), (2 << 20, 512), ((2 << 20) + 512, 100), (1 << 62, 10):
    t('write %d' % offset, lambda: os.pwrite(fd, b'x' * length, offset)); t('size', size)
libc = ctypes.CDLL(None, use_errno=True)
def fallocate(mode, offset, length):
    if libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)): raise OSError(ctypes.get_errno(), '')
for mode in 0, 1, 3, 16, 17, 8, 32, 64:
    for offset, length in (0, 4096), (1 << 20, 4 << 20), (8 << 20, 4096), (9 << 20, 100), (1000, 3):
        t('fallocate %d %d' % (mode, offset), lambda: fallocate(mode, offset, length)); t('size', size)
t('mmap', lambda: len(mmap.mmap(fd, 4096)))
t('ioctl', lambda: fcntl.ioctl(fd, 0x5401, b'0' * 64))
t('lockf', lambda: fcntl.lockf(fd, fcntl.LOCK_EX))
t('listxattr', lambda: os.listxattr(m)); t('setxattr', lambda: os.setxattr(m, 'user.a', b'b'))
for mode in 0o600, 0o644, 0o400, 0o700, 0o4600: t('chmod', lambda: os.chmod(m, mode)); t('mode', lambda: oct(os.stat(m).st_mode))
t('chown', lambda: os.chown(m, 1, 2)); t('owner', lambda: (os.stat(m).st_uid, os.stat(m).st_gid))
t('utime', lambda: os.utime(m, (1, 2)))
s = size()
for whence in os.SEEK_DATA, os.SEEK_HOLE:
    for offset in 0, 1 << 20, s - 1, s, s + 1, 1 << 40: t('seek %d %d' % (whence, offset), lambda: os.lseek(fd, offset, whence))
t('link', lambda: os.link(m, m + '.l')); t('rename', lambda: os.rename(m, m + '.r')); t('unlink', lambda: os.unlink(m))
t('listdir', lambda: os.listdir(m)); t('below', lambda: os.stat(m + '/x'))
t('at the end', lambda: len(os.pread(fd, 10000, size() - 100))); t('past it', lambda: len(os.pread(fd, 100, 1 << 40)))
t('links', lambda: os.stat(m).st_nlink)
t('append', lambda: os.write(os.open(m, os.O_WRONLY | os.O_APPEND), b'a' * 512)); t('size', size)
t('fsync', lambda: os.fsync(fd)); t('fdatasync', lambda: os.fdatasync(fd))
"""

let private sameAnswers =
    [
        ""
        ",writable=on"
        ",writable=on,growable=on"
        ",writable=on,allow-other=off"
        ",growable=on"
    ]
    |> List.map (fun options ->
        testCase ("the real daemon's answers" + options) (fun () ->
            let real = Requires.realDaemon ()

            let answers binary =
                use disk = new Mounted(binary, "raw", 4L * MiB, options, [], "mnt")
                let result = disk.Run("python3", [ "-c"; calls; "mnt" ])
                Expect.equal result.ExitCode 0 result.Error
                disk.Stop()
                result.Output.Split '\n'

            let expected = answers real

            answers Binaries.daemon.Value
            |> Array.iteri (fun i line -> Expect.equal line expected[i] ("line " + string i))))

let private onItself =
    forFormats "an image at its own path, killed and started again" (fun format ->
        use disk = new Mounted(Binaries.daemon.Value, format, 4L * MiB, ",writable=on", [], "disk." + format)

        let image = "disk." + format
        disk.RunOk("cp", [ image; "out" ]) |> ignore
        Expect.isTrue (File.ReadAllBytes(disk.Directory.File "out") = pattern 0L (4 * int MiB)) "the guest's view"
        disk.KillAndRestart()
        disk.RunOk("dd", [ "if=/dev/zero"; "of=" + image; "bs=64k"; "count=1"; "conv=notrunc,fsync" ])
        |> ignore
        disk.KillAndRestart()
        disk.RunOk("dd", [ "if=/dev/zero"; "of=out"; "bs=64k"; "count=1"; "conv=notrunc" ])
        |> ignore
        disk.RunOk("cmp", [ image; "out" ]) |> ignore
        disk.Stop()

        if format = "qcow2" then
            disk.RunOk("qemu-img", [ "check"; image ]) |> ignore)

let private deletedWhileOpen =
    testCase "an export is deleted while its file is open" (fun () ->
        use disk = new Mounted("raw", 4L * MiB, ",writable=on")
        use qmp = disk.Qmp()
        use file = File.OpenHandle(disk.Path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite)
        let buffer = Array.zeroCreate<byte> 4096
        Expect.equal (RandomAccess.Read(file, Span<byte> buffer, 0L)) 4096 "served"
        let events, reply = qmp.Request """{"execute": "block-export-del", "arguments": {"id": "e"}}"""
        Expect.stringContains reply "return" "deleted"
        Expect.exists events (fun line -> line.Contains "BLOCK_EXPORT_DELETED") "and told"
        Expect.isFalse (isMounted disk.Path) "unmounted"
        Expect.throws (fun () -> RandomAccess.Read(file, Span<byte> buffer, 0L) |> ignore) "errors for who has it open"
        Expect.equal (FileInfo(disk.Path).Length) 0L "the file below"
        qmp.Execute("blockdev-del", """{"node-name": "disk"}""") |> ignore
        disk.Stop())

let private stopsWhileOpen =
    testCase "the daemon ends while the file is open" (fun () ->
        use disk = new Mounted("raw", 4L * MiB, "")
        use _ = File.OpenHandle(disk.Path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite)
        disk.Stop())

let private relative =
    testCase "a relative mount point and --daemonize" (fun () ->
        use disk = new Mounted("raw", 4L * MiB, "")
        disk.Stop()

        let arguments = [
            "--daemonize"
            "--pidfile"
            "d.pid"
            "--blockdev"
            "file,node-name=f,filename=disk.raw"
            "--export"
            "fuse,id=e,node-name=f,mountpoint=./mnt"
        ]

        ChildProcess.runOk disk.Directory.Path Binaries.daemon.Value arguments |> ignore
        let pid = int (File.ReadAllText(disk.Directory.File "d.pid").Trim())

        try
            disk.RunOk("cmp", [ "mnt"; "disk.raw" ]) |> ignore
        finally
            Native.kill pid Native.SIGTERM |> ignore

        Wait.orFail Wait.defaultTimeout "the mount goes" (fun () -> not (isMounted disk.Path)))

let private users =
    testCase "other users" (fun () ->
        let asNobody (disk: Mounted) (command: string) =
            disk.Run("setpriv", [ "--reuid=65534"; "--regid=65534"; "--clear-groups"; "sh"; "-c"; command ])

        let read = "head -c 10 mnt >/dev/null"

        do
            use disk = new Mounted("raw", 4L * MiB, ",writable=on")
            File.SetUnixFileMode(disk.Directory.Path, enum<UnixFileMode> 0o755)
            Expect.notEqual (asNobody disk read).ExitCode 0 "0600"
            File.SetUnixFileMode(disk.Path, enum<UnixFileMode> 0o644)
            Expect.equal (asNobody disk read).ExitCode 0 "0644"
            Expect.notEqual (asNobody disk "echo >>mnt").ExitCode 0 "but no writing"
            disk.Stop()

        use disk = new Mounted("raw", 4L * MiB, ",writable=on,allow-other=off")
        File.SetUnixFileMode(disk.Directory.Path, enum<UnixFileMode> 0o755)
        let result = asNobody disk read
        Expect.stringContains result.Error "Permission denied" "allow-other=off"
        disk.Stop())

/// As a user who may not mount, in a mount namespace of its own, where everybody may open /dev/fuse: through the helper,
/// then again over the mount of the daemon that was killed.
let private byHelperScript =
    """
set -eu
mknod fuse c 10 229; chmod 666 fuse; mount --bind fuse /dev/fuse
mkdir d; cp disk.raw d/; : > d/mnt; chown -R 65534:65534 d; chmod 755 . d; cd d
user="setpriv --reuid=65534 --regid=65534 --clear-groups"
serve() {
    rm -f pid
    $user ../daemon --blockdev file,node-name=f,filename=disk.raw --export fuse,id=e,node-name=f,mountpoint=mnt --pidfile pid &
    while ! [ -s pid ]; do sleep 0.1; kill -0 $!; done
    $user cmp mnt disk.raw
}
serve; kill -9 $!; wait $! || true
serve; kill $!; wait $!
! grep -q " $PWD/mnt " /proc/self/mounts
echo served
"""

let private byHelper =
    testCase "a user who may not mount" (fun () ->
        use disk = new Mounted("raw", MiB, "")
        disk.Stop()
        Requires.tool "fusermount3" |> ignore
        File.Copy(Binaries.daemon.Value, disk.Directory.File "daemon")
        let result = disk.Run("unshare", [ "-m"; "sh"; "-c"; byHelperScript ])
        Expect.stringContains result.Output "served" (result.Output + result.Error))

let private noDeadlock =
    testCase "the daemon opens its own export" (fun () ->
        use disk = new Mounted("raw", 4L * MiB, ",writable=on")
        use qmp = disk.Qmp()

        qmp.Execute("blockdev-add", """{"driver": "file", "node-name": "again", "filename": "mnt"}""")
        |> ignore

        let _, reply =
            qmp.Request """{"execute": "block_resize", "arguments": {"node-name": "again", "size": 1048576}}"""

        Expect.stringContains reply "error" "its length is not to be changed from here"
        qmp.Execute("blockdev-del", """{"node-name": "again"}""") |> ignore
        qmp.Execute("block_resize", """{"node-name": "disk", "size": 8388608}""")
        |> ignore
        Expect.equal (FileInfo(disk.Path).Length) (8L * MiB) "the file follows the node"
        disk.Stop())

let private lengthIsShared =
    testCase "an export holds no permission to change the length" (fun () ->
        use disk = new Mounted("raw", 4L * MiB, ",writable=on,growable=on")
        use qmp = disk.Qmp()

        qmp.Execute("nbd-server-start", """{"addr": {"type": "unix", "data": {"path": "n.sock"}}}""")
        |> ignore

        qmp.Execute("block-export-add", """{"type": "nbd", "id": "n", "node-name": "disk"}""")
        |> ignore
        let result = disk.Run("truncate", [ "-s"; "1M"; "mnt" ])
        Expect.stringContains result.Error "busy" "NBD clients rely on the length"
        Expect.equal (FileInfo(disk.Path).Length) (4L * MiB) "it stays"
        qmp.Execute("block-export-del", """{"id": "n"}""") |> ignore
        disk.RunOk("truncate", [ "-s"; "1M"; "mnt" ]) |> ignore
        Expect.equal (FileInfo(disk.Path).Length) MiB "it is shorter"
        disk.RunOk("dd", [ "if=/dev/zero"; "of=mnt"; "bs=64k"; "count=32"; "seek=8"; "conv=notrunc" ])
        |> ignore
        Expect.equal (FileInfo(disk.Path).Length) (40L * 65536L) "it grows as it is written"
        disk.Stop()
        Expect.equal (FileInfo(disk.Directory.File "disk.raw").Length) (40L * 65536L) "so does the image")

let private changesUnderLoad =
    testCase "threads and the graph change under load" (fun () ->
        let threads = [ "--object"; "iothread,id=t0"; "--object"; "iothread,id=t1" ]

        use disk = new Mounted(Binaries.daemon.Value, "qcow2", 16L * MiB, ",writable=on", threads, "mnt")

        use qmp = disk.Qmp()

        use fio =
            new ChildProcess.Child(
                ChildProcess.options
                    (Requires.tool "fio")
                    [
                        "--name=v"
                        "--filename=mnt"
                        "--rw=randwrite"
                        "--bs=16k"
                        "--size=16M"
                        "--ioengine=psync"
                        "--verify=crc32c"
                        "--verify_fatal=1"
                        "--do_verify=1"
                        "--loops=8"
                    ]
                    disk.Directory.Path
            )

        let mutable turn = 0

        while not fio.HasExited do
            let thread = [ "\"t0\""; "\"t1\""; "null" ][turn % 3]

            qmp.Execute(
                "x-blockdev-set-iothread",
                $"{{\"node-name\": \"disk\", \"iothread\": {thread}, \"force\": true}}"
            )
            |> ignore

            if turn < 3 then
                let node = if turn = 0 then "disk" else $"s{turn - 1}"

                qmp.Execute(
                    "blockdev-snapshot-sync",
                    $"{{\"node-name\": \"{node}\", \"snapshot-file\": \"s{turn}.qcow2\", \"snapshot-node-name\": \"s{turn}\"}}"
                )
                |> ignore

            turn <- turn + 1
            Threading.Thread.Sleep 20

        Expect.equal (fio.WaitExit Wait.defaultTimeout) (Some 0) (fio.Output + fio.Error)
        Expect.isGreaterThan turn 3 "it was under load"
        disk.Stop()
        disk.RunOk("qemu-img", [ "check"; "s2.qcow2" ]) |> ignore)

let private refused =
    testCase "what cannot be mounted" (fun () ->
        use disk = new Mounted("raw", 4L * MiB, "")
        use qmp = disk.Qmp()

        let error mountpoint =
            let _, reply =
                qmp.Request
                    $"""{{"execute": "block-export-add", "arguments": {{"type": "fuse", "id": "e2", "node-name": "disk", "mountpoint": "{mountpoint}"}}}}"""

            reply

        Expect.stringContains (error "mnt") "There already is a FUSE export on 'mnt'" "twice"
        Expect.stringContains (error "./mnt") "There already is a FUSE export on './mnt'" "by another name"
        Expect.stringContains (error "/tmp") "'/tmp' is not a regular file" "a directory"
        Expect.stringContains (error "nothing") "Failed to stat 'nothing': No such file or directory" "nothing"
        sparse (disk.Directory.File "mnt2") 0L
        Expect.stringContains (error "mnt2") "return" "another place"
        disk.RunOk("cmp", [ "mnt"; "mnt2" ]) |> ignore
        disk.Stop()
        Expect.isFalse (isMounted (disk.Directory.File "mnt2")) "unmounted, too")

[<Tests>]
let tests =
    testList
        "end to end: FUSE"
        (copies
         @ load
         @ sameAnswers
         @ onItself
         @ [
             fileSystem
             deletedWhileOpen
             stopsWhileOpen
             relative
             users
             byHelper
             noDeadlock
             lengthIsShared
             changesUnderLoad
             refused
         ])
    |> testSequenced

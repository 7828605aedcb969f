module StorageDaemon.Tests.Properties.Locks

open Expecto
open StorageDaemon.Core.Graph

let private pair (used: byte, shared: byte) : PermPair = {
    Used = LanguagePrimitives.EnumOfValue(used &&& 15uy)
    Shared = LanguagePrimitives.EnumOfValue(shared &&& 15uy)
}

let private taken (steps: LockStep list) =
    steps
    |> List.choose (function
        | Take byte -> Some byte
        | Probe _ -> None)

let private probed (steps: LockStep list) =
    steps
    |> List.choose (function
        | Take _ -> None
        | Probe(byte, _) -> Some byte)

/// Runs the steps against the bytes that others hold; the first conflict, as the kernel would show it.
let private firstConflict (others: Set<int64>) (change: LockChange) =
    change.Steps
    |> List.tryFind (function
        | Take _ -> false
        | Probe(byte, _) -> others.Contains byte)

[<Tests>]
let tests =
    testList "Locks" [
        test "the bytes that the real daemon holds" {
            let held = Locks.held
            Expect.equal (held Perm.unused) [] "no user"
            Expect.equal (held (Perm.forNbdExport false)) [ 100L; 203L ] "NBD, read-only"
            Expect.equal (held (Perm.forNbdExport true)) [ 100L; 101L; 203L ] "NBD, writable"
            Expect.equal (held (Perm.forDeviceExport true)) [ 100L; 101L ] "vhost-user, writable"
            Expect.equal
                (held (Perm.resizing (Perm.forDeviceExport true)))
                [ 100L; 101L; 103L ]
                "vhost-user, writable, while its size changes"
            Expect.equal (held (Perm.forFormat true Perm.unused)) [ 100L; 101L; 103L; 201L; 203L ] "qcow2"
            Expect.equal (held (Perm.forFormat false Perm.unused)) [ 100L; 201L; 203L ] "qcow2, read-only"
        }

        test "order: take used, take unshared, probe against used, probe against unshared" {
            let change = Locks.change true (Perm.forNbdExport false) (Perm.forFormat true Perm.unused)
            Expect.equal (taken change.Steps) [ 101L; 103L; 201L ] "taken"
            Expect.equal (probed change.Steps) [ 200L; 201L; 203L; 101L; 103L ] "probed"
            Expect.equal change.Release [] "nothing to release"
            Expect.equal (Locks.rollback change 2) [ 101L; 103L ] "given back"
        }

        test "errors" {
            let error step =
                let e = Locks.failure "a.raw" step
                e.Desc, e.Hint

            let hint = Some "Is another process using the image [a.raw]?"
            Expect.equal (error (Take 203L)) ("Failed to lock byte 203", None) "exclusive"
            Expect.equal (error (Probe(200L, true))) ("Failed to get \"consistent read\" lock", hint) "read"
            Expect.equal (error (Probe(201L, false))) ("Failed to get \"write\" lock", None) "write"
            Expect.equal (error (Probe(103L, true))) ("Failed to get shared \"resize\" lock", hint) "shared resize"
        }

        testProperty "a change leads from the old bytes to the new ones"
        <| fun (old: byte * byte) (next: byte * byte) ->
            let old, next = pair old, pair next
            let change = Locks.change true old next

            let after =
                Set.ofList (Locks.held old) + Set.ofList (taken change.Steps)
                - Set.ofList change.Release

            after = Set.ofList (Locks.held next)
            && change.Held = Locks.held next
            && List.forall (fun byte -> not (List.contains byte (Locks.held old))) (taken change.Steps)

        testProperty "two processes see each other exactly when their permissions conflict"
        <| fun (mine: byte * byte) (theirs: byte * byte) ->
            let mine, theirs = pair mine, pair theirs
            let change = Locks.change true Perm.unused mine

            let conflict = Perm.without theirs.Shared mine.Used ||| Perm.without mine.Shared theirs.Used

            (firstConflict (Set.ofList (Locks.held theirs)) change).IsSome = (conflict <> Perm.None)

        testProperty "want less, ask nothing"
        <| fun (old: byte * byte) (fewer: byte) (more: byte) ->
            let old = pair old

            let next = {
                Used = old.Used &&& LanguagePrimitives.EnumOfValue fewer
                Shared = old.Shared ||| LanguagePrimitives.EnumOfValue(more &&& 15uy)
            }

            (Locks.change true old next).Steps.IsEmpty
    ]

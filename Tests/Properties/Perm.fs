module StorageDaemon.Tests.Properties.Perm

open Expecto
open StorageDaemon.Core.Graph

let private ofByte (bits: byte) : Perm =
    LanguagePrimitives.EnumOfValue(bits &&& 15uy)

let private pair (used: byte, shared: byte) : PermPair = { Used = ofByte used; Shared = ofByte shared }

/// The slow way to know whether users stand in each other's way: look at every two of them.
let private naiveConflicts (pairs: PermPair list) =
    [
        for i, a in List.indexed pairs do
            for j, b in List.indexed pairs do
                if i <> j then
                    Perm.without a.Shared b.Used
    ]
    |> List.fold (|||) Perm.None

let private count (pairs: PermPair list) =
    List.fold (fun users pair -> Users.add pair users) Users.empty pairs

[<Tests>]
let tests =
    testList "Perm" [
        test "names follow the bits" {
            Expect.equal (Perm.names Perm.All) "consistent read, write, write unchanged, resize" "all"
            Expect.equal (Perm.names Perm.Resize) "resize" "one"
            Expect.equal (Perm.names Perm.None) "" "none"
        }

        test "what the kinds of parents want" {
            let names (pair: PermPair) =
                Perm.names pair.Used, Perm.names pair.Shared

            let all = Perm.names Perm.All
            let noResize = "consistent read, write, write unchanged"

            [
                Perm.forNbdExport false, ("consistent read", noResize)
                Perm.forNbdExport true, ("consistent read, write", noResize)
                Perm.forDeviceExport true, ("consistent read, write", all)
                Perm.resizing (Perm.forDeviceExport true), ("consistent read, write, resize", all)
                Perm.forDeviceExport false, ("consistent read", all)
                Perm.forFormat true Perm.unused, ("consistent read, write, resize", "consistent read, write unchanged")
                Perm.forFormat false Perm.unused, ("consistent read", "consistent read, write unchanged")
                Perm.forRaw false Perm.unused, ("", all)
                Perm.forRaw true Perm.unused, ("", noResize)
            ]
            |> List.iter (fun (perms, expected) -> Expect.equal (names perms) expected "perms")
        }

        testProperty "counted totals are the sums over all users"
        <| fun (bits: (byte * byte) list) ->
            let pairs = List.map pair bits
            let total = Users.total (count pairs)

            total.Used = (pairs |> List.fold (fun set p -> set ||| p.Used) Perm.None)
            && total.Shared = (pairs |> List.fold (fun set p -> set &&& p.Shared) Perm.All)

        testProperty "counted conflicts are those of any two users"
        <| fun (bits: (byte * byte) list) ->
            let pairs = List.map pair bits
            Users.conflicts (count pairs) = naiveConflicts pairs

        testProperty "a user that comes and goes leaves no trace"
        <| fun (bits: (byte * byte) list) (guest: byte * byte) ->
            let users = count (List.map pair bits)
            let after = users |> Users.add (pair guest) |> Users.remove (pair guest)

            Perm.same (Users.total after) (Users.total users)
            && Users.conflicts after = Users.conflicts users
    ]

namespace StorageDaemon.Core.Graph

/// How many users of one node use one permission, do not share it, or both at once.
[<Struct; NoComparison; NoEquality>]
type PermCount = { Used: int; Unshared: int; Both: int }

/// The users' permissions of one node, counted per permission: adding and removing a user, the totals and the check
/// for conflicts cost the same for one user and for thousands.
[<Struct; NoComparison; NoEquality>]
type Users = {
    ConsistentRead: PermCount
    Write: PermCount
    WriteUnchanged: PermCount
    Resize: PermCount
}

module Users =
    let private zero = { Used = 0; Unshared = 0; Both = 0 }

    let empty = {
        ConsistentRead = zero
        Write = zero
        WriteUnchanged = zero
        Resize = zero
    }

    let private count (sign: int) (perm: Perm) (pair: PermPair) (counted: PermCount) : PermCount =
        let used = Perm.has perm pair.Used
        let unshared = not (Perm.has perm pair.Shared)

        {
            Used = if used then counted.Used + sign else counted.Used
            Unshared =
                if unshared then
                    counted.Unshared + sign
                else
                    counted.Unshared
            Both =
                if used && unshared then
                    counted.Both + sign
                else
                    counted.Both
        }

    let private change (sign: int) (pair: PermPair) (users: Users) : Users = {
        ConsistentRead = count sign Perm.ConsistentRead pair users.ConsistentRead
        Write = count sign Perm.Write pair users.Write
        WriteUnchanged = count sign Perm.WriteUnchanged pair users.WriteUnchanged
        Resize = count sign Perm.Resize pair users.Resize
    }

    let add (pair: PermPair) (users: Users) = change 1 pair users
    let remove (pair: PermPair) (users: Users) = change -1 pair users

    let private collect (test: PermCount -> bool) (users: Users) : Perm =
        let bit perm counted =
            if test counted then perm else Perm.None

        bit Perm.ConsistentRead users.ConsistentRead
        ||| bit Perm.Write users.Write
        ||| bit Perm.WriteUnchanged users.WriteUnchanged
        ||| bit Perm.Resize users.Resize

    /// Used by any, shared by all.
    let total (users: Users) : PermPair = {
        Used = collect (fun counted -> counted.Used > 0) users
        Shared = collect (fun counted -> counted.Unshared = 0) users
    }

    /// The permissions that one user needs and another one does not share. A user never stands in its own way.
    let conflicts (users: Users) : Perm =
        let conflicting counted =
            counted.Used > 0
            && counted.Unshared > 0
            && not (counted.Used = 1 && counted.Unshared = 1 && counted.Both = 1)

        collect conflicting users

    /// The permissions that anybody but the user with this pair needs.
    let usedByOthers (pair: PermPair) (users: Users) : Perm = (total (remove pair users)).Used

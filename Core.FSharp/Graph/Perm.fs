namespace StorageDaemon.Core.Graph

open System

/// What a user does with a node, or lets others do (QEMU docs, "Block layer permissions"). A set of bits; bit i is
/// also the i of the image lock bytes.
[<Flags>]
type Perm =
    | None = 0uy
    /// Reads must be consistent: no other writer may be in the middle of changing the data's meaning.
    | ConsistentRead = 1uy
    | Write = 2uy
    /// Writes that do not change what a reader sees (copy-on-read, streaming).
    | WriteUnchanged = 4uy
    | Resize = 8uy
    | All = 15uy

/// What a user needs and what it tolerates from all other users of the same node.
[<Struct; NoComparison>]
type PermPair = { Used: Perm; Shared: Perm }

/// What a child is to its parent.
[<Flags>]
type ChildRole =
    | None = 0
    /// Holds guest data.
    | Data = 1
    /// Holds the format's own data.
    | Metadata = 2
    /// Shows exactly the parent's data.
    | Filtered = 4
    /// Read where the parent has nothing of its own.
    | Cow = 8
    /// The one child that stands for the parent's storage.
    | Primary = 16

/// Sets of permissions and the sets that each kind of parent asks of its child.
module Perm =
    /// Number of permissions.
    [<Literal>]
    let Count = 4

    /// The permission of bit `index`, 0 to 3.
    let ofIndex (index: int) : Perm =
        LanguagePrimitives.EnumOfValue(1uy <<< index)

    let inline has (perm: Perm) (set: Perm) = set &&& perm = perm
    let inline intersects (a: Perm) (b: Perm) = a &&& b <> Perm.None
    let inline without (removed: Perm) (set: Perm) = set &&& ~~~removed &&& Perm.All

    /// What `set` does not contain.
    let inline complement (set: Perm) = ~~~set &&& Perm.All

    /// The name of one permission as texts for people have it.
    let name (index: int) =
        match index with
        | 0 -> "consistent read"
        | 1 -> "write"
        | 2 -> "write unchanged"
        | _ -> "resize"

    /// The name of one permission in the QAPI schema (BlockPermission).
    let qapiName (index: int) =
        match index with
        | 0 -> "consistent-read"
        | 1 -> "write"
        | 2 -> "write-unchanged"
        | _ -> "resize"

    /// The names of a set for texts, by bit, joined with a comma.
    let names (set: Perm) =
        [ 0 .. Count - 1 ]
        |> List.filter (fun i -> has (ofIndex i) set)
        |> List.map name
        |> String.concat ", "

    /// Whether two users want the same.
    let same (a: PermPair) (b: PermPair) = a.Used = b.Used && a.Shared = b.Shared

    /// Nobody is there: nothing used, everything tolerated.
    let unused = { Used = Perm.None; Shared = Perm.All }

    /// Writes and reads that change a file's bytes or length.
    let writing = Perm.Write ||| Perm.WriteUnchanged ||| Perm.Resize

    /// A filter wants of its child what its own users want of it.
    let forFilter (users: PermPair) = users

    /// Who keeps account of a growing file's end cannot have others move it.
    let forPreallocate (users: PermPair) =
        let growing = Perm.Write ||| Perm.Resize

        if has growing users.Used then
            { users with Shared = without growing users.Shared }
        else
            users

    /// A place where data are kept: it may have to grow for them, and nobody else may change its length.
    let forStorage (users: PermPair) = {
        Used =
            (if has Perm.Write users.Used then
                 users.Used ||| Perm.Resize
             else
                 users.Used)
        Shared = without Perm.Resize users.Shared
    }

    /// Children of a quorum must not be changed by anybody else, or they would differ.
    let forQuorum (rewrites: bool) (users: PermPair) = {
        Used = users.Used ||| (if rewrites then Perm.Write else Perm.None)
        Shared = users.Shared &&& (Perm.ConsistentRead ||| Perm.WriteUnchanged)
    }

    /// A raw image wants what its users want; a slice cannot work when others change the child's length.
    let forRaw (isSlice: bool) (users: PermPair) =
        if isSlice then
            { users with Shared = without Perm.Resize users.Shared }
        else
            users

    /// A format with metadata of its own reads them at any time and, when writable, writes and grows the file
    /// whether or not it has users; nobody else may change the file.
    let forFormat (writable: bool) (users: PermPair) =
        let own =
            if writable then
                Perm.ConsistentRead ||| Perm.Write ||| Perm.Resize
            else
                Perm.ConsistentRead

        {
            Used = users.Used ||| own
            Shared = users.Shared &&& (Perm.ConsistentRead ||| Perm.WriteUnchanged)
        }

    /// An inactive node puts up with whoever has taken its image over.
    let whileInactive (isActive: bool) (perms: PermPair) =
        if isActive then
            perms
        else
            {
                perms with
                    Shared = perms.Shared ||| Perm.Write ||| Perm.Resize
            }

    /// What a node wants of its backing child: reads, and that nobody changes what they return, unless its own users
    /// put up with that.
    let forBacking (users: PermPair) = {
        Used = users.Used &&& Perm.ConsistentRead
        Shared =
            Perm.ConsistentRead
            ||| Perm.WriteUnchanged
            ||| (if has Perm.Write users.Shared then
                     Perm.Write ||| Perm.Resize
                 else
                     Perm.None)
    }

    /// What an NBD export needs: its clients rely on the size that they were told.
    let forNbdExport (writable: bool) = {
        Used =
            (if writable then
                 Perm.ConsistentRead ||| Perm.Write
             else
                 Perm.ConsistentRead)
        Shared = without Perm.Resize Perm.All
    }

    /// Whoever is about to change the length.
    let resizing (perms: PermPair) = { perms with Used = perms.Used ||| Perm.Resize }

    /// What other exports need: they can live with another size. Those that change it ask for that when they do.
    let forDeviceExport (writable: bool) = { forNbdExport writable with Shared = Perm.All }

namespace StorageDaemon.Core

/// The order in which the real daemon walks through named options: that of its hash table, of 512 buckets with the hash
/// function of TDB (Samba's trivial database). In a bucket the last member that was added comes first.
module HashOrder =
    let bucket (name: string) : uint32 =
        let mutable value = 0x238F13AFu * uint32 name.Length

        for i in 0 .. name.Length - 1 do
            value <- value + (uint32 name[i] <<< (i * 5 % 24))

        (1103515243u * value + 12345u) % 512u

    /// The order of members that were added one after the other.
    let arrange (members: (string * 'T) list) : (string * 'T) list =
        match members with
        | []
        | [ _ ] -> members
        | _ -> members |> List.rev |> List.sortBy (fst >> bucket)

    /// Sorts members; those of one bucket keep their order.
    let sort (members: (string * 'T) list) : (string * 'T) list = members |> List.sortBy (fst >> bucket)

namespace StorageDaemon.Core.Qapi

/// Help texts about options, as the real daemon prints them: lines that each end with a line feed.
module Help =
    let private lines (texts: string list) =
        String.concat "" (texts |> List.map (fun text -> text + "\n"))

    /// `--chardev help`: the types of character devices. The space at the end of the first line is the real daemon's.
    let chardevTypes =
        let names = CharCodecs.builtTypes |> List.map (fun name -> "  " + name)
        lines ("Available chardev backend types: " :: names)

/// Glob matching by plain backtracking.
module StorageDaemon.Tests.Reference.NaiveGlob

let rec private matches (pattern: char list) (text: char list) =
    match pattern, text with
    | [], [] -> true
    | '*' :: pattern, [] -> matches pattern []
    | '*' :: rest, _ :: below -> matches rest text || matches pattern below
    | '?' :: pattern, _ :: text -> matches pattern text
    | p :: pattern, t :: text when p = t -> matches pattern text
    | _ -> false

let isMatch (pattern: string) (text: string) =
    matches (List.ofSeq pattern) (List.ofSeq text)

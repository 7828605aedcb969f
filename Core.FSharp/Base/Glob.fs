namespace StorageDaemon.Core

/// Shell-like patterns without classes or escapes: `*` stands for any run of characters, `?` for exactly one.
module Glob =
    /// Whether the whole of `text` matches `pattern`. Time is bounded by the product of both lengths, never worse:
    /// a mismatch goes back to the last `*` only.
    let isMatch (pattern: string) (text: string) =
        let mutable p = 0
        let mutable t = 0
        let mutable star = -1
        let mutable starText = 0
        let mutable ok = true

        while ok && t < text.Length do
            if p < pattern.Length && pattern[p] = '*' then
                star <- p
                starText <- t
                p <- p + 1
            elif p < pattern.Length && (pattern[p] = '?' || pattern[p] = text[t]) then
                p <- p + 1
                t <- t + 1
            elif star >= 0 then
                starText <- starText + 1
                p <- star + 1
                t <- starText
            else
                ok <- false

        while p < pattern.Length && pattern[p] = '*' do
            p <- p + 1

        ok && p = pattern.Length

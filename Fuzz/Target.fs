namespace StorageDaemon.Fuzz

/// Something that eats bytes and throws when the code under test breaks a promise.
[<NoComparison; NoEquality>]
type Target = {
    /// Also the name of its folders in Corpora/ and Regressions/.
    Name: string
    Run: byte[] -> unit
}

namespace StorageDaemon.Core.Docs

open System

/// Pages in the man macros of roff (groff_man(7)).
module Roff =
    /// Text as it is: nothing in it is a request or an escape.
    let escape (text: string) : string =
        let escaped =
            text
                .Replace("\\", "\\e")
                .Replace("-", "\\-")
                .Replace("'", "\\(aq")
                .Replace("`", "\\(ga")
                .Replace("~", "\\(ti")
                .Replace("^", "\\(ha")

        if escaped.StartsWith '.' then "\\&" + escaped else escaped

    let private quoted (text: string) =
        "\"" + (escape text).Replace("\"", "\\(dq") + "\""

    /// The first line of a page.
    let title (name: string) (section: int) (source: string) (manual: string) =
        ".TH "
        + quoted (name.ToUpperInvariant())
        + " "
        + string<int> section
        + " \"\" "
        + quoted source
        + " "
        + quoted manual

    let section (name: string) = ".SH " + quoted name
    let subsection (name: string) = ".SS " + quoted name
    let bold (text: string) = "\\fB" + escape text + "\\fR"
    let italic (text: string) = "\\fI" + escape text + "\\fR"

    /// A paragraph.
    let paragraph (text: string) : string list = [ ".PP"; escape text ]

    /// A term with what is said of it. `term` is roff already.
    let item (term: string) (body: string) : string list = [ ".TP"; term; escape body ]

    /// A further paragraph of an item.
    let more (text: string) : string list = [ ".IP"; escape text ]

    /// Lines as they are, in a fixed width.
    let literal (lines: string list) : string list =
        [ ".PP"; ".nf"; ".RS" ] @ List.map escape lines @ [ ".RE"; ".fi" ]

    let page (lines: string list) : string = String.Join('\n', lines) + "\n"

/// Figures of all rounds, reduced to medians and shown.
module StorageDaemon.Bench.Report

open System
open System.IO
open System.Text.Json
open StorageDaemon.Bench.Cases

/// One contestant in one case, an entry a round.
type Series = {
    Contestant: string
    Rates: float list
    /// Microseconds of the server's CPU time per operation; empty where it is not measured.
    CpuUs: float list
}

let median (values: float list) : float =
    match List.sort values with
    | [] -> nan
    | sorted ->
        let middle = sorted.Length / 2

        if sorted.Length % 2 = 1 then
            sorted[middle]
        else
            (sorted[middle - 1] + sorted[middle]) / 2.0

/// How many times better ours was than the rival, round by round.
let ratios (case: Case) (ours: Series) (rival: Series) : float list =
    List.zip ours.Rates rival.Rates
    |> List.map (fun (mine, theirs) -> if case.LessIsBetter then theirs / mine else mine / theirs)

let private verdict (isMet: bool) (text: string) : string =
    if isMet then $"{text} met" else $"{text} MISSED"

let private barOfRatio (case: Case) (rival: string) (ratio: float) : string =
    Bars.ratios
    |> List.tryFind (fun (name, against, _) -> name = case.Name && against = rival)
    |> Option.map (fun (_, _, least) -> verdict (ratio >= least) $"bar {least:F1}x")
    |> Option.defaultValue ""

let private barsOfOurs (case: Case) (ours: Series) (real: Series option) : string =
    [
        for name, limit in Bars.absolute do
            if name = case.Name then
                let figure = median ours.Rates

                verdict
                    (if case.LessIsBetter then
                         figure <= limit
                     else
                         figure >= limit)
                    $"bar {limit:F0} {case.Unit}"
        for name, most, part in Bars.cpu do
            if name = case.Name then
                let cpu = median ours.CpuUs
                verdict (cpu <= most) $"bar {most:F0} us"

                match real with
                | Some real -> verdict (cpu <= part * median real.CpuUs) $"bar {part:F2} of real's CPU"
                | None -> ()
    ]
    |> String.concat ", "

/// Prints one case: a line for each contestant. Ratios are medians of the rounds' own ratios.
let print (case: Case) (series: Series list) : unit =
    let ours = series.Head
    let real = series |> List.tryFind (fun one -> one.Contestant = "real")
    let heading = $"{case.Name} [{case.Unit}]"
    Console.WriteLine $"""{heading, -40} {"median", 12} {"ours/this", 10} {"(min..max)", 14} {"CPU us/op", 10}"""

    for one in series do
        let cpu = if one.CpuUs.IsEmpty then "" else $"{median one.CpuUs:F2}"
        let rate = $"{median one.Rates:F1}"

        if one.Contestant = ours.Contestant then
            Console.WriteLine
                $"""  {one.Contestant, -38} {rate, 12} {"", 10} {"", 14} {cpu, 10}  {barsOfOurs case ours real}"""
        else
            let all = ratios case ours one
            let middle = median all
            let range = $"{List.min all:F2}..{List.max all:F2}"
            let ratio = $"{middle:F2}x"

            Console.WriteLine
                $"  {one.Contestant, -38} {rate, 12} {ratio, 10} {range, 14} {cpu, 10}  {barOfRatio case one.Contestant middle}"

/// Writes everything, the rounds' own figures included.
let writeJson (path: string) (results: (Case * Series list) list) : unit =
    use stream = File.Create path
    use json = new Utf8JsonWriter(stream, JsonWriterOptions(Indented = true))

    let numbers (name: string) (values: float list) =
        json.WriteStartArray name
        values |> List.iter (fun value -> json.WriteNumberValue value)
        json.WriteEndArray()

    json.WriteStartArray()

    for case, series in results do
        json.WriteStartObject()
        json.WriteString("case", case.Name)
        json.WriteString("unit", case.Unit)
        json.WriteStartArray "contestants"

        for one in series do
            json.WriteStartObject()
            json.WriteString("name", one.Contestant)
            numbers "rates" one.Rates
            numbers "cpuUsPerOperation" one.CpuUs
            numbers "ratios" (ratios case series.Head one)
            json.WriteEndObject()

        json.WriteEndArray()
        json.WriteEndObject()

    json.WriteEndArray()

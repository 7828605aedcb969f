namespace StorageDaemon.Core.Observe

open System
open System.Text

/// What a client of the metrics listener asks for.
[<RequireQualifiedAccess>]
type HttpRequest =
    /// The head of the request is not complete.
    | Incomplete
    | Get of path: string
    /// As GET, but the body is not wanted.
    | Head of path: string
    /// Cannot be served; the status says why.
    | Refused of status: int

/// HTTP/1.1 as far as a scraper needs it (RFC 9112): one GET or HEAD without a body for each connection.
module Http =
    /// The longest head of a request in bytes: request line and header fields.
    [<Literal>]
    let MaxHeadBytes = 8192

    let private headEnd = "\r\n\r\n"B

    let private reason status =
        match status with
        | 200 -> "OK"
        | 400 -> "Bad Request"
        | 404 -> "Not Found"
        | 405 -> "Method Not Allowed"
        | 413 -> "Content Too Large"
        | 431 -> "Request Header Fields Too Large"
        | 505 -> "HTTP Version Not Supported"
        | _ -> "Internal Server Error"

    let private isToken (text: string) =
        text.Length > 0
        && text
           |> String.forall (fun c -> Char.IsAsciiLetterOrDigit c || "!#$%&'*+-.^_`|~".Contains c)

    /// The path of a target in origin or absolute form, without its query.
    let private pathOf (target: string) : string voption =
        let afterAuthority =
            if target.StartsWith("http://", StringComparison.OrdinalIgnoreCase) then
                match target.IndexOf('/', 7) with
                | -1 -> "/"
                | slash -> target.Substring slash
            else
                target

        if afterAuthority.StartsWith '/' then
            ValueSome(afterAuthority.Split('?')[0])
        else
            ValueNone

    /// A field that announces a body, or a malformed one.
    let private refusalOf (field: string) : int voption =
        match field.IndexOf ':' with
        | colon when colon <= 0 || not (isToken (field.Substring(0, colon))) -> ValueSome 400
        | colon ->
            let value = field.Substring(colon + 1).Trim()

            match field.Substring(0, colon).ToLowerInvariant() with
            | "transfer-encoding" -> ValueSome 413
            | "content-length" when value <> "0" ->
                ValueSome(if String.forall Char.IsAsciiDigit value then 413 else 400)
            | _ -> ValueNone

    let private decodeHead (lines: string list) : HttpRequest =
        match lines with
        | [] -> HttpRequest.Refused 400
        | requestLine :: fields ->
            let refusals =
                fields
                |> List.choose (fun field ->
                    match refusalOf field with
                    | ValueSome status -> Some status
                    | ValueNone -> None)

            match requestLine.Split ' ', refusals with
            | [| method; target; ("HTTP/1.1" | "HTTP/1.0") |], [] when isToken method ->
                match method, pathOf target with
                | "GET", ValueSome path -> HttpRequest.Get path
                | "HEAD", ValueSome path -> HttpRequest.Head path
                | ("GET" | "HEAD"), ValueNone -> HttpRequest.Refused 400
                | _ -> HttpRequest.Refused 405
            | [| method; _; ("HTTP/1.1" | "HTTP/1.0") |], status :: _ when isToken method -> HttpRequest.Refused status
            | [| method; _; version |], _ when isToken method && version.StartsWith "HTTP/" -> HttpRequest.Refused 505
            | _ -> HttpRequest.Refused 400

    /// Reads a request from all that has come so far.
    let parse (input: ReadOnlySpan<byte>) : HttpRequest =
        let bounded = input.Slice(0, min input.Length MaxHeadBytes)

        match bounded.IndexOf(ReadOnlySpan headEnd) with
        | -1 when input.Length >= MaxHeadBytes -> HttpRequest.Refused 431
        | -1 -> HttpRequest.Incomplete
        | length ->
            Encoding.Latin1.GetString(bounded.Slice(0, length)).Split("\r\n")
            |> List.ofArray
            |> decodeHead

    /// A response that ends the connection. `withBody`: false for HEAD, which announces the body only.
    let response (status: int) (contentType: string) (body: string) (withBody: bool) : byte array =
        let bytes = Encoding.UTF8.GetBytes body

        let head =
            "HTTP/1.1 "
            + string status
            + " "
            + reason status
            + "\r\nContent-Type: "
            + contentType
            + "\r\nContent-Length: "
            + string bytes.Length
            + (if status = 405 then "\r\nAllow: GET, HEAD" else "")
            + "\r\nConnection: close\r\n\r\n"

        Array.append (Encoding.ASCII.GetBytes head) (if withBody then bytes else [||])

    /// What is answered: `metrics` makes the text of the metrics, and is called only for it.
    let answer (metrics: unit -> string) (request: HttpRequest) : byte array =
        let plain status withBody =
            response status "text/plain; charset=utf-8" (reason status + "\n") withBody

        match request with
        | HttpRequest.Get "/metrics" -> response 200 PrometheusText.ContentType (metrics ()) true
        | HttpRequest.Head "/metrics" -> response 200 PrometheusText.ContentType (metrics ()) false
        | HttpRequest.Get _ -> plain 404 true
        | HttpRequest.Head _ -> plain 404 false
        | HttpRequest.Refused status -> plain status true
        | HttpRequest.Incomplete -> plain 400 true

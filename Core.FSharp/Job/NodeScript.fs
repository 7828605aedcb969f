namespace StorageDaemon.Core.Job

open StorageDaemon.Core
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Io

/// A node that a job's script works on, as the graph is now.
[<NoComparison>]
type ScriptChild = {
    Path: DataPath
    /// The host file by whose length the node's is changed, or why it cannot be.
    Resizing: Result<ResizeLeaf, QapiError>
}

/// What a script that has succeeded has to say.
[<RequireQualifiedAccess>]
type ScriptValue =
    | Nothing
    | Checked of Qcow2.CheckReport

/// Work on nodes of the graph: a script over these children in their order. It is carried out beside everything else;
/// when the graph below changes, it rests and goes on with new paths.
[<NoComparison; NoEquality>]
type NodeScript = {
    Children: ScriptChild list
    /// Takes the C library's text for an errno.
    Script: (int -> string) -> IoScript<Result<ScriptValue, string>>
}

/// How a script went.
type NodeScriptReport = {
    /// None if it was told to stop, and did before its end.
    Result: Result<ScriptValue, string> option
    /// How long each child's file is now, in bytes; zero where there is none to resize.
    FileBytes: int64 list
}

/// How the work of a job went.
[<RequireQualifiedAccess>]
type JobReport =
    | File of FileTaskReport
    | Nodes of NodeScriptReport

module NodeScript =
    /// A path on which the file below may grow with what is written.
    let rec private growing (path: DataPath) : DataPath = {
        path with
            SizeBytes = System.Int64.MaxValue
            Leaf =
                match path.Leaf with
                | LayerLeaf(node, driver, children) -> LayerLeaf(node, driver, List.map growing children)
                | leaf -> leaf
    }

    /// The child as a job has it that is to write to the node.
    let child (graph: Graph) (node: NodeId) : ScriptChild =
        let path = Path.compile graph node
        let resizing = Resize.leaf graph (Graph.node node graph)

        {
            Path =
                match resizing with
                | Ok { IsDevice = false } -> growing path
                | _ -> path
            Resizing = resizing
        }

    let outcome (report: NodeScriptReport) : JobResult =
        match report.Result with
        | None -> Stopped
        | Some(Ok _) -> Succeeded
        | Some(Error reason) -> Failed reason

    /// The lengths of the nodes, which have followed their files. Nodes beside them keep theirs.
    let followLengths (nodes: NodeId list) (report: NodeScriptReport) (graph: Graph) : Graph =
        let follow (graph: Graph) (node: NodeId, bytes: int64) =
            match Resize.leaf graph (Graph.node node graph) with
            | Ok leaf -> Resize.follow leaf.Path bytes graph
            | Error _ -> graph

        if nodes.Length = report.FileBytes.Length then
            List.zip nodes report.FileBytes |> List.fold follow graph
        else
            graph

    /// Why a device cannot be given a length, if it cannot.
    let checkDevice (currentBytes: int64) (bytes: int64) (mode: GrowthMode) : Result<unit, string> =
        match mode with
        | Sparse when bytes <= currentBytes -> Ok()
        | Sparse -> Error "Cannot grow device files"
        | Reserved -> Error "Preallocation mode 'falloc' unsupported for this non-regular file"
        | Zeroed -> Error "Preallocation mode 'full' unsupported for this non-regular file"

    /// What the steps of a resize have come to.
    let resized (task: FileTask) (report: FileTaskReport) : Result<unit, string> =
        match FileTask.outcome task report with
        | struct (_, Succeeded) -> Ok()
        | struct (_, Failed reason) -> Error reason
        // Nobody hears of it: the script ends here.
        | struct (_, Stopped) -> Error "stopped"

namespace StorageDaemon.Core.Daemon

open StorageDaemon.Core
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Job

/// What finding a job's nodes has come to.
[<NoComparison; NoEquality>]
type NodesProgress =
    /// A node is to be made as described, and counts as found then.
    | ToMake of PendingJobNodes * BlockdevSpec
    | AllFound of PendingJobNodes
    | NotFound of PendingJobNodes * QapiError

/// How a job comes by the nodes that it works on: those that exist by their names, those that are described made for it;
/// and how it gives them back.
module JobNodes =
    let pending (key: JobKey) (wanted: ChildSpec list) : PendingJobNodes = {
        Key = key
        Rest = wanted
        Found = []
        Made = []
    }

    /// The next node. `accept` tells whether the job goes on with so many.
    let rec next (state: State) (accept: int -> Result<unit, string>) (pending: PendingJobNodes) : NodesProgress =
        match accept pending.Found.Length, pending.Rest with
        | Error reason, _ -> NotFound(pending, QapiError.generic reason)
        | Ok(), [] -> AllFound pending
        | Ok(), Reference name :: rest ->
            match Graph.findReference name state.Graph with
            | Error error -> NotFound(pending, error)
            | Ok node ->
                next state accept {
                    pending with
                        Rest = rest
                        Found = pending.Found @ [ node.Id ]
                }
        | Ok(), Nothing :: rest -> next state accept { pending with Rest = rest }
        | Ok(), Inline spec :: rest -> ToMake({ pending with Rest = rest }, spec)

    /// The node was made.
    let made (pending: PendingJobNodes) (node: NodeId) : PendingJobNodes = {
        pending with
            Found = pending.Found @ [ node ]
            Made = node :: pending.Made
    }

    /// The name of a node that error texts are to speak of; none is given twice.
    let private newName (state: State) : struct (string * State) =
        let struct (name, names) = NodeName.generate state.Graph.Names
        struct (name, { state with Graph = { state.Graph with Names = names } })

    /// What error texts call a job as a user of nodes.
    let label (state: State) (job: Job) : struct (string * State) =
        match job.Work with
        // A node that is about to be.
        | JobWork.Create _ ->
            let struct (name, state) = newName state
            struct ("node '" + name + "'", state)
        | JobWork.Check _ -> struct ("block job '" + job.Id + "'", state)

    /// Makes the job a user of its nodes. To error texts all of it is called `label` and has these children.
    let attach
        (label: string)
        (uses: NodeUse list)
        (nodes: NodeId list)
        (graph: Graph)
        : Result<JobNodesTaken, QapiError> =
        let spec name perms : BackendSpec = {
            Perms = perms
            Label = name
            FixedContext = false
            AllowInactive = false
        }

        let one (taken: Result<JobNodesTaken, QapiError>) (wanted: NodeUse, node: NodeId) =
            result {
                let! taken = taken

                match wanted.First with
                | Some perms ->
                    let! _ = Backends.attach node (spec Backend.UnnamedLabel perms) taken.Change.Graph
                    ()
                | None -> ()

                let! attached = Backends.attachAs wanted.ChildName node (spec label wanted.Perms) taken.Change.Graph

                return {
                    Users = taken.Users @ [ attached.Id ]
                    Change = GraphChange.append taken.Change attached.Change
                }
            }

        List.zip uses nodes
        |> List.fold one (Ok { Users = []; Change = GraphChange.ofGraph graph })

    /// Gives up nodes that were made for a job which cannot begin.
    let release (state: State) (pending: PendingJobNodes) : struct (State * Effect list) =
        Changes.release state pending.Made

    /// The job's work is over: its nodes are free, and have the lengths that it has made of them.
    let giveBack (state: State) (job: Job) (report: NodeScriptReport) : struct (State * Effect list) =
        let nodes = job.Nodes |> List.map (fun user -> state.Graph.Backends[user].Node)

        let settled = {
            state with
                Graph = NodeScript.followLengths nodes report state.Graph
                Jobs = JobTable.set { job with Nodes = [] } state.Jobs
        }

        let one (struct (state: State, effects: Effect list)) (user: BackendId) : struct (State * Effect list) =
            let struct (next, more) = Changes.relax state (Remove.backend user state.Graph)
            struct (next, effects @ more)

        List.fold one (struct (settled, [])) job.Nodes

namespace StorageDaemon.Core.Job

open StorageDaemon.Core
open StorageDaemon.Core.Graph
open StorageDaemon.Core.Qapi
open StorageDaemon.Core.Qcow2

/// The work of x-block-check.
type ImageCheck = {
    /// The image's node. The job's user of it may move to an overlay; the check does not.
    Image: NodeId
    Fix: CheckFix
    /// The header has a mark that only a repair takes away.
    IsMarked: bool
    /// What was found, once something was.
    Report: CheckReport option
}

module ImageCheck =
    let private fix (wanted: BlockCheckFix option) : CheckFix =
        match wanted with
        | None
        | Some BlockCheckFix.None -> CheckFix.Nothing
        | Some BlockCheckFix.Leaks -> CheckFix.Leaks
        | Some BlockCheckFix.All -> CheckFix.All

    /// The check that the arguments ask for.
    let plan (graph: Graph) (arguments: BlockCheck) : Result<ImageCheck, QapiError> =
        result {
            let! node = Graph.findReference arguments.NodeName graph
            let fix = fix arguments.Fix

            if not (Driver.isImage node.Driver) then
                return! QapiError.fail "This image format does not support checks"
            elif fix <> CheckFix.Nothing && node.Options.ReadOnly then
                return! QapiError.fail "Block node is read-only"
            else
                return {
                    Image = node.Id
                    Fix = fix
                    IsMarked = false
                    Report = None
                }
        }

    /// What the job wants of the image: nobody gives it another length meanwhile. A repair may change what a damaged
    /// place reads as, but for one of leaks.
    let perms (check: ImageCheck) : PermPair = {
        Used =
            match check.Fix with
            | CheckFix.All -> Perm.ConsistentRead ||| Perm.Write
            | CheckFix.Leaks -> Perm.ConsistentRead ||| Perm.WriteUnchanged
            | _ -> Perm.ConsistentRead
        Shared = Perm.without Perm.Resize Perm.All
    }

    /// The node with the image's file.
    let file (graph: Graph) (check: ImageCheck) : NodeId option =
        Graph.tryNode check.Image graph |> Option.bind Node.primary |> Option.map _.Node

    let result (report: CheckReport) : BlockCheckResult = {
        CheckErrors = report.CheckErrors
        Corruptions = report.Corruptions
        CorruptionsFixed = report.CorruptionsFixed
        Leaks = report.Leaks
        LeaksFixed = report.LeaksFixed
        ImageEndOffset = report.ImageEndOffset
        TotalClusters = report.TotalClusters
        AllocatedClusters = report.AllocatedClusters
        FragmentedClusters = report.FragmentedClusters
        CompressedClusters = report.CompressedClusters
        Findings = report.Findings |> List.map FindingText.ofFinding
    }

//! What paths are asked for.

use super::view::View;

/// What a path is wanted for. A dialog of the system and a typed path answer the same question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PathPurpose {
    /// Open a model, a workspace, a plan, an analysis or an input, by what lies there.
    Open,
    /// A file to open: a workspace, a plan or an analysis.
    OpenFile,
    /// What the model reads.
    Input,
    /// A folder of images that the model reads.
    Images,
    /// Where the model of a workspace went.
    Relocate,
    /// Where the workspace is written.
    SaveWorkspace,
    /// Where the plan is written.
    SavePlan,
    /// Where the analysis is written.
    SaveAnalysis,
    /// An analysis or a model to set beside what is open.
    Compare,
    /// A model folder to set beside what is open.
    CompareModel,
    /// The folder of the pruned checkpoint.
    Export,
    /// The folder of a training run.
    Train,
    /// Where the picture of a view is written.
    Picture(View),
}

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

impl PathPurpose {
    /// The name that is proposed for what is written, for a dialog of the system and for a path to type alike; `None` where
    /// something is opened. `model` is the name of the model that is open.
    pub(super) fn proposed_name(self, model: &str) -> Option<String> {
        match self {
            Self::SaveWorkspace => Some(format!("{model}.pillars")),
            Self::SavePlan => Some(format!("{model}-plan.json")),
            Self::SaveAnalysis => Some(format!("{model}-analysis.json")),
            Self::Export => Some(format!("{model}-pruned")),
            Self::Train => Some(format!("{model}-trained")),
            Self::Picture(view) => Some(format!("{model}-{}.svg", view.title().to_lowercase())),
            Self::Open
            | Self::OpenFile
            | Self::Input
            | Self::Images
            | Self::Relocate
            | Self::Compare
            | Self::CompareModel => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_named_after_its_model() {
        let written = [PathPurpose::SaveWorkspace, PathPurpose::SavePlan, PathPurpose::SaveAnalysis];
        let folders = [PathPurpose::Export, PathPurpose::Train];
        let pictures = View::ALL.iter().copied().map(PathPurpose::Picture);
        for purpose in written.into_iter().chain(folders).chain(pictures) {
            assert!(purpose.proposed_name("bert").unwrap().starts_with("bert"), "{purpose:?}");
        }
        assert_eq!(PathPurpose::Picture(View::Votes).proposed_name("bert").as_deref(), Some("bert-votes.svg"));
        assert_eq!(PathPurpose::Open.proposed_name("bert"), None);
    }
}

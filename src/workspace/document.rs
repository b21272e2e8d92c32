//! The saved document: which model, what was asked of it, what came out, and the plans made from it.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Draft, KeptRepair};
use crate::analysis::{Analysis, Document, Moments};
use crate::checkpoint::path_text;
use crate::error::Result;
use crate::evaluation::Measured;
use crate::evaluation::curve::Curves;
use crate::network::{FeatureMap, Site};
use crate::pruning::{RECORD, Report};
use crate::repair::RepairMode;
use crate::run::Spec;
use crate::training::{FoundRun, TrainSettings};

/// Which model a workspace is about; the fingerprint tells it from another that lies in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRef {
    /// Its folder when the workspace was saved.
    #[serde(with = "path_text")]
    pub folder: PathBuf,
    /// Digest of its configuration, headers and samples of its weights.
    pub fingerprint: String,
}

/// Everything about one model that a person would not want to do again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Workspace {
    pub model: Option<ModelRef>,
    /// What a person wrote about it. Since version 2.
    pub notes: String,
    /// The file it was opened from or saved to; only the autosaved copy says so. Since version 2.
    #[serde(skip_serializing_if = "Option::is_none", with = "path_text::option")]
    pub file: Option<PathBuf>,
    /// What runs are asked to do.
    pub run: Spec,
    /// What trainings are asked to do.
    pub training: TrainSettings,
    /// The folder of the last training that began with the model.
    #[serde(skip_serializing_if = "Option::is_none", with = "path_text::option")]
    pub trained: Option<PathBuf>,
    /// What that folder holds now.
    #[serde(skip)]
    pub found_run: Option<FoundRun>,
    /// The folder of the last export of the model.
    #[serde(skip_serializing_if = "Option::is_none", with = "path_text::option")]
    pub exported: Option<PathBuf>,
    /// The record that lies there now.
    #[serde(skip)]
    pub found_export: Option<(PathBuf, Report)>,
    /// How plans are repaired; absent in earlier versions, which did not repair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repair: Option<RepairMode>,
    /// By what share the loss may rise, or another measure fall, for a plan to be worth having; absent where nobody said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality_budget: Option<f64>,
    /// The measure that the budget of quality is of, where the input gives it; without it the first that the input gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality_measure: Option<String>,
    pub draft: Draft,
    pub site: Option<Site>,
    /// The feature map shown.
    pub feature: Option<FeatureMap>,
    /// Where the views stand and what they show; only the window understands it.
    pub view: Value,
    pub measured: Vec<Measured>,
    /// The repairs that plans were measured with, which lie in files beside the document.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repairs: Vec<KeptRepair>,
    /// Why repairs that are named are not taken in, each in one line.
    #[serde(skip)]
    pub repair_faults: Vec<String>,
    /// Quality against the share of heads kept. Until version 2 it was called `sweep` and held what was drawn beside it.
    #[serde(alias = "sweep", serialize_with = "shared::serialize", deserialize_with = "earlier::curves")]
    pub curves: Option<Arc<Curves>>,
    /// The result of the last run.
    #[serde(skip_serializing_if = "Option::is_none", with = "shared")]
    pub analysis: Option<Arc<Analysis>>,
    /// Seconds that the run took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_secs: Option<f64>,
    /// Those of them that the network took for what it read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pass_secs: Option<f64>,
    /// Its second moments, which lie in a file beside the document.
    #[serde(skip)]
    pub moments: Option<Arc<Moments>>,
    /// Why the second moments that lie there are not taken in, in one line.
    #[serde(skip)]
    pub moments_fault: Option<String>,
    /// Where the input was found when the workspace was opened, where it had been moved.
    #[serde(skip)]
    pub moved_input: Option<PathBuf>,
}

impl Workspace {
    /// True where nothing was found out, planned or written yet.
    pub fn is_empty(&self) -> bool {
        let has_results = self.analysis.is_some() || !self.measured.is_empty() || self.curves.is_some();
        !has_results && self.notes.is_empty() && self.draft == Draft::default()
    }
}

impl Workspace {
    /// Looks into the folders of the last training and the last export.
    pub(super) fn look_into_folders(&mut self) {
        self.found_run = self.trained.as_deref().and_then(FoundRun::at);
        let of_model = |report: &Report| self.model.as_ref().is_some_and(|m| m.fingerprint == report.fingerprint);
        let record = |folder: PathBuf| Some((folder.clone(), Report::read(&folder.join(RECORD)).ok()?));
        self.found_export = self.exported.clone().and_then(record).filter(|(_, report)| of_model(report));
    }

    /// What a person did: without where it lies, what is looked at, and results, which are large.
    pub(super) fn work_alone(&self) -> Self {
        Self {
            model: None,
            file: None,
            site: None,
            feature: None,
            view: Value::Null,
            analysis: None,
            moments: None,
            moments_fault: None,
            moved_input: None,
            repairs: self.repairs.iter().map(|kept| KeptRepair { repair: None, ..kept.clone() }).collect(),
            repair_faults: Vec::new(),
            found_run: None,
            found_export: None,
            run_secs: None,
            pass_secs: None,
            ..self.clone()
        }
    }
}

impl Document for Workspace {
    const FORMAT: &'static str = "pillars-workspace";
    const VERSION: u64 = 3;
    const NOUN: &'static str = "workspace";
    const MAKER: &'static str = "the window";

    fn check(&self) -> Result<()> {
        self.analysis.as_ref().map_or(Ok(()), |a| a.check())
    }
}

/// What is large is shared with the views that show it, but a file holds its own.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::analysis::Analysis;

    pub(super) fn serialize<T: Serialize, S: Serializer>(held: &Option<Arc<T>>, to: S) -> Result<S::Ok, S::Error> {
        held.as_deref().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Arc<Analysis>>, D::Error> {
        Ok(Option::<Analysis>::deserialize(from)?.map(Arc::new))
    }
}

/// What earlier versions wrote in another way.
mod earlier {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer};

    use crate::evaluation::curve::Curves;

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum HeldCurves {
        Curves(Box<Curves>),
        Sweep {
            /// The very first sweeps kept only what was drawn; they have to be measured again.
            #[serde(default)]
            measured: Option<Box<Curves>>,
            /// What it was measured on, in the words of the window.
            #[serde(default)]
            of: String,
        },
    }

    pub(super) fn curves<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Arc<Curves>>, D::Error> {
        let found = match Option::<HeldCurves>::deserialize(from)? {
            None => None,
            Some(HeldCurves::Curves(curves)) => Some(curves),
            Some(HeldCurves::Sweep { measured, of }) => measured.map(|mut curves| {
                curves.reading.input = of;
                curves
            }),
        };
        Ok(found.map(Arc::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Reading;
    use crate::network::Head;
    use crate::workspace::NamedPlan;

    #[test]
    fn a_workspace_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pillars");
        let mut workspace = Workspace {
            model: Some(ModelRef { folder: "/models/x".into(), fingerprint: "0123".to_owned() }),
            notes: "heads 1 and 2 of layer 3\nlook alike".to_owned(),
            site: "encoder.3".parse().ok(),
            view: serde_json::json!({"tabs": [1, 2]}),
            ..Workspace::default()
        };
        let mut plan = NamedPlan::new("mine");
        plan.set_pin(Head::new("encoder.0".parse().unwrap(), 2), Some(false));
        workspace.draft.add(plan);
        workspace.write(&path).unwrap();
        assert_eq!(Workspace::read(&path).unwrap(), workspace);
    }

    #[test]
    fn other_files_and_newer_ones_are_refused() {
        assert!(Workspace::from_json(r#"{"format": "pillars-plan", "version": 1, "kept": {}}"#).is_err());
        let newer = Workspace::from_json(r#"{"format": "pillars-workspace", "version": 9}"#).unwrap_err();
        assert!(newer.to_string().contains("version 9"));
        // Version 1 had no notes; fields that an older release did not know take their defaults.
        let sparse = Workspace::from_json(r#"{"format": "pillars-workspace", "version": 1}"#).unwrap();
        assert_eq!(sparse, Workspace::default());
        let old = include_str!("../../tests/data/workspace-1.pillars");
        let old = Workspace::from_json(old).unwrap();
        assert_eq!((old.draft.active().name.as_str(), old.notes.as_str()), ("By votes", ""));
        assert_eq!(old.analysis.as_ref().map(|a| a.tokens), Some(120));
    }

    #[test]
    fn curves_of_the_second_version_come_back() {
        let curves = Curves {
            model: crate::analysis::ModelInfo::default(),
            analysis: "00".to_owned(),
            analyzed: "text a.txt".to_owned(),
            reading: Reading::default(),
            length: 128,
            metric: None,
            whole: None,
            points: Vec::new(),
            notes: Vec::new(),
        };
        let sweep = |measured: Option<&Curves>| {
            let mut sweep = serde_json::json!({
                "of": "/x/a.txt", "is_perplexity": true, "whole": 3.5, "random": [[{"kept": 0.5, "value": 9.0}]],
                "curves": [["votes", [{"kept": 0.5, "value": 4.0}, {"kept": 1.0, "value": 3.5}]]],
            });
            if let Some(curves) = measured {
                sweep["measured"] = serde_json::to_value(curves).unwrap();
            }
            serde_json::json!({"format": "pillars-workspace", "version": 2, "sweep": sweep}).to_string()
        };
        let found = Arc::unwrap_or_clone(Workspace::from_json(&sweep(Some(&curves))).unwrap().curves.unwrap());
        assert_eq!(found.reading.input, "/x/a.txt", "the words by which the window knows its input");
        assert_eq!(Curves { reading: Reading::default(), ..found }, curves);
        // What was drawn without what was measured is not brought back, and costs nothing else.
        assert_eq!(Workspace::from_json(&sweep(None)).unwrap(), Workspace::default());
        let now = Workspace { curves: Some(Arc::new(curves)), ..Workspace::default() };
        assert_eq!(Workspace::from_json(&now.to_json().unwrap()).unwrap(), now);
    }
}

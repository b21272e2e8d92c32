//! What a plan would do, from the spec alone: what surgery makes of it, and what it saves.

use super::NamedPlan;
use crate::error::Error;
use crate::model::Model;
use crate::plan::{Cost, Plan, Saving, snap};

/// A plan seen through the eyes of surgery.
#[derive(Clone, Debug)]
pub struct Outlook {
    /// The plan as it can be carried out.
    pub legal: Plan,
    /// What had to change for that, in sentences.
    pub notes: Vec<String>,
    /// Costs before, after and at the least.
    pub saving: Saving,
}

/// A plan with what it would do.
#[derive(Clone)]
pub struct ComparedPlan {
    pub plan: NamedPlan,
    /// What it would do, or why it cannot be carried out.
    pub outlook: Result<Outlook, Error>,
}

impl Outlook {
    /// Of `plan` on `model` for inputs of `length` tokens; an error says why the plan cannot be carried out.
    pub fn of(model: &Model, plan: &Plan, length: usize) -> Result<Self, Error> {
        let spec = model.spec();
        let (legal, notes) = snap(spec, plan)?;
        let saving = Saving::of(spec, &legal, length)?;
        Ok(Self { legal, notes, saving })
    }

    /// Share of all parameters that head pruning could remove at most.
    pub fn most(&self) -> f64 {
        share_gone(self.saving.before.parameters, self.saving.least.parameters)
    }

    /// Share of all parameters that this plan removes.
    pub fn gone(&self) -> f64 {
        share_gone(self.saving.before.parameters, self.saving.after.parameters)
    }

    pub fn before(&self) -> &Cost {
        &self.saving.before
    }

    pub fn after(&self) -> &Cost {
        &self.saving.after
    }
}

fn share_gone(before: u64, after: u64) -> f64 {
    if before == 0 { 0.0 } else { 1.0 - after as f64 / before as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn what_it_saves_on_disk_is_what_an_export_then_takes() {
        use crate::pruning::{ExportFormat, forecast};
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let mut seen = 0;
        for entry in std::fs::read_dir(fixtures).unwrap() {
            let folder = entry.unwrap().path();
            let (Ok(model), Ok(plan)) = (Model::open(&folder), Plan::read_any(&folder.join("mask.json"))) else {
                continue;
            };
            let Ok(outlook) = Outlook::of(&model, &plan, 16) else { continue };
            let Ok(forecast) = forecast(&model, &outlook.legal, ExportFormat::Compact) else { continue };
            let (stored, width) = (model.checkpoint().bytes(), model.stored().bytes());
            let told = |cost| outlook.saving.stored_bytes(cost, stored, width);
            let (before, after) = (told(outlook.before()), told(outlook.after()));
            assert_eq!((before, after), (forecast.bytes.before, forecast.bytes.after), "{}", folder.display());
            seen += 1;
        }
        assert!(seen > 20, "{seen}");
    }

    #[test]
    fn removing_query_heads_alone_saves_no_cache() {
        let model = Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama")).unwrap();
        let plan = |text: &str| Plan::parse_any(text).unwrap();
        // Four query heads over two key/value heads: one query head of each stays.
        let thin = Outlook::of(&model, &plan(r#"{"decoder.0": [0, 2], "decoder.1": [1, 3]}"#), 16).unwrap();
        assert!(thin.notes.is_empty() && thin.gone() > 0.0 && thin.gone() <= thin.most());
        assert_eq!(thin.before().cache_per_token, thin.after().cache_per_token);
        // Whole key/value groups: the cache halves.
        let groups = Outlook::of(&model, &plan(r#"{"decoder.0": [0, 1], "decoder.1": [0, 1]}"#), 16).unwrap();
        assert_eq!(groups.after().cache_per_token * 2, groups.before().cache_per_token);
        // Three heads are not even: surgery says what it makes of them.
        let uneven = Outlook::of(&model, &plan(r#"{"decoder.0": [0, 1, 2]}"#), 16).unwrap();
        assert_eq!(uneven.notes.len(), 1);
        assert_eq!(uneven.legal.kept.iter().next().unwrap().1.len(), 2);
        assert!(Outlook::of(&model, &plan(r#"{"decoder.0": []}"#), 16).is_err());
    }
}

//! The plan as it is kept in a file.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Amount, BudgetRecord, Shape};
use crate::analysis::{Document, HeadKind};
use crate::checkpoint::UniqueKeys;
use crate::corpus::Reading;
use crate::error::{Error, Result};
use crate::network::{Kept, Site};
use crate::words::counted;

/// The format of the record that an export leaves in its folder.
const RECIPE: &str = "pillars-export";
/// What a mask looks like.
const PLAN_ADVICE: &str = "give a plan of pillars plan, or a mask such as {\"encoder.0\": [0, 2]}";

/// Share of what the attention of a layer adds that the heads that stay can say, as mean squares: 1 is all of it. Below 0
/// they say something else.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// By themselves, with the other heads masked.
    pub masked: f64,
    /// After a refit, on the batches that it was fitted on.
    pub calibration: f64,
    /// The same on batches that it did not read, where there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<f64>,
}

/// Which heads stay. Sites that are not named keep every head.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The heads of every layer that stay.
    pub kept: Kept,
    /// How it was made: the name of a [`super::Method`], `mask` or `manual`.
    #[serde(default)]
    pub method: String,
    /// How much was asked to stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Amount>,
    /// Seed of a random method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Rounds in which the heads were chosen, where the model was analyzed anew after each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rounds: Option<usize>,
    /// What a search for the smallest plan within a budget of quality measured, where it comes from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetRecord>,
    /// Fingerprint of the model whose analysis it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Query heads of every site that is named, before the plan.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub heads: BTreeMap<Site, usize>,
    /// What the heads of each site were ranked by; more is better.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scores: BTreeMap<Site, Vec<f64>>,
    /// What [`Plan::scores`] are in, where they have a unit: `nats a scored position`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores_in: Option<String>,
    /// Kinds of heads that were asked to stay whatever they score.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pinned_kinds: Vec<HeadKind>,
    /// Heads that were asked to stay whatever they score.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pinned: BTreeMap<Site, Vec<usize>>,
    /// Heads that were asked to go whatever they score, and do.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pinned_out: BTreeMap<Site, Vec<usize>>,
    /// How many heads of a layer the method chose, where pinned heads came beside these or were taken out, or a search took
    /// some out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub chosen: BTreeMap<Site, usize>,
    /// Heads that the method chose and a search took out one by one, since the budget still held without them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub swapped: BTreeMap<Site, Vec<usize>>,
    /// Heads that were to stay and went so that every key/value head that stays serves equally many.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evened: BTreeMap<Site, Vec<usize>>,
    /// Layers that keep every head because nothing speaks for redundancy in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spared: Vec<Site>,
    /// Those of [`Plan::spared`] of which nobody knows: too few tokens were read, or too little was compared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untold: Vec<Site>,
    /// The group of every head, by site, where it comes from an analysis; merged heads are of one group.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<Site, Vec<usize>>,
    /// The explained share of every layer that loses heads, where second moments were there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub explained: BTreeMap<Site, Explained>,
    /// By layer, for every head: batches that would keep it if each chose by itself, where they were asked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kept_by_batches: BTreeMap<Site, Vec<u64>>,
    /// Whether the record that it stands in is that of a model whose weights were trained: of other weights it leaves another
    /// model.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trained: bool,
    /// Whether a layer may lose every head.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_empty: bool,
    /// What the analysis read by which heads were chosen; all parts of one that was merged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chosen_on: Vec<Reading>,
    /// What was changed to make it legal, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Plan {
    /// A plan from kept heads alone.
    pub fn from_mask(kept: Kept) -> Self {
        Self { kept, method: "mask".to_owned(), ..Self::default() }
    }

    /// Whether every head of a model of this shape stays; layers that are not named keep theirs.
    pub fn keeps_all(&self, shape: &Shape) -> bool {
        shape.sites().iter().all(|site| self.kept.at(site.site, site.heads).len() == site.heads)
    }

    /// Reads a plan, a bare mask `{"encoder.0": [kept heads], ..}`, or the plan in the record of an export.
    pub fn read_any(path: &Path) -> Result<Self> {
        Self::parse_any(&Self::text_of(path)?).map_err(|e| e.at(path))
    }

    /// The same as [`Plan::read_any`], from text.
    pub fn parse_any(text: &str) -> Result<Self> {
        let UniqueKeys(fields) = serde_json::from_str(text)?;
        // The record of an export holds the plan that it carried out: a recipe replays.
        if fields.get("format").and_then(Value::as_str) == Some(RECIPE) {
            let plan: Self = serde_json::from_value(fields.get("plan").cloned().unwrap_or_default())?;
            plan.check()?;
            return Ok(plan);
        }
        if fields.contains_key("format") {
            return Self::from_fields(fields);
        }
        if fields.is_empty() {
            return Err(Error::new("this plan or mask names no layer").hint(PLAN_ADVICE));
        }
        let mut kept = BTreeMap::new();
        for (name, heads) in fields {
            let site: Site = name.parse()?;
            let mut heads: Vec<usize> = serde_json::from_value(heads)
                .map_err(|_| Error::new(format!("the mask of {site} is not a list of head indices")))?;
            heads.sort_unstable();
            kept.insert(site, heads);
        }
        let plan = Self::from_mask(Kept::try_from(kept)?);
        plan.check()?;
        Ok(plan)
    }

    /// Heads of `site` that stay, of `heads`.
    pub fn kept_at(&self, site: Site, heads: usize) -> Vec<usize> {
        self.kept.at(site, heads)
    }

    /// Whether the heads were chosen on some of what `reading` tells of, by the analysis or by a search within a budget.
    pub fn was_chosen_on(&self, reading: &Reading) -> bool {
        let searched = self.budget.as_ref().map(|found| &found.reading);
        self.chosen_on.iter().chain(searched).any(|read| read.overlaps(reading))
    }

    /// What to say where layers keep every head because nothing speaks for redundancy in them, so that more stay than was asked
    /// for.
    pub fn spared_words(&self) -> Option<String> {
        if self.spared.is_empty() {
            return None;
        }
        let names: Vec<String> = self.spared.iter().map(Site::to_string).collect();
        let (kept, all) = (self.kept.heads(), self.heads.values().sum::<usize>());
        let of_others = |what: String| format!(", and {what} of the other layers");
        let untold = self.spared.iter().filter(|site| self.untold.contains(site)).count();
        let why = match self.spared.len() - untold {
            0 => "too little was read or compared to tell whether heads are redundant there".to_owned(),
            _ if untold == 0 => "nothing speaks for redundancy there".to_owned(),
            _ => format!("nothing speaks for redundancy there, or too little was read to tell ({untold} of them)"),
        };
        let more = if untold > 0 { "; analyze more text to know" } else { "" };
        let asked = match self.amount {
            Some(Amount::Groups) => "; name an amount, or --without-evidence, to prune them too".to_owned(),
            // There are no others.
            _ if self.spared.len() == self.heads.len() => "; give --without-evidence to prune them".to_owned(),
            Some(Amount::Ratio(share)) => of_others(format!("{:.0} % of the heads", 100.0 * share)),
            Some(Amount::LayerRatio(share)) => of_others(format!("{:.0} % of the heads of each", 100.0 * share)),
            Some(Amount::Keep(number)) => of_others(format!("{number} in each")),
            Some(Amount::Threshold(_)) | None => String::new(),
        };
        Some(format!(
            "{} keep every head, {} of {}, since {why}: {kept} of {all} heads stay{more}{asked}",
            names.join(", "),
            self.spared.len(),
            counted(self.heads.len(), "layers"),
        ))
    }

    /// What to say where layers of the model are not named, which keep every head then.
    pub fn unnamed_words(&self, shape: impl Into<Shape>) -> Option<String> {
        let shape = shape.into();
        let all = shape.sites().len();
        let unnamed = shape.sites().iter().filter(|site| self.kept.get(site.site).is_none()).count();
        (unnamed > 0)
            .then(|| format!("it names {} of {}: the others keep every head", all - unnamed, counted(all, "layers")))
    }

    /// What to say where the plan was made for other weights than those with this fingerprint.
    pub fn foreign_to(&self, fingerprint: &str) -> Option<String> {
        let made_for = self.fingerprint.as_deref()?;
        let words = match self.trained {
            true => {
                "the plan is of a model whose weights were trained: heads are removed from this one as it is, which gives neither that model nor its quality"
            }
            false => {
                "the plan was made for a model with another fingerprint: its head numbers may mean other heads here; plan anew for this model"
            }
        };
        (made_for != fingerprint).then(|| words.to_owned())
    }

    /// Checks the plan against a model: its sites and heads exist, no layer loses every head unless that is
    /// allowed, and sites that share weights keep the same heads. Whether a key/value group may be left
    /// uneven is a question of surgery: see [`super::snap`].
    pub fn validate(&self, shape: impl Into<Shape>) -> Result<()> {
        let shape = shape.into();
        self.fits(&shape)?;
        for class in shape.shared() {
            let Some((first, rest)) = class.split_first() else { continue };
            let kept = self.kept_at(first.site, first.heads);
            if let Some(other) = rest.iter().find(|s| self.kept_at(s.site, s.heads) != kept) {
                return Err(Error::new(format!(
                    "{} and {} read the same weights, so they must keep the same heads",
                    first.site, other.site
                )));
            }
        }
        Ok(())
    }

    /// Whether every site and head that is named exists, and enough heads stay.
    pub(super) fn fits(&self, shape: &Shape) -> Result<()> {
        self.check()?;
        for (site, kept) in self.kept.iter() {
            if kept.is_empty() && !self.allow_empty {
                return Err(Error::new(format!("{site} would lose every head"))
                    .hint("keep at least one, or allow empty layers"));
            }
            let (planned, found) = (self.heads.get(&site), shape.get(site).map(|s| s.heads));
            if let (Some(planned), Some(found)) = (planned, found)
                && *planned != found
            {
                return Err(Error::new(format!(
                    "the plan was made for {planned} heads at {site}, where the model has {found}"
                )));
            }
        }
        self.kept.check(|site| shape.get(site).map(|s| s.heads))
    }
}

impl Document for Plan {
    const FORMAT: &'static str = "pillars-plan";
    const VERSION: u64 = 1;
    const NOUN: &'static str = "plan";
    const MAKER: &'static str = "pillars plan";

    fn check(&self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::SiteShape;
    use super::*;

    fn site(name: &str) -> Site {
        name.parse().unwrap()
    }

    #[test]
    fn a_plan_survives_its_file_and_a_mask_is_a_plan() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        let mut plan = Plan::from_mask(Kept::from_iter([(site("encoder.0"), [0, 3])]));
        plan.amount = Some(Amount::Keep(2));
        plan.fingerprint = Some("abc".to_owned());
        plan.write(&path).unwrap();
        assert_eq!(Plan::read_any(&path).unwrap(), plan);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(r#"{"format":"pillars-plan","version":1,"kept":{"encoder.0":[0,3]}"#), "{text}");

        let mask = Plan::parse_any(r#"{"decoder.1": [2, 0]}"#).unwrap();
        assert_eq!(mask.kept, Kept::from_iter([(site("decoder.1"), [0, 2])]));
        assert_eq!(mask.method, "mask");
        // A mask is for whatever model it fits.
        assert_eq!(mask.foreign_to("abc"), None);
        assert_eq!(plan.foreign_to("abc"), None);
        assert!(plan.foreign_to("abd").unwrap().contains("another fingerprint"));
        // Nothing but the plan is left in the folder.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_plan_that_spares_every_layer_speaks_of_no_others() {
        let (first, second) = (site("encoder.0"), site("encoder.1"));
        let mut plan = Plan::from_mask(Kept::from_iter([(first, [0, 1]), (second, [0, 1])]));
        (plan.heads, plan.amount) = ([(first, 2), (second, 2)].into_iter().collect(), Some(Amount::Ratio(0.7)));
        plan.spared.push(first);
        let told = plan.spared_words().unwrap();
        assert!(told.ends_with("4 of 4 heads stay, and 70 % of the heads of the other layers"), "{told}");
        plan.spared.push(second);
        let told = plan.spared_words().unwrap();
        assert!(told.ends_with("4 of 4 heads stay; give --without-evidence to prune them"), "{told}");
        assert!(told.contains("since nothing speaks for redundancy there: "), "{told}");
        plan.untold.push(second);
        let told = plan.spared_words().unwrap();
        assert!(
            told.contains("nothing speaks for redundancy there, or too little was read to tell (1 of them)"),
            "{told}"
        );
        plan.untold.push(first);
        let told = plan.spared_words().unwrap();
        assert!(
            told.contains("since too little was read or compared to tell whether heads are redundant there"),
            "{told}"
        );
        assert!(told.ends_with("; analyze more text to know; give --without-evidence to prune them"), "{told}");
    }

    #[test]
    fn wrong_files_are_refused_in_one_clear_line() {
        for (text, part) in [
            (r#"{"encoder": [0]}"#, "'encoder' names no attention site"),
            (r#"{"encoder.0": ["a"]}"#, "not a list of head indices"),
            (r#"{"encoder.0": [1, 1]}"#, "not ascending"),
            (r#"{"format": "pillars-analysis", "version": 1}"#, "not a pillars-plan file"),
            (r#"{"format": "pillars-plan", "version": 2, "kept": {}}"#, "version 2"),
            (r#"{"format": "pillars-plan", "version": 1}"#, "cannot be read"),
            ("{}", "names no layer"),
            (r#"{"encoder.0": [0], "encoder.0": [1]}"#, "the key 'encoder.0' stands twice"),
            (
                r#"{"format": "pillars-plan", "version": 1, "kept": {"encoder.0": [0], "encoder.0": [1]}}"#,
                "the key 'encoder.0' stands twice",
            ),
            ("[]", "not the JSON expected"),
        ] {
            let error = Plan::parse_any(text).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains('\n'), "{text}: {error}");
        }
    }

    #[test]
    fn a_plan_is_checked_against_the_layers_it_is_for() {
        let shape = |name: &str, stored| SiteShape { site: site(name), heads: 4, kv_heads: 4, stored };
        let shape = Shape::from_iter([shape("encoder.0", 0), shape("encoder.1", 0), shape("cross.0", 0)]);
        let check = |text: &str| Plan::parse_any(text).unwrap().validate(&shape).map_err(|e| e.to_string());
        assert_eq!(check(r#"{"encoder.0": [1, 2], "encoder.1": [2, 1]}"#), Ok(()));
        assert_eq!(check(r#"{"cross.0": [3]}"#), Ok(()));
        for (text, part) in [
            (r#"{"encoder.0": [1]}"#, "encoder.0 and encoder.1 read the same weights"),
            (r#"{"cross.0": [4]}"#, "head 4 of cross.0, which has 4 heads"),
            (r#"{"decoder.0": [1]}"#, "decoder.0, which the model does not have"),
            (r#"{"cross.0": []}"#, "cross.0 would lose every head"),
        ] {
            let error = check(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        let mut empty = Plan::parse_any(r#"{"cross.0": []}"#).unwrap();
        empty.allow_empty = true;
        empty.validate(&shape).unwrap();
        empty.heads.insert(site("cross.0"), 8);
        assert!(empty.validate(&shape).is_err());
    }
}

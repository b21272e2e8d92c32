//! Ways to choose heads and how many of them stay.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray, VariantNames};

use crate::analysis::{Analysis, SiteAnalysis, baseline};
use crate::corpus::Reading;
use crate::error::{Error, Result};
use crate::network::FeatureMap;

/// What heads are ranked by.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
    VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case", parse_err_ty = Error, parse_err_fn = unknown_method)]
pub enum Method {
    /// Most votes of the layer (the authors' code, `top-c`).
    Votes,
    /// Most votes of each group of the whole corpus.
    PerGroup,
    /// Largest summed cosine to the center of the group.
    Score,
    /// Mean absolute derivative of the loss with respect to the head's gate (Michel et al. 2019).
    Importance,
    /// The same, divided by the layer's Euclidean norm.
    #[serde(alias = "importance-normalised")]
    #[strum(to_string = "importance-normalized", serialize = "importance-normalised")]
    ImportanceNormalized,
    /// Norm of the head's weights.
    Magnitude,
    /// Mean largest attention weight (Voita et al. 2019).
    Confidence,
    /// Least is lost when the heads that stay speak for the others: a refit of the output projection (`repair`).
    Reconstruction,
    /// Heads drawn at random: the control.
    Random,
    /// A random member of each group.
    RandomInGroup,
}

impl Method {
    /// Every method, in the order of the help.
    pub const ALL: &[Self] = <Self as VariantArray>::VARIANTS;

    /// True where the method looks at the groups of feature maps, so that one of them can be chosen.
    pub fn reads_maps(self) -> bool {
        matches!(self, Self::Votes | Self::PerGroup | Self::Score | Self::RandomInGroup)
    }

    /// True where every group of the corpus gets a head first.
    pub fn picks_by_group(self) -> bool {
        matches!(self, Self::PerGroup | Self::RandomInGroup)
    }

    /// True where scores of different layers compare, so that one budget can be spent where the highest are.
    pub fn compares_layers(self) -> bool {
        !matches!(self, Self::Votes | Self::PerGroup | Self::Score | Self::RandomInGroup)
    }

    /// True where the method needs second moments, which are beside an analysis: see [`crate::repair::propose`].
    pub fn needs_moments(self) -> bool {
        self == Self::Reconstruction
    }

    /// The score of an analysis that the method ranks by, where it is one.
    pub fn baseline(self) -> Option<&'static str> {
        match self {
            Self::Importance | Self::ImportanceNormalized => Some(baseline::IMPORTANCE),
            Self::Magnitude => Some(baseline::MAGNITUDE),
            Self::Confidence => Some(baseline::CONFIDENCE),
            _ => None,
        }
    }

    /// True where the choice depends on a seed.
    pub fn is_random(self) -> bool {
        matches!(self, Self::Random | Self::RandomInGroup)
    }

    /// What was read by which it chooses from `analysis`; nothing where it asks the weights alone, or chance.
    pub(crate) fn chosen_on(self, analysis: &Analysis) -> Vec<Reading> {
        match self {
            Self::Random | Self::Magnitude => Vec::new(),
            _ => analysis.readings().cloned().collect(),
        }
    }

    /// The word used on the command line and in files.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

fn unknown_method(text: &str) -> Error {
    Error::unknown::<Method>("method", text)
}

/// A method and, for those that compare feature maps, the one map whose groups and votes count; without one, all maps
/// of the analysis count together. Written `votes`, or `votes:value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Ranking {
    /// What heads are ranked by.
    pub method: Method,
    /// The map that counts alone.
    pub map: Option<FeatureMap>,
}

impl Ranking {
    /// Every way to choose heads that `analysis` can serve: for methods that compare maps, all maps together and each
    /// alone.
    pub fn available(analysis: &Analysis) -> Vec<Self> {
        let maps = &analysis.settings.features;
        let held =
            |name: &str| !analysis.sites.is_empty() && analysis.sites.iter().all(|s| s.baselines.contains_key(name));
        let mut all = Vec::new();
        for &method in Method::ALL {
            // Second moments are beside an analysis, not in it.
            if !method.needs_moments() && method.baseline().is_none_or(held) {
                all.push(method.into());
                if method.reads_maps() && maps.len() > 1 {
                    all.extend(maps.iter().map(|map| Self { method, map: Some(*map) }));
                }
            }
        }
        all
    }

    /// Refuses an analysis that does not hold what this ranks by, with how to get one that does. Second moments are beside an
    /// analysis, not in it.
    ///
    /// # Errors
    /// Where it lacks the feature map or the score.
    pub fn check(self, analysis: &Analysis) -> Result<()> {
        analysis.sites.iter().try_for_each(|site| self.check_layer(site))
    }

    /// [`Ranking::check`] of one layer.
    pub(super) fn check_layer(self, site: &SiteAnalysis) -> Result<()> {
        if let Some(map) = self.map.filter(|map| !site.features.contains_key(map)) {
            let held: Vec<&str> = site.features.keys().map(|m| m.name()).collect();
            return Err(Error::new(format!("this analysis does not hold the feature map {map}"))
                .hint(format!("analyze again with --feature {map}, or choose another: it holds {}", held.join(", "))));
        }
        match self.method.baseline().filter(|name| !site.baselines.contains_key(*name)) {
            Some(name) => Err(lacks_score(name)),
            None => Ok(()),
        }
    }
}

/// What to say where an analysis does not hold a score of heads.
pub(super) fn lacks_score(name: &str) -> Error {
    let rerun = baseline::rerun(name).unwrap_or_else(|| format!("analyze the model again with {name}"));
    Error::new(format!("this analysis holds no {name} of heads")).hint(format!("{rerun}, or choose another method"))
}

impl From<Method> for Ranking {
    fn from(method: Method) -> Self {
        Self { method, map: None }
    }
}

impl fmt::Display for Ranking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.map {
            Some(map) => write!(f, "{}:{map}", self.method),
            None => write!(f, "{}", self.method),
        }
    }
}

impl FromStr for Ranking {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some((method, map)) = text.split_once(':') else { return Ok(text.parse::<Method>()?.into()) };
        let method: Method = method.parse()?;
        if !method.reads_maps() {
            return Err(Error::usage(format!("{method} compares no feature maps, so none can be chosen for it"))
                .hint(format!("write {method} alone")));
        }
        Ok(Self { method, map: Some(map.parse()?) })
    }
}

impl From<Ranking> for String {
    fn from(ranking: Ranking) -> Self {
        ranking.to_string()
    }
}

impl TryFrom<String> for Ranking {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

/// How many heads stay; in JSON `"groups"`, `{"keep": 4}`, `{"ratio": 0.5}`, `{"layer-ratio": 0.5}`,
/// `{"threshold": 0.1}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Amount {
    /// In every layer as many as it has groups.
    #[default]
    Groups,
    /// This many in every layer (all, where it has fewer), or the next number that its key/value heads allow.
    Keep(usize),
    /// This share of all heads of the model stays, wherever the highest scores are; the same share of every layer by
    /// methods whose scores compare within a layer only.
    Ratio(f64),
    /// This share of the heads of every layer stays, rounded to what its key/value heads allow: every method keeps
    /// equally many in each.
    LayerRatio(f64),
    /// Heads at or above this value stay, and the best of every layer: a share of all possible votes, a mean cosine
    /// (`score`), a mean weight (`confidence`), else a share of the layer's largest score.
    Threshold(f64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rankings_are_read_as_they_are_written() {
        for text in ["votes", "votes:value", "per-group:attention", "score:residual", "random-in-group:key", "random"] {
            let ranking: Ranking = text.parse().unwrap();
            assert_eq!(ranking.to_string(), text);
            let json = serde_json::to_string(&ranking).unwrap();
            assert_eq!(serde_json::from_str::<Ranking>(&json).unwrap(), ranking);
        }
        assert_eq!(Ranking::from(Method::Votes), "votes".parse().unwrap());
        for (text, part) in [
            ("importance:value", "compares no feature maps"),
            ("random:value", "compares no feature maps"),
            ("votes:color", "no feature map"),
            ("vote", "no method"),
        ] {
            assert!(text.parse::<Ranking>().unwrap_err().to_string().contains(part), "{text}");
        }
    }
}

//! What an analysis was asked to do.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::network::{FeatureMap, Site};

/// How far two heads are apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Metric {
    /// Distances of the feature maps as they are.
    #[default]
    Euclidean,
    /// Distances after scaling every map to norm 1, so that only directions count.
    Cosine,
}

impl Metric {
    /// The word used on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Euclidean => "euclidean",
            Self::Cosine => "cosine",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Metric {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [Self::Euclidean, Self::Cosine]
            .into_iter()
            .find(|m| m.name() == text)
            .ok_or_else(|| Error::usage(format!("'{text}' is no metric")).hint("choose euclidean or cosine"))
    }
}

/// Number of groups `C` per attention layer; in JSON a number, `"auto"` or an object by site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub enum Groups {
    /// The number in `2..H-1` with the best mean silhouette, for every layer (and batch) anew.
    #[default]
    Auto,
    /// The same number everywhere.
    Fixed(usize),
    /// A number for each site.
    PerSite(BTreeMap<Site, usize>),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Number(usize),
    PerSite(BTreeMap<Site, usize>),
    Word(String),
}

impl From<Groups> for Written {
    fn from(groups: Groups) -> Self {
        match groups {
            Groups::Auto => Self::Word("auto".to_owned()),
            Groups::Fixed(n) => Self::Number(n),
            Groups::PerSite(map) => Self::PerSite(map),
        }
    }
}

impl TryFrom<Written> for Groups {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self> {
        match written {
            Written::Number(n) => Ok(Self::Fixed(n)),
            Written::PerSite(map) => Ok(Self::PerSite(map)),
            Written::Word(word) => word.parse(),
        }
    }
}

impl FromStr for Groups {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            number => number.parse().map(Self::Fixed).map_err(|_| {
                Error::usage(format!("'{text}' is no number of groups")).hint("give a number of at least 1, or auto")
            }),
        }
    }
}

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(n) => write!(f, "{n}"),
            Self::PerSite(_) => f.write_str("per site"),
        }
    }
}

impl Groups {
    /// The number asked for at `site` with `heads` heads; `None` where it is to be found. More groups than
    /// heads, or none, is refused.
    pub fn at(&self, site: Site, heads: usize) -> Result<Option<usize>> {
        let wanted = match self {
            Self::Auto => return Ok(None),
            Self::Fixed(n) => *n,
            Self::PerSite(map) => *map.get(&site).ok_or_else(|| {
                Error::usage(format!("no number of groups is given for {site}")).hint("name every site, or use auto")
            })?,
        };
        if wanted == 0 || wanted > heads {
            return Err(Error::usage(format!("{site} has {heads} heads, which cannot form {wanted} groups"))
                .hint(format!("give a number from 1 to {heads} for this layer, or auto")));
        }
        Ok(Some(wanted))
    }
}

/// What to compute, and from what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The maps that are compared; each of them votes.
    pub features: Vec<FeatureMap>,
    /// Number of groups per layer.
    pub groups: Groups,
    /// How far two heads are apart.
    pub metric: Metric,
    /// Seed of the grouping's starts.
    pub seed: u64,
    /// Whether linear CKA between heads is computed.
    pub cka: bool,
    /// Whether each head's confidence (mean largest attention weight) is measured.
    pub confidence: bool,
    /// What was read, in words, e.g. `text corpus.txt`; free in a merge.
    pub input: String,
    /// Longest sequence, in tokens, where there is one.
    pub seq_len: Option<usize>,
    /// Sequences per batch.
    pub batch_size: Option<usize>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            features: vec![FeatureMap::Output],
            groups: Groups::Auto,
            metric: Metric::Euclidean,
            seed: 0,
            cka: false,
            confidence: false,
            input: String::new(),
            seq_len: None,
            batch_size: None,
        }
    }
}

impl Settings {
    /// What must be equal for two analyses to add up; `None` where it is, else the name of what differs.
    pub fn conflict(&self, other: &Self) -> Option<&'static str> {
        let sorted = |s: &Self| {
            let mut features = s.features.clone();
            features.sort_unstable();
            features.dedup();
            features
        };
        [
            (sorted(self) == sorted(other), "features"),
            (self.groups == other.groups, "groups"),
            (self.metric == other.metric, "metric"),
            (self.seed == other.seed, "seed"),
            (self.cka == other.cka, "cka"),
            (self.confidence == other.confidence, "confidence"),
            (self.seq_len == other.seq_len, "seq_len"),
            (self.batch_size == other.batch_size, "batch_size"),
        ]
        .into_iter()
        .find_map(|(equal, name)| (!equal).then_some(name))
    }
}

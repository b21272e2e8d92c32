//! What an analysis was asked to do.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray, VariantNames};

use crate::corpus::{BatchOrder, Corpus, CorpusPart, Shard};
use crate::error::{Error, Result};
use crate::network::{FeatureMap, Site, SiteKind};

/// How far two heads are apart.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
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
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", parse_err_ty = Error, parse_err_fn = unknown_metric)]
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
        self.into()
    }
}

fn unknown_metric(text: &str) -> Error {
    Error::unknown::<Metric>("metric", text)
}

/// How heads are put into groups.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
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
#[strum(serialize_all = "kebab-case", parse_err_ty = Error, parse_err_fn = unknown_clustering)]
pub enum Clustering {
    /// Least within-group sum of squares (the paper, equation 3).
    #[default]
    #[serde(rename = "k-means")]
    KMeans,
    /// Average linkage, cut at the number of groups wanted: the groups are those of the dendrogram.
    #[serde(rename = "average-linkage")]
    AverageLinkage,
}

impl Clustering {
    /// The word used on the command line and in files.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

fn unknown_clustering(text: &str) -> Error {
    Error::unknown::<Clustering>("way to group heads", text)
}

/// Number of groups `C` per attention layer; in JSON a number, `"auto"` or an object by kind of site or by site. On the
/// command line `2`, `auto`, `encoder=4,decoder=2,cross=3` or `decoder.0=2,decoder.1=4`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "WrittenGroups", try_from = "WrittenGroups")]
pub enum Groups {
    /// The number in `2..H-1` with the best mean silhouette, for every layer (and batch) anew.
    #[default]
    Auto,
    /// The same number everywhere.
    Fixed(usize),
    /// A number for each kind of site.
    PerKind(BTreeMap<SiteKind, usize>),
    /// A number for some sites; the others are [`Groups::Auto`].
    PerSite(BTreeMap<Site, usize>),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WrittenGroups {
    Number(usize),
    PerKind(BTreeMap<SiteKind, usize>),
    PerSite(BTreeMap<Site, usize>),
    Word(String),
}

impl From<Groups> for WrittenGroups {
    fn from(groups: Groups) -> Self {
        match groups {
            Groups::Auto => Self::Word("auto".to_owned()),
            Groups::Fixed(n) => Self::Number(n),
            Groups::PerKind(map) => Self::PerKind(map),
            Groups::PerSite(map) => Self::PerSite(map),
        }
    }
}

impl TryFrom<WrittenGroups> for Groups {
    type Error = Error;

    fn try_from(written: WrittenGroups) -> Result<Self> {
        match written {
            WrittenGroups::Number(n) => Ok(Self::Fixed(n)),
            WrittenGroups::PerKind(map) => Ok(Self::PerKind(map)),
            WrittenGroups::PerSite(map) => Ok(Self::PerSite(map)),
            WrittenGroups::Word(word) => word.parse(),
        }
    }
}

impl FromStr for Groups {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::usage(format!("'{text}' is no number of groups"))
                .hint("give a number of at least 1, auto, or numbers by kind of layer: encoder=4,decoder=2,cross=3")
        };
        if text == "auto" {
            return Ok(Self::Auto);
        }
        if !text.contains('=') {
            return text.parse().map(Self::Fixed).map_err(|_| wrong());
        }
        let mut numbers = Vec::new();
        for part in text.split(',') {
            let (name, number) = part.split_once('=').ok_or_else(wrong)?;
            numbers.push((name.trim(), number.trim().parse::<usize>().map_err(|_| wrong())?));
        }
        let kind =
            |name: &str| [SiteKind::Encoder, SiteKind::Decoder, SiteKind::Cross].into_iter().find(|k| k.name() == name);
        if numbers.iter().all(|(name, _)| kind(name).is_some()) {
            return Ok(Self::PerKind(numbers.into_iter().filter_map(|(name, n)| Some((kind(name)?, n))).collect()));
        }
        let sites = numbers.into_iter().map(|(name, n)| Ok((name.parse()?, n)));
        sites.collect::<Result<_>>().map(Self::PerSite).map_err(|_| wrong())
    }
}

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(n) => write!(f, "{n}"),
            Self::PerKind(map) => list(f, map.iter().map(|(kind, n)| (kind.name().to_owned(), *n))),
            Self::PerSite(map) => list(f, map.iter().map(|(site, n)| (site.to_string(), *n))),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, numbers: impl Iterator<Item = (String, usize)>) -> fmt::Result {
    for (i, (name, n)) in numbers.enumerate() {
        write!(f, "{}{name}={n}", if i == 0 { "" } else { "," })?;
    }
    Ok(())
}

impl Groups {
    /// Refuses a number for a site that is not among `sites`.
    pub fn check(&self, sites: &[Site]) -> Result<()> {
        let Self::PerSite(map) = self else { return Ok(()) };
        let Some(unknown) = map.keys().find(|site| !sites.contains(site)) else { return Ok(()) };
        let last = sites.last().map(|last| format!("the last is {last}")).unwrap_or_default();
        Err(Error::usage(format!("groups are asked for at {unknown}, which the model does not have")).hint(last))
    }

    /// The number asked for at `site` with `heads` heads; `None` where it is to be found. More groups than
    /// heads, or none, is refused.
    pub fn at(&self, site: Site, heads: usize) -> Result<Option<usize>> {
        let wanted = match self {
            Self::Auto => return Ok(None),
            Self::Fixed(n) => *n,
            Self::PerKind(map) => *map.get(&site.kind).ok_or_else(|| {
                let what = format!("no number of groups is given for {} layers", site.kind.name());
                Error::usage(what).hint("name every kind of layer that the model has")
            })?,
            Self::PerSite(map) => match map.get(&site) {
                Some(number) => *number,
                None => return Ok(None),
            },
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
pub struct AnalysisSettings {
    /// The maps that are compared; each of them votes.
    pub features: Vec<FeatureMap>,
    /// Number of groups per layer.
    pub groups: Groups,
    /// How far two heads are apart.
    pub metric: Metric,
    /// How heads are put into groups.
    pub clustering: Clustering,
    /// Seed of the grouping's starts.
    pub seed: u64,
    /// Whether linear CKA between heads is computed.
    pub cka: bool,
    /// Whether second moments of head outputs are kept, beside the analysis.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub moments: bool,
    /// Whether each head's confidence (mean largest attention weight) is measured.
    pub confidence: bool,
    /// What was read, in words, e.g. `text corpus.txt`; free in a merge.
    pub input: String,
    /// Longest sequence, in tokens, where there is one.
    pub seq_len: Option<usize>,
    /// How many sequences make a batch.
    pub batch_size: Option<usize>,
    /// Which batches were left out, where some were: every one in so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out_every: Option<u64>,
    /// In which order sequences became batches.
    pub order: BatchOrder,
    /// Which piece of the input was read, by which its batches are numbered. The readings of an analysis tell it in files.
    #[serde(skip)]
    pub shard: Option<Shard>,
}

impl Default for AnalysisSettings {
    fn default() -> Self {
        Self {
            features: vec![FeatureMap::Output],
            groups: Groups::Auto,
            metric: Metric::Euclidean,
            clustering: Clustering::KMeans,
            seed: 0,
            cka: false,
            moments: false,
            confidence: false,
            input: String::new(),
            seq_len: None,
            batch_size: None,
            held_out_every: None,
            order: BatchOrder::AsRead,
            shard: None,
        }
    }
}

impl AnalysisSettings {
    /// The same, of what `corpus` reads.
    #[must_use]
    pub fn reading(self, corpus: &Corpus) -> Self {
        let read = corpus.settings();
        Self {
            input: corpus.describe(),
            seq_len: read.seq_len,
            batch_size: Some(read.batch_size),
            held_out_every: match read.part {
                CorpusPart::All => None,
                CorpusPart::Training { every } | CorpusPart::HeldOut { every } => Some(every),
            },
            order: read.order,
            shard: read.shard,
            ..self
        }
    }

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
            (self.clustering == other.clustering, "clustering"),
            (self.seed == other.seed, "seed"),
            (self.cka == other.cka, "cka"),
            (self.moments == other.moments, "moments"),
            (self.confidence == other.confidence, "confidence"),
            (self.seq_len == other.seq_len, "seq_len"),
            (self.batch_size == other.batch_size, "batch_size"),
            (self.held_out_every == other.held_out_every, "held_out_every"),
            (self.order == other.order, "order"),
        ]
        .into_iter()
        .find_map(|(equal, name)| (!equal).then_some(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_groups_are_read_as_they_are_written() {
        let site = |name: &str| name.parse::<Site>().unwrap();
        for (text, json) in [
            ("auto", r#""auto""#),
            ("3", "3"),
            ("encoder=4,cross=3", r#"{"encoder":4,"cross":3}"#),
            ("decoder.0=2,decoder.1=4", r#"{"decoder.0":2,"decoder.1":4}"#),
        ] {
            let groups: Groups = text.parse().unwrap();
            assert_eq!(groups.to_string(), text);
            assert_eq!(serde_json::to_string(&groups).unwrap(), json);
            assert_eq!(serde_json::from_str::<Groups>(json).unwrap(), groups);
        }
        let groups: Groups = "encoder=4,cross=3".parse().unwrap();
        assert_eq!(groups.at(site("encoder.7"), 8).unwrap(), Some(4));
        assert_eq!(groups.at(site("cross.0"), 8).unwrap(), Some(3));
        assert!(groups.at(site("decoder.0"), 8).unwrap_err().to_string().contains("decoder layers"));
        assert!(groups.at(site("encoder.0"), 3).is_err());
        let groups: Groups = "decoder.0=2".parse().unwrap();
        assert_eq!(groups.at(site("decoder.0"), 8).unwrap(), Some(2));
        assert_eq!(groups.at(site("decoder.1"), 8).unwrap(), None);
        assert!(groups.check(&[site("decoder.0")]).is_ok());
        assert!(groups.check(&[site("encoder.0")]).unwrap_err().to_string().contains("at decoder.0"));
        for text in ["", "two", "encoder", "encoder=", "encoder=x", "encoder=2,decoder.0=2", "middle=2"] {
            assert!(text.parse::<Groups>().is_err(), "{text}");
        }
    }
}

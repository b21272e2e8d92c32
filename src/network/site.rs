//! Names of attention layers and of what their heads compute.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray, VariantNames};

use crate::error::Error;

/// The two stacks of layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum StackKind {
    /// Reads the source: text, an image, a spectrogram.
    Encoder,
    /// Writes the target, one token after another.
    Decoder,
}

impl StackKind {
    /// The word used in roles.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The kind of its self-attention.
    pub fn self_attention(self) -> SiteKind {
        match self {
            Self::Encoder => SiteKind::Encoder,
            Self::Decoder => SiteKind::Decoder,
        }
    }
}

/// The three kinds of attention layer.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
    VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", parse_err_ty = Error, parse_err_fn = unknown_site_kind)]
pub enum SiteKind {
    /// Self-attention of an encoder (or vision) layer.
    Encoder,
    /// Self-attention of a decoder layer.
    Decoder,
    /// Attention of a decoder layer over the encoder's result.
    Cross,
}

impl SiteKind {
    /// The word used in site names.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The stack whose layers have it.
    pub fn stack(self) -> StackKind {
        match self {
            Self::Encoder => StackKind::Encoder,
            Self::Decoder | Self::Cross => StackKind::Decoder,
        }
    }
}

fn unknown_site_kind(text: &str) -> Error {
    Error::unknown::<SiteKind>("kind of attention layer", text)
}

/// One attention layer, printed as `encoder.0`; layers count from 0 within their kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Site {
    /// Which kind of attention.
    pub kind: SiteKind,
    /// Layer index within its kind.
    pub layer: usize,
}

impl Site {
    /// The attention layer `layer` of `kind`.
    pub fn new(kind: SiteKind, layer: usize) -> Self {
        Self { kind, layer }
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.kind.name(), self.layer)
    }
}

impl From<Site> for String {
    fn from(site: Site) -> Self {
        site.to_string()
    }
}

impl FromStr for Site {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::new(format!("'{text}' names no attention site"))
                .hint("sites are written encoder.0, decoder.0 or cross.0")
        };
        let (kind, layer) = text.split_once('.').ok_or_else(wrong)?;
        let kind = kind.parse().map_err(|_| wrong())?;
        Ok(Self { kind, layer: layer.parse().map_err(|_| wrong())? })
    }
}

impl TryFrom<String> for Site {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

/// One head of one attention layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Head {
    pub site: Site,
    /// Index of the query head.
    pub head: usize,
}

impl Head {
    /// Head `head` of `site`.
    pub fn new(site: Site, head: usize) -> Self {
        Self { site, head }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} head {}", self.site, self.head)
    }
}

/// What a head computes on a batch: the maps of the paper's section 3.1, and the residual map.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
    VariantNames,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", parse_err_ty = Error, parse_err_fn = unknown_feature_map)]
pub enum FeatureMap {
    /// `x W_Q`, `[N, T, d]` per head.
    Query,
    /// `x W_K`, `[N, S, d]` per head; shared by the query heads of a key/value group.
    Key,
    /// `x W_V`, `[N, S, d]` per head; shared by the query heads of a key/value group.
    Value,
    /// Softmax weights, `[N, T, S]` per head.
    Attention,
    /// Weights times values before `W_O`, `[N, T, d]` per head.
    Output,
    /// What the head adds to the residual stream, `[N, T, D]` per head.
    Residual,
}

impl FeatureMap {
    /// Every map, in the order in which attention computes them.
    pub const ALL: &[Self] = <Self as VariantArray>::VARIANTS;

    /// The word used on the command line and in files.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// True where an invertible map inside the head (between `W_V` and `W_O`, or `W_Q` and `W_K`)
    /// changes similarities between heads although the model computes the same function.
    pub fn is_basis_dependent(self) -> bool {
        !matches!(self, Self::Attention | Self::Residual)
    }

    /// True where heads of one key/value group have the same map by construction.
    pub fn is_shared_in_kv_group(self) -> bool {
        matches!(self, Self::Key | Self::Value)
    }
}

fn unknown_feature_map(text: &str) -> Error {
    Error::unknown::<FeatureMap>("feature map", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for text in ["encoder.0", "decoder.12", "cross.3"] {
            assert_eq!(text.parse::<Site>().map(|s| s.to_string()).ok().as_deref(), Some(text));
        }
        assert!("encoder".parse::<Site>().is_err());
        assert!("middle.1".parse::<Site>().is_err());
        for &map in FeatureMap::ALL {
            assert_eq!(map.name().parse::<FeatureMap>().ok(), Some(map));
        }
    }
}

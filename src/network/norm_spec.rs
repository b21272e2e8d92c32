//! Which normalization.

use serde::Serialize;

/// Kind of a normalization.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NormSpec {
    pub kind: NormKind,
    /// Added to the variance or mean square.
    pub eps: f64,
}

impl NormKind {
    /// Whether it has a weight.
    pub fn has_weight(self) -> bool {
        match self {
            Self::Layer | Self::LayerWithoutBias | Self::LayerPlusOne | Self::Rms | Self::RmsPlusOne => true,
            Self::LayerBare => false,
        }
    }

    /// Whether it has a bias.
    pub fn has_bias(self) -> bool {
        match self {
            Self::Layer | Self::LayerPlusOne => true,
            Self::LayerWithoutBias | Self::LayerBare | Self::Rms | Self::RmsPlusOne => false,
        }
    }

    /// The same statistics without anything learned; RMS has no such kind and takes a weight of ones.
    pub(super) fn bare(self) -> Self {
        match self {
            Self::Layer | Self::LayerWithoutBias | Self::LayerPlusOne | Self::LayerBare => Self::LayerBare,
            Self::Rms | Self::RmsPlusOne => Self::Rms,
        }
    }

    /// Whether its factor is one plus its weight.
    pub fn adds_one(self) -> bool {
        match self {
            Self::LayerPlusOne | Self::RmsPlusOne => true,
            Self::Layer | Self::LayerWithoutBias | Self::LayerBare | Self::Rms => false,
        }
    }
}

/// Formula of a normalization over the last axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum NormKind {
    /// Mean and variance, weight and bias.
    Layer,
    /// Mean and variance, weight alone (ModernBERT).
    LayerWithoutBias,
    /// Mean and variance, `1 + weight`, and bias (Nemotron).
    LayerPlusOne,
    /// Mean and variance, nothing learned (OLMo).
    LayerBare,
    /// Root mean square, weight.
    Rms,
    /// Root mean square, `1 + weight` (Gemma).
    RmsPlusOne,
}

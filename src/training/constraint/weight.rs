//! How much the constraint weighs.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantNames};

use crate::analysis::{Groups, Metric};
use crate::error::{Error, Result};
use crate::network::FeatureMap;

/// What the second term measures between two hidden units.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display, EnumString, IntoStaticStr, VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case", parse_err_ty = Error, parse_err_fn = unknown_diversity)]
pub enum Diversity {
    /// Their cosine, as printed: least where they are opposite, which is one direction still.
    #[default]
    Cosine,
    /// Its square: least where they are orthogonal.
    SquaredCosine,
}

/// What the first term measures of the heads of a group.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display, EnumString, IntoStaticStr, VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case", parse_err_ty = Error, parse_err_fn = unknown_homogeneity)]
pub enum Homogeneity {
    /// Their cosine to the center of the group (the paper).
    #[default]
    Cosine,
    /// The share of each that the head closest to the center explains linearly: what repair can say of it.
    Linear,
}

impl Homogeneity {
    /// True for what earlier releases had without saying so.
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

fn unknown_homogeneity(text: &str) -> Error {
    Error::unknown::<Homogeneity>("homogeneity", text)
}

/// How the terms of the layers join the mean task loss per token.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display, EnumString, IntoStaticStr, VariantNames,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case", parse_err_ty = Error, parse_err_fn = unknown_reduction)]
pub enum Reduction {
    /// Mean over layers, as printed (equation 4): a plain weight beside a mean loss.
    Printed,
    /// Sum over layers divided by the predicted tokens of the batch: what the authors' code weighs, which adds the sum
    /// to a task loss summed over tokens.
    #[default]
    LayerSum,
}

fn unknown_diversity(text: &str) -> Error {
    Error::unknown::<Diversity>("diversity", text)
}

fn unknown_reduction(text: &str) -> Error {
    Error::unknown::<Reduction>("reduction", text)
}

/// The group constraint's settings. With both weights zero it is measured but moves nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Constraint {
    /// The map whose likeness counts.
    pub feature: FeatureMap,
    /// Number of groups per layer.
    pub groups: Groups,
    /// Distance by which heads are grouped.
    pub metric: Metric,
    /// Weight of homogenization: heads of a group become alike.
    pub alpha: f64,
    /// Weight of diversification: groups move apart.
    pub beta: f64,
    /// What the first term measures.
    #[serde(skip_serializing_if = "Homogeneity::is_usual")]
    pub homogeneity: Homogeneity,
    /// What the second term measures.
    pub diversity: Diversity,
    /// How layers add up.
    pub reduction: Reduction,
}

impl Default for Constraint {
    /// The authors' setting for translation (`output`, 0.5 and 0.7) at the scale of their code: gentle over the thousands
    /// of tokens that they sum, stronger over fewer.
    fn default() -> Self {
        Self {
            feature: FeatureMap::Output,
            groups: Groups::Fixed(2),
            metric: Metric::Euclidean,
            alpha: 0.5,
            beta: 0.7,
            homogeneity: Homogeneity::Cosine,
            diversity: Diversity::Cosine,
            reduction: Reduction::LayerSum,
        }
    }
}

impl Constraint {
    pub fn is_idle(&self) -> bool {
        self.alpha == 0.0 && self.beta == 0.0
    }

    /// What the terms of each of `layers` layers weigh beside the mean loss per token of a batch of `tokens` tokens.
    pub(super) fn scale(&self, layers: usize, tokens: usize) -> f64 {
        match self.reduction {
            Reduction::Printed => 1.0 / layers as f64,
            Reduction::LayerSum => 1.0 / tokens as f64,
        }
    }

    /// Refuses weights that are not finite or negative.
    pub fn check(&self) -> Result<()> {
        for (name, weight) in [("alpha", self.alpha), ("beta", self.beta)] {
            if !weight.is_finite() || weight < 0.0 {
                return Err(Error::usage(format!("{name} is {weight}, where a weight of at least 0 is needed")));
            }
        }
        if self.homogeneity == Homogeneity::Linear && self.feature == FeatureMap::Attention {
            return Err(Error::usage("attention weights have no linear map from one head to another")
                .hint("choose output, or the homogeneity cosine"));
        }
        Ok(())
    }
}

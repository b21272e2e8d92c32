//! How much the constraint weighs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::analysis::{Groups, Metric};
use crate::error::{Error, Result};
use crate::network::FeatureMap;

/// What the second term measures between two hidden units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Diversity {
    /// Their cosine, as printed: least where they are opposite, which is one direction still.
    #[default]
    Cosine,
    /// Its square: least where they are orthogonal.
    SquaredCosine,
}

/// How the terms of the layers join the mean task loss per token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reduction {
    /// Mean over layers, as printed (equation 4): a plain weight beside a mean loss.
    Printed,
    /// Sum over layers divided by the predicted tokens of the batch: what the authors' code weighs, which adds the sum
    /// to a task loss summed over tokens.
    #[default]
    LayerSum,
}

macro_rules! words {
    ($type:ty, $noun:literal, $($variant:ident => $word:literal),+) => {
        impl $type {
            /// The word used on the command line and in files.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
        impl FromStr for $type {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(Error::usage(format!(concat!("'{}' is no ", $noun), text))
                        .hint(concat!("choose from", $(" ", $word),+))),
                }
            }
        }
    };
}

words!(Diversity, "diversity", Cosine => "cosine", SquaredCosine => "squared-cosine");
words!(Reduction, "reduction", Printed => "printed", LayerSum => "layer-sum");

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
    /// Weight of homogenisation: heads of a group become alike.
    pub alpha: f64,
    /// Weight of diversification: groups move apart.
    pub beta: f64,
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
            diversity: Diversity::Cosine,
            reduction: Reduction::LayerSum,
        }
    }
}

impl Constraint {
    /// Measured alone.
    pub fn is_idle(&self) -> bool {
        self.alpha == 0.0 && self.beta == 0.0
    }

    /// Refuses weights that are not finite or negative.
    pub fn check(&self) -> Result<()> {
        for (name, weight) in [("alpha", self.alpha), ("beta", self.beta)] {
            if !weight.is_finite() || weight < 0.0 {
                return Err(Error::usage(format!("{name} is {weight}, where a weight of at least 0 is needed")));
            }
        }
        Ok(())
    }
}

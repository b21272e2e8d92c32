//! What is compared.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray, VariantNames};

use crate::error::Error;
use crate::plan::Method;

/// A model with every head that arms begin from.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "lowercase")]
pub enum Stem {
    /// Trained on the task alone.
    Plain,
    /// Trained with the group constraint.
    Constrained,
    /// Trained for the head in the middle of each group to explain the others linearly.
    Explained,
}

impl Stem {
    /// All, in the order in which they are trained.
    pub const ALL: &[Self] = <Self as VariantArray>::VARIANTS;

    /// The word used in files.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// One row of the ablation.
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
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case", parse_err_ty = Error, parse_err_fn = unknown_arm)]
pub enum Arm {
    /// Plain training, every head.
    Vanilla,
    /// Grouped Head Attention: the constraint, every head.
    Ght,
    /// Pillars of Strength: the constraint, then the most voted heads (`top-c`).
    GhtPs,
    /// The constraint, then the most voted head of each group.
    GhtPsPerGroup,
    /// The constraint, then heads at random.
    RandomHeads,
    /// The constraint, then a random member of each group.
    RandomMembers,
    /// The constraint, then the heads of most importance (Michel et al. 2019).
    Importance,
    /// Plain training, then the most voted heads.
    VotesUnconstrained,
    /// Plain training, then the heads of most importance.
    ImportanceUnconstrained,
    /// Plain training, then heads at random.
    RandomUnconstrained,
    /// Training for representatives to explain their groups, then the most voted heads.
    VotesExplained,
}

impl Arm {
    /// All, in the order of the table.
    pub const ALL: &[Self] = <Self as VariantArray>::VARIANTS;

    /// The word used on the command line and in files.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// What a reader of the table sees.
    pub fn label(self) -> &'static str {
        match self {
            Self::Vanilla => "Vanilla, every head",
            Self::Ght => "GHT: constraint, every head",
            Self::GhtPs => "GHT-PS: constraint, most voted heads",
            Self::GhtPsPerGroup => "Constraint, most voted head of each group",
            Self::RandomHeads => "Constraint, random heads",
            Self::RandomMembers => "Constraint, random member of each group",
            Self::Importance => "Constraint, most important heads",
            Self::VotesUnconstrained => "No constraint, most voted heads",
            Self::ImportanceUnconstrained => "No constraint, most important heads",
            Self::RandomUnconstrained => "No constraint, random heads",
            Self::VotesExplained => "Explained share as constraint, most voted heads",
        }
    }

    /// The model it begins from.
    pub fn stem(self) -> Stem {
        match self {
            Self::Vanilla | Self::VotesUnconstrained | Self::ImportanceUnconstrained | Self::RandomUnconstrained => {
                Stem::Plain
            }
            Self::VotesExplained => Stem::Explained,
            Self::Ght
            | Self::GhtPs
            | Self::GhtPsPerGroup
            | Self::RandomHeads
            | Self::RandomMembers
            | Self::Importance => Stem::Constrained,
        }
    }

    /// How it chooses heads; `None` where all stay.
    pub fn method(self) -> Option<Method> {
        match self {
            Self::Vanilla | Self::Ght => None,
            Self::GhtPs | Self::VotesUnconstrained | Self::VotesExplained => Some(Method::Votes),
            Self::GhtPsPerGroup => Some(Method::PerGroup),
            Self::RandomHeads | Self::RandomUnconstrained => Some(Method::Random),
            Self::RandomMembers => Some(Method::RandomInGroup),
            Self::Importance | Self::ImportanceUnconstrained => Some(Method::Importance),
        }
    }
}

fn unknown_arm(text: &str) -> Error {
    Error::unknown::<Arm>("arm", text)
}

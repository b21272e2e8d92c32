//! What a head does, from its attention weights: how much of them goes where a head of each kind would look.
//!
//! Every score is in `0..=1`: a mean over the query positions at which the kind can be told, of the attention weight on the
//! keys that the kind looks at. Voita et al. 2019 call a head positional or syntactic by the same shares, of its largest
//! weight; Olsson et al. 2022 define induction and the tokens before it on repeated random tokens, as TransformerLens
//! measures them: its head detector's `mul` is the same sum as a share of all attention, over every token of the sequence. The
//! kinds of a head overlap (what is before may be the first token), so that its scores need not sum to 1.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray, VariantNames};

use super::SiteAnalysis;
use crate::error::Error;

/// What a head may do. The names are those of its scores among [`SiteAnalysis::baselines`].
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
#[strum(serialize_all = "kebab-case", parse_err_ty = Error, parse_err_fn = unknown_kind)]
pub enum HeadKind {
    /// Looks at what followed an earlier occurrence of the token: in `A B .. A` at `B`.
    Induction,
    /// Looks at an earlier occurrence of the token itself.
    DuplicateToken,
    /// Looks at the token before.
    PreviousToken,
    /// Looks at the token behind.
    NextToken,
    /// Looks at the token itself.
    SameToken,
    /// Looks at the first token: a sink.
    FirstToken,
    /// Looks at separators, other special tokens and punctuation.
    Separator,
    /// Looks at the token that stands for the whole image.
    ClassToken,
    /// Looks at the patch itself and the eight around it.
    Neighborhood,
    /// Looks at the source position that the target position corresponds to.
    Diagonal,
    /// Looks at a few tokens to both sides.
    LocalWindow,
    /// Spreads its weight over nearly all positions.
    Broad,
}

fn unknown_kind(text: &str) -> Error {
    Error::unknown::<HeadKind>("kind of head", text)
}

/// Tokens to each side of the query that are a local window.
pub const WINDOW: usize = 3;

impl HeadKind {
    /// Every kind; of those that fit a head, the first that does names it.
    pub const ALL: &[Self] = <Self as VariantArray>::VARIANTS;

    /// The word used on the command line and in files.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The kind whose scores have this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }

    /// Two letters that stand for it where there is no room for words.
    pub fn letters(self) -> &'static str {
        match self {
            Self::Induction => "In",
            Self::DuplicateToken => "Du",
            Self::PreviousToken => "Pr",
            Self::NextToken => "Nx",
            Self::SameToken => "Sa",
            Self::FirstToken => "Fi",
            Self::Separator => "Se",
            Self::ClassToken => "Cl",
            Self::Neighborhood => "Nb",
            Self::Diagonal => "Di",
            Self::LocalWindow => "Lo",
            Self::Broad => "Br",
        }
    }

    /// Its number among [`HeadKind::ALL`], by which colors are given.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The words shown to people.
    pub fn label(self) -> &'static str {
        match self {
            Self::Induction => "Induction",
            Self::DuplicateToken => "Duplicate token",
            Self::PreviousToken => "Previous token",
            Self::NextToken => "Next token",
            Self::SameToken => "Same token",
            Self::FirstToken => "First-token sink",
            Self::Separator => "Separators",
            Self::ClassToken => "Class token",
            Self::Neighborhood => "Neighborhood",
            Self::Diagonal => "Diagonal",
            Self::LocalWindow => "Local window",
            Self::Broad => "Broad",
        }
    }

    /// What its score says, as a sentence without its full stop.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Induction => {
                "On random tokens read twice: mean weight on the token after the earlier occurrence (Olsson et al. 2022)"
            }
            Self::DuplicateToken => "On random tokens read twice: mean weight on the earlier occurrence",
            Self::PreviousToken => "Mean weight on the token before (Voita et al. 2019)",
            Self::NextToken => "Mean weight on the token behind (Voita et al. 2019)",
            Self::SameToken => "Mean weight on the token itself",
            Self::FirstToken => "Mean weight on the first token: a sink for heads with nothing to say",
            Self::Separator => "Mean weight on special tokens, but the first, and on punctuation (Clark et al. 2019)",
            Self::ClassToken => "Mean weight of patches on the token that stands for the image",
            Self::Neighborhood => "Mean weight of patches on themselves and the eight patches around",
            Self::Diagonal => {
                "Mean weight on source tokens within a twentieth of the length of where the target token would lie"
            }
            Self::LocalWindow => {
                "Mean weight on the three tokens to each side and the token itself, where twice as many can be seen"
            }
            Self::Broad => "Mean entropy of the weights as a share of that of equal weights on all that can be seen",
        }
    }

    /// The least score from which a head is called that. Equal weights are broad from 0.9; what is local holds several
    /// tokens.
    pub fn threshold(self) -> f64 {
        match self {
            Self::Broad => 0.9,
            Self::LocalWindow | Self::Neighborhood => 0.6,
            _ => 0.4,
        }
    }
}

impl SiteAnalysis {
    /// The score of a kind for every head, where it was measured.
    pub fn kind_scores(&self, kind: HeadKind) -> Option<&[f64]> {
        self.baselines.get(kind.name()).map(|b| b.values.as_slice())
    }

    /// What a head does, with its score: of the kinds whose threshold it reaches the one that it exceeds most, those that
    /// look at single tokens first; `None` where nothing fits or nothing was measured.
    pub fn kind(&self, head: usize) -> Option<(HeadKind, f64)> {
        let score = |kind: &HeadKind| {
            let score = self.kind_scores(*kind)?.get(head).copied()?;
            (score >= kind.threshold()).then_some((*kind, score))
        };
        let is_wide = |kind: HeadKind| matches!(kind, HeadKind::LocalWindow | HeadKind::Broad);
        let fitting: Vec<(HeadKind, f64)> = HeadKind::ALL.iter().filter_map(score).collect();
        let narrow = fitting.iter().filter(|(kind, _)| !is_wide(*kind));
        let first = |best: Option<(HeadKind, f64)>, other: &(HeadKind, f64)| match best {
            Some(best) if best.1 >= other.1 => Some(best),
            _ => Some(*other),
        };
        narrow.fold(None, first).or_else(|| fitting.iter().find(|(kind, _)| is_wide(*kind)).copied())
    }

    /// Whether anything is known of what its heads do.
    pub fn has_kinds(&self) -> bool {
        HeadKind::ALL.iter().any(|kind| self.baselines.contains_key(kind.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Baseline;
    use super::*;

    #[test]
    fn a_head_is_what_it_does_most() {
        let mut site: SiteAnalysis = serde_json::from_value(serde_json::json!({
            "site": "decoder.0", "heads": 5, "kv_heads": 5, "features": {}, "votes": [0, 0, 0, 0, 0], "kept": [0],
        }))
        .unwrap();
        assert!(!site.has_kinds());
        let mut set = |kind: HeadKind, values: [f64; 5]| {
            site.baselines.insert(kind.name().to_owned(), Baseline::means(values.to_vec(), 10));
        };
        set(HeadKind::PreviousToken, [0.9, 0.45, 0.1, 0.0, 0.3]);
        set(HeadKind::FirstToken, [0.0, 0.5, 0.1, 0.0, 0.3]);
        set(HeadKind::LocalWindow, [0.95, 0.6, 0.7, 0.1, 0.3]);
        set(HeadKind::Broad, [0.1, 0.5, 0.91, 0.95, 0.5]);
        let kinds: Vec<Option<HeadKind>> = (0..5).map(|h| site.kind(h).map(|k| k.0)).collect();
        use HeadKind::{Broad, FirstToken, LocalWindow, PreviousToken};
        assert_eq!(kinds, [Some(PreviousToken), Some(FirstToken), Some(LocalWindow), Some(Broad), None]);
        assert_eq!(site.kind(0).unwrap().1, 0.9);
        assert_eq!(site.kind(9), None);
        for kind in HeadKind::ALL {
            assert_eq!(HeadKind::named(kind.name()), Some(*kind));
            assert_eq!(kind.name().parse::<HeadKind>().unwrap(), *kind);
            assert_eq!(HeadKind::ALL[kind.index()], *kind);
            assert_eq!(HeadKind::ALL.iter().filter(|other| other.letters() == kind.letters()).count(), 1);
        }
        assert!("nothing".parse::<HeadKind>().is_err());
    }
}

//! What stock transformers does with a family whose layers have lost heads.

use strum::IntoStaticStr;

/// What stock transformers opens of a family when attention is narrower than the model, found by opening tiny
/// checkpoints of every family with 4.57.6 and 5.23.0 (`tests/with_transformers.py`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StockHeads {
    /// The same number of heads in every layer, at a width that the configuration states.
    Uniform(UniformHeads),
    /// No other number of heads than the model came with.
    Never {
        /// How the width of a head is worked out, which is why: fewer heads would be wider heads.
        width: &'static str,
    },
}

/// How a family states a number of heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UniformHeads {
    /// The section of the configuration that the keys are in, where it is not the whole.
    pub section: Option<&'static str>,
    /// Key of the number of (query) heads.
    pub heads: &'static str,
    /// Key of the number of key/value heads, where there is one; query heads are a multiple of it.
    pub kv_heads: Option<&'static str>,
    /// Key of the width of a head.
    pub width: &'static str,
    /// Whether 4.57 opens it too.
    pub opens_in_4: bool,
    /// Which numbers of query heads are refused.
    pub limit: HeadLimit,
    /// The `model_type` of another family that is the same network and takes any number of heads.
    pub twin: Option<&'static str>,
}

/// Which numbers of query heads a family's configuration refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadLimit {
    None,
    /// Those that do not divide the model's width.
    Divides,
    /// With scaled rotary positions, those that do not give the true width of a head when the model's width is divided
    /// by them: the lengths of the scaling factors are checked against that.
    Scaled,
}

/// What mlx-lm does with a family (run with 0.32.2 by `tests/with_engines.py`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MlxLayers {
    /// The module of mlx-lm whose classes open it.
    pub module: &'static str,
    /// Whether they read the width of a head, so that they open narrower layers that are all alike.
    pub reads_width: bool,
}

impl UniformHeads {
    /// Any number of query heads, a multiple of that of key/value heads.
    pub const GROUPED: Self = Self {
        section: None,
        heads: "num_attention_heads",
        kv_heads: Some("num_key_value_heads"),
        width: "head_dim",
        opens_in_4: true,
        limit: HeadLimit::None,
        twin: None,
    };
}

impl StockHeads {
    /// Every layer alike, as [`UniformHeads::GROUPED`] says.
    pub const GROUPED: Self = Self::Uniform(UniformHeads::GROUPED);
    /// [`UniformHeads::GROUPED`], tried with transformers 5 alone.
    pub const GROUPED_5: Self = Self::Uniform(UniformHeads { opens_in_4: false, ..UniformHeads::GROUPED });
    /// Heads share the width of the model.
    pub const NEVER: Self = Self::Never { width: "hidden_size / num_attention_heads" };
}

/// What the stock classes of a family need, beside narrower projections, where layers have different numbers of heads.
/// The Python module of compact exports does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum RaggedNeed {
    /// The layer's own width beside its number of heads.
    Width,
    /// A configuration with the layer's own number of heads.
    Configuration,
    /// The slopes of the layer's own heads.
    Alibi,
    /// The columns of the layer's own heads in a bias that the first layer makes.
    RelativeBias,
}

impl RaggedNeed {
    /// The word that the Python module knows it by.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

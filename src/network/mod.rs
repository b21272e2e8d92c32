//! One transformer, described by data: [`NetworkSpec`] says what it is, [`Weights`] hands out tensors by role,
//! a [`Probe`] sees every feature map as it passes, a gate per head multiplies its output.
//!
//! A [`Role`] names a tensor by what it does, whatever a checkpoint calls it; [`roles::tensors`] lists those of a network.
//!
//! Outside attention a batch is the list of its real positions, unless hardly any is padding: nothing is computed for
//! padding. Probes and results see places, padding as zeros or as numbers without meaning.
//! [`Network::run_probe`] runs for a probe alone and leaves out what it does not see.
//!
//! # Models that are larger than memory
//!
//! There is one forward pass. [`Network::load`] holds every weight; [`Network::stream`] leaves layers and token tables
//! to its [`Weights`] (a file) and reads each when batches come to it: onto the device, if that is where it runs.
//! Batches advance together: all of a group pass a layer before the next is read, so each layer is read once for
//! the group, and a [`Probe`] is told which batch it sees. [`Network::groups`] makes groups as large as the memory for
//! waiting hidden states allows; with every weight held they are of one batch. Of a token table only the rows in use
//! are read, and logits are formed by blocks of the vocabulary, held or not. What a batch gives does not depend on
//! the group it is in, so results are equal bit for bit on a processor. Passes that share a layer (ALBERT) read it once.
//!
//! [`Extent`] estimates what batches cost beside the weights; the room `model` weighs it against a limit.
//!
//! | module | job |
//! | --- | --- |
//! | `forward`, `stack`, `layer` | the pass: stacks in turn, layers over batches, one layer |
//! | `attention`, `feed_forward` | the branches of a layer |
//! | `input`, `samples`, `output`, `task_head`, `interpolate` | the first hidden state, of sound too; the language-model head, heads of labeled tasks; position tables of images |
//! | `packing` | real positions side by side: no work on padding |
//! | `rotary`, `score_bias` | positions inside attention |
//! | `part`, `groups`, `extent` | what is held and what is read; batches that advance together; what they cost |
//! | `walk` | attention layer by attention layer, what each adds being the caller's choice |
//! | `probe`, `gate`, `batch` | watching, masking, what is read |
//! | `site`, `kept` | names of attention layers and heads; which heads stay |
//! | `spec`, `attention_spec`, `norm_spec`, `role`, `roles` | what a network is; where a tensor belongs; which tensors it asks for |

mod activation;
mod ahead;
mod attention;
mod attention_spec;
mod batch;
mod extent;
mod feed_forward;
mod forward;
mod gate;
mod groups;
mod head_spec;
mod hidden;
mod input;
mod interpolate;
mod kept;
mod key_values;
mod label_names;
mod layer;
mod norm;
mod norm_spec;
mod output;
mod packing;
mod part;
mod probe;
mod role;
pub mod roles;
mod rotary;
mod samples;
mod score_bias;
mod site;
mod spec;
mod spill;
mod stack;
mod task_head;
mod walk;

pub use activation::Activation;
pub use attention::AttentionLayer;
pub use attention_spec::{
    AttentionSpec, DisentangledSpec, HeadAxis, ProjectionBias, QueryKeyNorm, QueryKeyNormScope, ScoreBias,
};
pub use batch::{Batch, Items, Samples, Source, TokenMask, Tokens};
pub use extent::Extent;
pub use forward::Network;
pub use gate::Gates;
pub use groups::LockstepBatches;
pub use head_spec::{Pooling, ProblemType, TaskHeadSpec, TaskKind, TransformSpec};
pub use hidden::Hidden;
pub use kept::Kept;
pub use key_values::DecoderMemory;
pub use label_names::LabelNames;
pub use layer::Layer;
pub use norm_spec::{NormKind, NormSpec};
pub use output::{OutputBlock, OutputHead, rows_at_once};
pub use part::block_bytes;
pub use probe::{NoProbe, Probe, SiteMaps};
pub use role::{
    AttentionModule, Branch, BranchModule, EmbedModule, MlpModule, Module, Projection, Role, TaskModule, Term,
};
pub use roles::{Residence, Weights};
pub use rotary::{Beyond, RotarySpec};
pub(crate) use score_bias::{alibi_slopes, grid_entries, relative_bucket};
pub use site::{FeatureMap, Head, Site, SiteKind, StackKind};
pub use spec::{
    BranchNorms, ConvolutionSpec, Counting, ExpertsSpec, FrameInputSpec, InputSpec, LayerSpec, MaskScaling, MlpSpec,
    NetworkSpec, Objective, OutputSpec, PatchInputSpec, PositionSpec, ProjectSpec, Resampling, SampleInputSpec,
    SampleNorm, SinusoidSpacing, StackSpec, TokenInputSpec, Wiring,
};
pub use task_head::TaskHead;
pub use walk::{SiteState, Walk, WalkStep};

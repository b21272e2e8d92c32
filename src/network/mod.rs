//! One transformer, described by data: [`NetworkSpec`] says what it is, [`Weights`] hands out tensors by role,
//! a [`Probe`] sees every feature map as it passes, a gate per head multiplies its output.
//!
//! Roles name a tensor by what it does, whatever a checkpoint calls it; [`roles`] lists them.

mod attention;
mod batch;
mod extent;
mod forward;
mod gate;
mod groups;
mod input;
mod interpolate;
mod layer;
mod output;
mod part;
mod probe;
pub mod roles;
mod rotary;
mod score_bias;
mod site;
mod spec;
mod stack;

pub use attention::AttentionLayer;
pub use batch::{Batch, Source, TokenMask, Tokens};
pub use extent::Extent;
pub use forward::{Hidden, Network};
pub use gate::Gates;
pub use groups::Groups;
pub use layer::Layer;
pub use output::{Output, OutputBlock};
pub use part::block_bytes;
pub use probe::{Blind, Probe, SiteMaps};
pub use roles::{Residence, Weights};
pub use rotary::{Beyond, RotarySpec};
pub use site::{FeatureMap, Site, SiteKind};
pub use spec::{
    Activation, AttentionSpec, Counting, FrameInputSpec, InputSpec, LayerSpec, MlpSpec, NetworkSpec, NormKind,
    NormSpec, Objective, OutputSpec, PatchInputSpec, PositionSpec, ProjectSpec, ProjectionBias, ScoreBias, StackSpec,
    TokenInputSpec, TransformSpec, Wiring,
};

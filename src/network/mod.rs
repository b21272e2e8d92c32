//! One transformer, described by data: [`NetworkSpec`] says what it is, [`Weights`] hands out tensors by role,
//! a [`Probe`] sees every feature map as it passes, a gate per head multiplies its output.
//!
//! Roles name a tensor by what it does, whatever a checkpoint calls it; [`roles`] lists them.

mod attention;
mod batch;
mod forward;
mod gate;
mod input;
mod interpolate;
mod layer;
mod output;
mod probe;
pub mod roles;
mod rotary;
mod site;
mod spec;

pub use attention::AttentionLayer;
pub use batch::{Batch, Source, TokenMask, Tokens};
pub use forward::{Hidden, Network};
pub use gate::Gates;
pub use layer::Layer;
pub use probe::{Blind, Probe, SiteMaps};
pub use roles::Weights;
pub use rotary::{Beyond, RotarySpec};
pub use site::{FeatureMap, Site, SiteKind};
pub use spec::{
    Activation, AttentionSpec, Counting, FrameInputSpec, InputSpec, LayerSpec, MlpSpec, NetworkSpec, NormKind,
    NormSpec, Objective, OutputSpec, PatchInputSpec, PositionSpec, ProjectSpec, ProjectionBias, ScoreBias, StackSpec,
    TokenInputSpec, TransformSpec, Wiring,
};

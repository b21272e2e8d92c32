//! Where a tensor belongs in a network: its role, whatever a checkpoint calls it.
//!
//! A role is a [`Module`] and the [`Term`] of it. Both are written with dots, and nowhere else than here:
//!
//! | role | shape |
//! | --- | --- |
//! | `<stack>.embed.tokens` | `[vocabulary, width]` |
//! | `<stack>.embed.positions`, `.embed.types` | `[rows, width]` |
//! | `<stack>.embed.norm.{weight,bias}` | `[width]` |
//! | `<stack>.embed.project.{weight,bias}` | `[D, width]` |
//! | `<stack>.embed.patch.{weight,bias}`, `.embed.class`, `.embed.distillation` | `[D, channels, h, w]`, `[1, 1, D]` |
//! | `<stack>.embed.registers` | `[1, registers, D]` |
//! | `<stack>.embed.conv1.{weight,bias}`, `.embed.conv2.{weight,bias}` | `[D, bands or D, 3]` |
//! | `<stack>.embed.convolutions.<n>.{weight,bias}`, `.embed.convolution_norms.<n>.{weight,bias}` | `[channels, channels before, width]`, `[channels]` |
//! | `<stack>.embed.position_direction.{weight,bias}`, `.embed.position_magnitude` | `[D, D / groups, width]`, `[1, 1, width]` |
//! | `<stack>.embed.projection_norm.{weight,bias}` | `[channels]` |
//! | `<stack>.<i>.{attention,cross}.{query,key,value}.{weight,bias}` | `[heads * d, D]` |
//! | `<stack>.<i>.{attention,cross}.output.{weight,bias}` | `[D, heads * d]` |
//! | `<stack>.<i>.attention.{query_norm,key_norm}.{weight,bias}` | `[d]`, `[heads, d]` or `[heads * d]`: see [`QueryKeyNormScope`](super::QueryKeyNormScope) |
//! | `<stack>.<i>.attention.sinks`, `.attention.grid_bias` | `[heads]`, `[entries, heads]` |
//! | `<stack>.<i>.{attention,cross,mlp}.norm.{weight,bias}` | `[D]`, before the branch, or after the sum |
//! | `<stack>.<i>.{attention,cross,mlp}.post_norm.{weight,bias}` | `[D]`, on the branch's result |
//! | `<stack>.<i>.{attention,cross,mlp}.scale` | `[D]` |
//! | `<stack>.<i>.mlp.{up,gate}.{weight,bias}`, `.mlp.down.{weight,bias}` | `[inner, D]`, `[D, inner]` |
//! | `<stack>.<i>.mlp.router.{weight,bias}` | `[experts, D]`, `[experts]` |
//! | `<stack>.<i>.mlp.experts.<n>.{up,gate,down}.{weight,bias}` | as without experts |
//! | `<stack>.relative` | `[buckets or entries, heads before pruning]` |
//! | `<stack>.distances`, `<stack>.distance_norm.{weight,bias}` | `[2 span, D]`, `[D]` |
//! | `<stack>.<i>.attention.{position_key,position_query}.{weight,bias}` | `[heads * d, D]` |
//! | `<stack>.norm.{weight,bias}`, `<stack>.project_out` | `[D]`, `[out, D]` |
//! | `output.transform.{weight,bias}`, `output.norm.{weight,bias}` | `[width, D]`, `[width]` |
//! | `output.{weight,bias}` | `[vocabulary, width]`, `[vocabulary]` |
//! | `task.dense.{weight,bias}`, `task.norm.{weight,bias}` | `[width, pooled]`, `[width]` |
//! | `task.output.{weight,bias}`, `task.distillation.{weight,bias}` | `[outputs, width]`, `[outputs]` |
//!
//! `<stack>` is `encoder` or `decoder`; `<i>` is the stored layer, `<n>` the expert or the convolution.

use std::fmt;

use strum::{IntoStaticStr, VariantArray};

use super::{SiteKind, StackKind};

/// Where a tensor belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Role {
    /// The part of the network.
    pub module: Module,
    /// Its weight or its bias.
    pub term: Term,
}

/// What of a module a tensor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Term {
    /// The matrix, table or factor.
    Weight,
    Bias,
}

/// A part of a network that has tensors of its own; layers are stored layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Module {
    /// A part of a stack's input.
    Embed(StackKind, EmbedModule),
    /// A part of an attention layer.
    Attention(SiteKind, usize, AttentionModule),
    /// A part of a feed-forward layer.
    Mlp(StackKind, usize, MlpModule),
    /// What scores the experts of a feed-forward layer.
    Router(StackKind, usize),
    /// A part of one expert, behind the layer, of a feed-forward layer.
    Expert(StackKind, usize, usize, MlpModule),
    /// What stands around a branch of a layer.
    Branch(Branch, usize, BranchModule),
    /// The table of relative positions of a stack.
    Relative(StackKind),
    /// The table of embeddings of distances of a stack.
    Distances(StackKind),
    /// The normalization of embeddings of distances.
    DistanceNorm(StackKind),
    /// The normalization after a stack's last layer.
    FinalNorm(StackKind),
    /// The projection after a stack's last layer.
    ProjectOut(StackKind),
    /// The dense layer before the language-model head.
    OutputTransform,
    /// The normalization before the language-model head.
    OutputNorm,
    Output,
    /// A part of the head of a labeled task.
    Task(TaskModule),
}

/// A part of the head of a labeled task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum TaskModule {
    /// The dense layer behind pooling.
    Dense,
    /// The normalization behind it.
    Norm,
    /// The layer that gives the answers.
    Output,
    /// Another such layer, which reads the distillation token.
    Distillation,
}

/// A part of a stack's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum EmbedModule {
    /// The table of tokens.
    Tokens,
    /// The table of positions.
    Positions,
    /// The table of token types.
    Types,
    /// The normalization of the sum.
    Norm,
    /// The projection to the stack's width.
    Project,
    /// The projection of image patches.
    Patch,
    /// The class token of images.
    Class,
    /// The distillation token of images.
    Distillation,
    /// The tokens of images that have no positions.
    Registers,
    /// The first convolution over spectrograms.
    Conv1,
    /// The second convolution over spectrograms.
    Conv2,
    /// One of the convolutions over samples.
    #[strum(serialize = "convolutions")]
    Convolution(usize),
    /// The normalization behind it.
    #[strum(serialize = "convolution_norms")]
    ConvolutionNorm(usize),
    /// The directions of the weights of the convolution over frames, and its bias.
    PositionDirection,
    /// The magnitudes of these weights.
    PositionMagnitude,
    /// The normalization before the projection of frames.
    ProjectionNorm,
}

/// A part of an attention layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttentionModule {
    /// One of the four projections.
    Projection(Projection),
    /// The normalization of queries.
    QueryNorm,
    /// The normalization of keys.
    KeyNorm,
    /// Each head's score for seeing nothing.
    Sinks,
    /// The table of offsets between patches of a layer's own.
    GridBias,
    /// The projection of distances that queries are scored against.
    PositionKey,
    /// The projection of distances that keys are scored against.
    PositionQuery,
}

/// One of the four projections of an attention layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Projection {
    /// The query projection `W_Q`.
    Query,
    /// The key projection `W_K`.
    Key,
    /// The value projection `W_V`.
    Value,
    /// The output projection `W_O`.
    Output,
}

/// A part of a feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum MlpModule {
    /// The projection to the inner width.
    Up,
    /// The projection whose activation gates the other.
    Gate,
    /// The projection back to the width of the stream.
    Down,
}

/// A branch of a layer beside its residual stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Branch {
    /// Attention of one kind.
    Attention(SiteKind),
    Mlp(StackKind),
}

/// What stands around a branch of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum BranchModule {
    /// The normalization before the branch, or after the sum.
    Norm,
    /// The normalization of the branch's result.
    PostNorm,
    /// The factor per channel on the branch's result.
    Scale,
}

impl Module {
    /// A projection of an attention layer.
    pub fn projection(kind: SiteKind, layer: usize, projection: Projection) -> Self {
        Self::Attention(kind, layer, AttentionModule::Projection(projection))
    }

    pub fn weight(self) -> Role {
        Role { module: self, term: Term::Weight }
    }

    pub fn bias(self) -> Role {
        Role { module: self, term: Term::Bias }
    }

    /// The stack and the number of the stored layer that it is in; `None` outside layers.
    pub fn layer(self) -> Option<(StackKind, usize)> {
        match self {
            Self::Attention(kind, layer, _) | Self::Branch(Branch::Attention(kind), layer, _) => {
                Some((kind.stack(), layer))
            }
            Self::Mlp(stack, layer, _)
            | Self::Router(stack, layer)
            | Self::Expert(stack, layer, ..)
            | Self::Branch(Branch::Mlp(stack), layer, _) => Some((stack, layer)),
            Self::Embed(..)
            | Self::Relative(_)
            | Self::Distances(_)
            | Self::DistanceNorm(_)
            | Self::FinalNorm(_)
            | Self::ProjectOut(_)
            | Self::OutputTransform
            | Self::OutputNorm
            | Self::Output
            | Self::Task(_) => None,
        }
    }

    /// The expert that it is in; `None` outside experts.
    pub fn expert(self) -> Option<usize> {
        match self {
            Self::Expert(_, _, expert, _) => Some(expert),
            _ => None,
        }
    }

    /// Which of several it is, an expert or a convolution.
    pub fn number(self) -> Option<usize> {
        match self {
            Self::Embed(_, EmbedModule::Convolution(number) | EmbedModule::ConvolutionNorm(number)) => Some(number),
            other => other.expert(),
        }
    }

    /// Whether it belongs to a head.
    pub fn is_output(self) -> bool {
        matches!(self, Self::OutputTransform | Self::OutputNorm | Self::Output | Self::Task(_))
    }

    /// Whether it is a normalization.
    pub fn is_norm(self) -> bool {
        match self {
            Self::Embed(_, part) => {
                matches!(part, EmbedModule::Norm | EmbedModule::ConvolutionNorm(_) | EmbedModule::ProjectionNorm)
            }
            Self::Attention(_, _, part) => matches!(part, AttentionModule::QueryNorm | AttentionModule::KeyNorm),
            Self::Branch(_, _, part) => matches!(part, BranchModule::Norm | BranchModule::PostNorm),
            Self::FinalNorm(_) | Self::DistanceNorm(_) | Self::OutputNorm => true,
            Self::Task(part) => part == TaskModule::Norm,
            Self::Mlp(..)
            | Self::Router(..)
            | Self::Expert(..)
            | Self::Relative(_)
            | Self::Distances(_)
            | Self::ProjectOut(_)
            | Self::OutputTransform
            | Self::Output => false,
        }
    }

    /// Whether it is one tensor, so that its name says all.
    fn is_single(self) -> bool {
        match self {
            Self::Embed(_, part) => match part {
                EmbedModule::Norm
                | EmbedModule::Project
                | EmbedModule::Patch
                | EmbedModule::Conv1
                | EmbedModule::Conv2
                | EmbedModule::Convolution(_)
                | EmbedModule::ConvolutionNorm(_)
                | EmbedModule::PositionDirection
                | EmbedModule::ProjectionNorm => false,
                EmbedModule::Tokens
                | EmbedModule::Positions
                | EmbedModule::Types
                | EmbedModule::Class
                | EmbedModule::Distillation
                | EmbedModule::Registers
                | EmbedModule::PositionMagnitude => true,
            },
            Self::Branch(_, _, part) => part == BranchModule::Scale,
            Self::Relative(_) | Self::Distances(_) | Self::ProjectOut(_) => true,
            Self::Attention(_, _, part) => matches!(part, AttentionModule::Sinks | AttentionModule::GridBias),
            Self::Mlp(..)
            | Self::Router(..)
            | Self::Expert(..)
            | Self::FinalNorm(_)
            | Self::DistanceNorm(_)
            | Self::OutputTransform
            | Self::OutputNorm
            | Self::Output
            | Self::Task(_) => false,
        }
    }

    /// Its name, with `layer` for the number of its layer and `number` for that of an expert or of a convolution.
    fn name(self, layer: &dyn fmt::Display, number: &dyn fmt::Display) -> String {
        match self {
            Self::Embed(stack, part @ (EmbedModule::Convolution(_) | EmbedModule::ConvolutionNorm(_))) => {
                format!("{}.embed.{}.{number}", stack.name(), part.name())
            }
            Self::Embed(stack, part) => format!("{}.embed.{}", stack.name(), part.name()),
            Self::Attention(kind, _, part) => {
                format!("{}.{layer}.{}.{}", kind.stack().name(), Branch::Attention(kind).name(), part.name())
            }
            Self::Mlp(stack, _, part) => {
                format!("{}.{layer}.{}.{}", stack.name(), Branch::Mlp(stack).name(), part.name())
            }
            Self::Router(stack, _) => format!("{}.{layer}.mlp.router", stack.name()),
            Self::Expert(stack, _, _, part) => format!("{}.{layer}.mlp.experts.{number}.{}", stack.name(), part.name()),
            Self::Branch(branch, _, part) => {
                format!("{}.{layer}.{}.{}", branch.stack().name(), branch.name(), part.name())
            }
            Self::Relative(stack) => format!("{}.relative", stack.name()),
            Self::Distances(stack) => format!("{}.distances", stack.name()),
            Self::DistanceNorm(stack) => format!("{}.distance_norm", stack.name()),
            Self::FinalNorm(stack) => format!("{}.norm", stack.name()),
            Self::ProjectOut(stack) => format!("{}.project_out", stack.name()),
            Self::OutputTransform => "output.transform".to_owned(),
            Self::OutputNorm => "output.norm".to_owned(),
            Self::Output => "output".to_owned(),
            Self::Task(part) => format!("task.{}", part.name()),
        }
    }

    /// Its name with `{i}` in place of the number of its layer and `{n}` in place of [`Module::number`], as families list
    /// their names.
    pub fn pattern(self) -> String {
        self.name(&"{i}", &"{n}")
    }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name(&self.layer().map_or(0, |(_, layer)| layer), &self.number().unwrap_or(0)))
    }
}

impl Role {
    /// What follows the name of its module; nothing where the module is one tensor.
    fn suffix(self) -> &'static str {
        match self.term {
            Term::Weight if self.module.is_single() => "",
            Term::Weight => ".weight",
            Term::Bias => ".bias",
        }
    }

    /// [`Module::pattern`] with what follows it.
    pub fn pattern(self) -> String {
        format!("{}{}", self.module.pattern(), self.suffix())
    }

    /// The name of a tensor that a family lists by the stem of its module's names.
    pub fn named_after(self, stem: &str) -> String {
        format!("{stem}{}", self.suffix())
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.module, self.suffix())
    }
}

impl EmbedModule {
    fn name(self) -> &'static str {
        self.into()
    }
}

impl AttentionModule {
    fn name(self) -> &'static str {
        match self {
            Self::Projection(projection) => projection.name(),
            Self::QueryNorm => "query_norm",
            Self::KeyNorm => "key_norm",
            Self::Sinks => "sinks",
            Self::GridBias => "grid_bias",
            Self::PositionKey => "position_key",
            Self::PositionQuery => "position_query",
        }
    }

    /// Whose heads its tensors have.
    pub fn heads_of(self) -> Projection {
        match self {
            Self::Projection(projection) => projection,
            Self::QueryNorm | Self::Sinks | Self::GridBias | Self::PositionQuery => Projection::Query,
            Self::KeyNorm | Self::PositionKey => Projection::Key,
        }
    }
}

impl Projection {
    pub const ALL: &[Self] = <Self as VariantArray>::VARIANTS;

    /// The word used in roles.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl TaskModule {
    fn name(self) -> &'static str {
        self.into()
    }
}

impl MlpModule {
    fn name(self) -> &'static str {
        self.into()
    }
}

impl Branch {
    fn name(self) -> &'static str {
        match self {
            Self::Attention(SiteKind::Encoder | SiteKind::Decoder) => "attention",
            Self::Attention(SiteKind::Cross) => "cross",
            Self::Mlp(_) => "mlp",
        }
    }

    fn stack(self) -> StackKind {
        match self {
            Self::Attention(kind) => kind.stack(),
            Self::Mlp(stack) => stack,
        }
    }
}

impl BranchModule {
    fn name(self) -> &'static str {
        self.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_stack_layer_branch_and_term() {
        let query = Module::projection(SiteKind::Cross, 3, Projection::Query);
        assert_eq!(query.weight().to_string(), "decoder.3.cross.query.weight");
        assert_eq!(query.bias().pattern(), "decoder.{i}.cross.query.bias");
        let tokens = Module::Embed(StackKind::Encoder, EmbedModule::Tokens);
        assert_eq!(tokens.weight().to_string(), "encoder.embed.tokens");
        let scale = Module::Branch(Branch::Mlp(StackKind::Encoder), 0, BranchModule::Scale);
        assert_eq!(scale.weight().to_string(), "encoder.0.mlp.scale");
        assert_eq!(Module::Output.bias().to_string(), "output.bias");
        assert_eq!(query.layer(), Some((StackKind::Decoder, 3)));
        let expert = Module::Expert(StackKind::Decoder, 2, 7, MlpModule::Down);
        assert_eq!(expert.bias().to_string(), "decoder.2.mlp.experts.7.down.bias");
        assert_eq!(expert.weight().pattern(), "decoder.{i}.mlp.experts.{n}.down.weight");
        let sinks = Module::Attention(SiteKind::Decoder, 1, AttentionModule::Sinks);
        assert_eq!(sinks.weight().to_string(), "decoder.1.attention.sinks");
    }
}

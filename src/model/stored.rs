//! Where a role is stored, and how much of a tensor it is.

use std::ops::Range;

use super::{Part, TensorLayout};
use crate::network::{AttentionModule, AttentionSpec, Module, NetworkSpec, Role, Site, StackKind};

/// Where a role is stored.
#[derive(Clone, Debug)]
pub(super) struct StoredRole {
    pub name: String,
    pub layout: TensorLayout,
    /// Rows of the stored tensor (columns where transposed) in the order of the role; `None` for all.
    pub rows: Option<Vec<Range<usize>>>,
    /// Which of several tensors stacked along the first axis of the stored one.
    pub slab: Option<usize>,
    /// Shape that the network expects.
    pub shape: Vec<usize>,
}

impl StoredRole {
    /// Where a role of `shape` lies that is stored as `name`, `layout`.
    pub(super) fn new(spec: &NetworkSpec, role: Role, shape: Vec<usize>, name: String, layout: TensorLayout) -> Self {
        let rows = rows_of(spec, role, &shape, layout);
        let slab = if layout.stacked { role.module.expert() } else { None };
        Self { name, layout, rows, slab, shape }
    }

    /// Stored name and first row: roles for which this is equal are one block.
    pub(super) fn block(&self) -> (&str, usize) {
        let first = match (&self.rows, self.layout.part) {
            (_, Part::Alternate(index)) => index,
            (Some(rows), _) => rows.first().map_or(0, |range| range.start),
            (None, _) => 0,
        };
        // At most two roles share the rows of one slab.
        let slab = 2 * self.shape.first().copied().unwrap_or(0);
        (&self.name, self.slab.unwrap_or(0) * slab + first)
    }
}

/// The sites that read the attention layer of a role, its shape, and which part of it the role is; `None` for roles
/// outside attention layers.
pub(crate) fn attention_of_role(
    spec: &NetworkSpec,
    role: Role,
) -> Option<(Vec<Site>, &AttentionSpec, AttentionModule)> {
    let Module::Attention(kind, stored, module) = role.module else { return None };
    let stack = match kind.stack() {
        StackKind::Encoder => &spec.encoder,
        StackKind::Decoder => &spec.decoder,
    };
    let layers = &stack.as_ref()?.layers;
    let sites: Vec<Site> =
        (0..layers.len()).filter(|i| layers[*i].stored == stored).map(|i| Site::new(kind, i)).collect();
    let attention = spec.attention(*sites.first()?)?;
    Some((sites, attention, module))
}

/// Experts of the layer of a role.
fn experts_of_role(spec: &NetworkSpec, role: Role) -> usize {
    let Some((stack, stored)) = role.module.layer() else { return 0 };
    let stack = match stack {
        StackKind::Encoder => &spec.encoder,
        StackKind::Decoder => &spec.decoder,
    };
    let layer = stack.as_ref().and_then(|stack| stack.layers.iter().find(|layer| layer.stored == stored));
    layer.and_then(|layer| layer.experts).map_or(0, |experts| experts.count)
}

/// Rows of the stored tensor that make up a role; `None` where all of them do.
fn rows_of(spec: &NetworkSpec, role: Role, shape: &[usize], layout: TensorLayout) -> Option<Vec<Range<usize>>> {
    match layout.part {
        // Every second row is taken of what is read whole.
        Part::Whole | Part::Alternate(_) => None,
        Part::Half(index) => {
            let rows = shape.first().copied()?;
            Some(std::iter::once(index * rows..(index + 1) * rows).collect())
        }
        part @ (Part::Block(projection) | Part::Interleaved(projection) | Part::Sliced(projection)) => {
            let (_, attention, _) = attention_of_role(spec, role)?;
            let heads = 0..attention.heads_of(projection);
            Some(heads.map(|h| part.rows(projection, attention, h)).collect())
        }
    }
}

/// The shape that the stored tensor must have for a role of `shape`.
pub(super) fn stored_shape(spec: &NetworkSpec, role: Role, shape: &[usize], layout: TensorLayout) -> Vec<usize> {
    let mut stored = shape.to_vec();
    if let Some(rows) = stored.first_mut() {
        match layout.part {
            Part::Whole => {}
            Part::Half(_) | Part::Alternate(_) => *rows *= 2,
            Part::Block(_) | Part::Interleaved(_) | Part::Sliced(_) => {
                if let Some((_, a, _)) = attention_of_role(spec, role) {
                    *rows = (a.heads + 2 * a.kv_heads) * a.head_dim;
                }
            }
        }
    }
    if layout.transposed && stored.len() == 2 {
        stored.swap(0, 1);
    }
    if layout.stacked {
        stored.insert(0, experts_of_role(spec, role));
    }
    stored
}

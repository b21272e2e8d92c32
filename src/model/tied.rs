//! Token tables and heads that may be one tensor: which stored tensor each of them is.
//!
//! As transformers 5 reads them: what the files hold counts, not what the configuration calls tied. A table of a stack's own
//! that differs from the table that stacks share is read for what it is; of tensors that are one, a file may hold any name.

use std::collections::HashMap;

use super::finding::find;
use super::{Family, TensorLayout};
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::network::{EmbedModule, InputSpec, Module, NetworkSpec, Role, StackKind};

/// A stored tensor by name, and how it lies there.
type TiedPlace = (String, TensorLayout);

/// Stored tensors of token tables, and of a head that is one of them.
#[derive(Debug, Default)]
pub(super) struct TiedPlaces(HashMap<Role, TiedPlace>);

impl TiedPlaces {
    /// Where `role` is, where it is one of them.
    pub(super) fn get(&self, role: Role) -> Option<&TiedPlace> {
        self.0.get(&role)
    }

    /// Compares what the configuration says with what is in the files: tables that differ are not tied whatever the
    /// configuration says, and without a head the stack is whole.
    pub(super) fn settle(
        checkpoint: &Checkpoint,
        family: &Family,
        spec: &mut NetworkSpec,
        notes: &mut Vec<String>,
    ) -> Result<Self> {
        let mut places = Self::default();
        places.settle_stacks(checkpoint, family, spec, notes)?;
        places.settle_head(checkpoint, family, spec, notes)?;
        Ok(places)
    }

    /// A stack's own table counts where it differs from the one that stacks share.
    fn settle_stacks(
        &mut self,
        checkpoint: &Checkpoint,
        family: &Family,
        spec: &NetworkSpec,
        notes: &mut Vec<String>,
    ) -> Result<()> {
        let tied = spec.output.as_ref().is_none_or(|output| output.tied);
        let heads: Vec<String> =
            family.names_of(checkpoint.config(), Module::Output.weight()).map(|(name, _)| name).collect();
        let may_be = |name: &str| tied || !heads.iter().any(|head| head == name);
        let mut apart = Vec::new();
        for (kind, stack) in [(StackKind::Encoder, &spec.encoder), (StackKind::Decoder, &spec.decoder)] {
            let Some(InputSpec::Tokens(_)) = stack.as_ref().map(|stack| &stack.input) else { continue };
            let role = table_of(kind);
            let Ok(shared) = find(checkpoint, family, role, may_be) else { continue };
            let of_stack = format!("{}.", kind.name());
            let Ok(own) = find(checkpoint, family, role, |name| name.starts_with(&of_stack)) else {
                self.0.insert(role, shared);
                continue;
            };
            if own.0 != shared.0 && differ(checkpoint, &own.0, &shared.0)? {
                apart.push(format!("'{}' differs from '{}'", own.0, shared.0));
                self.0.insert(role, own);
            } else {
                self.0.insert(role, shared);
            }
        }
        if !apart.is_empty() {
            notes.push(format!("token tables are not one: {}; each is read for what it is", apart.join(", ")));
        }
        Ok(())
    }

    fn settle_head(
        &mut self,
        checkpoint: &Checkpoint,
        family: &Family,
        spec: &mut NetworkSpec,
        notes: &mut Vec<String>,
    ) -> Result<()> {
        let stack = if spec.decoder.is_some() { StackKind::Decoder } else { StackKind::Encoder };
        let (head, table) = (Module::Output.weight(), table_of(stack));
        let found = find(checkpoint, family, head, |_| true).ok();
        let own = self.get(table).cloned();
        let tied = spec.output.as_ref().is_none_or(|output| output.tied);
        match (found, own) {
            // Of tensors that are one, a file may hold any name.
            (Some(found), None) if tied => {
                self.0.insert(table, found);
            }
            (Some((name, _)), Some((table, _))) => {
                let Some(output) = spec.output.as_mut().filter(|output| output.tied) else { return Ok(()) };
                if name != table && differ(checkpoint, &name, &table)? {
                    output.tied = false;
                    notes.push(format!(
                        "config.json ties the language-model head to the token table, but '{name}' and '{table}' differ: each \
                         is read for what it is"
                    ));
                }
            }
            (None, Some((own, _))) => {
                let Some(output) = &mut spec.output else { return Ok(()) };
                if !output.tied {
                    spec.output = None;
                    notes.push("the files hold no language-model head, so the model is read without one".to_owned());
                    return Ok(());
                }
                // A tied head that is not there is the table that stacks share, whatever the last stack has of its own.
                let shared = find(checkpoint, family, table, |_| true)?;
                if shared.0 != own && differ(checkpoint, &shared.0, &own)? {
                    output.tied = false;
                    notes.push(format!("the files hold no language-model head of its own: it is '{}'", shared.0));
                    self.0.insert(head, shared);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn table_of(stack: StackKind) -> Role {
    Module::Embed(stack, EmbedModule::Tokens).weight()
}

/// Whether two tensors differ in shape, type or, as far as samples of their bytes tell, numbers.
fn differ(checkpoint: &Checkpoint, one: &str, other: &str) -> Result<bool> {
    const SAMPLES: usize = 32;
    const LENGTH: usize = 4096;
    let (Some(a), Some(b)) = (checkpoint.info(one), checkpoint.info(other)) else { return Ok(false) };
    if a.shape != b.shape || a.stored != b.stored {
        return Ok(true);
    }
    let length = a.bytes.min(LENGTH);
    for sample in 0..SAMPLES {
        let from = (a.bytes - length) / (SAMPLES - 1) * sample;
        if checkpoint.read_range(one, from, length)? != checkpoint.read_range(other, from, length)? {
            return Ok(true);
        }
    }
    Ok(false)
}

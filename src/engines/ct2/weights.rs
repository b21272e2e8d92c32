//! The weights of a network in a written file.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};

use super::file::Ct2File;
use super::layout::{Ct2Content, Layout};
use crate::error::{Error, Result};
use crate::network::{EmbedModule, Module, NetworkSpec, Role, StackKind, Weights, roles};

/// Hands out what a file holds by role.
pub(super) struct Ct2Weights {
    file: Ct2File,
    layout: Layout,
    shapes: BTreeMap<Role, Vec<usize>>,
}

impl Ct2Weights {
    /// Those of the network `spec` in `file`.
    pub(super) fn new(file: Ct2File, layout: &Layout, spec: &NetworkSpec) -> Self {
        Self { file, layout: layout.clone(), shapes: roles::tensors(spec).into_iter().collect() }
    }

    /// A table of `shape` in which `found` stands from row `from` on.
    fn within(found: &Tensor, from: usize, shape: &[usize]) -> Result<Tensor> {
        let (rows, got) = (shape.first().copied().unwrap_or(0), found.dim(0)?);
        let rest = rows.saturating_sub(from + got);
        let nothing = |count: usize| -> Result<Tensor> {
            let mut dims = shape.to_vec();
            if let Some(first) = dims.first_mut() {
                *first = count;
            }
            Ok(Tensor::zeros(dims, DType::F32, &Device::Cpu)?)
        };
        Ok(Tensor::cat(&[nothing(from)?, found.clone(), nothing(rest)?], 0)?)
    }

    /// The name under which the file holds a table of tokens.
    fn name_of(role: Role) -> Option<&'static str> {
        match role.module {
            Module::Embed(StackKind::Encoder, EmbedModule::Tokens) => Some("encoder/embeddings_0/weight"),
            Module::Embed(StackKind::Decoder, EmbedModule::Tokens) => Some("decoder/embeddings/weight"),
            Module::Output if role == Module::Output.weight() => Some("decoder/projection/weight"),
            _ => None,
        }
    }
}

impl Weights for Ct2Weights {
    fn get(&self, role: Role) -> Result<Tensor> {
        let missing = || Error::new(format!("the file has nothing for '{role}'"));
        let shape = self.shapes.get(&role).ok_or_else(missing)?;
        if let Some(name) = Self::name_of(role) {
            let alias = self.file.head.aliases.iter().find(|(alias, _)| alias == name);
            let found = self.file.tensor(alias.map_or(name, |(_, name)| name))?;
            return Self::within(&found, 0, shape);
        }
        for variable in &self.layout.variables {
            let found = || self.file.tensor(&variable.name);
            match &variable.content {
                Ct2Content::Roles(parts) => {
                    let mut from = 0;
                    for (part, rows) in parts {
                        if *part == role {
                            return Ok(found()?.narrow(0, from, *rows)?.reshape(shape.as_slice())?);
                        }
                        from += rows;
                    }
                }
                Ct2Content::Biases(parts) => {
                    let mut from = 0;
                    for part in parts {
                        if part.role == role && part.is_there {
                            return Ok(found()?.narrow(0, from, part.length)?);
                        }
                        from += part.length;
                    }
                }
                Ct2Content::Rows(part, range) if *part == role => return Self::within(&found()?, range.start, shape),
                Ct2Content::Sinusoids(part, offset, _) if *part == role => {
                    return Self::within(&found()?, *offset, shape);
                }
                Ct2Content::Columns(part, columns) if *part == role => {
                    let (heads, found) = (shape.get(1).copied().unwrap_or(0), found()?);
                    let nothing = Tensor::zeros((found.dim(0)?, 1), DType::F32, &Device::Cpu)?;
                    let column = |head: usize| match columns.iter().position(|column| *column == head) {
                        Some(at) => Ok(found.narrow(1, at, 1)?),
                        None => Ok(nothing.clone()),
                    };
                    let all = (0..heads).map(column).collect::<Result<Vec<_>>>()?;
                    return Ok(Tensor::cat(&all, 1)?);
                }
                _ => {}
            }
        }
        Err(missing())
    }
}

//! What every format would give, known before anything is written.

use std::collections::BTreeMap;

use serde::Serialize;

use super::surgery::Surgery;
use super::{Counts, ExportFormat, OutputFormat};
use crate::error::Result;
use crate::model::Model;
use crate::network::Site;
use crate::plan::Plan;

/// What an export in one format would be: exactly what it then is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Forecast {
    pub format: OutputFormat,
    pub opens_in: Vec<String>,
    /// Parameters that the network reads.
    pub parameters: Counts,
    /// Those of them in the projections of attention layers; 0 where it is not counted, as of files for engines.
    pub attention_parameters: Counts,
    /// Bytes of weights, as [`super::Report::bytes`] counts them.
    pub bytes: Counts,
    /// Bytes of keys and values that every generated token leaves behind, at the type of the weights; 0 without a
    /// decoder.
    pub cache_bytes_per_token: Counts,
    /// Bytes of keys and values of cross attention that every source token leaves behind, at the type of the weights.
    pub cache_bytes_per_source_token: Counts,
    /// Heads that are there for the shape alone and add nothing, by site.
    pub zero_heads: BTreeMap<Site, usize>,
    /// What a reader should know, in sentences.
    pub notes: Vec<String>,
}

/// The forecast for `format`; an error says in one line why there is no such export of this model. Reads headers only.
pub fn forecast(model: &Model, plan: &Plan, format: ExportFormat) -> Result<Forecast> {
    let surgery = Surgery::new(model, plan, format)?;
    let (cache_bytes_per_token, cache_bytes_per_source_token) = surgery.cache(model);
    Ok(Forecast {
        format: format.into(),
        parameters: surgery.parameters(model),
        attention_parameters: surgery.attention_parameters(model),
        bytes: surgery.bytes(model.checkpoint()),
        cache_bytes_per_token,
        cache_bytes_per_source_token,
        zero_heads: surgery.zero_heads(),
        opens_in: surgery.opens_in,
        notes: surgery.notes,
    })
}

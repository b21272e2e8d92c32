//! Weights in one file, or in several with an index.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::checkpoint::{Content, TensorPlan, write_atomically, write_safetensors};
use crate::error::Result;

/// Weights larger than this are split into files of at most this many bytes of tensors.
pub const SHARD_BYTES: u64 = 5_000_000_000;

/// Splits `tensors` in their order into files of at most `limit` bytes; a tensor larger than that has its own.
fn split(tensors: Vec<TensorPlan>, limit: u64) -> Vec<Vec<TensorPlan>> {
    let mut shards: Vec<Vec<TensorPlan>> = Vec::new();
    let mut filled = 0u64;
    for tensor in tensors {
        let bytes = tensor.bytes() as u64;
        match shards.last_mut() {
            Some(shard) if filled + bytes <= limit => {
                filled += bytes;
                shard.push(tensor);
            }
            _ => {
                filled = bytes;
                shards.push(vec![tensor]);
            }
        }
    }
    shards
}

/// Writes `tensors` into `folder`, asking `content_of` for one at a time. Gives the names of the files.
pub fn write_weights<'a, C: Into<Content<'a>>>(
    folder: &Path,
    tensors: Vec<TensorPlan>,
    limit: u64,
    mut content_of: impl FnMut(&TensorPlan) -> Result<C>,
) -> Result<Vec<String>> {
    let shards = split(tensors, limit);
    if let [single] = shards.as_slice() {
        let name = "model.safetensors".to_owned();
        write_safetensors(&folder.join(&name), single, content_of)?;
        return Ok(vec![name]);
    }
    let mut places = Map::new();
    let mut files = Vec::new();
    let mut total = 0u64;
    for (index, shard) in shards.iter().enumerate() {
        let name = format!("model-{:05}-of-{:05}.safetensors", index + 1, shards.len());
        write_safetensors(&folder.join(&name), shard, &mut content_of)?;
        for tensor in shard {
            total += tensor.bytes() as u64;
            places.insert(tensor.name.clone(), Value::from(name.as_str()));
        }
        files.push(name);
    }
    let index = json!({"metadata": {"total_size": total}, "weight_map": places});
    let name = "model.safetensors.index.json".to_owned();
    write_atomically(&folder.join(&name), serde_json::to_string_pretty(&index)?.as_bytes())?;
    files.push(name);
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Stored;

    #[test]
    fn no_shard_is_larger_than_the_limit_unless_one_tensor_is() {
        let tensor = |name: &str, length| TensorPlan { name: name.to_owned(), stored: Stored::U8, shape: vec![length] };
        let tensors = vec![tensor("a", 3), tensor("b", 2), tensor("c", 9), tensor("d", 1), tensor("e", 4)];
        let shards: Vec<Vec<String>> =
            split(tensors, 5).into_iter().map(|s| s.into_iter().map(|t| t.name).collect()).collect();
        assert_eq!(shards, [vec!["a", "b"], vec!["c"], vec!["d", "e"]]);
    }
}

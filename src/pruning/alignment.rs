//! Heads that a side file names by number: those of Whisper whose cross attention tells when a word was said.

use std::path::Path;

use serde_json::{Value, json};

use super::slots::{Slot, Slots};
use crate::checkpoint::{read_file, write_atomically};
use crate::error::Result;
use crate::model::{ALIGNMENT_FILE as FILE, ALIGNMENT_KEY as KEY};
use crate::network::{Site, SiteKind};

/// Gives the pairs of layer and head in the copied `generation_config.json` of `folder` the numbers that the heads have in
/// the written model, and leaves out those that are gone. Says what changed; a file without such pairs stays as it is.
///
/// # Errors
/// Where the file cannot be written.
pub(super) fn renumber_alignment(folder: &Path, slots: &Slots) -> Result<Option<String>> {
    let path = folder.join(FILE);
    let Ok(bytes) = read_file(&path) else { return Ok(None) };
    let Ok(mut file) = serde_json::from_slice::<Value>(&bytes) else { return Ok(None) };
    let Some(pairs) = file.get(KEY).and_then(Value::as_array) else { return Ok(None) };
    let (all, mut kept) = (pairs.len(), Vec::with_capacity(pairs.len()));
    for pair in pairs {
        let number = |at: usize| pair.get(at).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        let (Some(layer), Some(head)) = (number(0), number(1)) else { return Ok(None) };
        match slots.get(&Site::new(SiteKind::Cross, layer)) {
            // A zero head adds nothing, but it still looks where the head looked.
            Some(site) => kept.extend(place(&site.queries, head).map(|head| json!([layer, head]))),
            None => kept.push(pair.clone()),
        }
    }
    if kept == *pairs {
        return Ok(None);
    }
    let gone = all - kept.len();
    if let Some(keys) = file.as_object_mut() {
        keys.insert(KEY.to_owned(), Value::Array(kept));
    }
    write_atomically(&path, (serde_json::to_string_pretty(&file)? + "\n").as_bytes())?;
    Ok(Some(match gone {
        0 => format!("{FILE}: {KEY} have the numbers of the heads that are left"),
        gone if gone == all => format!("{FILE}: all {KEY} are gone, so there are no times of words"),
        gone => format!("{FILE}: {gone} of {all} {KEY} are gone, the others have new numbers"),
    }))
}

/// Where a head stands among those that are written.
fn place(queries: &[Slot], head: usize) -> Option<usize> {
    queries.iter().position(|slot| slot.head() == head && !matches!(slot, Slot::Mean(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pruning::slots::SiteSlots;

    #[test]
    fn pairs_follow_their_heads_and_go_with_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let write = |pairs: Value| std::fs::write(&path, json!({"a": 1, KEY: pairs}).to_string()).unwrap();
        let read = || serde_json::from_slice::<Value>(&std::fs::read(&path).unwrap()).unwrap();
        let queries = vec![Slot::Keep(1), Slot::Keep(3)];
        let left = SiteSlots { keys: queries.clone(), queries };
        let slots = Slots::from([(Site::new(SiteKind::Cross, 0), left)]);
        write(json!([[0, 3], [0, 2], [1, 2]]));
        let note = renumber_alignment(folder.path(), &slots).unwrap().unwrap();
        assert!(note.contains("1 of 3 alignment_heads are gone"), "{note}");
        assert_eq!(read(), json!({"a": 1, KEY: [[0, 1], [1, 2]]}));
        write(json!([[0, 0]]));
        assert!(renumber_alignment(folder.path(), &slots).unwrap().unwrap().contains("all alignment_heads are gone"));
        write(json!([[1, 2]]));
        assert_eq!(renumber_alignment(folder.path(), &slots).unwrap(), None);
        std::fs::write(&path, "{}").unwrap();
        assert_eq!(renumber_alignment(folder.path(), &slots).unwrap(), None);
        assert_eq!(renumber_alignment(Path::new("/nowhere"), &slots).unwrap(), None);
    }
}

//! Heads that a side file names: those of Whisper whose cross attention tells when a word was said.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Model;
use crate::checkpoint::read_file;
use crate::network::{Head, Site, SiteKind};

/// The file and the key that name them, as pairs of layer and head.
pub(crate) const ALIGNMENT_FILE: &str = "generation_config.json";
pub(crate) const ALIGNMENT_KEY: &str = "alignment_heads";

impl Model {
    /// The heads of cross attention that its `generation_config.json` names to tell when a word was said; those that the
    /// model does not have are left out.
    pub fn alignment_heads(&self) -> BTreeSet<Head> {
        let path = self.checkpoint().folder().join(ALIGNMENT_FILE);
        let file: Option<Value> = read_file(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let pairs = file.as_ref().and_then(|file| file.get(ALIGNMENT_KEY)?.as_array()).map_or(&[][..], Vec::as_slice);
        let head = |pair: &Value| {
            let number = |at: usize| usize::try_from(pair.get(at)?.as_u64()?).ok();
            let (site, head) = (Site::new(SiteKind::Cross, number(0)?), number(1)?);
            (head < self.spec().attention(site)?.heads).then_some(Head::new(site, head))
        };
        pairs.iter().filter_map(head).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn pairs_name_heads_of_cross_attention() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/whisper");
        let folder = tempfile::tempdir().unwrap();
        for name in ["config.json", "model.safetensors"] {
            std::fs::copy(fixture.join(name), folder.path().join(name)).unwrap();
        }
        let heads = || Model::open(folder.path()).unwrap().alignment_heads();
        assert!(heads().is_empty());
        let file = r#"{"alignment_heads": [[1, 0], [0, 3], [9, 0], [0, 99], ["x"], 7]}"#;
        std::fs::write(folder.path().join(ALIGNMENT_FILE), file).unwrap();
        let of = |layer, head| Head::new(Site::new(SiteKind::Cross, layer), head);
        assert_eq!(heads(), [of(0, 3), of(1, 0)].into());
    }
}

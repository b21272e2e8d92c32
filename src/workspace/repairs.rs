//! Repairs that plans were measured with, each in a file of its own beside the document: large, binary, and never quite the
//! same where another text makes them anew.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::repair::{Repair, RepairMode, RepairRecord};
use crate::words::hexadecimal;

/// A repair that is kept with the work. The document names it, its tensors lie in a file beside.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeptRepair {
    /// Digest of its record, by which its file is named and known.
    pub digest: String,
    /// The mode that was asked for; what came of it is in the record.
    pub asked: RepairMode,
    /// Whether it came with its plan, so that no other run makes it out of date.
    #[serde(default)]
    pub is_own: bool,
    /// The repair itself, where it was read.
    #[serde(skip)]
    pub repair: Option<Arc<Repair>>,
}

/// Two of one record are the same repair, read or not.
impl PartialEq for KeptRepair {
    fn eq(&self, other: &Self) -> bool {
        let name = |kept: &Self| (kept.digest.clone(), kept.asked, kept.is_own);
        name(self) == name(other)
    }
}

impl KeptRepair {
    /// A repair that was made, to be kept.
    ///
    /// # Errors
    /// Its record cannot be written.
    pub fn new(repair: Arc<Repair>, asked: RepairMode, is_own: bool) -> Result<Self> {
        Ok(Self { digest: digest(&repair.record)?, asked, is_own, repair: Some(repair) })
    }

    /// Its file beside the document at `path`.
    pub(super) fn path_beside(&self, path: &Path) -> PathBuf {
        path.with_file_name(format!("{}.{}{ENDING}", name_of(path), self.digest))
    }

    /// Writes it beside the document at `path`, unless it lies there already.
    pub(super) fn write_beside(&self, path: &Path) -> Result<()> {
        let Some(repair) = &self.repair else { return Ok(()) };
        let path = self.path_beside(path);
        if Repair::record_at(&path).and_then(|record| digest(&record)).is_ok_and(|found| found == self.digest) {
            return Ok(());
        }
        // Nothing else has such a name: what lies there is a torn or foreign copy of it, which this mends.
        repair.write(&path)
    }

    /// Reads it from beside the document at `path`.
    pub(super) fn read_beside(&self, path: &Path) -> Result<Arc<Repair>> {
        // The document may come from anywhere.
        if !is_digest(&self.digest) {
            return Err(Error::new(format!("'{}' is no name of a repair", self.digest)).at(path));
        }
        let path = self.path_beside(path);
        let repair = Repair::read(&path)?;
        if digest(&repair.record)? != self.digest {
            return Err(Error::new("this is another repair than the workspace names").at(path));
        }
        Ok(Arc::new(repair))
    }
}

/// How names of their files end, behind that of the document and the digest.
const ENDING: &str = ".repair.safetensors";

/// The document beside which a file of this name would hold a repair, where it may be the name of one.
pub(super) fn document_of(name: &str) -> Option<&str> {
    let (document, digest) = name.strip_suffix(ENDING)?.rsplit_once('.')?;
    is_digest(digest).then_some(document)
}

fn is_digest(text: &str) -> bool {
    text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

const DIGITS: usize = 16;

fn digest(record: &RepairRecord) -> Result<String> {
    let digest = Sha256::digest(serde_json::to_vec(record)?);
    Ok(hexadecimal(digest.iter().take(DIGITS / 2)))
}

pub(super) fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::{Document, ModelInfo};
    use crate::workspace::{ModelRef, Store, Workspace};

    fn repair(head: usize) -> Arc<Repair> {
        Arc::new(Repair::new(RepairRecord {
            mode: RepairMode::Refit,
            model: ModelInfo::default(),
            input: "text a.txt".to_owned(),
            readings: Vec::new(),
            tokens: 12,
            kept: [("encoder.0".parse().unwrap(), vec![head])].into_iter().collect(),
            method: String::new(),
            sites: Default::default(),
            measured: Vec::new(),
            notes: Vec::new(),
        }))
    }

    fn workspace(heads: &[usize]) -> Workspace {
        let kept = |head: &usize| KeptRepair::new(repair(*head), RepairMode::Auto, false).unwrap();
        Workspace {
            model: Some(ModelRef { folder: "/m".into(), fingerprint: "a".to_owned() }),
            repairs: heads.iter().map(kept).collect(),
            ..Workspace::default()
        }
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut found: Vec<_> = all.filter(|path| document_of(&name_of(path)).is_some()).collect();
        found.sort();
        found
    }

    #[test]
    fn repairs_come_back_with_the_work_and_go_with_it() {
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::at(scratch.path());
        store.save_workspace(&workspace(&[0, 1]), false).unwrap();
        let back = || store.workspace().unwrap().workspace;
        let heads = |found: &Workspace| -> Vec<_> {
            found.repairs.iter().map(|kept| kept.repair.as_ref().unwrap().record.kept.clone()).collect()
        };
        assert_eq!(heads(&back()), heads(&workspace(&[0, 1])));
        assert_eq!(files(&scratch.path().join("workspaces")).len(), 2);
        // What is there is not written again, what is named no longer goes.
        let [first, _] = &files(&scratch.path().join("workspaces"))[..] else { panic!() };
        let written = || std::fs::metadata(first).and_then(|found| found.modified()).ok();
        let before = written();
        store.save_workspace(&workspace(&[0, 1]), false).unwrap();
        assert_eq!(written(), before);
        store.save_workspace(&workspace(&[1]), false).unwrap();
        assert_eq!(heads(&back()), heads(&workspace(&[1])));
        assert_eq!(files(&scratch.path().join("workspaces")).len(), 1);
        // A file of its own takes them along, and leaves those of others alone.
        let path = scratch.path().join("w.pillars");
        let strange = scratch.path().join("v.pillars.0123456789abcdef.repair.safetensors");
        std::fs::write(&strange, "").unwrap();
        workspace(&[2]).write_whole(&path).unwrap();
        let mut again = Workspace::read(&path).unwrap();
        again.take_repairs(&path);
        assert_eq!((heads(&again), strange.exists()), (heads(&workspace(&[2])), true));
    }

    #[test]
    fn a_repair_that_is_gone_damaged_or_another_is_left_out_and_told() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("w.pillars");
        let whole = workspace(&[0]);
        let file = whole.repairs[0].path_beside(&path);
        for (damage, told) in [
            (None, "there is no repair of this name"),
            (Some("other"), "another repair than the workspace names"),
            (Some("torn"), "w.pillars"),
        ] {
            whole.write_whole(&path).unwrap();
            match damage {
                None => std::fs::remove_file(&file).unwrap(),
                Some("other") => repair(3).write(&file).unwrap(),
                Some(_) => std::fs::write(&file, "torn").unwrap(),
            }
            let mut found = Workspace::read(&path).unwrap();
            found.take_repairs(&path);
            assert!(found.repairs.is_empty());
            assert!(found.repair_faults.concat().contains(told), "{:?}", found.repair_faults);
            let _ = std::fs::remove_file(&file);
        }
        let mut hostile = whole;
        hostile.repairs[0].digest = "/../../0123456789".to_owned();
        hostile.take_repairs(&path);
        assert!(hostile.repair_faults.concat().contains("no name of a repair"), "{:?}", hostile.repair_faults);
    }
}

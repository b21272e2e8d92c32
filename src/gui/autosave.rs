//! What the window wrote by itself, and what changed since.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::analysis::Analysis;
use crate::error::Result;
use crate::workspace::{ModelRef, ProgramSettings, Store, Workspace};

/// What was taken to be written last, and when something changed since.
#[derive(Default)]
pub(super) struct Autosave {
    latest: Option<(ProgramSettings, Workspace)>,
    pub changed_at: Option<Instant>,
    pub seen: Option<Fingerprint>,
    /// The work as it stands in the file that a person named.
    pub in_file: Option<Work>,
    /// Take the work of this frame for what stands in that file.
    pub is_fresh: bool,
    /// Snapshots that were taken.
    taken: u64,
    disk: Arc<Mutex<OnDisk>>,
    /// Files with the work of other windows that a person knows of.
    pub told: HashSet<PathBuf>,
}

impl Autosave {
    /// The work as it is now stands in its file.
    pub(super) fn mark_written(&mut self) {
        self.is_fresh = true;
    }

    /// Whether there is work that the file does not hold.
    pub(super) fn is_edited(&self) -> bool {
        self.seen.as_ref().zip(self.in_file.as_ref()).is_some_and(|(seen, file)| seen.work != *file)
    }

    /// What is to be written; `None` where the disk holds the same. One whose write failed or has not ended is no such thing.
    pub(super) fn snapshot(
        &mut self,
        store: &Store,
        settings: ProgramSettings,
        workspace: Workspace,
    ) -> Option<UnsavedWork> {
        let is_latest = |(s, w): &(ProgramSettings, Workspace)| *s == settings && is_same(w, &workspace);
        // A worker that writes right now is not waited for.
        let is_written = || self.disk.try_lock().is_ok_and(|disk| disk.number == self.taken);
        if self.latest.as_ref().is_some_and(is_latest) && is_written() {
            return None;
        }
        self.latest = Some((settings.clone(), workspace.clone()));
        self.taken += 1;
        Some(UnsavedWork {
            number: self.taken,
            settings,
            workspace,
            store: store.clone(),
            disk: Arc::clone(&self.disk),
        })
    }
}

/// Equality that does not read through analyses and curves: they are never changed in place.
fn is_same(a: &Workspace, b: &Workspace) -> bool {
    let address = |w: &Workspace| (w.analysis.as_ref().map(Arc::as_ptr), w.curves.as_ref().map(Arc::as_ptr));
    let without = |w: &Workspace| Workspace { analysis: None, moments: None, curves: None, ..w.clone() };
    address(a) == address(b) && without(a) == without(b)
}

/// What lies on the disk; workers hold it while they write.
#[derive(Default)]
struct OnDisk {
    /// Its snapshot, so that a slow write of an older one never replaces a newer one.
    number: u64,
    /// Its model and analysis, which is large and written only when it is another.
    analysis: Option<(Option<ModelRef>, Option<Arc<Analysis>>)>,
}

fn held(disk: &Mutex<OnDisk>) -> MutexGuard<'_, OnDisk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Settings and work as they were at one moment.
pub(super) struct UnsavedWork {
    number: u64,
    settings: ProgramSettings,
    workspace: Workspace,
    store: Store,
    disk: Arc<Mutex<OnDisk>>,
}

impl UnsavedWork {
    /// Writes it unless a newer one was written; it may run on a worker. Gives the file with the work of another window,
    /// where there is such work.
    ///
    /// # Errors
    /// Where the disk fails; what lay there is there still.
    pub(super) fn write(self) -> Result<Option<PathBuf>> {
        let mut disk = held(&self.disk);
        if disk.number > self.number {
            return Ok(None);
        }
        let analysis = (self.workspace.model.clone(), self.workspace.analysis.clone());
        let is_there = disk.analysis.as_ref().is_some_and(|(model, held)| {
            *model == analysis.0 && held.as_ref().map(Arc::as_ptr) == analysis.1.as_ref().map(Arc::as_ptr)
        });
        self.store.save_settings(&self.settings)?;
        let other = self.store.save_workspace(&self.workspace, !is_there)?;
        *disk = OnDisk { number: self.number, analysis: Some(analysis) };
        Ok(other)
    }
}

/// What is compared to notice a change without looking at everything.
#[derive(PartialEq)]
pub(super) struct Fingerprint {
    pub settings: ProgramSettings,
    pub work: Work,
    pub site: Option<crate::network::Site>,
    pub feature: Option<crate::network::FeatureMap>,
    pub layout: u64,
}

/// What would be missed.
#[derive(Clone, PartialEq)]
pub struct Work {
    pub run: crate::run::Spec,
    pub training: crate::training::TrainSettings,
    pub trained: Option<PathBuf>,
    pub exported: Option<PathBuf>,
    pub repair: crate::repair::RepairMode,
    pub repairs: u64,
    pub quality_share: Option<f64>,
    pub quality_measure: Option<String>,
    pub notes: String,
    pub plan_revision: u64,
    pub results: u64,
    pub measured: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use rand::seq::SliceRandom;

    fn work(notes: usize) -> Workspace {
        let model = Some(ModelRef { folder: "/m".into(), fingerprint: "a".to_owned() });
        Workspace { model, notes: notes.to_string(), ..Workspace::default() }
    }

    fn notes(store: &Store) -> String {
        store.workspace().unwrap().workspace.notes
    }

    #[test]
    fn the_newest_snapshot_stays_in_whatever_order_workers_write() {
        const SNAPSHOTS: usize = 60;
        const WORKERS: usize = 4;
        let folder = tempfile::tempdir().unwrap();
        for seed in 0..8 {
            let store = Store::at(folder.path().join(seed.to_string()));
            let mut autosave = Autosave::default();
            let take = |n| autosave.snapshot(&store, ProgramSettings::default(), work(n)).unwrap();
            let mut all: Vec<UnsavedWork> = (0..SNAPSHOTS).map(take).collect();
            all.shuffle(&mut StdRng::seed_from_u64(seed));
            let mut shares: Vec<Vec<UnsavedWork>> = Vec::new();
            shares.resize_with(WORKERS, Vec::new);
            for (at, snapshot) in all.into_iter().enumerate() {
                shares[at % WORKERS].push(snapshot);
            }
            std::thread::scope(|scope| {
                for share in shares {
                    scope.spawn(|| share.into_iter().for_each(|snapshot| drop(snapshot.write().unwrap())));
                }
            });
            assert_eq!(notes(&store), (SNAPSHOTS - 1).to_string());
            assert!(autosave.snapshot(&store, ProgramSettings::default(), work(SNAPSHOTS - 1)).is_none());
        }
    }

    #[test]
    fn what_could_not_be_written_is_written_once_it_can() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        let mut autosave = Autosave::default();
        let mut take = |n| autosave.snapshot(&store, ProgramSettings::default(), work(n));
        take(1).unwrap().write().unwrap();
        // As a full disk: nothing gets into this place.
        let place = folder.path().join("workspaces");
        let aside = folder.path().join("aside");
        std::fs::rename(&place, &aside).unwrap();
        std::fs::write(&place, "").unwrap();
        take(2).unwrap().write().unwrap_err();
        std::fs::remove_file(&place).unwrap();
        std::fs::rename(&aside, &place).unwrap();
        assert_eq!(notes(&store), "1");
        // Nothing changed since, as when the window is closed.
        let again = take(2).expect("it is not on the disk");
        // A write that is under way is not waited for by name: it may never end.
        let closing = take(2).expect("it is not on the disk yet");
        closing.write().unwrap();
        again.write().unwrap();
        assert_eq!(notes(&store), "2");
        assert!(take(2).is_none());
    }
}

//! Repair in the window: how plans are repaired, and the repairs that were made.

use std::sync::{Arc, OnceLock};

use crate::analysis::Moments;
use crate::error::Result;
use crate::network::{Kept, NetworkSpec};
use crate::plan::Plan;
use crate::repair::{Reconstruction, Repair, RepairMode};
use crate::run::searched_with;
use crate::workspace::KeptRepair;

/// Repairs that are held; the oldest are made anew where they are asked for again.
const HELD: usize = 8;

/// Second moments of a run, and the orders in which heads go by them.
#[derive(Clone, Debug)]
pub struct FoundMoments {
    pub moments: Arc<Moments>,
    /// The orders, found where they are asked for first.
    reconstruction: Arc<OnceLock<Reconstruction>>,
}

/// Bytes of second moments up to which a run gathers them, and a workspace keeps them, without being asked; so many of
/// repairs it keeps, too.
const UNASKED: u64 = 1 << 30;

impl FoundMoments {
    /// Those of a run; the orders that follow from them are not found yet.
    pub fn new(moments: Arc<Moments>) -> Self {
        Self { moments, reconstruction: Arc::default() }
    }

    /// The orders in which heads go; finding them takes longer than a frame.
    ///
    /// # Errors
    ///
    /// The moments hold numbers that are not finite.
    pub fn reconstruction(&self) -> Result<&Reconstruction> {
        if let Some(found) = self.reconstruction.get() {
            return Ok(found);
        }
        let found = Reconstruction::new(&self.moments, false)?;
        Ok(self.reconstruction.get_or_init(|| found))
    }

    /// The moments, where they are small enough to be kept with the work.
    pub fn kept(&self) -> Option<Arc<Moments>> {
        (self.moments.bytes() <= UNASKED).then(|| Arc::clone(&self.moments))
    }

    /// Whether a run of a model gathers second moments unless a person says otherwise.
    pub fn are_cheap(spec: &NetworkSpec) -> bool {
        Moments::bytes_of(spec) <= UNASKED
    }
}

/// A repair with what it was asked to be.
#[derive(Clone, Debug)]
pub struct MadeRepair {
    pub repair: Arc<Repair>,
    /// The mode that was asked for; what `auto` chose is in the record.
    pub asked: RepairMode,
    /// Whether it came with its plan, from a file or a search, so that no other run makes it out of date.
    pub is_own: bool,
}

/// How plans are repaired, and the repairs that were made.
#[derive(Debug, Default)]
pub struct Repairing {
    /// How plans are repaired; [`RepairMode::None`] where they are not.
    pub mode: RepairMode,
    made: Vec<MadeRepair>,
    /// Changes with the repairs.
    pub revision: u64,
}

impl Repairing {
    /// Whether plans are repaired.
    pub fn is_on(&self) -> bool {
        self.mode.repairs()
    }

    /// The repair for exactly these heads. It stays when another text is read: then quality is told of text that the repair
    /// has not seen.
    pub fn of(&self, kept: &Kept) -> Option<&MadeRepair> {
        self.made.iter().rev().find(|made| made.asked == self.mode && made.repair.record.kept == *kept)
    }

    /// Whether there is any repair for exactly these heads.
    pub fn holds(&self, kept: &Kept) -> bool {
        self.made.iter().any(|made| made.repair.record.kept == *kept)
    }

    /// How `plan` is repaired: as the search did that found it, unless another way was chosen.
    pub fn way(&self, plan: &Plan) -> RepairMode {
        match self.mode {
            RepairMode::Auto => searched_with(plan).unwrap_or(RepairMode::Auto),
            chosen => chosen,
        }
    }

    /// Takes in the repair that came with `plan`, which names every layer; repair is switched on where it was off.
    pub fn take(&mut self, mut repair: Repair, plan: &Plan) {
        if !self.is_on() {
            self.mode = RepairMode::Auto;
        }
        // A file may leave out layers that keep every head.
        repair.record.kept = plan.kept.clone();
        self.add(MadeRepair { repair: Arc::new(repair), asked: self.mode, is_own: true });
    }

    /// The repairs, the oldest first, to be kept with the work: the latest of them, where all are too large.
    pub fn kept(&self) -> Vec<KeptRepair> {
        let mut room = UNASKED;
        let fits = |made: &&MadeRepair| {
            let left = room.checked_sub(made.repair.bytes());
            room = left.unwrap_or(0);
            left.is_some()
        };
        let latest = self.made.iter().rev().take_while(fits);
        let mut kept: Vec<_> =
            latest.filter_map(|made| KeptRepair::new(Arc::clone(&made.repair), made.asked, made.is_own).ok()).collect();
        kept.reverse();
        kept
    }

    /// Takes back a repair that was kept with the work.
    pub fn restore(&mut self, kept: &KeptRepair) {
        if let Some(repair) = &kept.repair {
            let KeptRepair { asked, is_own, .. } = *kept;
            self.add(MadeRepair { repair: Arc::clone(repair), asked, is_own });
        }
    }

    /// Every repair that is held, the oldest first.
    pub fn made(&self) -> &[MadeRepair] {
        &self.made
    }

    /// Holds others in place of those that are held.
    pub fn exchange(&mut self, others: &mut Vec<MadeRepair>) {
        std::mem::swap(&mut self.made, others);
        self.revision += 1;
    }

    /// Forgets what was calibrated on an earlier run.
    pub fn begin_run(&mut self) {
        self.made.retain(|made| made.is_own);
        self.revision += 1;
    }

    pub fn add(&mut self, made: MadeRepair) {
        let same = |m: &MadeRepair| m.asked == made.asked && m.repair.record.kept == made.repair.record.kept;
        self.made.retain(|m| !same(m));
        if self.made.len() >= HELD {
            self.made.remove(0);
        }
        self.made.push(made);
        self.revision += 1;
    }

    /// Forgets every repair; the mode is `mode` from now on.
    pub fn begin(&mut self, mode: RepairMode) {
        self.made.clear();
        self.mode = mode;
        self.revision += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::ModelInfo;
    use crate::repair::RepairRecord;

    fn made(head: usize, asked: RepairMode) -> MadeRepair {
        let kept: Kept = [("encoder.0".parse().unwrap(), vec![head])].into_iter().collect();
        let record = RepairRecord {
            mode: RepairMode::Refit,
            model: ModelInfo::default(),
            input: String::new(),
            readings: Vec::new(),
            tokens: 0,
            kept,
            method: String::new(),
            sites: Default::default(),
            measured: Vec::new(),
            notes: Vec::new(),
        };
        MadeRepair { repair: Arc::new(Repair::new(record)), asked, is_own: false }
    }

    #[test]
    fn a_repair_is_that_of_its_heads_and_its_mode() {
        let mut held = Repairing { mode: RepairMode::Auto, ..Repairing::default() };
        for head in 0..12 {
            held.add(made(head, RepairMode::Auto));
        }
        let kept = |head| made(head, RepairMode::Auto).repair.record.kept.clone();
        assert!(held.of(&kept(0)).is_none() && held.of(&kept(11)).is_some());
        held.mode = RepairMode::Stream;
        assert!(held.of(&kept(11)).is_none());
        let before = held.revision;
        held.begin(RepairMode::Auto);
        assert!(held.of(&kept(11)).is_none() && held.revision > before);
    }

    #[test]
    fn another_run_leaves_the_repairs_that_came_with_plans() {
        let mut held = Repairing::default();
        let own = Arc::unwrap_or_clone(made(1, RepairMode::Refit).repair);
        let plan = Plan { kept: own.record.kept.clone(), ..Plan::default() };
        held.take(own, &plan);
        assert_eq!(held.mode, RepairMode::Auto);
        held.add(made(2, RepairMode::Auto));
        held.begin_run();
        let kept = |head| made(head, RepairMode::Auto).repair.record.kept.clone();
        assert!(held.of(&kept(1)).is_some_and(|made| made.is_own) && held.of(&kept(2)).is_none());
    }
}

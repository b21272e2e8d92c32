//! What the phases of a run take beside each other, for one bar over all of them.

use crate::task::StageTime;

/// Phases, in their order: reading and loading, the passes that are analyzed, moments apart, random tokens read twice, the
/// comparison with chance, importance, sensitivity.
pub(super) const PHASES: usize = 7;

/// The phase that a stage belongs to, by its name.
fn phase_of(stage: &str) -> usize {
    match stage {
        "analyze" | "group heads" => 1,
        "sum second moments" => 2,
        "read random tokens twice" => 3,
        "compare with chance" => 4,
        "measure importance" => 5,
        "measure sensitivity" => 6,
        _ => 0,
    }
}

/// Seconds of each phase, from those of the stages.
pub(super) fn phase_secs(stages: &[StageTime], of: impl Fn(&StageTime) -> f64) -> [f64; PHASES] {
    let mut secs = [0.0; PHASES];
    for stage in stages {
        secs[phase_of(&stage.stage)] += of(stage);
    }
    secs
}

/// Which phases a run has besides its passes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HasPhases {
    pub apart: bool,
    pub repeats: bool,
    pub chance: bool,
    pub importance: bool,
    pub sensitivity: bool,
}

/// Passes over a batch in whose time it is analyzed.
pub(super) const ANALYZED: f64 = 1.5;
/// Batches of an input that does not tell their number.
const UNKNOWN: u64 = 64;
/// Share of the whole that reading the input and loading weights are taken to have.
const INPUT: f64 = 0.03;

/// The share of the first phase, where the seconds of all were `foretold`; else a guess.
pub(super) fn first_share(foretold: Option<[f64; PHASES]>) -> f64 {
    let known = foretold.map(|secs| (secs[0], secs.iter().sum::<f64>())).filter(|(_, all)| *all > 0.0);
    known.map_or(INPUT, |(first, all)| first / all)
}

/// What the phases behind the first take beside each other: as was `foretold`, in seconds, else guessed, in passes over a batch.
/// Gradients take about three passes; what is drawn to compare with takes as long as some batches, however many there are.
pub(super) fn other_weights(
    foretold: Option<[f64; PHASES]>,
    batches: Option<u64>,
    has: HasPhases,
) -> [f64; PHASES - 1] {
    let batches = batches.unwrap_or(UNKNOWN) as f64;
    let HasPhases { apart, repeats, chance, importance, sensitivity } = has;
    let guessed = [(true, ANALYZED * batches), (apart, batches), (repeats, 1.0), (chance, 6.0)];
    let gradients = [(importance, 3.0 * batches), (sensitivity, 3.0 * batches)];
    let mut weights = [0.0; PHASES - 1];
    for (place, (is_there, guess)) in guessed.into_iter().chain(gradients).enumerate() {
        let secs = foretold.map_or(guess, |secs| secs[place + 1]);
        weights[place] = if is_there { secs } else { 0.0 };
    }
    weights
}

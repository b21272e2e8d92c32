//! What was found out about redundancy, in words.

use super::weighed::enough;
use super::{Analysis, Baseline, FeatureAnalysis, MapEvidence, SiteAnalysis, SiteEvidence, baseline};
use crate::network::{Kept, Site};
use crate::words::{counted, some_of};

/// Heads of which others can say so much are redundant, whatever their groups look like.
const SAYABLE: f64 = 0.9;
/// Mean cosine within a group from which its heads compute the same.
const SAME: f64 = 0.8;
/// And from which they compute alike.
const ALIKE: f64 = 0.4;
/// A head alone in its group is loud where its norm is so many times the mean of the others.
const LOUD: f64 = 2.0;

/// Begin of the note on layers with too few tokens.
const TOO_FEW: &str = "too few tokens to tell whether heads are redundant in ";
/// Begin of the note on layers whose groups were not compared.
const NOT_KNOWN: &str = "whether heads are redundant is not known of ";

/// Whether a note is one of [`Analysis::conclude`], which says of a part what may not hold of the whole.
pub(super) fn is_told_anew(note: &str) -> bool {
    note.starts_with(TOO_FEW) || note.starts_with(NOT_KNOWN)
}

impl Analysis {
    /// Says for every layer, and for all of them, what speaks for redundant heads: what [`super::weigh_evidence`] found and, where
    /// second moments were summed, what other heads can say. Layers of which neither is known stay without a sentence. The
    /// sentence of all, and the notes on what is not known, count the verdicts of the layers and nothing else.
    pub fn conclude(&mut self) {
        for site in &mut self.sites {
            site.evidence = site.concluded();
        }
        self.notes.retain(|note| !is_told_anew(note));
        let of_all = |some: &[Site]| some_of(some, self.sites.len(), "layers");
        let has_too_few = |s: &&SiteAnalysis| s.evidence.as_ref().is_some_and(|e| e.too_few);
        let scarce: Vec<Site> = self.sites.iter().filter(has_too_few).map(|s| s.site).collect();
        let too_few = scarce.len();
        if too_few > 0 {
            self.notes.push(format!("{TOO_FEW}{}", of_all(&scarce)));
        }
        let is_open = |s: &&SiteAnalysis| match &s.evidence {
            Some(evidence) => evidence.not_compared,
            None => s.lacks_comparison(),
        };
        let open: Vec<Site> = self.sites.iter().filter(is_open).map(|s| s.site).collect();
        if let Some(why) = self.not_compared.as_ref().filter(|_| !open.is_empty()) {
            let open = of_all(&open);
            self.notes.push(format!("{NOT_KNOWN}{open}: {why}; analyze the whole corpus at once to know"));
        }
        let verdicts: Vec<bool> = self.sites.iter().filter_map(|s| s.evidence.as_ref()?.verdict()).collect();
        let found = verdicts.iter().filter(|found| **found).count();
        let by_groups = self.sites.iter().filter(|s| s.clearest().is_some()).count();
        let Some(summary) = &mut self.evidence else { return };
        (summary.layers, summary.judged) = (found, verdicts.len());
        let [explained, silhouette] = [summary.explained, summary.silhouette];
        let little = match (explained.is_sure(), explained.matters(), found) {
            (true, false, 0) => ", which is more than chance but too little to be redundancy",
            // Where some layers show it, all of them together do not deny it.
            (true, false, _) => ", which is more than chance, though little over all layers together",
            // Layers are judged one by one, and a mean of them may show what none does for certain.
            (true, true, 0) => ", which no layer shows for certain by itself",
            _ => "",
        };
        let is_said = self.sites.iter().any(|s| s.baselines.contains_key(baseline::REPLACEABILITY));
        let said = match found - by_groups.min(found) {
            // The same input tells of more layers where second moments are summed.
            0 if !is_said => " by their groups (what heads together can say of others takes second moments)".to_owned(),
            0 => String::new(),
            all if all == found => ", by what heads together can say of others".to_owned(),
            some => format!(", {some} of them by what heads together can say of others"),
        };
        let words = match (verdicts.len(), self.sites.len() - verdicts.len()) {
            (0, open) if open == too_few => "too few tokens to tell of any layer".to_owned(),
            (0, _) => "redundancy is not known of any layer".to_owned(),
            (judged, 0) => format!("{found} of {} show redundancy{said}", counted(judged, "layers")),
            (judged, open) => {
                format!(
                    "{found} of {} show redundancy{said}, and of {open} more it is not known",
                    counted(judged, "layers")
                )
            }
        };
        summary.sentence = format!(
            "{words}; as a mean over all, groups explain {}{little}; silhouette {}; {} of {}",
            explained.sentence(summary.draws),
            silhouette.sentence(summary.draws),
            counted(summary.draws, "draws"),
            counted(summary.sequences, "sequences"),
        );
    }
}

impl Analysis {
    /// Why heads may go within a budget of quality, of which `measure` tells, though their layers show no redundancy: both are
    /// true of different questions. `None` where `kept` takes no head out of such a layer.
    pub fn beyond_redundancy(&self, kept: &Kept, measure: &str) -> Option<String> {
        let lacks = |s: &&SiteAnalysis| s.evidence.as_ref().and_then(SiteEvidence::verdict) == Some(false);
        let gone = |s: &SiteAnalysis| s.heads - kept.at(s.site, s.heads).len().min(s.heads);
        let layers = self.sites.iter().filter(lacks).filter(|s| gone(s) > 0);
        let (layers, heads) = layers.fold((0, 0), |(layers, heads), s| (layers + 1, heads + gone(s)));
        (heads > 0).then(|| {
            format!(
                "{} go where nothing speaks for redundancy ({}): no head repeats what others compute there, but those that go add \
                 little to the {measure}",
                counted(heads, "heads"),
                counted(layers, "layers"),
            )
        })
    }
}

impl SiteAnalysis {
    /// How much of what each head adds the others can say, where enough tokens were read to tell.
    pub(crate) fn replaceability(&self) -> Option<&Baseline> {
        let numbers = self.heads * self.head_dim;
        let found = self.baselines.get(baseline::REPLACEABILITY)?;
        (found.samples == 0 || found.samples >= enough(numbers)).then_some(found)
    }

    /// Whether groups of some map could have been compared with chance and were not.
    fn lacks_comparison(&self) -> bool {
        self.features.values().any(|f| f.evidence.is_none() && f.comparable_groups().is_some())
    }

    /// The maps whose groups were compared with chance on enough tokens.
    fn weighed(&self) -> impl Iterator<Item = (&FeatureAnalysis, MapEvidence)> {
        let evidence = |f: &FeatureAnalysis| f.evidence.filter(|e| e.suffices(self.head_dim));
        self.features.values().filter_map(move |f| Some((f, evidence(f)?)))
    }

    /// The map whose groups exceed those of chance most, of those that speak for redundancy.
    fn clearest(&self) -> Option<&FeatureAnalysis> {
        let found = self.weighed().filter(|(_, e)| e.found);
        found.max_by(|a, b| a.1.excess().total_cmp(&b.1.excess())).map(|(feature, _)| feature)
    }

    /// What speaks for redundant heads; `None` where nothing was weighed. Groups that are more than chance, or heads that
    /// others can say, speak for it; against it speaks only that no map whose groups can be compared does.
    fn concluded(&self) -> Option<SiteEvidence> {
        let compared = || self.features.values().filter_map(|f| f.evidence);
        let said = self.replaceability().map(|b| b.values.as_slice());
        if compared().next().is_none() && !self.baselines.contains_key(baseline::REPLACEABILITY) {
            return None;
        }
        let found = |sentence: String| Some(SiteEvidence { found: true, sentence, ..SiteEvidence::default() });
        if let Some(feature) = self.clearest() {
            return found(self.alike(feature, said));
        }
        let sayable = |share: f64| share >= SAYABLE;
        let heads: Vec<usize> =
            said.unwrap_or_default().iter().enumerate().filter(|(_, s)| sayable(**s)).map(|(head, _)| head).collect();
        let best = self.weighed().max_by(|a, b| a.1.excess().total_cmp(&b.1.excess()));
        if !heads.is_empty() {
            let least = said.unwrap_or_default().iter().copied().filter(|s| sayable(*s)).fold(1.0, f64::min);
            // Two heads may be alike, or opposite, though groups are no clearer than those of chance.
            let though = match best.filter(|_| !self.lacks_comparison()) {
                Some((feature, evidence)) => match self.features.values().map(most_alike).fold(0.0, f64::max) >= SAME {
                    true => format!(", though {}", lacking(feature, &evidence)),
                    false => ", though no other head alone computes the same".to_owned(),
                },
                None => String::new(),
            };
            return found(format!("others together can say {} of {}{though}", share(least), named(&heads)));
        }
        let most = said.map(|said| said.iter().copied().fold(0.0, f64::max));
        let most = most.map(|most| format!("others can say at most {} of a head", share(most)));
        let too_few = compared().any(|e| !e.suffices(self.head_dim)) || (best.is_none() && most.is_none());
        let joined = |first: String| most.iter().fold(first, |all, most| format!("{all}; {most}"));
        Some(if too_few {
            SiteEvidence { too_few, sentence: joined(self.too_few()), ..SiteEvidence::default() }
        } else if self.lacks_comparison() {
            let sentence = joined("not known: groups were not compared with chance".to_owned());
            SiteEvidence { not_compared: true, sentence, ..SiteEvidence::default() }
        } else {
            let sentence = match (best, most) {
                (Some((feature, evidence)), None) => instead(feature, &evidence),
                (Some((feature, evidence)), Some(most)) => format!("{}; {most}", instead(feature, &evidence)),
                (None, most) => most.unwrap_or_default(),
            };
            SiteEvidence { sentence: format!("no redundancy here: {sentence}"), ..SiteEvidence::default() }
        })
    }

    /// How many tokens would tell.
    fn too_few(&self) -> String {
        let compared = self.features.values().filter_map(|f| f.evidence).map(|e| (e.positions, enough(self.head_dim)));
        let said = self.baselines.get(baseline::REPLACEABILITY);
        let said = said.map(|b| (b.samples, enough(self.heads * self.head_dim)));
        match compared.max().or(said) {
            Some((read, wanted)) => format!("too few tokens to tell: {read}, where {wanted} would do"),
            None => "too few tokens to tell".to_owned(),
        }
    }

    /// The groups whose heads are most alike.
    fn alike(&self, feature: &FeatureAnalysis, said: Option<&[f64]>) -> String {
        let mut groups: Vec<(f64, Vec<usize>)> = members(feature)
            .into_iter()
            .filter(|heads| heads.len() > 1)
            .map(|heads| (mean_cosine(feature, &heads), heads))
            .collect();
        groups.sort_by(|a, b| b.0.total_cmp(&a.0));
        let words = groups.iter().take(3).map(|(cosine, heads)| {
            let what = match *cosine {
                c if c >= SAME => "compute the same",
                c if c >= ALIKE => "compute alike",
                _ => "are related",
            };
            let others = said.map(|said| heads.iter().filter_map(|h| said.get(*h)).copied().fold(1.0, f64::min));
            let others = others.map(|least| format!(", others can say {}", share(least))).unwrap_or_default();
            format!("{} {what} (cosine {cosine:.2}{others})", named(heads))
        });
        words.collect::<Vec<_>>().join("; ")
    }
}

/// Why groups that were compared do not speak for redundancy.
fn lacking(feature: &FeatureAnalysis, evidence: &MapEvidence) -> &'static str {
    match (evidence.silhouette.is_sure() || evidence.explained.is_sure(), evidence.explained.matters()) {
        (true, true) if feature.stability.is_some() => "groups change from batch to batch",
        (true, false) => "groups explain little more than those of chance",
        _ => "groups are no clearer than by chance",
    }
}

/// What groups are where they are not redundancy.
fn instead(feature: &FeatureAnalysis, evidence: &MapEvidence) -> String {
    let groups = members(feature);
    let (alone, together): (Vec<_>, Vec<_>) = groups.iter().partition(|heads| heads.len() == 1);
    let norm = |head: usize| feature.gram.norm2(head).sqrt();
    let rest: Vec<f64> = together.iter().flat_map(|heads| heads.iter().map(|h| norm(*h))).collect();
    let mean = rest.iter().sum::<f64>() / (rest.len() as f64).max(1.0);
    let loud = alone.iter().filter(|heads| heads.iter().all(|h| norm(*h) > LOUD * mean)).count();
    match (together.len(), alone.len()) {
        (1, n) if n > 0 && loud == n => match n {
            1 => "the groups only split off one head, whose norm is much larger".to_owned(),
            n => format!("the groups only split off {n} heads one by one, whose norms are much larger"),
        },
        (1, 1) => "the groups only split off one head".to_owned(),
        (1, n) if n > 0 => format!("the groups only split off {n} heads one by one"),
        _ => lacking(feature, evidence).to_owned(),
    }
}

/// Heads of every group that have a signal.
fn members(feature: &FeatureAnalysis) -> Vec<Vec<usize>> {
    let mut groups = vec![Vec::new(); feature.groups.iter().max().map_or(0, |last| last + 1)];
    for (head, group) in feature.groups.iter().enumerate().filter(|(head, _)| !feature.dead.contains(head)) {
        if let Some(heads) = groups.get_mut(*group) {
            heads.push(head);
        }
    }
    groups.retain(|heads| !heads.is_empty());
    groups
}

fn mean_cosine(feature: &FeatureAnalysis, heads: &[usize]) -> f64 {
    let pairs = heads.iter().enumerate().flat_map(|(k, i)| heads.iter().take(k).map(move |j| (*i, *j)));
    let cosines: Vec<f64> = pairs.filter_map(|(i, j)| feature.gram.cosine(i, j)).collect();
    cosines.iter().sum::<f64>() / (cosines.len() as f64).max(1.0)
}

/// The largest absolute cosine between two heads.
fn most_alike(feature: &FeatureAnalysis) -> f64 {
    let heads = feature.groups.len();
    let pairs = (0..heads).flat_map(|i| (0..i).map(move |j| (i, j)));
    pairs.filter_map(|(i, j)| feature.gram.cosine(i, j)).map(f64::abs).fold(0.0, f64::max)
}

/// In whole percent that are never more than there is: what falls short of a bound does not read like it.
fn share(value: f64) -> String {
    format!("{:.0} %", (100.0 * value.max(0.0) + 1e-9).floor())
}

/// `heads 2, 5 and 7`, `head 3`.
fn named(heads: &[usize]) -> String {
    let words: Vec<String> = heads.iter().map(usize::to_string).collect();
    match words.split_last() {
        None => "no head".to_owned(),
        Some((only, [])) => format!("head {only}"),
        Some((last, others)) => format!("heads {} and {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::Rng;

    use super::super::{EvidenceSummary, Gram, NullComparison, testing};
    use super::*;
    use crate::network::FeatureMap;

    fn site(vectors: &testing::Vectors, groups: Vec<usize>, found: bool, said: Option<Vec<f64>>) -> SiteAnalysis {
        let p = if found { 0.025 } else { 0.5 };
        let compared = NullComparison { observed: 0.9, null_mean: 0.3, null_deviation: 0.1, p };
        let gram: Gram = testing::gram(vectors);
        let heads = groups.len();
        let json = serde_json::json!({
            "gram": gram, "groups": groups, "inertia": 0.0, "votes": vec![0; heads], "kept": [0],
        });
        let mut feature: FeatureAnalysis = serde_json::from_value(json).unwrap();
        feature.evidence =
            Some(MapEvidence { groups: 2, silhouette: compared, explained: compared, found, positions: 0 });
        let json = serde_json::json!({
            "site": "decoder.0", "heads": heads, "kv_heads": heads, "features": {}, "votes": vec![0; heads], "kept": [0],
        });
        let mut site: SiteAnalysis = serde_json::from_value(json).unwrap();
        site.features = BTreeMap::from([(FeatureMap::Output, feature)]);
        if let Some(values) = said {
            site.baselines.insert(baseline::REPLACEABILITY.to_owned(), Baseline::exact(values));
        }
        site
    }

    #[test]
    fn heads_that_go_without_redundancy_are_told_beside_the_budget() {
        let mut all: Analysis = serde_json::from_value(serde_json::json!({
            "model": {"path": "", "family": "", "fingerprint": "", "dtype": "f32"}, "tokens": 1, "batches": 1, "sites": [],
            "settings": super::super::AnalysisSettings::default(),
        }))
        .unwrap();
        let vectors: testing::Vectors = vec![vec![1.0, 0.0], vec![0.0, 1.0], vec![1.0, 1.0]];
        all.sites = vec![site(&vectors, vec![0, 1, 2], false, None)];
        let (site, heads) = (all.sites[0].site, all.sites[0].heads);
        let verdict = |found: bool| Some(SiteEvidence { found, sentence: String::new(), ..SiteEvidence::default() });
        let kept: Kept = [(site, vec![0])].into_iter().collect();
        all.sites[0].evidence = verdict(false);
        let told = all.beyond_redundancy(&kept, "loss").unwrap();
        let words = format!("{} go where nothing speaks for redundancy (1 layer)", counted(heads - 1, "heads"));
        assert!(told.starts_with(&words) && told.ends_with("add little to the loss"), "{told}");
        assert_eq!(all.beyond_redundancy(&Kept::all(), "loss"), None);
        // What repeats others may go.
        all.sites[0].evidence = verdict(true);
        assert_eq!(all.beyond_redundancy(&kept, "loss"), None);
    }

    #[test]
    fn sentences_say_what_is_the_case() {
        let alike: testing::Vectors =
            vec![vec![1.0, 0.0], vec![0.0, 1.0], vec![1.0, 0.1], vec![1.0, -0.1], vec![0.1, 1.0]];
        let groups = vec![0, 1, 0, 0, 1];
        let found = site(&alike, groups.clone(), true, Some(vec![0.97, 0.5, 0.99, 0.98, 0.4])).concluded().unwrap();
        assert!(found.found);
        assert_eq!(
            found.sentence,
            "heads 1 and 4 compute the same (cosine 1.00, others can say 40 %); heads 0, 2 and 3 compute the same (cosine \
             0.99, others can say 97 %)"
        );
        let loud: testing::Vectors = vec![vec![1.0, 0.0], vec![0.0, 9.0], vec![-1.0, 0.3]];
        let none = site(&loud, vec![0, 1, 0], false, None).concluded().unwrap();
        assert!(!none.found);
        assert_eq!(none.sentence, "no redundancy here: the groups only split off one head, whose norm is much larger");
        let none = site(&alike, groups, false, Some(vec![0.3; 5])).concluded().unwrap();
        assert_eq!(
            none.sentence,
            "no redundancy here: groups are no clearer than by chance; others can say at most 30 % of a head"
        );
        let said = site(&loud, vec![0, 1, 0], false, Some(vec![0.95, 0.1, 0.93])).concluded().unwrap();
        assert!(said.found);
        // The two are opposite: one does what the other does.
        assert_eq!(
            said.sentence,
            "others together can say 93 % of heads 0 and 2, though groups are no clearer than by chance"
        );
        let apart: testing::Vectors = vec![vec![1.0, 0.0, 0.0], vec![0.0, 1.0, 0.0], vec![1.0, 1.0, 1.0]];
        let said = site(&apart, vec![0, 1, 0], false, Some(vec![0.95, 0.1, 0.93])).concluded().unwrap();
        assert_eq!(
            said.sentence,
            "others together can say 93 % of heads 0 and 2, though no other head alone computes the same"
        );
        let mut unweighed = site(&loud, vec![0, 1, 0], false, None);
        unweighed.features.values_mut().for_each(|f| f.evidence = None);
        assert_eq!(unweighed.concluded(), None);
    }

    #[test]
    fn few_tokens_tell_nothing() {
        let loud: testing::Vectors = vec![vec![1.0, 0.0], vec![0.0, 9.0], vec![-1.0, 0.3]];
        for found in [false, true] {
            let mut few = site(&loud, vec![0, 1, 0], found, Some(vec![0.95, 0.1, 0.93]));
            few.head_dim = 4;
            let read = |few: &mut SiteAnalysis, positions: u64, samples: u64| {
                few.features.values_mut().filter_map(|f| f.evidence.as_mut()).for_each(|e| e.positions = positions);
                few.baselines.values_mut().for_each(|b| b.samples = samples);
                few.concluded().unwrap()
            };
            let none = read(&mut few, 31, 95);
            assert_eq!((none.verdict(), none.found), (None, false));
            assert_eq!(none.sentence, "too few tokens to tell: 31, where 32 would do");
            // Groups need fewer than regressions.
            assert_eq!(read(&mut few, 32, 95).verdict(), Some(found));
            assert!(!read(&mut few, 32, 95).sentence.contains("can say"));
            assert_eq!(read(&mut few, 31, 96).verdict(), Some(true));
        }
    }

    /// A layer of any kind: groups of two maps that were compared with chance or not, on many tokens or few; what others can
    /// say, from many tokens or few, or not at all.
    fn drawn(rng: &mut impl Rng) -> SiteAnalysis {
        let heads = rng.gen_range(2..=5);
        let mut map = || {
            let vectors: testing::Vectors =
                (0..heads).map(|_| (0..3).map(|_| testing::normal(rng)).collect()).collect();
            let count = [1, 2, heads][rng.gen_range(0..3)];
            let groups = (0..heads).map(|head| if head < count { head } else { rng.gen_range(0..count) }).collect();
            let mut of = site(&vectors, groups, false, None);
            let mut feature = of.features.remove(&FeatureMap::Output).unwrap();
            feature.stability = [None, Some(0.1), Some(0.9)][rng.gen_range(0..3)];
            let mut number = || NullComparison {
                observed: rng.gen_range(0.0..1.0),
                null_mean: rng.gen_range(0.0..1.0),
                null_deviation: 0.1,
                p: [0.025, 0.05, 0.5][rng.gen_range(0..3)],
            };
            let (silhouette, explained) = (number(), number());
            let positions = [0, 5, 100][rng.gen_range(0..3)];
            let evidence = feature.comparable_groups().map(|groups| {
                MapEvidence { groups, silhouette, explained, found: false, positions }.judge(feature.stability)
            });
            feature.evidence = evidence.filter(|_| rng.gen_bool(0.7));
            (of, feature)
        };
        let ((mut of, output), (_, value)) = (map(), map());
        of.features = [(FeatureMap::Output, output), (FeatureMap::Value, value)].into();
        of.head_dim = 2;
        if rng.gen_bool(0.5) {
            let most = [0.5, 0.8999, 1.0][rng.gen_range(0..3)];
            let values = (0..heads).map(|_| rng.gen_range(-0.01..most)).collect();
            let baseline = Baseline { samples: [0, 10, 1000][rng.gen_range(0..3)], ..Baseline::exact(values) };
            of.baselines.insert(baseline::REPLACEABILITY.to_owned(), baseline);
        }
        of
    }

    #[test]
    fn layers_summary_and_notes_never_contradict_each_other() {
        let mut rng = testing::rng(11);
        let mut seen = BTreeMap::<String, usize>::new();
        for _ in 0..2000 {
            let count = rng.gen_range(1..5);
            let json = serde_json::json!({
                "model": {"path": "", "family": "", "fingerprint": "", "dtype": "f32"}, "tokens": 1, "batches": 1, "sites": [],
                "settings": super::super::AnalysisSettings::default(),
            });
            let mut all: Analysis = serde_json::from_value(json).unwrap();
            all.sites = (0..count).map(|_| drawn(&mut rng)).collect();
            let number = NullComparison {
                observed: rng.gen_range(0.0..1.0),
                null_mean: 0.4,
                null_deviation: 0.1,
                p: [0.025, 0.5][rng.gen_range(0..2)],
            };
            let (map, draws) = (FeatureMap::Output, 39);
            let summary = EvidenceSummary {
                map,
                draws,
                seed: 0,
                sequences: 8,
                of_whole: false,
                silhouette: number,
                explained: number,
                layers: 0,
                judged: 0,
                sentence: String::new(),
            };
            all.evidence = Some(summary);
            all.not_compared = Some("nobody looked".to_owned());
            all.notes.push("too few tokens to tell whether heads are redundant in 9 of 9 layers".to_owned());
            all.conclude();
            let once = all.clone();
            all.conclude();
            assert_eq!(all, once, "nothing is left of what was said before");
            for site in &all.sites {
                let is_sayable = site.replaceability().is_some_and(|b| b.values.iter().any(|s| *s >= SAYABLE));
                let Some(evidence) = &site.evidence else {
                    assert!(!is_sayable && site.weighed().next().is_none());
                    continue;
                };
                let said = &evidence.sentence;
                let begins = ["no redundancy here", "too few tokens", "not known"].map(|words| said.starts_with(words));
                let by_groups = site.weighed().any(|(_, e)| e.found);
                let expected = match evidence.verdict() {
                    Some(true) => [false, false, false],
                    Some(false) => [true, false, false],
                    None => [false, evidence.too_few, evidence.not_compared],
                };
                assert_eq!(begins, expected, "{said}");
                assert_eq!(evidence.verdict() == Some(true), is_sayable || by_groups, "{said}");
                // What is open is not denied.
                let is_open = site.lacks_comparison()
                    || site.features.values().any(|f| f.evidence.is_some_and(|e| !e.suffices(site.head_dim)));
                assert!(evidence.verdict() != Some(false) || !is_open, "{said}");
                assert!(evidence.verdict() == Some(true) || !said.contains("compute"), "{said}");
                if let Some((_, rest)) = said.split_once("at most ") {
                    let most: f64 = rest.split(' ').next().unwrap().parse().unwrap();
                    assert!(most < 100.0 * SAYABLE && !is_sayable, "{said}");
                }
                *seen
                    .entry(said.split([':', '(', ',', '0', '1', '2', '3', '4']).next().unwrap().to_owned())
                    .or_default() += 1;
            }
            let counts = |verdict| {
                all.sites.iter().filter(|s| s.evidence.as_ref().and_then(SiteEvidence::verdict) == verdict).count()
            };
            let (found, none, open) = (counts(Some(true)), counts(Some(false)), counts(None));
            let summary = all.evidence.as_ref().unwrap();
            assert_eq!((summary.layers, summary.judged), (found, found + none));
            let told = &summary.sentence;
            let words = format!("{found} of {} show redundancy", counted(found + none, "layers"));
            assert_eq!(told.starts_with(&words), found + none > 0, "{told}");
            assert_eq!(told.contains("not known") || told.contains("too few"), open > 0, "{told}");
            let denies = told.contains("too little to be redundancy") || told.contains("no layer shows");
            assert!(found == 0 || !denies, "{told}");
            // Notes tell of layers without a verdict, and of no other.
            let told = |begin: &str| -> usize {
                let note = all.notes.iter().find_map(|note| note.strip_prefix(begin));
                note.map_or(0, |rest| rest.split(' ').next().unwrap().parse().unwrap())
            };
            assert!(told(TOO_FEW) + told(NOT_KNOWN) <= open, "{:?}", all.notes);
            assert_eq!(
                all.notes.iter().filter(|n| is_told_anew(n)).count(),
                usize::from(told(TOO_FEW) > 0) + usize::from(told(NOT_KNOWN) > 0)
            );
        }
        assert!(seen.len() > 5, "{seen:?}");
    }
}

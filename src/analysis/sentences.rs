//! What was found out about redundancy, in words.

use super::weighed::enough;
use super::{Analysis, Baseline, FeatureAnalysis, SiteAnalysis, SiteEvidence, baseline};
use crate::words::counted;

/// Heads of which others can say so much are redundant, whatever their groups look like.
const SAYABLE: f64 = 0.9;
/// Mean cosine within a group from which its heads compute the same.
const SAME: f64 = 0.8;
/// And from which they compute alike.
const ALIKE: f64 = 0.4;
/// A head alone in its group is loud where its norm is so many times the mean of the others.
const LOUD: f64 = 2.0;

impl Analysis {
    /// Says for every layer, and for all of them, what speaks for redundant heads: what [`super::weigh_evidence`] found and, where
    /// second moments were summed, what other heads can say. Layers of which neither is known stay without a sentence.
    pub fn conclude(&mut self) {
        for site in &mut self.sites {
            site.evidence = site.concluded();
        }
        let weighed: Vec<&SiteEvidence> = self.sites.iter().filter_map(|s| s.evidence.as_ref()).collect();
        let judged: Vec<bool> = weighed.iter().filter_map(|e| e.verdict()).collect();
        let found = judged.iter().filter(|found| **found).count();
        if judged.len() < weighed.len() {
            let note = format!(
                "too few tokens to tell whether heads are redundant in {} of {}",
                weighed.len() - judged.len(),
                counted(weighed.len(), "layers")
            );
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        let Some(summary) = &mut self.evidence else { return };
        (summary.layers, summary.judged) = (found, judged.len());
        let [explained, silhouette] = [summary.explained, summary.silhouette];
        let little = match (explained.is_sure() && !explained.matters(), found) {
            (true, 0) => ", which is more than chance but too little to be redundancy",
            // Where some layers show it, all of them together do not deny it.
            (true, _) => ", which is more than chance, though little over all layers together",
            (false, _) => "",
        };
        let layers = match judged.len() {
            0 => "too few tokens to tell of any layer".to_owned(),
            count => format!("{found} of {} show redundancy", counted(count, "layers")),
        };
        summary.sentence = format!(
            "{layers}; as a mean over all, groups explain {}{little}; silhouette {}; {} of {}",
            explained.sentence(summary.draws),
            silhouette.sentence(summary.draws),
            counted(summary.draws, "draws"),
            counted(summary.sequences, "sequences"),
        );
    }
}

impl SiteAnalysis {
    /// How much of what each head adds the others can say, where enough tokens were read to tell.
    pub(crate) fn replaceability(&self) -> Option<&Baseline> {
        let numbers = self.heads * self.head_dim;
        let found = self.baselines.get(baseline::REPLACEABILITY)?;
        (found.samples == 0 || found.samples >= enough(numbers)).then_some(found)
    }

    /// What speaks for redundant heads; `None` where nothing was weighed.
    fn concluded(&self) -> Option<SiteEvidence> {
        let compared = || self.features.values().filter(|f| f.evidence.is_some());
        let suffices = |f: &&FeatureAnalysis| f.evidence.is_some_and(|e| e.suffices(self.head_dim));
        let weighed: Vec<&FeatureAnalysis> = compared().filter(suffices).collect();
        let said = self.replaceability().map(|b| b.values.as_slice());
        if weighed.is_empty() && said.is_none() {
            let is_measured = compared().next().is_some() || self.baselines.contains_key(baseline::REPLACEABILITY);
            return is_measured.then(|| SiteEvidence { found: false, too_few: true, sentence: self.too_few() });
        }
        let is_found = |f: &&&FeatureAnalysis| f.evidence.is_some_and(|e| e.found);
        let clearest = weighed.iter().filter(is_found).max_by(|a, b| excess(a).total_cmp(&excess(b)));
        let sayable: Vec<(usize, f64)> = said
            .unwrap_or_default()
            .iter()
            .enumerate()
            .filter(|(_, share)| **share >= SAYABLE)
            .map(|(head, share)| (head, *share))
            .collect();
        let sentence = match clearest {
            Some(feature) => self.alike(feature, said),
            None if !sayable.is_empty() => {
                let least = sayable.iter().map(|(_, share)| *share).fold(1.0, f64::min);
                let heads: Vec<usize> = sayable.iter().map(|(head, _)| *head).collect();
                // Two heads may be alike, or opposite, though groups are no clearer than those of chance.
                let known = match self.features.values().map(most_alike).fold(0.0, f64::max) >= SAME {
                    true => "groups are no clearer than by chance",
                    false => "no two heads compute the same",
                };
                format!("{known}, but others can say {} of {}", share(least), named(&heads))
            }
            None => format!("no redundancy here: {}", self.instead(weighed.first().copied())),
        };
        Some(SiteEvidence { found: clearest.is_some() || !sayable.is_empty(), too_few: false, sentence })
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

    /// What groups are where they are not redundancy.
    fn instead(&self, feature: Option<&FeatureAnalysis>) -> String {
        let Some(feature) = feature else { return "no head can be said by the others".to_owned() };
        let groups = members(feature);
        let (alone, together): (Vec<_>, Vec<_>) = groups.iter().partition(|heads| heads.len() == 1);
        let norm = |head: usize| feature.gram.norm2(head).sqrt();
        let rest: Vec<f64> = together.iter().flat_map(|heads| heads.iter().map(|h| norm(*h))).collect();
        let mean = rest.iter().sum::<f64>() / (rest.len() as f64).max(1.0);
        let loud = alone.iter().filter(|heads| heads.iter().all(|h| norm(*h) > LOUD * mean)).count();
        match (together.len(), alone.len()) {
            (1, n) if n > 0 && loud == n => {
                let which = if n == 1 { "one loud head".to_owned() } else { format!("{n} loud heads, each alone") };
                format!("groups are {which} against the rest")
            }
            (1, 1) => "groups are one head against the rest".to_owned(),
            (1, n) if n > 0 => format!("groups are {n} heads, each alone, against the rest"),
            _ => "heads that read different sequences form groups as clear".to_owned(),
        }
    }
}

fn excess(feature: &FeatureAnalysis) -> f64 {
    feature.evidence.map_or(f64::NEG_INFINITY, |e| e.excess())
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

fn share(value: f64) -> String {
    format!("{:.0} %", 100.0 * value)
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

    use super::super::{Baseline, Gram, MapEvidence, NullComparison, testing};
    use super::*;
    use crate::network::FeatureMap;

    fn site(vectors: &testing::Vectors, groups: Vec<usize>, found: bool, said: Option<Vec<f64>>) -> SiteAnalysis {
        let compared = NullComparison { observed: 0.9, null_mean: 0.3, null_deviation: 0.1, p: 0.025 };
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
        assert_eq!(none.sentence, "no redundancy here: groups are one loud head against the rest");
        let none = site(&alike, groups, false, Some(vec![0.3; 5])).concluded().unwrap();
        assert_eq!(none.sentence, "no redundancy here: heads that read different sequences form groups as clear");
        let said = site(&loud, vec![0, 1, 0], false, Some(vec![0.95, 0.1, 0.93])).concluded().unwrap();
        assert!(said.found);
        // The two are opposite: one does what the other does.
        assert_eq!(said.sentence, "groups are no clearer than by chance, but others can say 93 % of heads 0 and 2");
        let apart: testing::Vectors = vec![vec![1.0, 0.0, 0.0], vec![0.0, 1.0, 0.0], vec![1.0, 1.0, 1.0]];
        let said = site(&apart, vec![0, 1, 0], false, Some(vec![0.95, 0.1, 0.93])).concluded().unwrap();
        assert_eq!(said.sentence, "no two heads compute the same, but others can say 93 % of heads 0 and 2");
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
}

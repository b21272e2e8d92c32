//! Metrics of labeled tasks, each with the convention by which its number is published.

use super::answers::Answer;
use super::entities::{Entities, is_entity_scheme};
use super::interval::{Estimate, EstimateCount, Interval, bootstrap_of};
use super::spent::QualityChange;
use crate::network::{ProblemType, TaskHeadSpec, TaskKind};
use crate::plan::PairedCounts;

/// The number of the items at some places, which may name one several times.
type OfAnswers = dyn Fn(&[&Answer], &[usize]) -> f64 + Send + Sync;

/// How many of what the number counts answers hold.
type CountOfAnswers = fn(&[&Answer]) -> usize;

/// First and last token.
type Ends = (u32, u32);

/// A number that answers give together.
pub struct TaskMetric {
    /// Its name in files.
    pub name: &'static str,
    /// How it is formed.
    pub convention: String,
    /// Whether more is better.
    pub rises: bool,
    /// What it counts, where that is not items.
    counts: Option<(&'static str, CountOfAnswers)>,
    /// Whether an answer is right, where it is right or wrong.
    is_right: fn(&Answer) -> Option<bool>,
    of: Box<OfAnswers>,
}

impl std::fmt::Debug for TaskMetric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskMetric").field("name", &self.name).finish_non_exhaustive()
    }
}

impl TaskMetric {
    pub(super) fn new(
        name: &'static str,
        convention: impl Into<String>,
        of: impl Fn(&[&Answer], &[usize]) -> f64 + Send + Sync + 'static,
    ) -> Self {
        let is_right = Answer::is_right;
        Self { name, convention: convention.into(), rises: true, counts: None, is_right, of: Box::new(of) }
    }

    /// A number of answers that are right otherwise than by being what is right.
    fn judging(self, is_right: fn(&Answer) -> Option<bool>) -> Self {
        Self { is_right, ..self }
    }

    /// A number of which less is better.
    pub(super) fn falling(self) -> Self {
        Self { rises: false, ..self }
    }

    /// A number over several of `noun` in each item.
    fn counting(self, noun: &'static str, counting: CountOfAnswers) -> Self {
        Self { counts: Some((noun, counting)), ..self }
    }

    /// The number with its 95 % interval over items; `None` where it is not defined.
    pub(super) fn estimate(&self, answers: &[&Answer]) -> Option<Estimate> {
        let all: Vec<usize> = (0..answers.len()).collect();
        let value = (self.of)(answers, &all);
        let interval = bootstrap_of(answers.len(), |draw| (self.of)(answers, draw));
        let over =
            self.counts.map(|(noun, counting)| EstimateCount { n: counting(answers) as u64, noun: noun.to_owned() });
        let found = || {
            let found = Estimate::with(value, interval, answers.len(), self.convention.clone());
            Estimate { over, ..found.directed(self.rises) }
        };
        value.is_finite().then(found)
    }

    /// It before and after, with what changed.
    pub(super) fn quality_change(&self, before: &[&Answer], after: &[&Answer]) -> Option<QualityChange> {
        let change = self.change(before, after)?;
        let all: Vec<usize> = (0..before.len()).collect();
        let interval = change.low.zip(change.high).map(|(low, high)| Interval { low, high });
        let (whole, now) = ((self.of)(before, &all), (self.of)(after, &all));
        Some(QualityChange { whole, now, change: interval, changed: change.changed, falls: !self.rises })
    }

    /// After minus before, on the same items, with its paired interval.
    pub(super) fn change(&self, before: &[&Answer], after: &[&Answer]) -> Option<Estimate> {
        if before.len() != after.len() {
            return None;
        }
        let all: Vec<usize> = (0..before.len()).collect();
        let change = |draw: &[usize]| (self.of)(after, draw) - (self.of)(before, draw);
        let value = change(&all);
        let interval = bootstrap_of(before.len(), change);
        let convention = format!("after minus before; {}", self.convention);
        let changed = self.changed(before, after);
        value.is_finite().then(|| Estimate { changed, ..Estimate::with(value, interval, before.len(), convention) })
    }

    /// How many answers got worse and better. Where they are near or far, it is known alone where none changed.
    fn changed(&self, before: &[&Answer], after: &[&Answer]) -> Option<PairedCounts> {
        let mut found = PairedCounts::default();
        for (was, is) in before.iter().zip(after) {
            if let Some((was, is)) = (self.is_right)(was).zip((self.is_right)(is)) {
                found.add(was, is);
            }
        }
        let is_same = || (before == after).then(|| PairedCounts::unchanged(before.len() as u64));
        (found.n > 0).then_some(found).or_else(is_same)
    }
}

/// The name of a metric of regression of which less is better.
const SQUARED_ERROR: &str = "mean_squared_error";

/// Whether more of the measure of this name, in [`super::Quality::metrics`], is better.
pub(super) fn is_better_high(name: &str) -> bool {
    ![SQUARED_ERROR, "wer", "cer", "loss", "loss_per_token", "perplexity"].contains(&name)
}

/// The metrics of a task, the one that stands for it first.
pub fn task_metrics(task: &TaskHeadSpec) -> Vec<TaskMetric> {
    let outputs = task.outputs;
    match (task.kind, task.problem) {
        (TaskKind::TokenClassification, _) => tags(task),
        (TaskKind::QuestionAnswering, _) => vec![
            TaskMetric::new(
                "f1",
                "overlap of the tokens of the best span with those of the answer, mean over texts",
                |a, d| mean(a, d, |answer| span(answer).map(|(said, right)| overlap(said, right))),
            ),
            TaskMetric::new("exact_match", "share of texts whose best span is the answer, token by token", |a, d| {
                mean(a, d, |answer| span(answer).map(|(said, right)| f64::from(u8::from(right == Some(said)))))
            }),
        ],
        (_, ProblemType::Regression) => vec![
            TaskMetric::new(
                "spearman",
                "Spearman's rank correlation with the labels, ties at their mean rank",
                |a, d| spearman(&pairs(a, d)),
            ),
            TaskMetric::new("pearson", "Pearson's correlation with the labels", |a, d| pearson(&pairs(a, d))),
            TaskMetric::new(SQUARED_ERROR, "mean squared difference to the labels", |a, d| {
                let pairs = pairs(a, d);
                pairs.iter().map(|(x, y)| (x - y) * (x - y)).sum::<f64>() / pairs.len() as f64
            })
            .falling(),
        ],
        (_, ProblemType::MultiLabel) => vec![
            TaskMetric::new(
                "f1_micro",
                "F1 over all classes of all items together, a class being said above probability 1/2",
                micro,
            ),
            TaskMetric::new("accuracy", "share of items with every class right", |a, d| {
                mean(a, d, |answer| match answer {
                    Answer::Several { said, right } => Some(f64::from(u8::from(said == right))),
                    _ => None,
                })
            }),
        ],
        (TaskKind::MultipleChoice, _) => {
            vec![TaskMetric::new(
                "accuracy",
                "share of questions whose ending with the largest logit is the right one",
                accuracy,
            )]
        }
        (TaskKind::SequenceClassification | TaskKind::ImageClassification, ProblemType::SingleLabel) => {
            classes(task, outputs)
        }
    }
}

fn classes(task: &TaskHeadSpec, outputs: usize) -> Vec<TaskMetric> {
    let noun = if task.kind == TaskKind::ImageClassification { "images" } else { "sequences" };
    let mut all =
        vec![TaskMetric::new("accuracy", format!("share of {noun} whose largest logit is the right class"), accuracy)];
    if outputs == 2 {
        let positive = task.labels.name(1).unwrap_or("LABEL_1");
        let convention = format!("F1 of class 1, '{positive}', as GLUE has it for MRPC and QQP");
        all.push(TaskMetric::new("f1", convention, binary_f1));
    } else {
        let convention = "mean of the F1 of each class that is said or right";
        all.push(TaskMetric::new("f1_macro", convention, move |a, d| macro_f1(a, d, outputs)));
    }
    let convention = "Matthews correlation, as GLUE has it for CoLA";
    all.push(TaskMetric::new("matthews", convention, move |a, d| matthews(a, d, outputs)));
    if task.kind == TaskKind::ImageClassification && outputs > 5 {
        let convention = "share of images whose right class is among the five largest logits";
        let top_5 = TaskMetric::new("top_5", convention, |a, d| {
            mean(a, d, |answer| is_among_five(answer).map(|is_right| f64::from(u8::from(is_right))))
        });
        all.push(top_5.judging(is_among_five));
    }
    all
}

fn is_among_five(answer: &Answer) -> Option<bool> {
    match answer {
        Answer::Class { above, .. } => Some(*above < 5),
        _ => None,
    }
}

fn tags(task: &TaskHeadSpec) -> Vec<TaskMetric> {
    let tokens =
        TaskMetric::new("accuracy", "share of labeled tokens whose largest logit is the right class", |a, d| {
            let (mut right, mut all) = (0usize, 0usize);
            for (said, truth) in tagged(a, d) {
                right += said.iter().zip(truth).filter(|(s, r)| s == r).count();
                all += truth.len();
            }
            right as f64 / all as f64
        });
    let tokens = tokens.counting("labeled tokens", labeled_tokens);
    if !is_entity_scheme(task.labels.names()) {
        let outputs = task.outputs;
        let convention = "mean of the F1 of each class that is said or right, over labeled tokens";
        let f1 = TaskMetric::new("f1_macro", convention, move |a, d| {
            let mut counts = ClassCounts::new(outputs);
            for (said, right) in tagged(a, d) {
                said.iter().zip(right).for_each(|(s, r)| counts.add(*s, *r));
            }
            counts.macro_f1()
        });
        return vec![tokens, f1.counting("labeled tokens", labeled_tokens)];
    }
    let entity = |of: fn([f64; 3]) -> f64| {
        let entities = Entities::new(task.labels.names());
        move |a: &[&Answer], d: &[usize]| {
            let mut sums = [0.0; 3];
            for (said, right) in tagged(a, d) {
                let counts = entities.counts(said, right);
                sums.iter_mut().zip(counts).for_each(|(sum, n)| *sum += n as f64);
            }
            of(sums)
        }
    };
    // Hits, entities said, entities right; without any, zero, as seqeval says.
    vec![
        TaskMetric::new(
            "f1",
            "entities of the same type and ends, micro F1 as seqeval counts them",
            entity(|[hit, said, right]| if said + right > 0.0 { 2.0 * hit / (said + right) } else { 0.0 }),
        ),
        TaskMetric::new(
            "precision",
            "share of the entities said that are right, as seqeval counts them",
            entity(|[hit, said, _]| if said > 0.0 { hit / said } else { 0.0 }),
        ),
        TaskMetric::new(
            "recall",
            "share of the right entities that were said, as seqeval counts them",
            entity(|[hit, _, right]| if right > 0.0 { hit / right } else { 0.0 }),
        ),
        tokens,
    ]
}

fn labeled_tokens(answers: &[&Answer]) -> usize {
    let all: Vec<usize> = (0..answers.len()).collect();
    tagged(answers, &all).map(|(_, right)| right.len()).sum()
}

fn tagged<'a>(answers: &'a [&Answer], draw: &'a [usize]) -> impl Iterator<Item = (&'a [u32], &'a [u32])> {
    draw.iter().filter_map(|i| match answers.get(*i)? {
        Answer::Tags { said, right } => Some((said.as_slice(), right.as_slice())),
        _ => None,
    })
}

/// Mean over the items that have the number.
pub(super) fn mean(answers: &[&Answer], draw: &[usize], of: impl Fn(&Answer) -> Option<f64>) -> f64 {
    let numbers = draw.iter().filter_map(|i| of(answers.get(*i)?));
    let (sum, count) = numbers.fold((0.0, 0usize), |(sum, n), x| (sum + x, n + 1));
    sum / count as f64
}

pub(super) fn accuracy(answers: &[&Answer], draw: &[usize]) -> f64 {
    mean(answers, draw, |answer| match answer {
        Answer::Class { said, right, .. } => Some(f64::from(u8::from(said == right))),
        _ => None,
    })
}

fn span(answer: &Answer) -> Option<(Ends, Option<Ends>)> {
    match answer {
        Answer::Span { said, right } => Some((*said, *right)),
        _ => None,
    }
}

/// F1 of the positions of two spans.
fn overlap(said: Ends, right: Option<Ends>) -> f64 {
    let Some(right) = right else { return 0.0 };
    let length = |(start, end): Ends| f64::from(end.saturating_sub(start) + 1);
    let (start, end) = (said.0.max(right.0), said.1.min(right.1));
    if start > end { 0.0 } else { 2.0 * length((start, end)) / (length(said) + length(right)) }
}

fn classes_of<'a>(answers: &'a [&Answer], draw: &'a [usize]) -> impl Iterator<Item = (u32, u32)> + 'a {
    draw.iter().filter_map(|i| match answers.get(*i)? {
        Answer::Class { said, right, .. } => Some((*said, *right)),
        _ => None,
    })
}

/// How often each class was said, was right, and both.
struct ClassCounts {
    hit: Vec<f64>,
    said: Vec<f64>,
    right: Vec<f64>,
    all: f64,
}

impl ClassCounts {
    fn new(classes: usize) -> Self {
        let none = vec![0.0; classes];
        Self { hit: none.clone(), said: none.clone(), right: none, all: 0.0 }
    }

    fn of(answers: &[&Answer], draw: &[usize], classes: usize) -> Self {
        let mut counts = Self::new(classes);
        classes_of(answers, draw).for_each(|(said, right)| counts.add(said, right));
        counts
    }

    fn add(&mut self, said: u32, right: u32) {
        for (counts, class) in [(&mut self.said, said), (&mut self.right, right)] {
            if let Some(count) = counts.get_mut(class as usize) {
                *count += 1.0;
            }
        }
        if said == right
            && let Some(count) = self.hit.get_mut(said as usize)
        {
            *count += 1.0;
        }
        self.all += 1.0;
    }

    fn macro_f1(&self) -> f64 {
        let each = self.hit.iter().zip(&self.said).zip(&self.right).filter(|((_, said), right)| **said + **right > 0.0);
        let (sum, count) =
            each.fold((0.0, 0usize), |(sum, n), ((hit, said), right)| (sum + 2.0 * hit / (said + right), n + 1));
        sum / count as f64
    }
}

fn binary_f1(answers: &[&Answer], draw: &[usize]) -> f64 {
    let counts = ClassCounts::of(answers, draw, 2);
    let both = counts.said[1] + counts.right[1];
    // As scikit-learn: nothing said and nothing right is zero.
    if both > 0.0 { 2.0 * counts.hit[1] / both } else { 0.0 }
}

fn macro_f1(answers: &[&Answer], draw: &[usize], classes: usize) -> f64 {
    ClassCounts::of(answers, draw, classes).macro_f1()
}

/// Of any number of classes (Gorodkin 2004); 0 where one class alone is said or right.
fn matthews(answers: &[&Answer], draw: &[usize], classes: usize) -> f64 {
    let ClassCounts { hit, said, right, all } = ClassCounts::of(answers, draw, classes);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let above = hit.iter().sum::<f64>() * all - dot(&said, &right);
    let below = ((all * all - dot(&said, &said)) * (all * all - dot(&right, &right))).sqrt();
    if below > 0.0 { above / below } else { 0.0 }
}

fn micro(answers: &[&Answer], draw: &[usize]) -> f64 {
    let (mut hit, mut both) = (0usize, 0usize);
    for index in draw {
        if let Some(Answer::Several { said, right }) = answers.get(*index) {
            hit += said.iter().zip(right).filter(|(s, r)| **s && **r).count();
            both += said.iter().chain(right).filter(|x| **x).count();
        }
    }
    if both > 0 { 2.0 * hit as f64 / both as f64 } else { 0.0 }
}

/// What was said and what is right of each item with one number.
pub(super) fn pairs(answers: &[&Answer], draw: &[usize]) -> Vec<(f64, f64)> {
    let all = draw.iter().filter_map(|i| match answers.get(*i)? {
        Answer::Numbers { said, right } => Some(said.iter().copied().zip(right.iter().copied())),
        _ => None,
    });
    all.flatten().collect()
}

/// Not a number where one side does not vary.
pub(super) fn pearson(pairs: &[(f64, f64)]) -> f64 {
    let n = pairs.len() as f64;
    let (x, y) = pairs.iter().fold((0.0, 0.0), |(x, y), (a, b)| (x + a / n, y + b / n));
    let [xy, xx, yy] = pairs.iter().fold([0.0; 3], |[xy, xx, yy], (a, b)| {
        let (a, b) = (a - x, b - y);
        [xy + a * b, xx + a * a, yy + b * b]
    });
    xy / (xx * yy).sqrt()
}

/// Pearson's of the ranks.
pub(super) fn spearman(pairs: &[(f64, f64)]) -> f64 {
    let of = |values: Vec<f64>| ranks(&values);
    let x = of(pairs.iter().map(|(x, _)| *x).collect());
    let y = of(pairs.iter().map(|(_, y)| *y).collect());
    pearson(&x.into_iter().zip(y).collect::<Vec<_>>())
}

/// Ranks from 1, equals at the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut from = 0;
    while from < order.len() {
        let alike = order[from + 1..].iter().take_while(|i| values[**i] == values[order[from]]);
        let equal = 1 + alike.count();
        let rank = (2 * from + equal + 1) as f64 / 2.0;
        order[from..from + equal].iter().for_each(|i| ranks[*i] = rank);
        from += equal;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::checkpoint::Config;
    use crate::network::LabelNames;

    fn head(kind: TaskKind, problem: ProblemType, names: &[String]) -> TaskHeadSpec {
        let named: Map<String, Value> =
            names.iter().enumerate().map(|(i, name)| (i.to_string(), json!(name))).collect();
        let config = Config::new("config.json", [("id2label".to_owned(), Value::Object(named))].into_iter().collect());
        let labels = LabelNames::of(&config, names.len());
        TaskHeadSpec {
            kind,
            problem,
            outputs: names.len(),
            labels,
            pooling: None,
            dense: None,
            bias: true,
            distillation: false,
        }
    }

    fn lists<T: serde::de::DeserializeOwned>(case: &Value) -> (Vec<T>, Vec<T>) {
        let of = |key: &str| serde_json::from_value(case[key].clone()).unwrap();
        (of("said"), of("right"))
    }

    #[test]
    fn metrics_are_those_of_scikit_learn_scipy_and_seqeval() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/metrics/references.json");
        let references: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let mut compared = 0;
        for case in references["cases"].as_array().unwrap() {
            let count = case["classes"].as_u64().unwrap_or(1) as usize;
            let numbered: Vec<String> = (0..count).map(|i| format!("class {i}")).collect();
            let (task, answers): (TaskHeadSpec, Vec<Answer>) = match case["kind"].as_str().unwrap() {
                "classes" => {
                    let (said, right) = lists::<u32>(case);
                    let answer = |(said, right)| Answer::Class { said, right, above: 0 };
                    let task = head(TaskKind::SequenceClassification, ProblemType::SingleLabel, &numbered);
                    (task, said.into_iter().zip(right).map(answer).collect())
                }
                "numbers" => {
                    let (said, right) = lists::<f64>(case);
                    let answer = |(said, right)| Answer::Numbers { said: vec![said], right: vec![right] };
                    let task = head(TaskKind::SequenceClassification, ProblemType::Regression, &numbered);
                    (task, said.into_iter().zip(right).map(answer).collect())
                }
                "several" => {
                    let (said, right) = lists::<Vec<u8>>(case);
                    let flags = |row: Vec<u8>| row.into_iter().map(|x| x == 1).collect();
                    let answer = |(said, right)| Answer::Several { said: flags(said), right: flags(right) };
                    let task = head(TaskKind::SequenceClassification, ProblemType::MultiLabel, &numbered);
                    (task, said.into_iter().zip(right).map(answer).collect())
                }
                _ => {
                    let (said, right) = lists::<Vec<u32>>(case);
                    let names: Vec<String> = serde_json::from_value(case["names"].clone()).unwrap();
                    let answer = |(said, right)| Answer::Tags { said, right };
                    let task = head(TaskKind::TokenClassification, ProblemType::SingleLabel, &names);
                    (task, said.into_iter().zip(right).map(answer).collect())
                }
            };
            let answers: Vec<&Answer> = answers.iter().collect();
            let metrics = task_metrics(&task);
            for (name, want) in case["metrics"].as_object().unwrap() {
                let metric = metrics.iter().find(|m| m.name == name).unwrap_or_else(|| panic!("no {name}"));
                let found = metric.estimate(&answers).unwrap();
                let want = want.as_f64().unwrap();
                assert!((found.value - want).abs() < 1e-12, "{name}: {} instead of {want}", found.value);
                assert!(
                    found.low.unwrap() <= found.value + 1e-12 && found.value <= found.high.unwrap() + 1e-12,
                    "{found:?}"
                );
                assert_eq!(found.n as usize, answers.len());
                compared += 1;
            }
        }
        assert_eq!(compared, 37);
    }

    #[test]
    fn what_is_over_tokens_counts_tokens() {
        let tags = |said: &[u32]| Answer::Tags { said: said.to_vec(), right: vec![0; said.len()] };
        let answers = [tags(&[0, 1, 0]), tags(&[0]), tags(&[1, 1])];
        let answers: Vec<&Answer> = answers.iter().collect();
        let names = ["a", "b"].map(str::to_owned);
        let metrics = task_metrics(&head(TaskKind::TokenClassification, ProblemType::SingleLabel, &names));
        let found = metrics[0].estimate(&answers).unwrap();
        assert_eq!((found.n, found.from_words().as_str()), (3, "6 labeled tokens in 3 items"));
        let metrics = task_metrics(&head(TaskKind::SequenceClassification, ProblemType::SingleLabel, &names));
        let answer = Answer::Class { said: 1, right: 1, above: 0 };
        assert_eq!(metrics[0].estimate(&[&answer]).unwrap().from_words(), "1 item");
    }

    #[test]
    fn a_change_is_over_the_same_items() {
        let task = head(TaskKind::MultipleChoice, ProblemType::SingleLabel, &["a".to_owned()]);
        let answers = |right: &[u32]| -> Vec<Answer> {
            right.iter().map(|r| Answer::Class { said: 1, right: *r, above: 0 }).collect()
        };
        // Half of the items are right before, and the same ones after: nothing changed, and that is sure.
        let before = answers(&[1, 0, 1, 0, 1, 0, 1, 0]);
        let before: Vec<&Answer> = before.iter().collect();
        let change = task_metrics(&task)[0].change(&before, &before).unwrap();
        assert_eq!((change.value, change.low, change.high), (0.0, Some(0.0), Some(0.0)));
        let after = answers(&[1, 1, 1, 1, 1, 0, 1, 0]);
        let after: Vec<&Answer> = after.iter().collect();
        let change = task_metrics(&task)[0].change(&before, &after).unwrap();
        assert!(change.value == 0.25 && change.low.unwrap() >= 0.0, "{change:?}");
    }

    #[test]
    fn spans_overlap_token_by_token() {
        assert_eq!(overlap((2, 5), Some((4, 7))), 0.5);
        assert_eq!(
            (overlap((2, 3), Some((4, 7))), overlap((2, 3), None), overlap((2, 3), Some((2, 3)))),
            (0.0, 0.0, 1.0)
        );
    }
}

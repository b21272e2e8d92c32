//! Quality curves: every point a masked evaluation, measured once.
use std::path::Path;

use crate::common::fixtures;
use candle_core::{DType, Device};
use pillars::analysis::{Analysis, AnalysisSettings, Document, Groups, ModelInfo, analyze, magnitude};
use pillars::chart::{CurveView, Theme};
use pillars::corpus::{self, Corpus, Input, Intake, Purpose};
use pillars::evaluation::curve::{Curves, Gauge, Subject, Wanted, curves};
use pillars::evaluation::{Candidate, compare, evaluate};
use pillars::model::Model;
use pillars::network::{FeatureMap, Gates, Kept, Network};
use pillars::plan::{Amount, Cost, Method, Ranking};
use pillars::repair::RepairMode;
use pillars::task::Ticket;

struct Bench {
    model: Model,
    network: Network,
    corpus: Corpus,
    analysis: Analysis,
    _folder: tempfile::TempDir,
}

/// A fixture with an analysis of two feature maps and a held-out list of tokens.
fn bench(family: &str) -> Bench {
    let model = Model::open(fixtures().join(family)).unwrap();
    let network = model.network(&Device::Cpu, DType::F32).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let lines = |name: &str, shift: u32| {
        let line = |n: u32| (0..8 + n % 3).map(|t| (n * 7 + t * t * 3 + shift) % 90 + 3).collect::<Vec<u32>>();
        let text: String = (0..6).map(|n| format!("{{\"input_ids\": {:?}}}\n", line(n))).collect();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        open(&model, &path)
    };
    let read = lines("read.jsonl", 0);
    let settings = AnalysisSettings {
        features: vec![FeatureMap::Output, FeatureMap::Value],
        groups: Groups::Fixed(2),
        confidence: true,
        input: read.describe(),
        ..AnalysisSettings::default()
    };
    let info = ModelInfo::of(&model, DType::F32).unwrap();
    let batches = read.batches(&Device::Cpu);
    let mut analysis = analyze(&network, info, batches, None, &settings, &Ticket::default()).unwrap();
    let weights = model.weights(&Device::Cpu, DType::F32);
    analysis.set_baseline("magnitude", magnitude(model.spec(), &weights).unwrap()).unwrap();
    let corpus = lines("held-out.jsonl", 5);
    Bench { model, network, corpus, analysis, _folder: folder }
}

fn open(model: &Model, path: &Path) -> Corpus {
    let settings =
        corpus::CorpusSettings { batch_size: 2, purpose: Purpose::Score, ..corpus::CorpusSettings::default() };
    let intake = Intake::of(model).unwrap();
    let input = Input::Tokens(path.to_path_buf());
    Corpus::open(&input, model.checkpoint().folder(), &intake, &settings, &Ticket::default()).unwrap()
}

impl Bench {
    fn subject(&self) -> Subject<'_> {
        Subject {
            network: &self.network,
            weights: None,
            analysis: &self.analysis,
            corpus: &self.corpus,
            moments: None,
            model: None,
            benchmark: None,
        }
    }

    fn measure(&self, wanted: &Wanted, before: Option<&Curves>) -> Curves {
        curves(&self.subject(), wanted, before, &mut |_| Ok(()), &Ticket::default()).unwrap()
    }
}

fn wanted(bench: &Bench) -> Wanted {
    Wanted {
        rankings: Ranking::available(&bench.analysis),
        amounts: [0.75, 0.5, 0.25].map(Amount::LayerRatio).to_vec(),
        repairs: vec![RepairMode::None],
        draws: 3,
        seed: 0,
        length: 16,
        anew: false,
    }
}

#[test]
fn every_point_is_an_evaluation_of_the_masked_model() {
    for family in ["gpt2", "llama", "bert"] {
        let bench = bench(family);
        let found = bench.measure(&wanted(&bench), None);
        let names: Vec<String> = found.rankings().iter().map(Ranking::to_string).collect();
        for name in ["votes", "votes:output", "votes:value", "per-group", "score", "magnitude", "confidence", "random"]
        {
            assert!(names.iter().any(|n| n == name), "{family}: {names:?}");
        }
        // Six ways of one draw (votes, per-group and score with each of two maps make nine), and two random ones.
        assert_eq!(found.points.len(), 3 * (9 + 2 + 3 + 3 * 3), "{family}: {names:?}");
        let network = &bench.network;
        let run = |kept: &Kept| {
            let (open, gates) = (Gates::open(), Gates::keep(network.spec(), kept, DType::F32, &Device::Cpu).unwrap());
            let quality =
                evaluate(network, &gates, bench.corpus.batches(&Device::Cpu), None, &Ticket::default()).unwrap();
            let (before, after) = (Candidate { network, gates: &open }, Candidate { network, gates: &gates });
            let batches = bench.corpus.batches(&Device::Cpu);
            (quality, compare(before, after, batches, None, &Ticket::default()).unwrap())
        };
        let (quality, _) = run(&Kept::all());
        let whole = found.whole.unwrap();
        assert_eq!(whole.effect.loss_per_token, quality.loss_per_token);
        assert_eq!((whole.effect.agreement, whole.effect.cosine), (Some(1.0), 1.0));
        assert_eq!(whole.cost, Cost::of(network.spec(), 16));
        for point in found.points.iter().step_by(7) {
            let (quality, comparison) = run(&point.kept);
            assert_eq!(point.effect.loss_per_token, quality.loss_per_token, "{family} {}", point.ranking);
            assert_eq!(point.effect.perplexity, quality.perplexity);
            assert_eq!(point.effect.accuracy, quality.accuracy);
            assert_eq!(point.effect.agreement, comparison.agreement);
            assert!((point.effect.cosine - comparison.similarity.mean_cosine).abs() < 1e-12);
            assert!(point.cost.parameters < whole.cost.parameters && point.kept_share < 1.0);
        }
        // A file keeps all of it.
        assert_eq!(Curves::from_json(&found.to_json().unwrap()).unwrap(), found);
    }
}

#[test]
fn a_stopped_measurement_goes_on_where_it_stopped() {
    let bench = bench("gpt2");
    let wanted = wanted(&bench);
    let whole = bench.measure(&wanted, None);
    let ticket = Ticket::default();
    let mut kept = None;
    let stopped = curves(
        &bench.subject(),
        &wanted,
        None,
        &mut |found| {
            if found.points.len() == 5 {
                ticket.cancel_token().cancel();
            }
            kept = Some(found.clone());
            Ok(())
        },
        &ticket,
    );
    assert!(stopped.unwrap_err().is_cancelled());
    let kept: Curves = kept.unwrap();
    assert!(kept.points.len() >= 5 && kept.points.len() < whole.points.len());
    assert_eq!(bench.measure(&wanted, Some(&kept)), whole);
    // What is there is not measured again: a mark that no measurement would give stays.
    let mut marked = whole.clone();
    marked.points.iter_mut().for_each(|p| p.effect.cosine = 0.123);
    let ticket = Ticket::default();
    let again = curves(&bench.subject(), &wanted, Some(&marked), &mut |_| Ok(()), &ticket).unwrap();
    assert_eq!(again, marked);
    assert_eq!(ticket.progress().stage, "", "nothing was run");
    // Other text is another measurement.
    let mut other = marked.clone();
    other.reading.fingerprint.push('x');
    let refused = curves(&bench.subject(), &wanted, Some(&other), &mut |_| Ok(()), &Ticket::default()).unwrap_err();
    assert!(refused.to_string().contains("under other settings (contents of the input"), "{refused}");
    assert_eq!(bench.measure(&Wanted { anew: true, ..wanted.clone() }, Some(&other)), whole);
    let mut longer = marked.clone();
    longer.reading.seq_len = Some(64);
    let refused = curves(&bench.subject(), &wanted, Some(&longer), &mut |_| Ok(()), &Ticket::default()).unwrap_err();
    assert!(refused.to_string().contains("(seq_len 64 instead of none)"), "{refused}");
    // Another method adds to what is there.
    let few = Wanted { rankings: vec![Method::Votes.into()], ..wanted.clone() };
    let votes = bench.measure(&few, None);
    assert_eq!(votes.points.len(), 3);
    let more = Wanted { rankings: vec![Method::Magnitude.into()], ..wanted };
    assert_eq!(bench.measure(&more, Some(&votes)).points.len(), 6);
}

#[test]
fn what_cannot_be_measured_is_refused_before_anything_runs() {
    let bench = bench("gpt2");
    let attempt = |wanted: Wanted| {
        let never: &mut dyn FnMut(&Curves) -> pillars::Result<()> = &mut |_| panic!("nothing is kept");
        curves(&bench.subject(), &wanted, None, never, &Ticket::default()).unwrap_err().to_string()
    };
    let of = |method: Method| Wanted { rankings: vec![method.into()], ..wanted(&bench) };
    assert!(attempt(of(Method::Importance)).contains("holds no importance"));
    assert!(attempt(Wanted { amounts: vec![Amount::LayerRatio(1.5)], ..of(Method::Votes) }).contains("no share"));
    assert!(attempt(Wanted { rankings: Vec::new(), ..of(Method::Votes) }).contains("no method"));
    let other = self::bench("bert");
    let mixed = Subject { network: &other.network, ..bench.subject() };
    let mixed = curves(&mixed, &of(Method::Votes), None, &mut |_| Ok(()), &Ticket::default());
    assert!(mixed.unwrap_err().to_string().contains("another model"));
}

#[test]
fn speed_is_that_of_the_smaller_model() {
    let bench = bench("gpt2");
    let weights = bench.model.weights(&Device::Cpu, DType::F32);
    let subject = Subject { weights: Some(&weights), ..bench.subject() };
    let wanted = Wanted { rankings: vec![Method::Votes.into(), Method::Magnitude.into()], ..wanted(&bench) };
    let found = curves(&subject, &wanted, None, &mut |_| Ok(()), &Ticket::default()).unwrap();
    assert!(found.whole.unwrap().tokens_per_sec.unwrap() > 0.0);
    for pair in found.points.chunks(2) {
        // Models of one shape are timed once.
        assert!(pair[0].tokens_per_sec.unwrap() > 0.0);
        assert_eq!(pair[0].tokens_per_sec, pair[1].tokens_per_sec);
    }
    for view in CurveView::ALL {
        assert_eq!(CurveView::named(&view.to_string()).unwrap().unwrap(), view);
        for theme in Theme::ALL {
            let figure = view.picture(&found).unwrap().figure(theme);
            assert!(figure.table().len() >= 7, "{view}");
        }
    }
    let slow = self::bench("bert");
    let slow = slow.measure(&Wanted { rankings: vec![Method::Votes.into()], ..wanted }, None);
    let view = CurveView::named("pareto-speed").unwrap().unwrap();
    assert!(view.picture(&slow).unwrap_err().to_string().contains("--speed"));
    for name in ["quality-color", "pareto", "pareto-price", "quality-loss-more"] {
        assert!(CurveView::named(name).unwrap().is_err(), "{name}");
    }
    assert!(CurveView::named("votes").is_none());
}

#[test]
fn spreads_and_fronts_follow_their_definitions() {
    let bench = bench("gpt2");
    let wanted = Wanted {
        rankings: vec![Method::Votes.into(), Method::Random.into()],
        amounts: [0.75, 0.5].map(Amount::LayerRatio).to_vec(),
        ..wanted(&bench)
    };
    let mut found = bench.measure(&wanted, None);
    // By hand: votes 3 and 5, random 2, 4, 6 and 5, 7, 9 at three quarters and half; the whole model 1.
    found.whole.as_mut().unwrap().effect.loss_per_token = Some(1.0);
    let losses = [3.0, 2.0, 4.0, 6.0, 5.0, 5.0, 7.0, 9.0];
    assert_eq!(found.points.len(), losses.len());
    found.points.iter_mut().zip(losses).for_each(|(p, loss)| p.effect.loss_per_token = Some(loss));
    let [more, fewer] = found.amounts()[..] else { panic!("two amounts") };
    let spread = found.row(Method::Random, more).quality(Gauge::Loss).unwrap();
    // The sample's standard deviation of 2, 4, 6 is sqrt((4 + 0 + 4) / 2) = 2.
    assert_eq!((spread.count, spread.mean, spread.deviation, spread.low, spread.high), (3, 4.0, 2.0, 2.0, 6.0));
    let one = found.row(Method::Votes, fewer).quality(Gauge::Loss).unwrap();
    assert_eq!((one.count, one.mean, one.deviation), (1, 5.0, 0.0));
    let front = found.front(Gauge::Loss, |cost, _| Some(cost.parameters as f64), false);
    let losses: Vec<(bool, f64)> = front.iter().map(|(r, _, loss)| (r.is_some(), *loss)).collect();
    // With half of the heads 5 (by votes; a draw equals it), with three quarters the draw of 2, the whole model 1.
    assert_eq!(losses, [(true, 5.0), (true, 2.0), (false, 1.0)]);
    assert!(front.windows(2).all(|w| w[0].1 < w[1].1));
}

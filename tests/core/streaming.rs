//! A network that leaves its layers and tables in the checkpoint computes what one that holds them computes, bit for
//! bit, and reads each of them once for all batches that advance together.
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::common::{batch, device, fixture_folders, mask, random_model, reference};
use candle_core::{DType, Device, Tensor};
use pillars::analysis::{AnalysisSettings, Analyzer, Groups, ModelInfo, analyze};
use pillars::evaluation::{COMPARED_COPIES, Candidate, compare, evaluate, score_each};
use pillars::model::{MemoryLimit, MemoryPlan, Model, Needs, Reader};
use pillars::network::{
    Activation, AttentionSpec, Batch, EmbedModule, Extent, FeatureMap, Gates, Hidden, InputSpec, LayerSpec, MlpSpec,
    Module, Network, NetworkSpec, NormKind, NormSpec, Objective, OutputSpec, Probe, Role, Site, SiteMaps, Source,
    StackKind, StackSpec, TokenInputSpec, TokenMask, Tokens, Weights, Wiring, roles,
};
use pillars::plan::Plan;
use pillars::pruning::{self, ExportFormat, ExportOptions};
use pillars::task::{CancelToken, Ticket};

/// A reader that counts how often each role is read.
struct Counted {
    reader: Reader,
    reads: Mutex<BTreeMap<String, usize>>,
}

impl Counted {
    fn new(model: &Model) -> Arc<Self> {
        Arc::new(Self { reader: model.reader(&device(), DType::F32), reads: Mutex::default() })
    }

    fn count(&self, role: Role) {
        *self.reads.lock().unwrap().entry(role.to_string()).or_default() += 1;
    }

    /// Reads since the last call.
    fn take(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut self.reads.lock().unwrap())
    }
}

impl Weights for Counted {
    fn get(&self, role: Role) -> pillars::Result<Tensor> {
        self.count(role);
        self.reader.get(role)
    }

    fn rows(&self, role: Role, ranges: &[Range<usize>]) -> pillars::Result<Tensor> {
        self.count(role);
        self.reader.rows(role, ranges)
    }
}

/// Every map of every site, by batch.
#[derive(Default)]
struct All(BTreeMap<(usize, Site, FeatureMap), Vec<u32>>);

impl Probe for All {
    fn wants_attention(&self, _site: Site) -> bool {
        true
    }

    fn see(&mut self, maps: &SiteMaps<'_>) -> pillars::Result<()> {
        for &map in FeatureMap::ALL {
            self.0.insert((maps.batch, maps.site, map), bits(&maps.map(map)?));
        }
        Ok(())
    }
}

fn bits(x: &Tensor) -> Vec<u32> {
    x.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

/// The first `length` positions of tokens.
fn shortened(tokens: &Tokens, length: usize) -> Tokens {
    let (n, t) = tokens.ids.dims2().unwrap();
    let real = (0..n).flat_map(|i| tokens.mask.real()[i * t..i * t + length].to_vec()).collect();
    let ids = tokens.ids.narrow(1, 0, length).unwrap().contiguous().unwrap();
    Tokens::new(ids, TokenMask::new(n, length, real).unwrap())
}

/// The batch of a fixture, a shorter one, and the first again.
fn batches(folder: &Path) -> Vec<Batch> {
    let whole = batch(&reference(&folder.join("reference.safetensors")));
    let mut short = whole.clone();
    if let Source::Tokens(tokens) = &whole.source {
        short.source = Source::Tokens(shortened(tokens, tokens.mask.length() - 2));
    }
    short.target = short.target.map(|target| shortened(&target, target.mask.length() - 3));
    vec![whole.clone(), short, whole]
}

#[test]
fn every_family_gives_the_same_bits_and_reads_each_layer_once() {
    for folder in fixture_folders() {
        let model = Model::open(&folder).unwrap();
        let held = model.network(&device(), DType::F32).unwrap();
        let counted = Counted::new(&model);
        let streamed = Network::stream(model.spec(), counted.clone(), 1 << 30).unwrap();
        let gates = Gates::keep(model.spec(), &mask(&folder), DType::F32, &device()).unwrap();
        let batches = batches(&folder);
        let name = model.family().model_type;

        let mut want = All::default();
        let one_by_one: Vec<Hidden> = batches
            .iter()
            .enumerate()
            .map(|(place, batch)| {
                let mut seen = All::default();
                let hidden = held.hidden(batch, &gates, &mut seen).unwrap();
                want.0.extend(seen.0.into_iter().map(|((_, site, map), x)| ((place, site, map), x)));
                hidden
            })
            .collect();
        for streamed in [streamed.clone(), streamed.reading_ahead()] {
            counted.take();
            let mut got = All::default();
            let together = streamed.hidden_of(&batches, &gates, &mut got, &Ticket::default()).unwrap();
            assert!(got.0 == want.0, "{name}");
            for (a, b) in together.iter().zip(&one_by_one) {
                assert!(bits(&a.states) == bits(&b.states) && a.mask == b.mask, "{name}");
            }

            // Every role of a layer once, also where several passes share it; nothing that is held again.
            let reads = counted.take();
            let is_layer = |role: &str| role.split('.').nth(1).is_some_and(|part| part.parse::<usize>().is_ok());
            for (role, _) in roles::tensors(model.spec()) {
                let role = role.to_string();
                let expected = if is_layer(&role) { Some(&1) } else { None };
                if role.ends_with(".embed.tokens") {
                    assert_eq!(reads.get(&role), Some(&batches.len()), "{name}: rows of {role}");
                } else {
                    assert_eq!(reads.get(&role), expected, "{name}: {role}");
                }
            }

            // A probe alone sees the same, though the end is left out.
            let mut shown = All::default();
            streamed.run_probe(&batches, &gates, &mut shown, &Ticket::default()).unwrap();
            assert!(shown.0 == want.0, "{name}");

            if model.spec().output.is_some() {
                let logits = |network: &Network, hidden: &Hidden| bits(&network.logits(&hidden.states).unwrap());
                assert!(logits(&streamed, &together[1]) == logits(&held, &one_by_one[1]), "{name}");
            }
        }
    }
}

#[test]
fn groups_hold_as_many_batches_as_have_room() {
    let folder = crate::common::fixtures().join("bart");
    let model = Model::open(&folder).unwrap();
    let batches = batches(&folder);
    let sizes = |waiting: Option<u64>| -> Vec<usize> {
        let network = match waiting {
            Some(bytes) => Network::stream(model.spec(), Counted::new(&model), bytes).unwrap(),
            None => model.network(&device(), DType::F32).unwrap(),
        };
        let all = batches.iter().cloned().map(Ok);
        network.groups(all, 1, 0).map(|group| group.unwrap().len()).collect()
    };
    assert_eq!(sizes(None), [1, 1, 1]);
    // Never fewer than one.
    assert_eq!(sizes(Some(0)), [1, 1, 1]);
    assert_eq!(sizes(Some(1 << 30)), [3]);
    let width = model.spec().last_stack().unwrap().width;
    let positions = |batch: &Batch| match (&batch.source, &batch.target) {
        (Source::Tokens(source), Some(target)) => source.mask.real().len() + target.mask.real().len(),
        _ => panic!("bart reads tokens"),
    };
    let ids = |batch: &Batch| batch.source.numbers() as usize;
    let bytes = |batch: &Batch| (4 * (positions(batch) * width + ids(batch))) as u64;
    assert_eq!(sizes(Some(bytes(&batches[0]) + bytes(&batches[1]))), [2, 1]);
    assert_eq!(sizes(Some(bytes(&batches[0]) + bytes(&batches[1]) - 1)), [1, 1, 1]);
}

#[test]
fn a_group_can_be_stopped_and_says_how_far_it_is() {
    let folder = crate::common::fixtures().join("llama");
    let model = Model::open(&folder).unwrap();
    let network = Network::stream(model.spec(), Counted::new(&model), 1 << 30).unwrap();
    let batches = batches(&folder);
    let ticket = Ticket::default();
    ticket.stage("analyze", Some(6), "batches");
    network.hidden_of(&batches, &Gates::open(), &mut pillars::network::NoProbe, &ticket).unwrap();
    // The three batches have passed, but whoever runs them has not said so yet.
    let progress = ticket.progress();
    assert_eq!((progress.done, progress.fraction()), (0, Some(0.5)));
    ticket.advance(3).unwrap();
    assert_eq!((ticket.progress().done, ticket.progress().fraction()), (3, Some(0.5)));
    let stopped = CancelToken::default();
    stopped.cancel();
    let ticket = Ticket::new(stopped, || {});
    let ended = network.hidden_of(&batches, &Gates::open(), &mut pillars::network::NoProbe, &ticket);
    assert!(ended.unwrap_err().is_cancelled());
}

/// A memory in which `model` has to leave its layers in the checkpoint, with hardly a batch to spare.
fn tight(model: &Model, batches: &[Batch], needs: Needs) -> MemoryPlan {
    let extents = batches.iter().map(|b| Extent::of(b, model.spec()).unwrap());
    let largest = extents.max_by_key(|e| e.sequences * (e.source + e.target)).unwrap();
    let room = MemoryPlan { limit: MemoryLimit(0), largest, needs };
    MemoryPlan { limit: model.least_memory(&device(), DType::F32, &room).unwrap(), ..room }
}

const FAMILIES: [&str; 6] = ["bert", "gpt2", "llama", "albert", "bart", "t5"];

#[test]
fn an_analysis_within_little_memory_is_the_same() {
    for family in FAMILIES {
        let folder = crate::common::fixtures().join(family);
        let (model, batches) = (Model::open(&folder).unwrap(), batches(&folder));
        let settings = AnalysisSettings {
            features: vec![FeatureMap::Output, FeatureMap::Attention, FeatureMap::Residual],
            groups: Groups::Fixed(2),
            cka: true,
            confidence: true,
            ..AnalysisSettings::default()
        };
        let info = ModelInfo::of(&model, DType::F32).unwrap();
        let run = |network: &Network| {
            let all = batches.iter().cloned().map(Ok);
            analyze(network, info.clone(), all, None, &settings, &Ticket::default()).unwrap()
        };
        let want = run(&model.network(&device(), DType::F32).unwrap());
        let room = tight(&model, &batches, Analyzer::needs(model.spec(), &settings));
        let least = model.network_within(&device(), DType::F32, &room).unwrap();
        assert!(least.waiting().is_some(), "{family}");
        assert_eq!(run(&least), want, "{family}");
        let more = Network::stream(model.spec(), Counted::new(&model), 1 << 30).unwrap();
        assert_eq!(run(&more), want, "{family}");

        // With no room for a second layer none is read ahead.
        assert!(!least.reads_ahead(), "{family}");

        // A byte less is refused with what is needed, and with room for everything nothing is left behind.
        let less = MemoryPlan { limit: MemoryLimit(room.limit.0 - 1), ..room };
        let error = model.network_within(&device(), DType::F32, &less).unwrap_err().to_string();
        assert!(error.contains(&format!("need {} of memory", room.limit)), "{error}");
        let ample = MemoryPlan { limit: MemoryLimit(1 << 30), ..room };
        assert!(model.network_within(&device(), DType::F32, &ample).unwrap().waiting().is_none());
    }
}

#[test]
fn a_second_layer_is_read_ahead_where_it_has_room() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_models/austen-plain");
    let model = Model::open(&sample).unwrap();
    let rows: Vec<_> =
        (0..3).map(|n| ((0..24).map(|t| (n * 7919 + t * 331) % 1500).collect(), vec![true; 24])).collect();
    let batches = vec![Batch::tokens(Tokens::pad(&rows, 0, &device()).unwrap())];
    let room = tight(&model, &batches, Needs::ONE);
    let within = |limit| model.network_within(&device(), DType::F32, &MemoryPlan { limit, ..room }).unwrap();
    let run =
        |network: &Network| bits(&network.hidden(&batches[0], &Gates::open(), &mut All::default()).unwrap().states);
    let held = model.held_memory(&device(), DType::F32, &room).unwrap();
    let (least, ahead, whole) = (within(room.limit), within(MemoryLimit(held.0 - 1)), within(held));
    assert_eq!(
        [&least, &ahead, &whole].map(|n| (n.waiting().is_some(), n.reads_ahead())),
        [(true, false), (true, true), (false, false)]
    );
    // The layer that is read has its room from what may wait.
    assert!(ahead.waiting().unwrap() > least.waiting().unwrap());
    assert!(run(&ahead) == run(&whole) && run(&least) == run(&whole));
    // One whose outputs are repaired reads as it does.
    assert!(model.repaired_network(&ahead, &BTreeMap::new()).unwrap().reads_ahead());

    // What cannot be read is told as if it had been read when it was asked for.
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(sample.join(file), folder.path().join(file)).unwrap();
    }
    let cut = Model::open(folder.path()).unwrap();
    let network = Network::stream(cut.spec(), Arc::new(cut.reader(&device(), DType::F32)), 1 << 30).unwrap();
    std::fs::write(folder.path().join("model.safetensors"), b"cut").unwrap();
    let told = |network: &Network| network.run(&batches[0]).unwrap_err().to_string();
    assert_eq!(told(&network.clone().reading_ahead()), told(&network));
}

#[test]
fn a_table_that_no_head_reads_takes_its_rows_alone() {
    let (_folder, model) = random_model(&serde_json::json!({
        "model_type": "clip_text_model", "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "vocab_size": 1 << 16, "max_position_embeddings": 32, "projection_dim": 64,
        "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "eos_token_id": 2, "bos_token_id": 0, "pad_token_id": 1,
    }));
    assert!(model.spec().output.is_none());
    let rows: Vec<_> =
        (0..2).map(|n| ((0..24).map(|t| 3 + (n * 7919 + t * 331) % 60_000).collect(), vec![true; 24])).collect();
    let batches = vec![Batch::tokens(Tokens::pad(&rows, 0, &device()).unwrap())];
    let room = tight(&model, &batches, Needs::ONE);
    let own = room.limit.0 - pillars::model::PROGRAM;
    let table = (4 * 64) << 16;
    assert!(own < table, "{own} bytes where the table takes {table}");
    let run =
        |network: &Network| bits(&network.hidden(&batches[0], &Gates::open(), &mut All::default()).unwrap().states);
    let streamed = model.network_within(&device(), DType::F32, &room).unwrap();
    assert!(streamed.waiting().is_some());
    assert!(run(&streamed) == run(&model.network(&device(), DType::F32).unwrap()));
}

#[test]
fn an_evaluation_within_little_memory_is_the_same() {
    for family in FAMILIES {
        let folder = crate::common::fixtures().join(family);
        let model = Model::open(&folder).unwrap();
        let mut batches = batches(&folder);
        for (i, batch) in batches.iter_mut().enumerate() {
            let tokens = match (&batch.source, &batch.target) {
                (_, Some(target)) => target,
                (Source::Tokens(source), None) => source,
                _ => panic!("{family} reads tokens"),
            };
            let ids = tokens.ids.flatten_all().unwrap().to_vec1::<u32>().unwrap();
            let labels = ids.iter().zip(tokens.mask.real()).enumerate();
            batch.labels =
                Some(labels.map(|(at, (id, real))| (*real && !(at + i).is_multiple_of(3)).then_some(*id)).collect());
        }
        let gates = Gates::keep(model.spec(), &mask(&folder), DType::F32, &device()).unwrap();
        let open = Gates::open();
        let run = |network: &Network| {
            let (before, after) = (Candidate { network, gates: &open }, Candidate { network, gates: &gates });
            let mut found = compare(before, after, batches.iter().cloned().map(Ok), None, &Ticket::default()).unwrap();
            for quality in [&mut found.before, &mut found.after] {
                (quality.secs, quality.tokens_per_sec) = (0.0, 0.0);
            }
            found
        };
        let want = run(&model.network(&device(), DType::F32).unwrap());
        assert_eq!(want.before.batches, 3);
        let room = tight(&model, &batches, Needs { copies: COMPARED_COPIES, ..Needs::ONE });
        let least = model.network_within(&device(), DType::F32, &room).unwrap();
        assert!(least.waiting().is_some(), "{family}");
        assert_eq!(run(&least), want, "{family}");
        let counted = Counted::new(&model);
        let streamed = Network::stream(model.spec(), counted.clone(), 1 << 30).unwrap();
        assert_eq!(run(&streamed), want, "{family}");
        // Beside three others the whole model runs once, not three times: every layer is read for it and for each of them.
        counted.take();
        let network = &streamed;
        let [before, after] = [&open, &gates].map(|gates| Candidate { network, gates });
        let all = batches.iter().cloned().map(Ok);
        let found = score_each(Some(before), &[after, before, after], all, None, &Ticket::default()).unwrap();
        let is_layer = |role: &str| role.split('.').nth(1).is_some_and(|part| part.parse::<usize>().is_ok());
        for (role, count) in counted.take().iter().filter(|(role, _)| is_layer(role)) {
            assert_eq!(*count, 4, "{family}: {role}");
        }
        // Alone they are the same, without likeness to anything.
        let alone =
            score_each(None, &[after, before], batches.iter().cloned().map(Ok), None, &Ticket::default()).unwrap();
        assert!(alone.iter().all(|(_, likeness)| likeness.is_none()), "{family}");
        for ((mut quality, likeness), is_whole) in found.into_iter().chain(alone).zip([false, true, false, false, true])
        {
            (quality.secs, quality.tokens_per_sec) = (0.0, 0.0);
            assert_eq!(&quality, if is_whole { &want.before } else { &want.after }, "{family}");
            if let Some(likeness) = likeness {
                assert_eq!(likeness == want.similarity, !is_whole, "{family}");
            }
        }
    }
}

#[test]
fn an_export_within_little_memory_is_the_same() {
    for family in FAMILIES {
        let folder = crate::common::fixtures().join(family);
        let (model, batches) = (Model::open(&folder).unwrap(), batches(&folder));
        let plan = Plan::read_any(&folder.join("mask.json")).unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let export = |name: &str, memory: Option<MemoryLimit>| {
            let options = ExportOptions { memory, ..ExportOptions::default() };
            let mut input = batches.iter().cloned().map(Ok);
            let out = scratch.path().join(name);
            pruning::export(&model, &plan, ExportFormat::Masked, &out, &options, Some(&mut input), &Ticket::default())
        };
        let want = export("whole", None).unwrap();
        // The proof's own results come on top of what a pass needs: a little more than the program has to do.
        let needs = Needs { copies: 2, throughout: 1 << 20, ..Needs::ONE };
        let memory = tight(&model, &batches, needs).limit;
        let got = export("bounded", Some(memory)).unwrap();
        // Fewer positions may be compared, but they are among those of the other proof.
        assert!(got.agreement.max_difference <= want.agreement.max_difference, "{family}");
        let files = |name: &str| std::fs::read(scratch.path().join(name).join("model.safetensors")).unwrap();
        assert!(files("whole") == files("bounded"), "{family}");
        let refused = export("refused", Some(MemoryLimit(1))).unwrap_err().to_string();
        assert!(refused.contains("--memory"), "{refused}");
        assert!(!scratch.path().join("refused").exists());
    }
}

/// A network of one small layer whose token table, tied to its head, is larger than a block.
struct Wide {
    spec: NetworkSpec,
    reads: Mutex<usize>,
}

const WIDTH: usize = 64;

impl Wide {
    const CLASSES: usize = 150_000;

    fn new() -> Arc<Self> {
        let norm = NormSpec { kind: NormKind::Rms, eps: 1e-6 };
        let attention = AttentionSpec { causal: true, ..AttentionSpec::new(2, 2, WIDTH / 2) };
        let mlp = MlpSpec { width: WIDTH, activation: Activation::Silu, gated: true, bias: false };
        let stack = StackSpec {
            width: WIDTH,
            input: InputSpec::Tokens(TokenInputSpec::new(Self::CLASSES, WIDTH)),
            layers: vec![LayerSpec::new(0, attention, mlp, norm, Wiring::Pre)],
            final_norm: Some(norm),
            project_out: None,
        };
        let output = OutputSpec::new(Self::CLASSES, Objective::Causal, true);
        Arc::new(Self { spec: NetworkSpec::decoder(stack, Some(output)), reads: Mutex::default() })
    }

    fn row(row: usize, width: usize) -> impl Iterator<Item = f32> {
        let mut state = (row as u32).wrapping_mul(2_654_435_761).wrapping_add(1);
        (0..width).map(move |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        })
    }
}

impl Weights for Wide {
    fn get(&self, role: Role) -> pillars::Result<Tensor> {
        let (_, shape) = roles::tensors(&self.spec).into_iter().find(|(r, _)| *r == role).unwrap();
        let width = *shape.last().unwrap();
        let rows = shape.iter().product::<usize>() / width;
        let values: Vec<f32> = (0..rows).flat_map(|row| Self::row(row, width)).collect();
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
    }

    fn rows(&self, role: Role, ranges: &[Range<usize>]) -> pillars::Result<Tensor> {
        assert_eq!(role.to_string(), "decoder.embed.tokens");
        *self.reads.lock().unwrap() += 1;
        let rows: Vec<usize> = ranges.iter().cloned().flatten().collect();
        let values: Vec<f32> = rows.iter().flat_map(|row| Self::row(*row, WIDTH)).collect();
        Ok(Tensor::from_vec(values, (rows.len(), WIDTH), &Device::Cpu)?)
    }
}

#[test]
fn a_large_vocabulary_passes_in_blocks_that_are_read_once() {
    let weights = Wide::new();
    let held = Network::load(&weights.spec, &*weights).unwrap();
    let streamed = Network::stream(&weights.spec, weights.clone(), 1 << 30).unwrap();
    let batch = |seed: usize| {
        let ids: Vec<u32> = (0..10).map(|i| ((seed * 31 + i * 14_983) % Wide::CLASSES) as u32).collect();
        let labels = ids.iter().map(|id| Some((id + 65_000) % Wide::CLASSES as u32)).collect();
        let tokens = Tokens::pad(&[(ids, vec![true; 10])], 0, &Device::Cpu).unwrap();
        Batch { labels: Some(labels), ..Batch::tokens(tokens) }
    };
    let batches: Vec<Batch> = (0..3).map(batch).collect();
    *weights.reads.lock().unwrap() = 0;
    let score = |network: &Network| {
        let all = batches.iter().cloned().map(Ok);
        let mut found = evaluate(network, &Gates::open(), all, None, &Ticket::default()).unwrap();
        (found.secs, found.tokens_per_sec) = (0.0, 0.0);
        found
    };
    let got = score(&streamed);
    // The rows of each batch's tokens, then three blocks of 65,536 rows for all batches.
    assert_eq!(*weights.reads.lock().unwrap(), 3 + 3);
    assert_eq!(got, score(&held));

    // Against one product of the whole table.
    let hidden = held.hidden(&batches[0], &Gates::open(), &mut pillars::network::NoProbe).unwrap().states;
    let table = weights.get(Module::Embed(StackKind::Decoder, EmbedModule::Tokens).weight()).unwrap();
    let plain = hidden.squeeze(0).unwrap().matmul(&table.t().unwrap()).unwrap();
    let logits = held.logits(&hidden).unwrap().squeeze(0).unwrap();
    assert!(bits(&logits) == bits(&streamed.logits(&hidden).unwrap()));
    let apart = (&logits - &plain).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(apart < 1e-4, "{apart}");
    let labels =
        Tensor::new(batches[0].labels.clone().unwrap().into_iter().flatten().collect::<Vec<u32>>(), &Device::Cpu);
    let wanted = plain.gather(&labels.unwrap().unsqueeze(1).unwrap(), 1).unwrap().squeeze(1).unwrap();
    let plain_loss = (plain.log_sum_exp(1).unwrap() - wanted).unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap();
    let alone = evaluate(&held, &Gates::open(), [Ok(batches[0].clone())], None, &Ticket::default()).unwrap();
    assert!((alone.loss_per_token.unwrap() - f64::from(plain_loss)).abs() < 1e-4);
}

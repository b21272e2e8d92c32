//! Token tables and heads that may be one tensor, under any of their names: as transformers 5.24 reads them.
use std::collections::{BTreeSet, HashMap};

use crate::common::{batch, fixtures, reference, reopened, tensors_of};
use candle_core::{DType, Device, Tensor};
use pillars::model::Model;
use pillars::network::{EmbedModule, Module, StackKind};
use pillars::plan::Plan;
use pillars::pruning::{self, ExportFormat, ExportOptions};
use pillars::task::Ticket;

const FAMILIES: [&str; 5] = ["bart", "mbart", "m2m_100", "pegasus", "t5"];
/// Of the table that all share, of each stack's own, and of the head.
const NAMES: [&str; 4] =
    ["shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"];

fn logits(model: &Model, family: &str) -> Vec<f32> {
    let batch = batch(&reference(&fixtures().join(family).join("reference.safetensors")));
    let network = model.network(&Device::Cpu, DType::F32).unwrap();
    network.run(&batch).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn full_name(model: &Model, name: &str) -> String {
    let prefix = if name.starts_with("lm_head") { "" } else { model.family().prefixes[0] };
    format!("{prefix}{name}")
}

/// A fixture whose table is there `factors` times under the four names; under none where there is no factor.
fn with_tables(family: &str, factors: [Option<f64>; 4]) -> (tempfile::TempDir, Model) {
    let model = Model::open(fixtures().join(family)).unwrap();
    let mut tensors: HashMap<String, Tensor> = tensors_of(&model);
    let table = tensors[&full_name(&model, NAMES[0])].clone();
    for (name, factor) in NAMES.into_iter().zip(factors) {
        let name = full_name(&model, name);
        tensors.remove(&name);
        if let Some(factor) = factor {
            tensors.insert(name, (&table * factor).unwrap());
        }
    }
    reopened(model.config().value(), &tensors)
}

/// The stored names of the tables of both stacks and of the head.
fn read(model: &Model) -> [String; 3] {
    let table = |kind| Module::Embed(kind, EmbedModule::Tokens).weight();
    let tied = model.spec().output.as_ref().unwrap().tied;
    let head = if tied { table(StackKind::Decoder) } else { Module::Output.weight() };
    [table(StackKind::Encoder), table(StackKind::Decoder), head].map(|role| {
        let name = model.stored_as(role).unwrap().0;
        name.strip_prefix(model.family().prefixes[0]).unwrap_or(name).to_owned()
    })
}

/// Exports nothing removed in the format masked and opens it.
fn saved_again(model: &Model) -> (tempfile::TempDir, Model) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let plan = Plan::parse_any(r#"{"encoder.0": [0, 1]}"#).unwrap();
    pruning::export(model, &plan, ExportFormat::Masked, &out, &ExportOptions::default(), None, &Ticket::default())
        .unwrap();
    let opened = Model::open(&out).unwrap();
    (folder, opened)
}

#[test]
fn any_one_name_serves_all() {
    for family in FAMILIES {
        let want = logits(&Model::open(fixtures().join(family)).unwrap(), family);
        for there in 0..NAMES.len() {
            let (_folder, model) = with_tables(family, std::array::from_fn(|i| (i == there).then_some(1.0)));
            assert_eq!(logits(&model, family), want, "{family} {}", NAMES[there]);
            assert_eq!(read(&model), [NAMES[there]; 3], "{family}");
            assert!(model.notes().is_empty(), "{:?}", model.notes());
            let (_saved, saved) = saved_again(&model);
            assert_eq!(read(&saved), [NAMES[there]; 3], "{family}");
        }
    }
}

#[test]
fn copies_under_all_names_are_one_table() {
    for family in FAMILIES {
        let fixture = Model::open(fixtures().join(family)).unwrap();
        let (_folder, model) = with_tables(family, [Some(1.0); 4]);
        assert_eq!(logits(&model, family), logits(&fixture, family), "{family}");
        assert!(model.notes().is_empty(), "{:?}", model.notes());
        assert_eq!(read(&model)[..2], [NAMES[0]; 2]);
    }
}

/// What is there, and which of these transformers gives the encoder, the decoder and the head.
type Shape = ([Option<f64>; 4], [usize; 3]);

#[test]
fn tables_that_differ_are_kept_apart_and_it_is_said() {
    let shapes: [Shape; 6] = [
        ([Some(1.0), Some(2.0), Some(3.0), Some(0.5)], [1, 2, 3]),
        ([Some(1.0), Some(2.0), Some(3.0), None], [1, 2, 0]),
        ([Some(1.0), Some(2.0), None, None], [1, 0, 0]),
        ([Some(1.0), None, Some(3.0), None], [0, 2, 0]),
        ([Some(1.0), None, None, Some(0.5)], [0, 0, 3]),
        ([None, Some(2.0), Some(3.0), Some(0.5)], [1, 2, 3]),
    ];
    for family in FAMILIES {
        let one_without_shared = if family == "t5" { [1, 2, 1] } else { [1, 2, 2] };
        let more: Shape = ([None, Some(2.0), Some(3.0), None], one_without_shared);
        for (factors, wanted) in shapes.into_iter().chain([more]) {
            let (_folder, model) = with_tables(family, factors);
            assert_eq!(read(&model), wanted.map(|i| NAMES[i].to_owned()), "{family} {factors:?}");
            assert!(!model.notes().is_empty(), "{family} {factors:?}");
            let named = |i: usize| model.notes().iter().any(|note| note.contains(NAMES[i]));
            assert!(wanted.into_iter().all(named), "{family} {factors:?} {:?}", model.notes());
            let (_saved, saved) = saved_again(&model);
            let names = |model: &Model| model.checkpoint().names().iter().cloned().collect::<BTreeSet<String>>();
            assert_eq!((names(&saved), read(&saved)), (names(&model), read(&model)), "{family} {factors:?}");
        }
    }
}

#[test]
fn each_table_is_used_where_it_was_found() {
    for family in FAMILIES {
        let scaled = |factors| with_tables(family, factors);
        let (_full, full) = scaled([Some(1.0), Some(2.0), Some(3.0), Some(1.0)]);
        let (_less, less) = scaled([Some(1.0), Some(2.0), Some(3.0), None]);
        assert_eq!(logits(&full, family), logits(&less, family), "{family}");
        let (_other, other) = scaled([Some(1.0), Some(2.0), Some(4.0), None]);
        assert_ne!(logits(&other, family), logits(&less, family), "{family}");
    }
}

//! Where heads lie in stored tensors: zeroing what belongs to a head is the same as closing its gate.
use std::collections::BTreeSet;
use std::ops::Range;

use crate::common::{
    Keeper, batch, fixture_folders, folders_in, mask, reference, relative_difference, reopened, tensors_of, test_data,
};
use candle_core::{DType, Device, Tensor};
use pillars::model::{HeadTensor, Model};
use pillars::network::{AttentionSpec, Gates, Kept, NoProbe, Projection, QueryKeyNormScope, Site, TokenMask, roles};

/// Heads of a projection that no kept query head needs.
fn dropped(spec: &AttentionSpec, kept: &[usize], projection: Projection) -> Vec<usize> {
    let group = match projection {
        Projection::Key | Projection::Value => spec.queries_per_kv(),
        Projection::Query | Projection::Output => 1,
    };
    (0..spec.heads_of(projection)).filter(|h| !kept.iter().any(|k| k / group == *h)).collect()
}

fn zero(values: &mut [f32], shape: &[usize], axis: usize, range: &Range<usize>) {
    let inner: usize = shape[axis + 1..].iter().product();
    let along = shape[axis];
    for (i, value) in values.iter_mut().enumerate() {
        if range.contains(&(i / inner % along)) {
            *value = 0.0;
        }
    }
}

/// `model` with the dropped heads of `projections` set to zero, written and opened again.
fn zeroed(model: &Model, kept: &Kept, projections: &[Projection]) -> (tempfile::TempDir, Model) {
    let mut tensors = tensors_of(model);
    for HeadTensor { name, sites, axis, heads, .. } in model.head_tensors() {
        let Some(left) = kept.get(sites[0]) else { continue };
        assert!(sites.iter().all(|s| kept.get(*s) == Some(left)), "{name} is shared");
        let spec = model.spec().attention(sites[0]).unwrap();
        let shape = tensors[&name].dims().to_vec();
        let mut values = tensors[&name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (projection, ranges) in heads.iter().filter(|(p, _)| projections.contains(p)) {
            for head in dropped(spec, left, *projection) {
                zero(&mut values, &shape, axis, &ranges[head]);
            }
        }
        tensors.insert(name, Tensor::from_vec(values, shape, &Device::Cpu).unwrap());
    }
    reopened(model.config().value(), &tensors)
}

#[test]
fn zeroing_what_belongs_to_heads_is_closing_their_gates() {
    use Projection::{Key, Output, Query, Value};
    for folder in fixture_folders() {
        let model = Model::open(&folder).unwrap();
        let family = model.family().model_type;
        let kept = mask(&folder);
        assert!(kept.iter().any(|(s, k)| k.len() < model.spec().attention(s).unwrap().heads), "{family}");
        let batch = batch(&reference(&folder.join("reference.safetensors")));
        let network = model.network(&Device::Cpu, DType::F32).unwrap();
        let gates = Gates::keep(model.spec(), &kept, DType::F32, &Device::Cpu).unwrap();
        let want = network.forward(&batch, &gates, &mut NoProbe).unwrap();
        let open = network.run(&batch).unwrap();
        let everywhere = TokenMask::full(want.dim(0).unwrap(), want.dim(1).unwrap());
        assert!(relative_difference(&open, &want, &everywhere, 1) > 1e-3, "{family}: the mask must matter");
        // Where queries and keys are normalized over all heads together, those of a head that is gone still count.
        let coupled = model.spec().sites().iter().any(|(_, a)| a.couples_heads());
        let mut cases = if coupled { vec![vec![Output]] } else { vec![vec![Query, Key, Value, Output], vec![Output]] };
        // Without its values a head gives nothing; a shared value head goes with the last of its query heads.
        if model.spec().sites().iter().all(|(_, a)| a.kv_heads == a.heads) {
            cases.push(vec![Value]);
        }
        for projections in cases {
            let (_folder, zeroed) = zeroed(&model, &kept, &projections);
            let got = zeroed.network(&Device::Cpu, DType::F32).unwrap().run(&batch).unwrap();
            let difference = relative_difference(&got, &want, &everywhere, 1);
            assert!(difference < 1e-5, "{family}, {projections:?}: {difference:.1e}");
        }
    }
}

#[test]
fn layers_that_lost_every_head_still_run() {
    for folder in fixture_folders() {
        let model = Model::open(&folder).unwrap();
        let family = model.family().model_type;
        let batch = batch(&reference(&folder.join("reference.safetensors")));
        let network = model.network(&Device::Cpu, DType::F32).unwrap();
        // The first layer of each kind, with those that share its weights.
        let sites = model.spec().sites().into_iter();
        let firsts = sites.filter(|(_, a)| !a.couples_heads()).map(|(s, _)| s).filter(|s| s.layer == 0);
        for first in firsts.collect::<Vec<_>>() {
            let mut tensors = tensors_of(&model);
            let mut kept = Kept::all();
            for tensor in model.head_tensors().iter().filter(|t| t.sites.contains(&first)) {
                let empty = tensors[&tensor.name].narrow(tensor.axis, 0, 0).unwrap();
                tensors.insert(tensor.name.clone(), empty.contiguous().unwrap());
                tensor.sites.iter().for_each(|s| kept.set(*s, []));
            }
            let mut config = model.config().value().clone();
            config["pillars"] = serde_json::json!({"kept": kept});
            let (_folder, emptied) = reopened(&config, &tensors);
            let mut keeper = Keeper::default();
            let emptied = emptied.network(&Device::Cpu, DType::F32).unwrap();
            let got = emptied.forward(&batch, &Gates::open(), &mut keeper).unwrap();
            let seen = 2 * (model.spec().sites().len() - kept.sites());
            assert_eq!(keeper.maps.len(), seen, "{family}: probes see the other sites alone");
            let gates = Gates::keep(model.spec(), &kept, DType::F32, &Device::Cpu).unwrap();
            let want = network.forward(&batch, &gates, &mut NoProbe).unwrap();
            let everywhere = TokenMask::full(want.dim(0).unwrap(), want.dim(1).unwrap());
            let difference = relative_difference(&got, &want, &everywhere, 1);
            assert!(difference < 1e-5, "{family} without {first}: {difference:.1e}");
        }
    }
}

#[test]
fn queries_and_keys_of_a_head_are_its_own() {
    use Projection::{Key, Query};
    for folder in fixture_folders() {
        let model = Model::open(&folder).unwrap();
        let family = model.family().model_type;
        let batch = batch(&reference(&folder.join("reference.safetensors")));
        // The first layer reads the same in both, so that heads that were left alone attend alike.
        let (site, spec) = model.spec().sites()[0];
        if spec.couples_heads() {
            continue;
        }
        let heads: Vec<usize> = (0..spec.heads).collect();
        let shared: Vec<Site> =
            model.head_tensors().into_iter().find(|t| t.sites.contains(&site)).unwrap().sites.into_iter().collect();
        for lost in 0..spec.heads {
            let left: Vec<usize> = heads.iter().copied().filter(|h| *h != lost).collect();
            let kept: Kept = shared.iter().map(|s| (*s, left.clone())).collect();
            for projections in [vec![Query], vec![Key]] {
                // Keys that other heads read too are left alone.
                if projections == [Key] && spec.queries_per_kv() > 1 {
                    continue;
                }
                let (_folder, changed) = zeroed(&model, &kept, &projections);
                let maps = |model: &Model| {
                    let mut keeper = Keeper::default();
                    let network = model.network(&Device::Cpu, DType::F32).unwrap();
                    network.hidden(&batch, &Gates::open(), &mut keeper).unwrap();
                    let weights = keeper.maps[&format!("attn.{site}")].clone();
                    (0..spec.heads)
                        .map(|h| weights.narrow(1, h, 1).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap())
                        .collect::<Vec<_>>()
                };
                let (before, after) = (maps(&model), maps(&changed));
                for head in 0..spec.heads {
                    let apart = before[head].iter().zip(&after[head]).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
                    let message = format!("{family}, {projections:?} of head {lost}: head {head} moved by {apart}");
                    assert_eq!(apart > 1e-4, head == lost, "{message}");
                }
            }
        }
    }
}

#[test]
fn every_head_owns_its_share_and_nothing_else_is_listed() {
    let folders = fixture_folders().into_iter().chain(folders_in(&test_data().join("variants")));
    for folder in folders {
        let model = Model::open(&folder).unwrap();
        let spec = model.spec();
        let shown = folder.display();
        // What the roles say belongs to heads: query, key and value with their biases, the matrix of the output.
        let mut expected = 0;
        let mut owned = BTreeSet::new();
        let mut others = BTreeSet::new();
        for (role, shape) in roles::tensors(spec) {
            let (name, _) = model.stored_as(role).unwrap();
            let role = role.to_string();
            let parts: Vec<&str> = role.split('.').collect();
            // Norms of queries and keys that have numbers of their own for every head.
            let norms_all = spec
                .sites()
                .iter()
                .any(|(_, a)| a.query_key_norm.is_some_and(|norm| norm.scope != QueryKeyNormScope::Shared));
            let of_heads = matches!(parts.get(3), Some(&"sinks" | &"grid_bias"))
                || parts.len() == 5
                    && matches!(parts[2], "attention" | "cross")
                    && (matches!(parts[3], "query" | "key" | "value" | "position_key" | "position_query")
                        || (parts[3], parts[4]) == ("output", "weight")
                        || norms_all && matches!(parts[3], "query_norm" | "key_norm"));
            if of_heads {
                expected += shape.iter().product::<usize>();
                owned.insert(name.to_owned());
            } else {
                others.insert(name.to_owned());
            }
        }
        let tensors = model.head_tensors();
        let mut listed = 0;
        for tensor in &tensors {
            let info = model.checkpoint().info(&tensor.name).unwrap();
            let across = info.elements() as usize / info.shape[tensor.axis];
            let mut rows = vec![0; info.shape[tensor.axis]];
            for (projection, ranges) in &tensor.heads {
                let attention = spec.attention(tensor.sites[0]).unwrap();
                assert_eq!(ranges.len(), attention.heads_of(*projection), "{shown}: {}", tensor.name);
                for range in ranges {
                    let is_norm = info.shape.len() == 2 && tensor.name.ends_with("_norm.weight");
                    let is_one = is_norm || [".sinks", "_bias_table"].iter().any(|name| tensor.name.ends_with(name));
                    assert_eq!(range.len(), if is_one { 1 } else { attention.head_dim }, "{}", tensor.name);
                    range.clone().for_each(|row| rows[row] += 1);
                }
            }
            // Every row belongs to one head of one projection.
            assert!(rows.iter().all(|n| *n == 1), "{shown}: {} {rows:?}", tensor.name);
            listed += rows.len() * across;
        }
        assert_eq!(listed, expected, "{shown}");
        let names: BTreeSet<String> = tensors.iter().map(|t| t.name.clone()).collect();
        assert_eq!(names.len(), tensors.len(), "{shown}: a tensor is listed twice");
        assert_eq!(names, owned, "{shown}");
        assert!(names.is_disjoint(&others), "{shown}");
        // Each site is told of, those that share a layer together.
        let told: BTreeSet<Site> = tensors.iter().flat_map(|t| t.sites.iter().copied()).collect();
        assert_eq!(told, spec.sites().into_iter().map(|(s, _)| s).collect(), "{shown}");
    }
}

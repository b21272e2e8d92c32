//! On the left, below the model: what a run is asked to do, and its progress.

use eframe::egui::{self, ComboBox, ProgressBar, RichText, Ui};

use crate::analysis::{Clustering, Groups, Metric};
use crate::chart::Unit;
use crate::corpus::{BatchOrder, DataColumns, Input, InputUnit};
use crate::gui::action::Action;
use crate::gui::command::{Command, caps};
use crate::gui::context::Cx;
use crate::gui::jobs::JobKind;
use crate::gui::messages::sentence;
use crate::gui::widgets::{command_button, drag_value, heading, note, seed_field, wrapped_cell};
use crate::gui::wording::worded;
use crate::model::MemoryLimit;
use crate::network::{FeatureMap, SiteKind};
use crate::run::{BATCH_SIZE, Field, Spec};
use crate::tensor::Precision;
use crate::words::{counted, duration_in_words, noun};

/// Input and settings of the run.
pub(super) fn show(ui: &mut Ui, cx: Cx<'_>) {
    let mut run = cx.state.run.clone();
    heading(ui, cx.theme, "Input");
    input(ui, cx, &mut run);
    super::data::show(ui, cx, &mut run);
    faults(ui, cx, Field::Input);
    heading(ui, cx.theme, "Feature maps that vote");
    maps(ui, cx, &mut run);
    faults(ui, cx, Field::Features);
    heading(ui, cx.theme, "Run");
    egui::Grid::new("run settings").num_columns(2).spacing([10.0, 5.0]).show(ui, |ui| fields(ui, cx, &mut run));
    faults(ui, cx, Field::Groups);
    faults(ui, cx, Field::Batches);
    faults(ui, cx, Field::Memory);
    egui::CollapsingHeader::new("More measures").show(ui, |ui| {
        let predicts = cx.state.model.as_ref().is_some_and(|m| m.model.spec().is_scored());
        let importance = egui::Checkbox::new(&mut run.importance, "Importance");
        ui.add_enabled(predicts, importance)
            .on_hover_text("Derivative of the loss with respect to each head (Michel et al. 2019); a second pass with gradients")
            .on_disabled_hover_text("This checkpoint predicts nothing, so it has no loss");
        ui.checkbox(&mut run.magnitude, "Magnitude").on_hover_text("Norm of each head's weights");
        ui.checkbox(&mut run.confidence, "Confidence").on_hover_text(
            "Mean largest attention weight of each head; forms whole attention matrices, which takes memory",
        );
        ui.checkbox(&mut run.cka, "Linear CKA")
            .on_hover_text("Likeness up to rotation and scale; costs one more product the size of a projection");
        ui.checkbox(&mut run.moments, "Second moments").on_hover_text(
            "What reconstruction and repair are computed from; a second pass with gradients tells how the loss depends on \
             each layer, unless there is a memory limit",
        );
    });
    if run != cx.state.run {
        cx.send(Action::SetRun(Box::new(run)));
    }
}

fn input(ui: &mut Ui, cx: Cx<'_>, run: &mut Spec) {
    match &run.input {
        Some(input) => {
            let path = input.path();
            let name =
                path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
            // The path under the pointer ends in the name.
            let label = egui::Label::new(name).truncate().show_tooltip_when_elided(false);
            ui.add(label).on_hover_text(path.display().to_string());
        }
        None => note(ui, cx.theme, "Nothing chosen. Drop a file on the window, or"),
    }
    // In a line that is too long for the panel, the rest would widen it, for good.
    ui.horizontal_wrapped(|ui| {
        command_button(ui, cx, Command::ChooseInput, "Choose…");
        command_button(ui, cx, Command::TypeInput, "Path…");
        let Some(input) = &run.input else { return };
        let path = input.path().to_path_buf();
        let kinds = [
            ("Text", Input::Text(path.clone())),
            ("Token ids", Input::Tokens(path.clone())),
            ("Tensors", Input::Inputs(path.clone())),
            ("Pairs", Input::Pairs { path: path.clone(), columns: None, language: None }),
            ("Labeled rows", Input::Data { path: path.clone(), columns: DataColumns::default() }),
            ("Recordings", Input::Audio { path: path.clone(), language: None }),
            ("Images", Input::Images(path)),
        ];
        let now = kinds.iter().find(|(_, k)| k.kind() == input.kind()).map_or("", |(name, _)| name);
        let mut chosen = None;
        let combo = ComboBox::from_id_salt("input kind").selected_text(now).width(92.0).show_ui(ui, |ui| {
            for (name, kind) in kinds {
                if ui.selectable_label(name == now, name).clicked() {
                    chosen = Some(kind);
                }
            }
        });
        combo.response.on_hover_text("How the input is read");
        let reads_lines = matches!(run.input, Some(Input::Text(_)))
            && cx
                .state
                .model
                .as_ref()
                .is_some_and(|m| m.facts.shape.sites().iter().any(|site| site.site.kind == SiteKind::Encoder));
        if reads_lines {
            ui.checkbox(&mut run.pack, "Packed")
                .on_hover_text("Fill sequences from running text, as for decoders, instead of one line each");
        }
        run.input = chosen.or(run.input.take());
    });
}

fn maps(ui: &mut Ui, cx: Cx<'_>, run: &mut Spec) {
    ui.horizontal_wrapped(|ui| {
        for &map in FeatureMap::ALL {
            let mut on = run.features.contains(&map);
            let basis = if map.is_basis_dependent() { " Depends on the basis inside the head." } else { "" };
            let hover = format!("{}{basis}", meaning(map));
            if ui.toggle_value(&mut on, map.name()).on_hover_text(hover).changed() {
                run.features.retain(|m| *m != map);
                if on {
                    run.features.push(map);
                    run.features.sort_unstable();
                }
            }
        }
    });
    let shared = cx.state.model.as_ref().is_some_and(|m| m.facts.is_grouped());
    if shared && run.features.iter().any(|m| m.is_shared_in_kv_group()) {
        note(ui, cx.theme, "Heads that share a key/value head have the same keys and values; that is no redundancy");
    }
}

fn meaning(map: FeatureMap) -> &'static str {
    match map {
        FeatureMap::Query => "What the head asks for.",
        FeatureMap::Key => "What positions offer to the head.",
        FeatureMap::Value => "What positions pass on; the paper's V.",
        FeatureMap::Attention => "Where the head looks; the paper's A.",
        FeatureMap::Output => "Weights times values, before the output projection; the paper's default.",
        FeatureMap::Residual => "What the head adds to the residual stream.",
    }
}

/// Where the panel is too narrow for a field beside its switch, it stands below.
fn fields(ui: &mut Ui, cx: Cx<'_>, run: &mut Spec) {
    let name = |ui: &mut Ui, text: &str| ui.label(RichText::new(text).color(cx.theme.muted));
    let label = name(ui, "Groups per layer")
        .on_hover_text("How many groups the heads of a layer are put into (C in the paper)");
    wrapped_cell(ui, |ui| {
        let mut auto = run.groups == Groups::Auto;
        let response = ui.checkbox(&mut auto, "auto").accessible_name("Groups per layer: auto");
        if response.on_hover_text("The number with the best mean silhouette").changed() {
            run.groups = if auto { Groups::Auto } else { Groups::Fixed(2) };
        }
        if matches!(run.groups, Groups::PerSite(_) | Groups::PerKind(_)) {
            ui.label("set by layer").on_hover_text(run.groups.to_string());
        }
        if let Groups::Fixed(n) = &mut run.groups {
            ui.add(drag_value(n).range(1..=256)).labelled_by(label.id);
        }
    });
    ui.end_row();
    let label = name(ui, "Metric");
    let combo = ComboBox::from_id_salt("metric").selected_text(run.metric.name()).show_ui(ui, |ui| {
        for metric in [Metric::Euclidean, Metric::Cosine] {
            ui.selectable_value(&mut run.metric, metric, metric.name());
        }
    });
    combo.response.labelled_by(label.id);
    ui.end_row();
    let label = name(ui, "Clustering").on_hover_text("How heads are put into groups");
    let combo = ComboBox::from_id_salt("clustering").selected_text(run.clustering.name()).show_ui(ui, |ui| {
        for clustering in [Clustering::KMeans, Clustering::AverageLinkage] {
            ui.selectable_value(&mut run.clustering, clustering, clustering.name());
        }
    });
    combo.response.labelled_by(label.id);
    ui.end_row();
    let label = name(ui, "Order").on_hover_text(
        "by-length: sequences of similar length share a batch, which saves work on padding; votes may differ",
    );
    let combo = ComboBox::from_id_salt("order").selected_text(run.order.name()).show_ui(ui, |ui| {
        for order in [BatchOrder::AsRead, BatchOrder::ByLength] {
            ui.selectable_value(&mut run.order, order, order.name());
        }
    });
    combo.response.labelled_by(label.id);
    ui.end_row();
    let unit = cx.state.unit();
    if cx.state.reads_tokens() {
        sequence_length(ui, cx, run);
        ui.end_row();
    }
    let label = name(ui, "Batch size");
    wrapped_cell(ui, |ui| {
        let mut auto = run.batch_size.is_none();
        let hover = format!("{BATCH_SIZE}, or the largest of 4, 2 and 1 for which the memory limit has room");
        let response = ui.checkbox(&mut auto, "auto").accessible_name("Batch size: auto");
        if response.on_hover_text(hover).changed() {
            run.batch_size = (!auto).then_some(BATCH_SIZE);
        }
        if let Some(size) = &mut run.batch_size {
            let each = if unit == InputUnit::Tokens { "sequences" } else { unit.noun() };
            ui.add(drag_value(size).range(1..=4096).suffix(format!(" {each}"))).labelled_by(label.id);
        }
    });
    ui.end_row();
    let label = name(ui, "Batches").on_hover_text("The run stops after this many batches");
    wrapped_cell(ui, |ui| {
        let mut all = run.batches.is_none();
        if ui.checkbox(&mut all, "all").changed() {
            run.batches = (!all).then_some(32);
        }
        if let Some(n) = &mut run.batches {
            ui.add(drag_value(n).range(1..=1_000_000)).labelled_by(label.id);
        }
    });
    ui.end_row();
    held_out(ui, cx, run);
    ui.end_row();
    let label = name(ui, "Device");
    let combo = ComboBox::from_id_salt("device").selected_text(run.device.to_string()).show_ui(ui, |ui| {
        for device in &cx.state.devices {
            ui.selectable_value(&mut run.device, *device, device.to_string());
        }
    });
    combo.response.labelled_by(label.id);
    ui.end_row();
    if let Some(placed) = &cx.state.placed {
        name(ui, "Runs on");
        let color = if placed.fallback.is_some() { cx.theme.warning } else { cx.theme.ink };
        let label = ui.add(egui::Label::new(RichText::new(&placed.device).color(color)).truncate());
        if let Some(why) = &placed.fallback {
            label.on_hover_text(why);
        }
        ui.end_row();
    }
    let label = name(ui, "Compute in")
        .on_hover_text("Number type of weights and activations; weights that are trained stay f32");
    let combo = ComboBox::from_id_salt("precision").selected_text(run.precision.name()).show_ui(ui, |ui| {
        for &precision in Precision::ALL {
            ui.selectable_value(&mut run.precision, precision, precision.name());
        }
    });
    combo.response.labelled_by(label.id);
    ui.end_row();
    memory(ui, cx, run);
    ui.end_row();
    let label = name(ui, "Seed");
    seed_field(ui, &mut run.seed).labelled_by(label.id);
    ui.end_row();
}

/// The longest sequence, for models that read tokens: others read things that are always whole.
fn sequence_length(ui: &mut Ui, cx: Cx<'_>, run: &mut Spec) {
    let label = ui.label(RichText::new("Sequence length").color(cx.theme.muted));
    let label = label.on_hover_text("Longest sequence in tokens");
    wrapped_cell(ui, |ui| {
        let mut auto = run.seq_len.is_none();
        let response = ui.checkbox(&mut auto, "auto").accessible_name("Sequence length: auto");
        if response.on_hover_text("The model's own limit, 128 at most for text").changed() {
            run.seq_len = (!auto).then_some(128);
        }
        if let Some(length) = &mut run.seq_len {
            ui.add(drag_value(length).range(1..=131_072).suffix(" tokens")).labelled_by(label.id);
        }
    });
}

/// What the run leaves out, so that quality is measured on text that chose nothing.
fn held_out(ui: &mut Ui, cx: Cx<'_>, run: &mut Spec) {
    let label = ui.label(RichText::new("Held out").color(cx.theme.muted)).on_hover_text(
        "Batches that the run leaves out; quality is measured on them alone, on text that took no part in the choice",
    );
    wrapped_cell(ui, |ui| {
        let mut none = run.held_out_every.is_none();
        if ui.checkbox(&mut none, "none").on_hover_text("Quality is measured on all of the input").changed() {
            run.held_out_every = (!none).then_some(5);
        }
        if let Some(every) = &mut run.held_out_every {
            ui.add(drag_value(every).range(2..=1000).prefix("1 batch in ")).labelled_by(label.id);
        }
    });
}

/// How much memory may be used.
fn memory(ui: &mut Ui, cx: Cx<'_>, run: &mut Spec) {
    let label = ui
        .label(RichText::new("Memory limit").color(cx.theme.muted))
        .on_hover_text("A model that is larger is read layer by layer from its files: slower, with the same results");
    wrapped_cell(ui, |ui| {
        let mut none = run.memory.is_none();
        if ui.checkbox(&mut none, "no limit").changed() {
            run.memory = (!none).then_some(MemoryLimit(4 << 30));
        }
        if let Some(MemoryLimit(bytes)) = &mut run.memory {
            let mut mebibytes = *bytes >> 20;
            let field = drag_value(&mut mebibytes).range(64..=1 << 24).speed(16).suffix(" MiB");
            if ui.add(field).labelled_by(label.id).changed() {
                *bytes = mebibytes << 20;
            }
        }
    });
}

fn faults(ui: &mut Ui, cx: Cx<'_>, field: Field) {
    let Some(Err(faults)) = &cx.state.checked else { return };
    for fault in faults.iter().filter(|f| f.field == field) {
        ui.label(RichText::new(sentence(&worded(&fault.error))).small().color(cx.theme.warning));
    }
}

/// What the run will read and how long it takes: from a few batches of it where these were measured, else from the last run.
fn ahead(ui: &mut Ui, cx: Cx<'_>) {
    if let Some(job) = cx.state.jobs.get(JobKind::Estimate) {
        return note(ui, cx.theme, format!("Measuring a few batches: {}", job.words()));
    }
    if !matches!(cx.state.checked, Some(Ok(_))) {
        return;
    }
    let unit = |count: u64| noun(count, cx.state.unit().noun());
    let read = |tokens: u64, batches: u64| {
        format!("{} {} in {}", Unit::Count.format(tokens as f64), unit(tokens), counted(batches, "batches"))
    };
    match (&cx.state.estimate, &cx.state.results, cx.state.last_run_secs) {
        (Some((spec, found)), ..) if *spec == cx.state.run => {
            let about = if found.is_exact { "" } else { "about " };
            let text = format!(
                "{about}{}: about {}",
                read(found.tokens, found.batches),
                duration_in_words(found.seconds.max(1.0))
            );
            note(ui, cx.theme, sentence(&text));
        }
        (_, Some(results), Some(seconds)) if cx.state.differences.is_empty() => {
            let analysis = &results.analysis;
            let text = format!("Last run: {}, {}", read(analysis.tokens, analysis.batches), duration_in_words(seconds));
            note(ui, cx.theme, text);
        }
        (earlier, ..) => {
            // Whether a setting changes how long a run takes is not known before it is measured again.
            if let Some((_, found)) = earlier {
                let words = duration_in_words(found.seconds.max(1.0));
                note(ui, cx.theme, format!("About {words} with the settings before; they changed since"));
            }
            ui.horizontal(|ui| {
                if ui.link("How long will it take?").on_hover_text(Command::Estimate.spec().tooltip).clicked() {
                    cx.out.command(Command::Estimate);
                }
            });
        }
    }
}

/// Run, or how far it is.
pub(super) fn progress(ui: &mut Ui, cx: Cx<'_>) {
    let Some(job) = cx.state.jobs.get(JobKind::Analyze) else {
        let text = RichText::new("Run").strong().color(cx.theme.on_accent);
        let refusal = Command::Run.refusal(cx.state);
        let button = egui::Button::new(text).fill(cx.theme.accent);
        let keys = Command::Run.spec().keys.first().map(|k| caps(ui.ctx(), k)).unwrap_or_default();
        let size = egui::vec2(ui.available_width(), 28.0);
        let response = ui.add_enabled_ui(refusal.is_none(), |ui| ui.add_sized(size, button)).inner;
        let response = response.on_hover_text(format!("{} ({keys})", Command::Run.spec().tooltip));
        let response = match refusal {
            Some(reason) => response.on_disabled_hover_text(format!("Not now: {reason}")),
            None => response,
        };
        if response.clicked() {
            cx.out.command(Command::Run);
        }
        ahead(ui, cx);
        return;
    };
    let share = job.progress.fraction().unwrap_or(0.0) as f32;
    ui.horizontal(|ui| {
        let width = (ui.available_width() - 66.0).max(40.0);
        let bar = ProgressBar::new(share).desired_width(width).fill(cx.theme.accent);
        ui.add(bar).accessible_name(format!("Progress: {}", job.title));
        command_button(ui, cx, Command::Cancel, "Cancel");
    });
    note(ui, cx.theme, job.words());
}

//! A short model card, and what the source's card says that must go on being said.

use std::fmt::Write;

use super::{Counts, ExportFormat, InputKind, OutputFormat, Report, StageQuality, TrainedRecord, opens_in_words};
use crate::checkpoint::read_text;
use crate::corpus::InputUnit;
use crate::evaluation::{Comparison, Measured};
use crate::model::Model;
use crate::repair::{RepairMode, SiteRepair};
use crate::words::{counted, printed};

/// Keys of the source's card that stay true of the pruned model.
const CARRIED: &[&str] = &["license", "license_name", "license_link", "pipeline_tag", "language"];

/// What a card says of the source, kept until the rest is known.
#[derive(Debug)]
pub(crate) struct CardHead {
    front_matter: String,
    names_base: bool,
}

impl CardHead {
    /// Of a model under the plan and the format that a report tells.
    pub(crate) fn of(model: &Model, report: &Report) -> Self {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let is_converted = report.is_whole() && matches!(report.export_format, OutputFormat::Engine(_));
        let library = match report.export_format {
            OutputFormat::Folder(_) => "transformers",
            OutputFormat::Engine(engine) => engine.name(),
        };
        let base = base_model(model, &report.source);
        let _ = front_matter(&mut text, model, base.as_deref(), library, is_converted);
        Self { front_matter: text, names_base: base.is_some() }
    }
}

/// `README.md` of an exported folder.
pub(crate) fn card(head: &CardHead, report: &Report) -> String {
    let CardHead { front_matter, names_base } = head;
    let title = &report.source;
    let Counts { before: all, after: heads } = report.heads;
    let what = match report.export_format {
        OutputFormat::Folder(ExportFormat::Gqa) => "key/value heads averaged".to_owned(),
        OutputFormat::Engine(engine) if report.is_whole() => format!("for {engine}"),
        _ => format!("{heads} of {all} attention heads"),
    };
    let method = if report.plan.method.is_empty() { "hand" } else { report.plan.method.as_str() };
    let (how, choice) = match report.is_whole() {
        true => ("Converted", "every head".to_owned()),
        false => ("Pruned", format!("heads chosen by `{method}`")),
    };
    let how = if report.trained.is_some() { "Trained and pruned" } else { how };
    let record = super::RECORD;
    let replay = match report.trained {
        // No plan gives trained weights again.
        Some(_) => format!(
            "`{record}` records the plan, the training and the proof. The plan alone does not give this model: its weights \
             were trained."
        ),
        None => format!(
            "`{record}` records the plan and the proof, and replays: `pillars prune ORIGINAL --plan {record} --out DIR`."
        ),
    };
    let mut text = format!(
        "---\n{front_matter}---\n\n# {title}, {what}\n\n\
         {how} with [Pillars](https://arxiv.org/abs/2305.14380) {} (format `{}`, {choice}). {replay}\n\n\
         | | before | after |\n| --- | --- | --- |\n",
        report.tool, report.export_format,
    );
    for (name, before, after) in rows(report) {
        let _ = writeln!(text, "| {name} | {before} | {after} |");
    }
    if let Some(trained) = &report.trained {
        text.push_str(&training(trained));
    }
    if report.repair.as_ref().is_some_and(|repair| !repair.mode.repairs()) {
        let _ = writeln!(text, "\nThe model is {}.", RepairMode::LEFT);
    }
    if let Some(repair) = report.repair.as_ref().filter(|repair| !repair.sites.is_empty()) {
        let mean =
            |of: fn(&SiteRepair) -> f64| 100.0 * repair.sites.values().map(of).sum::<f64>() / repair.sites.len() as f64;
        let is_judged = repair.sites.values().all(|site| site.held_out.is_some());
        let _ = write!(
            text,
            "\nRepaired by `{}` on {} of {}: new output projections let the kept heads say what the removed ones added. ",
            repair.mode,
            counted(repair.tokens, "tokens"),
            repair.input,
        );
        let _ = match is_judged {
            true => writeln!(
                text,
                "What they cannot say is {:.1} % of what a layer's attention adds, on text that was held out (mean over \
                 {}), {:.1} % without the repair.",
                mean(|site| site.held_out.unwrap_or(site.fitted)),
                counted(repair.sites.len() as u64, "layers"),
                mean(|site| site.masked),
            ),
            false => writeln!(text, "How much of it they say on other text is not known: none was held out."),
        };
    }
    if report.files.iter().any(|file| file == super::REPAIR) {
        let _ = writeln!(
            text,
            "\n`{}` is there to repeat the export; no model needs it, and the sizes above leave it out.",
            super::REPAIR
        );
    }
    let _ = write!(
        text,
        "\nOpens in {}.\n\nThe written folder was opened again and compared with the {} on {} {} input batches: the {} \
         differ by {} of the largest.\n",
        opens_in_words(&report.opens_in),
        report.agreement.reference.name(),
        report.agreement.batches,
        match report.agreement.input {
            InputKind::Given => "given",
            InputKind::Random => "random",
        },
        if report.agreement.compared == "logits" { "logits" } else { "last hidden states" },
        printed(format!("{:.1e}", report.agreement.relative)),
    );
    if let Some(measured) = &report.measured {
        text.push_str(&quality(measured));
    }
    for note in &report.notes {
        let _ = write!(text, "\n- {note}");
    }
    if !report.notes.is_empty() {
        text.push('\n');
    }
    if !names_base {
        text.push_str(
            "\nThe head of this card names no `base_model`: where the original is on the Hugging Face hub, add \
             `base_model: OWNER/NAME`.\n",
        );
    }
    text
}

/// What was trained, and the quality of each stage.
fn training(trained: &TrainedRecord) -> String {
    let TrainedRecord { told, measured_on, beside, stages, .. } = trained;
    let mut text = format!("\n{told} Quality on {measured_on}:\n\n| | loss | {beside} |\n| --- | --- | --- |\n");
    for StageQuality { name, loss, beside: value } in stages {
        let value = value.map(|x| if beside == "perplexity" { format!("{x:.2}") } else { format!("{x:.4}") });
        let _ = writeln!(text, "| {name} | {loss:.4} | {} |", value.unwrap_or_default());
    }
    text
}

/// On what quality was measured.
fn quality(measured: &Measured) -> String {
    let Measured { comparison, reading, dtype, notes, .. } = measured;
    let (read, unit) = (comparison.before.tokens, reading.unit.noun());
    let mut text = format!("\nQuality was measured on {} ({}", reading.input, counted(read, unit));
    let length = reading.seq_len.map(|n| format!("at most {} each", counted(n as u64, "tokens")));
    let seed = format!("seed {}", reading.seed);
    for part in length.into_iter().chain([format!("in {dtype}"), seed]) {
        let _ = write!(text, ", {part}");
    }
    text.push_str(").");
    if let Some(agreement) = comparison.agreement {
        let share = 100.0 * agreement;
        let _ = match comparison.before.task {
            Some(_) => write!(text, " Both models give the same answer in {share:.1} % of the cases."),
            None => write!(text, " Both models rank the same token first in {share:.1} % of the places."),
        };
    }
    if let Some((measure, words)) = measured.no_better_than_random() {
        let _ = write!(text, " By {measure} it is {words}.");
    }
    if let Some(words) = measured.random_missing_words() {
        let _ = write!(text, " It was {words}.");
    }
    text.push('\n');
    let changes = comparison.changes();
    for (name, change) in &changes {
        let _ = write!(text, "\n- {name}: {change}");
    }
    if !changes.is_empty() {
        text.push('\n');
    }
    for note in notes {
        let _ = write!(text, "\n- {note}");
    }
    if !notes.is_empty() {
        text.push('\n');
    }
    text
}

/// The measures of the table: name, before, after.
fn rows(report: &Report) -> Vec<(&str, String, String)> {
    let counts = |name, counts: Counts| (name, counts.before.to_string(), counts.after.to_string());
    let mut rows = vec![
        counts("attention heads", report.heads),
        counts("parameters that the network reads", report.parameters),
        counts(super::report::BYTES, report.bytes),
    ];
    if report.cache_bytes_per_token.before > 0 {
        rows.push(counts("KV-cache bytes per token", report.cache_bytes_per_token));
    }
    let comparison = report.measured.as_ref().map(|measured| &measured.comparison);
    if let Some(Comparison { before, after, .. }) = comparison.filter(|c| c.before.task.is_some()) {
        for (name, whole) in &before.metrics {
            if let Some(less) = after.metrics.get(name) {
                let [whole, less] = [whole, less].map(|found| printed(format!("{:.4}", found.value)));
                rows.push((name, whole, less));
            }
        }
    }
    let is_text = comparison.is_none_or(|c| c.before.task.is_none());
    let measured = comparison.and_then(|c| Some((c.before.loss_per_token?, c.after.loss_per_token?)));
    // The quality of a trained model is told by stage, on all of what is held out.
    let measured = measured.or(report.change.loss).filter(|_| is_text && report.trained.is_none());
    if let Some((before, after)) = measured {
        rows.push(("loss per token", format!("{before:.4}"), format!("{after:.4}")));
        rows.push(("perplexity", format!("{:.3}", before.exp()), format!("{:.3}", after.exp())));
    }
    if let Some(speed) = &report.speed {
        let name = match speed.before.unit {
            InputUnit::Tokens => "tokens per second",
            InputUnit::Images => "images per second",
            InputUnit::Spectrograms => "spectrograms per second",
            InputUnit::Recordings => "recordings per second",
        };
        // The runs alternated, and what that tells is their ratio: two medians beside it would tell another.
        rows.push((name, format!("{:.0}", speed.before.tokens_per_sec), speed.change()));
    }
    rows
}

fn front_matter(
    text: &mut String,
    model: &Model,
    base: Option<&str>,
    library: &str,
    is_converted: bool,
) -> std::fmt::Result {
    if let Some(base) = base {
        writeln!(text, "base_model: {}", scalar(base))?;
        // The hub's word for other files of the same weights.
        writeln!(text, "base_model_relation: {}", if is_converted { "quantized" } else { "finetune" })?;
    }
    writeln!(text, "library_name: {library}")?;
    let source = source_card(model);
    for (key, value) in top_level(&source).filter(|(key, _)| CARRIED.contains(key)) {
        writeln!(text, "{key}: {}", scalar(value))?;
    }
    let tags = if is_converted { "" } else { "- pruned\n- attention-head-pruning\n" };
    writeln!(text, "tags:\n- pillars\n{tags}- {}", scalar(model.family().model_type))
}

/// The card that lies beside the source, empty where there is none.
fn source_card(model: &Model) -> String {
    read_text(model.checkpoint().folder().join("README.md")).unwrap_or_default()
}

/// The hub name of the source, called `source`: where it lies in the hub's cache, else where it is an earlier export whose
/// card names what it was cut from. The `_name_or_path` of a configuration is not asked: it is that of whatever somebody
/// trained the source from.
fn base_model(model: &Model, source: &str) -> Option<String> {
    let is_name = |name: &str| {
        let plain = |part: &str| {
            let sound = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !part.is_empty() && !part.starts_with('.') && part.chars().all(sound)
        };
        matches!(name.split('/').collect::<Vec<_>>().as_slice(), [owner, name] if plain(owner) && plain(name))
    };
    // The name of a folder is one part alone.
    if is_name(source) {
        return Some(source.to_owned());
    }
    if !model.checkpoint().folder().join(super::RECORD).is_file() {
        return None;
    }
    let card = source_card(model);
    top_level(&card).find(|(key, value)| *key == "base_model" && is_name(value)).map(|(_, value)| value.to_owned())
}

/// Plain `key: value` lines of the YAML head of a card.
fn top_level(card: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut lines = card.lines();
    let open = lines.next().is_some_and(|l| l.trim_end() == "---");
    let head = lines.take_while(|l| l.trim_end() != "---");
    head.filter(move |_| open).filter_map(|line| {
        let (key, value) = line.split_once(':')?;
        let value = value.trim().trim_matches(['"', '\'']);
        (!key.starts_with([' ', '-', '#']) && !value.is_empty()).then_some((key, value))
    })
}

/// A YAML scalar: plain where that is safe, else quoted (JSON strings are YAML strings).
fn scalar(value: &str) -> String {
    let plain = value.starts_with(|c: char| c.is_ascii_alphanumeric())
        && value.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    if plain { value.to_owned() } else { serde_json::Value::from(value).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_license_is_read_from_the_head_alone() {
        let card = "---\nlicense: \"apache-2.0\"\ntags:\n- a\n  license: nested\n---\nlicense: body\n";
        let found: Vec<_> = top_level(card).collect();
        assert_eq!(found, [("license", "apache-2.0")]);
        assert_eq!(top_level("license: mit\n").count(), 0);
    }

    #[test]
    fn scalars_cannot_break_out() {
        assert_eq!(scalar("apache-2.0"), "apache-2.0");
        assert_eq!(scalar("a: b # c"), "\"a: b # c\"");
    }
}

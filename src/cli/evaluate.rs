//! `pillars evaluate`.

use super::analyze::held;
use super::args::EvaluateArgs;
use super::console::Console;
use super::open::Session;
use crate::corpus::{CorpusPart, Purpose, TextTokenizer};
use crate::error::Result;
use crate::evaluation::generation::{TranslationScore, translate};
use crate::evaluation::{COMPARED_COPIES, Candidate, Comparison, Quality, SCORED_COPIES, compare, evaluate};
use crate::model::Needs;
use crate::network::Gates;
use crate::words::counted;

pub(super) fn run(args: &EvaluateArgs, console: &Console) -> Result<()> {
    let session = Session::open(&args.model, &args.common, console)?;
    let path = args.plan.as_deref().or(args.mask.as_deref());
    let kept = session.kept(path, console)?;
    let gates = Gates::keep(session.model.spec(), &kept, session.dtype, &session.device)?;
    let open = Gates::open();
    let measure = |ticket: &_| -> Result<(Option<Quality>, Option<Comparison>)> {
        let corpus = session.corpus(&args.input, &args.common, Purpose::Score, ticket)?;
        let corpus = held(corpus, args.held_out_every, |every| CorpusPart::HeldOut { every });
        let copies = if path.is_none() { SCORED_COPIES } else { COMPARED_COPIES };
        let needs = Needs { copies, ..Needs::ONE };
        let corpus = session.fit(corpus, &args.common, &args.memory, needs)?;
        let network = session.network(&session.model, &corpus, &args.memory, needs)?;
        let total = corpus.total().map(|t| t.value());
        let batches = corpus.batches(&session.device);
        let translated = |gates: &Gates| -> Result<Option<TranslationScore>> {
            let Some(wanted) = args.translation.chosen() else { return Ok(None) };
            let tokenizer = TextTokenizer::load(session.model.checkpoint().folder())?;
            Ok(translate(&network, gates, &tokenizer, &corpus, wanted, ticket)?.score())
        };
        if path.is_none() {
            let quality = evaluate(&network, &open, batches, total, ticket)?;
            return Ok((Some(Quality { translation: translated(&open)?, ..quality }), None));
        }
        let before = Candidate { network: &network, gates: &open };
        let after = Candidate { network: &network, gates: &gates };
        let mut comparison = compare(before, after, batches, total, ticket)?;
        comparison.before.translation = translated(&open)?;
        comparison.after.translation = translated(&gates)?;
        Ok((None, Some(comparison)))
    };
    match console.watch(measure)? {
        (Some(quality), _) if args.common.json => console.print_json(&quality),
        (Some(quality), _) => console.print(&rows(&[("", &quality)])),
        (None, Some(comparison)) if args.common.json => console.print_json(&comparison),
        (None, Some(comparison)) => console.print(&table(&comparison)),
        (None, None) => Ok(()),
    }
}

/// Before and after, with what only a comparison can tell.
pub(super) fn table(comparison: &Comparison) -> String {
    let mut text = rows(&[("before", &comparison.before), ("after", &comparison.after)]);
    if let Some(agreement) = comparison.agreement {
        text.push_str(&format!("\nsame top token      {:.2} %", 100.0 * agreement));
    }
    for (name, what) in [("loss_per_token", "loss plus"), ("perplexity", "perplexity times"), ("cosine", "cosine")] {
        let Some(change) = comparison.change.get(name) else { continue };
        let Some((low, high)) = change.low.zip(change.high) else { continue };
        let n = counted(change.n, "sequences");
        text.push_str(&format!("\n{what:<16}    {:.4}, with 95 % between {low:.4} and {high:.4}, {n}", change.value));
    }
    let likeness = &comparison.similarity;
    text.push_str(&format!(
        "\nembedding cosine    {:.5} mean, {:.5} least of {} sequences",
        likeness.mean_cosine, likeness.least_cosine, likeness.sequences
    ));
    text
}

fn rows(columns: &[(&str, &Quality)]) -> String {
    type Cell = fn(&Quality) -> Option<String>;
    let measures: [(&str, Cell); 8] = [
        ("loss per token", |q| q.loss_per_token.map(|x| format!("{x:.4}"))),
        ("perplexity", |q| q.perplexity.map(|x| format!("{x:.3}"))),
        ("top-1 accuracy", |q| q.accuracy.map(|x| format!("{:.2} %", 100.0 * x))),
        ("BLEU", |q| q.translation.map(|t| format!("{:.2}", t.bleu))),
        ("ROUGE-1/2/L", |q| {
            let rouge = q.translation?.rouge;
            Some([rouge.one, rouge.two, rouge.longest].map(|x| format!("{:.1}", 100.0 * x)).join("/"))
        }),
        ("tokens read", |q| Some(q.tokens.to_string())),
        ("sequences", |q| Some(q.sequences.to_string())),
        ("tokens/s", |q| Some(format!("{:.0}", q.tokens_per_sec))),
    ];
    let mut lines = Vec::new();
    if columns.len() > 1 {
        let heads: String = columns.iter().map(|(name, _)| format!("{name:>14}")).collect();
        lines.push(format!("{:<16}{heads}", ""));
    }
    for (name, cell) in measures {
        let cells: Vec<String> = columns.iter().filter_map(|(_, q)| cell(q)).collect();
        if cells.len() == columns.len() {
            lines.push(format!("{name:<16}{}", cells.iter().map(|c| format!("{c:>14}")).collect::<String>()));
        }
    }
    lines.join("\n")
}

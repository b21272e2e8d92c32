//! The report as text.

use super::{Arm, ExperimentReport, MeanDeviation};
use crate::words::printed;

impl ExperimentReport {
    /// Tables in Markdown, with what a reader must know beside them.
    pub fn to_markdown(&self) -> String {
        let mut text = String::new();
        let with_bleu = self.rows.iter().any(|r| r.bleu.is_some());
        let bleu = |cell: &str| if with_bleu { format!(" {cell} |") } else { String::new() };
        text.push_str("| arm | heads | parameters without embeddings | held-out perplexity | loss above vanilla |");
        text.push_str(&format!(" before fine-tuning |{}\n", bleu("BLEU")));
        text.push_str(&format!(
            "| --- | ---: | ---: | ---: | ---: | ---: |{}\n",
            if with_bleu { " ---: |" } else { "" }
        ));
        let all = self.rows.iter().map(|r| r.parameters_without_embeddings).fold(0.0, f64::max);
        for row in &self.rows {
            let part = row.parameters_without_embeddings;
            let gone = 100.0 * (part / all - 1.0);
            let gone = if part < all { printed(format!(" ({gone:+.1} %)")) } else { String::new() };
            text.push_str(&format!(
                "| {} | {:.0} | {part:.0}{gone} | {} | {} | {} |{}\n",
                row.arm.label(),
                row.heads,
                spread(row.perplexity.into(), 2),
                if row.arm == Arm::Vanilla { "0".to_owned() } else { spread(row.loss_above_vanilla, 4) },
                spread(row.masked_perplexity, 2),
                bleu(&spread(row.bleu, 2)),
            ));
        }
        self.write_repaired(&mut text);
        let with_repair = self.stems.iter().any(|row| row.replaceability.is_some());
        let last = |cell: &str| if with_repair { format!(" {cell} |") } else { String::new() };
        text.push_str(
            "\n| model with every head | held-out perplexity | homogenization | diversification | silhouette | Dunn |",
        );
        text.push_str(&format!("{}\n", last("replaceability of heads")));
        text.push_str(&format!("| --- | ---: | ---: | ---: | ---: | ---: |{}\n", last("---:")));
        for row in &self.stems {
            let cells = [
                spread(row.perplexity, 2),
                spread(row.homogenization, 3),
                spread(row.diversification, 3),
                spread(row.silhouette, 3),
                spread(row.dunn, 3),
            ];
            let replaceability = last(&spread(row.replaceability, 3));
            text.push_str(&format!("| {} | {} |{replaceability}\n", row.stem.name(), cells.join(" | ")));
        }
        text.push('\n');
        for note in self.notes() {
            text.push_str(&format!("- {note}\n"));
        }
        text
    }

    /// Each arm masked, repaired, and fine-tuned from both; and how much of what went the others can say.
    fn write_repaired(&self, text: &mut String) {
        if self.rows.iter().all(|row| row.repaired_perplexity.is_none()) {
            return;
        }
        text.push_str(
            "\n| held-out perplexity | masked | repaired | fine-tuned | repaired, fine-tuned | removed heads explained |\n",
        );
        text.push_str("| --- | ---: | ---: | ---: | ---: | ---: |\n");
        for row in self.rows.iter().filter(|row| row.repaired_perplexity.is_some()) {
            let cells = [
                spread(row.masked_perplexity, 2),
                spread(row.repaired_perplexity, 2),
                spread(row.perplexity.into(), 2),
                spread(row.repaired_finetuned_perplexity, 2),
                spread(row.explained, 3),
            ];
            text.push_str(&format!("| {} | {} |\n", row.arm.label(), cells.join(" | ")));
        }
    }

    fn notes(&self) -> Vec<String> {
        let request = &self.request;
        let seeds: Vec<String> = request.seed_list().iter().map(u64::to_string).collect();
        let constraint = &request.training.constraint;
        let finetune_steps = request.voting().finetune_steps;
        let mut notes = vec![
            format!(
                "Seeds {}; mean and sample standard deviation. Differences within the spread say nothing.",
                seeds.join(", ")
            ),
            format!(
                "Every model took {} steps, then {finetune_steps} more with its own heads: all rows saw equally much.",
                request.training.steps
            ),
            format!(
                "Constraint: {} groups of `{}`, alpha {}, beta {}, {}, {}.",
                constraint.groups,
                constraint.feature,
                constraint.alpha,
                constraint.beta,
                constraint.reduction,
                constraint.diversity
            ),
        ];
        if let Some(unigram) = self.unigram_perplexity {
            notes.push(format!("A unigram model has a held-out perplexity of {unigram:.1}."));
        }
        if let Some(mode) = request.repair {
            notes.push(format!(
                "Repair by {mode} on training data; removed heads explained: the share of what they added that the heads \
                 that stay can say, on batches that the fit did not read."
            ));
        }
        if let Some(translation) = request.translation {
            let how = if translation.beams == 1 { "greedy".to_owned() } else { format!("{} beams", translation.beams) };
            notes.push(format!("BLEU of {} held-out pairs, {how}.", translation.sentences));
        }
        if !self.complete {
            notes.push("Not every arm is finished.".to_owned());
        }
        notes
    }
}

/// `12.34 ± 0.56`, or an empty cell.
fn spread(spread: Option<MeanDeviation>, digits: usize) -> String {
    match spread {
        None => String::new(),
        Some(MeanDeviation { mean, deviation: None, .. }) => printed(format!("{mean:.digits$}")),
        Some(MeanDeviation { mean, deviation: Some(deviation), .. }) => {
            printed(format!("{mean:.digits$} ± {deviation:.digits$}"))
        }
    }
}

//! Options that have an effect beside certain others alone: what cannot have any is told, never dropped in silence.
//!
//! Clap's own `requires` does not hold beside an option that excludes the one that is required, and inputs exclude each other.

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::console::Console;
use crate::error::{Error, Result};

/// Every way to name an input.
const INPUT: &[&str] = &["text", "tokens", "inputs", "images", "audio", "pairs", "data"];
/// Inputs of texts that are cut to a length.
const TEXTS: &[&str] = &["text", "pairs", "data"];
/// Commands that can do without an input.
const PERHAPS_WITHOUT_INPUT: &[&str] = &["plan", "prune", "repair", "compare"];
/// Commands that compute nothing where they read nothing.
const IDLE_WITHOUT_INPUT: &[&str] = &["plan", "repair", "compare"];

/// What an option that cannot have an effect is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IdleVerdict {
    /// Wrong usage: it says something of an input that is not there.
    Refused,
    /// Worth a word: scripts give what all commands take to every one of them.
    Told,
}

/// That an option has an effect beside certain others alone, or none beside one.
struct OptionRule {
    /// Its name, as clap has it.
    option: &'static str,
    /// Others of which one is needed; any will do where none is named.
    beside: &'static [&'static str],
    /// One beside which it has none.
    against: Option<&'static str>,
    /// The commands in which it is so; all that have the option where none is named.
    commands: &'static [&'static str],
    verdict: IdleVerdict,
}

const fn refused(
    option: &'static str,
    beside: &'static [&'static str],
    commands: &'static [&'static str],
) -> OptionRule {
    OptionRule { option, beside, against: None, commands, verdict: IdleVerdict::Refused }
}

const fn told(option: &'static str, beside: &'static [&'static str], commands: &'static [&'static str]) -> OptionRule {
    OptionRule { option, beside, against: None, commands, verdict: IdleVerdict::Told }
}

const fn idle_with(option: &'static str, other: &'static str, commands: &'static [&'static str]) -> OptionRule {
    OptionRule { option, beside: &[], against: Some(other), commands, verdict: IdleVerdict::Told }
}

/// Of rules for one option in one command the first that is broken counts.
const EFFECTS: &[OptionRule] = &[
    refused("language", &["audio"], &[]),
    refused("target_language", &["pairs"], &[]),
    refused("text_column", &["data"], &[]),
    refused("pair_column", &["data"], &[]),
    refused("label_column", &["data"], &[]),
    refused("preset", &["text"], &[]),
    refused("pack", &["text"], &[]),
    refused("translate", &["pairs"], &[]),
    refused("beams", &["translate", "audio"], &["evaluate"]),
    refused("beams", &["translate"], &["train"]),
    refused("beams", &["pairs"], &["experiment"]),
    refused("quality_metric", &["max_loss_increase", "max_metric_drop"], &[]),
    refused("held_out_every", INPUT, &["prune", "repair"]),
    refused("held_out_every", &["max_loss_increase", "max_metric_drop"], &["plan"]),
    refused("memory", INPUT, &["repair", "compare"]),
    refused("force", &["original"], &["repair"]),
    told("batch_size", INPUT, PERHAPS_WITHOUT_INPUT),
    told("batches", INPUT, PERHAPS_WITHOUT_INPUT),
    told("seq_len", INPUT, PERHAPS_WITHOUT_INPUT),
    told("seq_len", TEXTS, &[]),
    told("device", INPUT, IDLE_WITHOUT_INPUT),
    told("dtype", INPUT, IDLE_WITHOUT_INPUT),
    told("seed", INPUT, &["repair", "compare"]),
    idle_with("out", "dry_run", &["prune"]),
    idle_with("force", "dry_run", &["prune"]),
    idle_with("device", "dry_run", &["prune"]),
    idle_with("dtype", "dry_run", &["prune"]),
    idle_with("why", "json", &["plan"]),
];

/// An option as it is typed.
fn flag(option: &str) -> String {
    format!("--{}", option.replace('_', "-"))
}

impl OptionRule {
    /// Whether it is broken by what was typed for `command`.
    fn is_broken(&self, command: &str, matches: &ArgMatches) -> bool {
        let is_typed = |option: &str| {
            // Not every command has every option.
            let known = matches.try_contains_id(option).unwrap_or(false);
            known && matches.value_source(option) == Some(ValueSource::CommandLine)
        };
        (self.commands.is_empty() || self.commands.contains(&command))
            && is_typed(self.option)
            && match self.against {
                Some(other) => is_typed(other),
                None => !self.beside.iter().any(|other| is_typed(other)),
            }
    }

    fn words(&self) -> String {
        let option = flag(self.option);
        if let Some(other) = self.against {
            return format!("{option} has no effect with {}", flag(other));
        }
        if self.beside == INPUT {
            return format!("{option} has no effect without an input");
        }
        let others: Vec<String> = self.beside.iter().map(|other| flag(other)).collect();
        match others.split_last() {
            Some((last, rest)) if !rest.is_empty() => {
                format!("{option} has no effect without {} or {last}", rest.join(", "))
            }
            _ => format!("{option} has no effect without {}", others.join("")),
        }
    }
}

/// What was typed without an effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Idle {
    refused: Option<String>,
    told: Vec<String>,
}

impl Idle {
    /// That of a whole command line.
    pub(super) fn of(matches: &ArgMatches) -> Self {
        let Some((command, matches)) = matches.subcommand() else { return Self::default() };
        let mut found = Self::default();
        let mut options = Vec::new();
        for effect in EFFECTS.iter().filter(|effect| effect.is_broken(command, matches)) {
            if options.contains(&effect.option) {
                continue;
            }
            options.push(effect.option);
            match effect.verdict {
                IdleVerdict::Refused => found.refused = found.refused.or_else(|| Some(effect.words())),
                IdleVerdict::Told => found.told.push(effect.words()),
            }
        }
        found
    }

    /// Refuses what is wrong usage, and says the rest.
    ///
    /// # Errors
    /// Where an option says something of an input that was not named.
    pub(super) fn judge(&self, console: &Console) -> Result<()> {
        if let Some(what) = &self.refused {
            return Err(Error::usage(what).hint("leave it out"));
        }
        console.warn_all(&self.told);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::arguments::Arguments;
    use super::*;

    fn idle(words: &str) -> Idle {
        let matches = Arguments::whole().try_get_matches_from(std::iter::once("pillars").chain(words.split(' ')));
        Idle::of(&matches.unwrap_or_else(|e| panic!("{words}: {e}")))
    }

    #[test]
    fn every_rule_is_of_options_that_there_are() {
        let whole = Arguments::whole();
        for OptionRule { option, beside, against, commands, .. } in EFFECTS {
            let mut found = 0;
            for command in whole.get_subcommands() {
                let has = |name: &str| command.get_arguments().any(|a| a.get_id() == name);
                let is_named = commands.contains(&command.get_name());
                assert!(!is_named || has(option), "{} has no {option}", command.get_name());
                if is_named || (commands.is_empty() && has(option)) {
                    found += 1;
                    let mut others = beside.iter().chain(against);
                    assert!(others.any(|other| has(other)), "{} {option}", command.get_name());
                }
            }
            assert!(found > 0, "{option}");
        }
    }

    #[test]
    fn what_says_something_of_another_input_is_refused() {
        for (words, part) in [
            ("evaluate m --text t --language en", "--language has no effect without --audio"),
            ("evaluate m --text t --label-column x", "--label-column has no effect without --data"),
            ("analyze m --images d --text-column x --out a", "--text-column has no effect without --data"),
            ("evaluate m --data d --target-language de", "without --pairs"),
            ("evaluate m --text t --translate 5", "without --pairs"),
            ("evaluate m --data d --beams 4", "without --translate or --audio"),
            ("train m --audio d --beams 4 --out o", "without --translate"),
            ("evaluate m --data d --pack", "without --text"),
            ("evaluate m --tokens d --preset wikitext2", "without --text"),
            ("plan a --held-out-every 5 --out p", "without --max-loss-increase or --max-metric-drop"),
            ("plan a --keep 4 --quality-metric f1 --out p", "without --max-loss-increase or --max-metric-drop"),
            ("prune m --plan p --held-out-every 5 --out o", "without an input"),
            ("repair m --plan p --text t --force --out r", "without --original"),
            ("repair m --plan p --moments x --memory 1GiB --out r", "without an input"),
        ] {
            let found = idle(words).refused.unwrap_or_else(|| panic!("{words}"));
            assert!(found.contains(part), "{words}: {found}");
        }
        for words in [
            "evaluate m --audio d --language en --beams 4",
            "evaluate m --data d --label-column x --seq-len 9 --batch-size 3",
            "evaluate m --pairs d --translate 3 --beams 4 --target-language de",
            "plan a m --text t --max-loss-increase 1% --held-out-every 5 --device cpu --out p",
            "plan a --seed 3 --quiet --json --out p",
            "prune m --plan p --device cpu --seed 1 --out o",
        ] {
            assert_eq!(idle(words), Idle::default(), "{words}");
        }
    }

    #[test]
    fn what_all_commands_take_is_told() {
        let told = |words: &str| idle(words).told;
        let nothing = "has no effect without an input";
        assert_eq!(
            told("plan a --batch-size 3 --device cpu --seq-len 9 --out p"),
            [format!("--batch-size {nothing}"), format!("--seq-len {nothing}"), format!("--device {nothing}")]
        );
        assert_eq!(
            told("evaluate m --images d --seq-len 9"),
            ["--seq-len has no effect without --text, --pairs or --data".to_owned()]
        );
        assert_eq!(idle("compare a b --seed 3").refused, None);
        assert_eq!(
            told("prune m --plan p --dry-run --out o --force"),
            ["--out has no effect with --dry-run".to_owned(), "--force has no effect with --dry-run".to_owned()]
        );
        assert_eq!(told("prune m --plan p --dry-run"), [] as [String; 0]);
    }
}

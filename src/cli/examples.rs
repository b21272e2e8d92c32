//! What stands below the options in the help of each command: examples, and what holds for all of them.

use clap::Command;

/// Two uses of every command, as they are typed.
const EXAMPLES: &[(&str, [&str; 2])] = &[
    ("inspect", ["pillars inspect bert-base-uncased", "pillars inspect llama --json"]),
    (
        "features",
        [
            "pillars features gpt2 --text novel.txt --batches 1 --out f.safetensors",
            "pillars features vit --images photos --features query,key --no-attention --out f.safetensors",
        ],
    ),
    (
        "analyze",
        [
            "pillars analyze gpt2 --text novel.txt --held-out-every 5 --moments --out a.json",
            "pillars analyze classifier --data train.tsv --scores importance,magnitude --groups 4 --out a.json",
        ],
    ),
    (
        "merge",
        [
            "pillars merge part1.json part2.json --out whole.json",
            "pillars merge part1.json part2.json part3.json --out whole.json --json",
        ],
    ),
    (
        "plan",
        [
            "pillars plan a.json --method reconstruction --ratio 0.6 --why --out p.json",
            "pillars plan a.json gpt2 --max-loss-increase 1% --text novel.txt --out p.json",
        ],
    ),
    (
        "evaluate",
        [
            "pillars evaluate gpt2 --text novel.txt --preset wikitext2 --seq-len 1024",
            "pillars evaluate classifier --data dev.tsv --plan p.json --repair r.safetensors --json",
        ],
    ),
    ("compare", ["pillars compare a.json b.json", "pillars compare original pruned --text novel.txt --batches 20"]),
    ("models", ["pillars models", "pillars models --json"]),
    (
        "download",
        ["pillars download sentence-transformers/all-MiniLM-L6-v2", "pillars download openai-community/gpt2@main"],
    ),
    (
        "convert",
        [
            "pillars convert all-MiniLM-L6-v2 --to onnx --out MiniLM-onnx",
            "pillars convert llama --to gguf --quantize q8_0 --out llama-gguf",
        ],
    ),
    (
        "completions",
        [
            "pillars completions bash > ~/.local/share/bash-completion/completions/pillars",
            "pillars completions zsh > ~/.zfunc/_pillars",
        ],
    ),
    ("man", ["pillars man | man -l -", "pillars man --out ~/.local/share/man/man1"]),
    (
        "curve",
        [
            "pillars curve gpt2 --text held-out.txt --analysis a.json --out c.json",
            "pillars curve gpt2 --text novel.txt --held-out-every 5 --analysis a.json --repair none,refit --out d.json",
        ],
    ),
    (
        "figure",
        [
            "pillars figure a.json --view overview --out overview.svg",
            "pillars figure c.json --view quality --dark --out curve.png",
        ],
    ),
    (
        "repair",
        [
            "pillars repair gpt2 --plan p.json --text novel.txt --out r.safetensors",
            "pillars repair pruned --original gpt2 --text novel.txt --mode refit --out mended",
        ],
    ),
    (
        "prune",
        [
            "pillars prune gpt2 --plan p.json --dry-run",
            "pillars prune gpt2 --plan p.json --repair auto --text novel.txt --format compact,onnx --out smaller",
        ],
    ),
    (
        "train",
        [
            "pillars train gpt2 --text novel.txt --groups 4 --keep 4 --repair auto --out trained",
            "pillars train config.json --from-scratch --pairs en-de.tsv --vote-at converged --out translator",
        ],
    ),
    (
        "experiment",
        [
            "pillars experiment --text novel.txt --out study",
            "pillars experiment --pairs en-es.tsv --seeds 3 --arms vanilla,ght,ght-ps --out study-es",
        ],
    ),
];

/// What --memory leaves out of a command, and why a command has no such option.
const MEMORY: &[(&str, &str)] = &[
    ("analyze", "--memory leaves out what heads do and the comparison with chance, and refuses importance."),
    (
        "features",
        "There is no --memory here: a batch that does not fit into what is free is refused before it is read.",
    ),
    ("train", "There is no --memory here: gradients and moments of the optimizer need the whole model."),
    ("experiment", "There is no --memory here: gradients and moments of the optimizer need the whole model."),
    ("plan", "There is no --memory here: a search measures the whole model many times."),
];

/// What holds for all commands.
const COMMON: &str = "\
Exit status: 0 done; 1 failed, with one line that says what, which file and what to do; 2 wrong usage; 130 interrupted.

Environment:
  PILLARS_HOME         Folder of settings and workspaces of the window, instead of the system's own
  RAYON_NUM_THREADS    Threads to compute with; all processors without it
  HF_HUB_CACHE         Folder in which models are looked for by name; without it HF_HOME's, or the hub's usual one
  HF_TOKEN             What `download` shows where a model is not for everybody; without it the file at HF_TOKEN_PATH
  HF_ENDPOINT          Where `download` finds the hub; HF_HUB_OFFLINE=1 forbids it the network
  TMPDIR               Folder for copies of piped input and for what --memory puts on disk";

/// The command line with examples below the options of every command.
pub(super) fn with_examples(command: Command) -> Command {
    command.after_help(COMMON).mut_subcommands(|command| {
        let Some((_, examples)) = EXAMPLES.iter().find(|(name, _)| *name == command.get_name()) else { return command };
        let memory = MEMORY.iter().find(|(name, _)| *name == command.get_name());
        let memory = memory.map(|(_, said)| format!("{said}\n\n")).unwrap_or_default();
        let examples = examples.join("\n  ");
        let text = format!("Examples:\n  {examples}\n\n{memory}Exit status and environment: pillars --help");
        command.after_help(text)
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::cli::arguments::Arguments;

    #[test]
    fn every_command_has_examples_that_can_be_typed() {
        let command = Arguments::whole();
        let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        assert!(
            names.iter().copied().eq(names.iter().copied().filter(|n| EXAMPLES.iter().any(|(e, _)| e == n))),
            "{names:?}"
        );
        assert!(names.len() == EXAMPLES.len(), "an example of no command");
        for (name, examples) in EXAMPLES {
            for example in examples {
                let typed = example.split(['|', '>']).next().unwrap();
                let words: Vec<&str> = typed.split_whitespace().collect();
                assert_eq!(words[..2], ["pillars", *name]);
                let parsed = Arguments::typed(words.into_iter().map(OsString::from));
                assert!(parsed.is_ok(), "{example}: {}", parsed.err().unwrap());
            }
        }
        // Every command that holds a model has a bound on memory or says why not.
        for of in command.get_subcommands().filter(|of| of.get_arguments().any(|a| a.get_id() == "batch_size")) {
            let bounded = of.get_arguments().any(|a| a.get_id() == "memory");
            assert!(bounded || MEMORY.iter().any(|(name, _)| *name == of.get_name()), "{}", of.get_name());
        }
        let help = command.clone().render_help().to_string();
        assert!(help.contains("130 interrupted") && help.contains("PILLARS_HOME"));
    }
}

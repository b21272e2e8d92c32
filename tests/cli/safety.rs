//! Nothing of the user's is lost, and nothing is silently wrong: what `--out` may replace, one process in one place,
//! signals, numbers that are none.
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::common::fixtures;

fn pillars(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pillars")).args(arguments).output().unwrap()
}

/// A copy of a fixture's model that tests may spoil, with token lists to read.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("m")).unwrap();
        for name in ["config.json", "model.safetensors"] {
            std::fs::copy(fixtures().join("llama").join(name), folder.path().join("m").join(name)).unwrap();
        }
        let rows: String = (0..6).map(|i| format!("{{\"input_ids\": [{}, 7, 3, {}, 20]}}\n", i + 1, i + 11)).collect();
        std::fs::write(folder.path().join("t.jsonl"), rows).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn name(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Runs a command whose words that begin with `@` name files of the desk.
    fn run(&self, line: &str) -> Output {
        let words: Vec<String> = line
            .split(' ')
            .map(|word| word.strip_prefix('@').map_or_else(|| word.to_owned(), |name| self.name(name)))
            .collect();
        pillars(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn good(&self, line: &str) {
        let output = self.run(line);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The last line of what a command says that must fail.
    fn bad(&self, line: &str) -> String {
        let output = self.run(line);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}: {said}");
        said.lines().last().unwrap_or_default().to_owned()
    }
}

#[test]
fn what_was_written_and_what_a_mask_leaves_out_is_told_in_one_line() {
    let desk = Desk::new();
    let said = |line: &str| {
        let output = desk.run(line);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stderr).unwrap()
    };
    let told = said("analyze @m --tokens @t.jsonl --groups 2 --moments --out @a.json");
    let last = told.lines().last().unwrap();
    let files = [desk.name("a.moments.safetensors"), desk.name("a.json")];
    assert!(last.starts_with(&format!("pillars: wrote {} (", files[0])) && last.contains(&files[1]), "{told}");
    assert!(last.ends_with(" s") && last.contains("B)") && last.contains(" in "), "{last}");
    let mask = format!("{{{:?}: [0, 1]}}", "decoder.0");
    std::fs::write(desk.path("mask.json"), mask).unwrap();
    let told = said("prune @m --plan @mask.json --out @smaller");
    assert!(told.contains("mask.json: it names 1 of 2 layers: the others keep every head"), "{told}");
    assert!(told.lines().last().unwrap().contains("smaller ("), "{told}");
    // Nothing is written, nothing is said; nor where it is not to be.
    assert!(!said("evaluate @m --tokens @t.jsonl").contains("wrote"));
    assert!(!said("prune @m --plan @mask.json --dry-run").contains("wrote"));
    assert_eq!(said("analyze @m --tokens @t.jsonl --groups 2 --out @a.json --quiet"), "");
}

#[test]
fn a_folder_in_the_place_of_a_file_is_called_one() {
    let desk = Desk::new();
    for line in [
        "evaluate @m --tokens @m",
        "evaluate @m --inputs @m",
        "evaluate @m --tokens @t.jsonl --plan @m",
        "evaluate @m --tokens @t.jsonl --repair @m --plan @m",
        "plan @m --keep 1 --out @p.json",
        "merge @m @m --out @p.json",
        "analyze @m --tokens @t.jsonl --out @.",
        "figure @m --view votes --out @f.svg",
    ] {
        let said = desk.bad(line);
        assert!(said.contains("this is a folder, not a file: ") && said.contains("; "), "{line}: {said}");
    }
    let said = desk.bad("analyze @m --tokens @t.jsonl --out @t.jsonl/a.json");
    assert!(said.contains("t.jsonl is a file, not a folder: "), "{said}");
}

/// Every file below a folder with its contents.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(contents(&path))
        } else {
            all.push((path.clone(), std::fs::read(&path).unwrap()))
        }
    }
    all.sort();
    all
}

#[test]
fn out_replaces_only_what_the_command_itself_writes() {
    let desk = Desk::new();
    desk.good("analyze @m --tokens @t.jsonl --batch-size 1 --scores magnitude --out @a.json");
    desk.good("plan @a.json --keep 2 --out @p.json");
    desk.good("features @m --tokens @t.jsonl --out @f.safetensors");
    desk.good("curve @m --tokens @t.jsonl --analysis @a.json --methods votes --out @c.json");
    for name in ["v.svg", "v.png", "v.csv"] {
        desk.good(&format!("figure @a.json --view overview --out @{name}"));
        desk.good(&format!("figure @a.json --view overview --out @{name}"));
    }
    // What each wrote it may write again.
    desk.good("analyze @m --tokens @t.jsonl --batch-size 1 --scores magnitude --out @a.json");
    desk.good("plan @a.json --keep 2 --out @p.json");
    desk.good("features @m --tokens @t.jsonl --out @f.safetensors");
    desk.good("curve @m --tokens @t.jsonl --analysis @a.json --methods votes --out @c.json");
    std::fs::write(desk.path("thesis.txt"), "my thesis").unwrap();
    std::fs::copy(desk.path("a.json"), desk.path("b.json")).unwrap();
    std::fs::write(desk.path("thesis.csv"), "a,b\n").unwrap();
    let before = contents(desk.folder.path());
    let inputs = "--tokens @t.jsonl";
    for (line, part) in [
        (format!("features @m {inputs} --out @m/model.safetensors"), "inside a folder that the command reads"),
        (format!("features @m {inputs} --out @a.json"), "did not write"),
        (format!("analyze @m {inputs} --out @m/config.json"), "inside a folder that the command reads"),
        (format!("analyze @m {inputs} --out @m/new.json"), "inside a folder that the command reads"),
        (format!("analyze @m {inputs} --out @thesis.txt"), "did not write"),
        (format!("analyze @m {inputs} --out @t.jsonl"), "what the command reads"),
        (format!("analyze @m {inputs} --out @p.json"), "did not write"),
        ("plan @b.json --keep 2 --out @b.json".to_owned(), "what the command reads"),
        ("plan @b.json --keep 2 --out @a.json".to_owned(), "did not write"),
        ("merge @a.json @b.json --out @b.json".to_owned(), "what the command reads"),
        ("merge @a.json @b.json --out @c.json".to_owned(), "did not write"),
        (format!("curve @m {inputs} --analysis @a.json --out @a.json"), "what the command reads"),
        (format!("curve @m {inputs} --seq-len 3 --analysis @a.json --out @c.json"), "under other settings (seq_len"),
        ("figure @a.json --view overview --out @thesis.csv".to_owned(), "did not write"),
    ] {
        let said = desk.bad(&line);
        assert!(said.contains(part), "{line}: {said}");
        assert_eq!(contents(desk.folder.path()), before, "{line}");
    }
    desk.good(&format!("curve @m {inputs} --seq-len 3 --analysis @a.json --methods votes --out @c.json --force"));
}

#[test]
fn whether_out_can_be_written_is_found_out_first() {
    let desk = Desk::new();
    desk.good("analyze @m --tokens @t.jsonl --out @a.json");
    for line in [
        "analyze @m --tokens @no-such-input --out @missing/a.json",
        "features @m --tokens @no-such-input --out @missing/f.safetensors",
        "plan @a.json --rounds 3 --keep 1 --tokens @no-such-input --out @missing/p.json",
        "curve @m --tokens @no-such-input --analysis @a.json --out @missing/c.json",
        "merge @no-such @nor-this --out @missing/a.json",
    ] {
        let said = desk.bad(line);
        assert!(said.contains("missing does not exist: ") && said.contains("make it"), "{line}: {said}");
    }
}

#[test]
fn what_is_missing_or_of_another_kind_is_said_with_what_to_do() {
    let desk = Desk::new();
    desk.good("analyze @m --tokens @t.jsonl --moments --out @a.json");
    desk.good("plan @a.json --keep 2 --out @p.json");
    for (line, parts) in [
        ("prune @m --plan @p.json --out @none/o", ["the folder does not exist: ", "none; make it, or choose another"]),
        ("convert @m --to onnx --out @none/o", ["the folder does not exist: ", "none; make it, or choose another"]),
        (
            "prune @m --plan @p.json --format masked,compact --out @none/o",
            ["the folder does not exist: ", "none; make it, or choose another"],
        ),
        ("prune @m --plan @none.json --out @o", ["there is no plan of this name", "pillars plan writes one"]),
        ("plan @none.json --out @q.json", ["there is no analysis of this name", "pillars analyze writes one"]),
        (
            "repair @m --plan @p.json --moments @none --out @r.safetensors",
            ["no second moments", "--moments writes them"],
        ),
        ("figure @a.json --view repair --out @v.svg", ["this is an analysis, not a repair: ", "pillars repair wrote"]),
        ("evaluate @m --tokens @t.jsonl --mask @empty.json", ["names no layer", "encoder.0"]),
    ] {
        std::fs::write(desk.path("empty.json"), "{}").unwrap();
        let said = desk.bad(line);
        assert!(parts.iter().all(|part| said.contains(part)), "{line}: {said}");
        assert!(!said.contains("partial") && !said.contains("os error"), "{line}: {said}");
    }
    // The vote is known to be possible before the first step.
    let output = desk.run("train @m --tokens @t.jsonl --batch-size 1 --steps 3 --keep 99 --out @tr");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cannot keep 99 heads") && !said.contains("step 3"), "{said}");
    assert!(!output.status.success() && !desk.path("tr").exists());
}

#[test]
fn standard_input_is_read_as_often_as_needed() {
    let desk = Desk::new();
    let read = |from: Stdio, input: &str| {
        let mut words = vec!["evaluate".to_owned(), desk.name("m"), "--tokens".to_owned(), input.to_owned()];
        words.extend(["--quiet", "--json", "--batch-size", "2", "--plan", &desk.name("p.json")].map(str::to_owned));
        words.extend(["--repair", "refit", "--held-out-every", "2"].map(str::to_owned));
        let output = Command::new(env!("CARGO_BIN_EXE_pillars")).args(words).stdin(from).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (found["before"]["loss_per_token"].clone(), found["after"]["loss_per_token"].clone())
    };
    std::fs::write(desk.path("p.json"), r#"{"decoder.0": [0, 1]}"#).unwrap();
    let file = std::fs::File::open(desk.path("t.jsonl")).unwrap();
    assert_eq!(read(file.into(), "-"), read(Stdio::null(), &desk.name("t.jsonl")));
}

#[test]
#[cfg(target_os = "linux")]
fn a_folder_that_is_there_and_takes_nothing_is_told_from_a_missing_one() {
    let desk = Desk::new();
    std::fs::write(desk.path("p.json"), r#"{"decoder.0": [0, 1]}"#).unwrap();
    let said = desk.bad("prune @m --plan @p.json --out /proc/o");
    assert!(said.contains("the folder cannot be written: /proc; choose another place"), "{said}");
}

#[test]
fn going_on_where_nothing_was_saved_is_told() {
    let desk = Desk::new();
    let said = desk.run(
        "train @m --out @tr --resume --tokens @t.jsonl --steps 1 --finetune-steps 1 --batch-size 1 --held-out-every 2 \
         --held-out-batches 1",
    );
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("nothing was saved there yet to go on with"), "{said}");
}

#[test]
fn two_processes_do_not_work_in_one_place() {
    let desk = Desk::new();
    desk.good("analyze @m --tokens @t.jsonl --out @a.json");
    let options = "--tokens @t.jsonl --steps 100000 --finetune-steps 1 --batch-size 1 --save-every 1 --look-every 100000 \
                   --held-out-every 2 --held-out-batches 1 --quiet";
    let words: Vec<String> = format!("train @m --out @tr {options}")
        .split_whitespace()
        .map(|w| w.strip_prefix('@').map_or_else(|| w.to_owned(), |name| desk.name(name)))
        .collect();
    let mut first = Command::new(env!("CARGO_BIN_EXE_pillars"))
        .args(&words)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !desk.path("tr/training/state.safetensors").exists() {
        assert!(first.try_wait().unwrap().is_none(), "the training ended");
        std::thread::yield_now();
    }
    let options = options.split_whitespace().collect::<Vec<_>>().join(" ");
    let said = desk.bad(&format!("train @m --out @tr --resume {options}"));
    assert!(said.contains(&format!("another pillars (process {}) works here", first.id())), "{said}");
    let said = desk.bad(&format!("train @m --out @tr --force {options}"));
    assert!(said.contains("works here"), "{said}");
    // A process that is killed frees the folder; what it left half-written goes when the work goes on.
    first.kill().unwrap();
    first.wait().unwrap();
    std::fs::write(desk.path("tr/training/.pillars-x1y2z3"), "half a state").unwrap();
    let output = desk.run(&format!("train @m --out @tr --resume {}", options.replace("--steps 100000", "--steps 3")));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.contains("begun with other settings"), "{said}");
    assert!(!desk.path("tr/training/.pillars-x1y2z3").exists());
}

#[test]
fn an_export_takes_its_place_before_the_work() {
    let desk = Desk::new();
    std::fs::write(desk.path("mask.json"), r#"{"decoder.0": [0, 1]}"#).unwrap();
    let held = pillars::checkpoint::FolderWriter::new(&desk.path("o"), false, "pillars.json").unwrap();
    for line in ["prune @m --plan @mask.json --out @o", "convert @m --to onnx --out @o"] {
        let said = desk.bad(line);
        assert!(said.contains(&format!("another pillars (process {}) works here", std::process::id())), "{said}");
    }
    drop(held);
    // A repair that is made first may take hours: the place is taken before it.
    let held = pillars::pruning::claim(&desk.path("o"), &desk.path("m")).unwrap();
    let said = desk.bad("prune @m --plan @mask.json --repair refit --tokens @t.jsonl --out @o");
    assert!(said.contains("works here"), "{said}");
    drop(held);
    desk.good("prune @m --plan @mask.json --out @o");
    let left = std::fs::read_dir(desk.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().starts_with(".pillars")));
}

#[test]
fn weights_that_config_json_does_not_count_are_named_by_every_command() {
    let desk = Desk::new();
    let config = std::fs::read_to_string(desk.path("m/config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
    config["num_hidden_layers"] = 1.into();
    std::fs::write(desk.path("m/config.json"), config.to_string()).unwrap();
    for line in [
        "analyze @m --tokens @t.jsonl --out @a.json",
        "evaluate @m --tokens @t.jsonl",
        "features @m --tokens @t.jsonl --out @f.safetensors",
        "convert @m --to onnx --out @o",
        "plan @a.json @m --tokens @t.jsonl --max-loss-increase 5% --out @p.json",
    ] {
        let output = desk.run(line);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{line}: {said}");
        assert_eq!(said.matches("the files hold 1 layer that config.json does not count").count(), 1, "{line}: {said}");
    }
    let said = String::from_utf8(desk.run("inspect @m").stdout).unwrap();
    assert!(said.contains("the files hold 1 layer that config.json does not count"), "{said}");
}

#[test]
fn a_table_from_a_pipe_is_known_by_its_first_line() {
    use std::io::Write;
    let model = crate::contract::sample("books/classifier");
    let table = std::fs::read_to_string(crate::contract::sample("books/test.tsv")).unwrap();
    let rows: Vec<&str> = table.lines().take(9).collect();
    let desk = Desk::new();
    std::fs::write(desk.path("rows.tsv"), rows.join("\n")).unwrap();
    let quality = |input: &str| {
        let arguments = ["evaluate", &model, "--data", input, "--json", "--quiet"];
        let mut running = Command::new(env!("CARGO_BIN_EXE_pillars"));
        running.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = running.spawn().unwrap();
        // Where a file is read nobody listens.
        let _ = running.stdin.take().unwrap().write_all(rows.join("\n").as_bytes());
        let output = running.wait_with_output().unwrap();
        assert!(output.status.success(), "{input}: {}", String::from_utf8_lossy(&output.stderr));
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        found["metrics"]["accuracy"].clone()
    };
    let of_file = quality(&desk.name("rows.tsv"));
    assert!(of_file["n"] == 8 && quality("-") == of_file, "{of_file}");
    #[cfg(target_os = "linux")]
    assert_eq!(quality("/dev/stdin"), of_file);
}

#[test]
fn a_forced_run_that_fails_gives_back_what_it_was_to_replace() {
    let desk = Desk::new();
    let options = "--steps 2 --finetune-steps 1 --batch-size 1 --look-every 10 --held-out-every 2 --held-out-batches 1";
    desk.good(&format!("train @m --tokens @t.jsonl --out @tr {options}"));
    let before = contents(&desk.path("tr"));
    desk.bad(&format!("train @m --tokens @no-such-input --out @tr --force {options}"));
    assert_eq!(contents(&desk.path("tr")), before);
}

#[test]
fn a_device_that_is_named_but_missing_is_an_error() {
    let desk = Desk::new();
    for device in ["cuda:1000", if cfg!(target_os = "macos") { "cuda" } else { "metal" }] {
        let said = desk.bad(&format!("evaluate @m --tokens @t.jsonl --quiet --device {device}"));
        assert!(said.contains(device), "{said}");
    }
}

#[test]
fn weights_that_are_no_numbers_end_every_command_by_name() {
    let desk = Desk::new();
    desk.good("analyze @m --tokens @t.jsonl --batch-size 1 --out @a.json");
    std::fs::write(desk.path("k.json"), r#"{"decoder.0": [0, 1]}"#).unwrap();
    let path = desk.path("m/model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let known: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let tensor = "model.layers.1.mlp.down_proj.weight";
    let begin = 8 + header + known[tensor]["data_offsets"][0].as_u64().unwrap() as usize;
    assert_eq!(known[tensor]["dtype"], "F32");
    bytes[begin..begin + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    for line in [
        "evaluate @m --tokens @t.jsonl --quiet",
        "evaluate @m --tokens @t.jsonl --quiet --memory 1GiB",
        "features @m --tokens @t.jsonl --out @f.safetensors --quiet",
        "analyze @m --tokens @t.jsonl --out @b.json --quiet",
        "prune @m --plan @k.json --out @p --format masked --quiet",
        "curve @m --tokens @t.jsonl --analysis @a.json --methods votes --out @c.json --quiet",
        "repair @m --plan @k.json --tokens @t.jsonl --out @r.safetensors --quiet",
        "plan @a.json @m --tokens @t.jsonl --max-loss-increase 5% --out @q.json --quiet",
        "train @m --tokens @t.jsonl --batch-size 1 --steps 1 --held-out-every 2 --out @tr --quiet",
        "compare @m @m --tokens @t.jsonl --quiet",
        "convert @m --to onnx --out @o --quiet",
        "convert @m --to gguf --out @g.gguf --quiet",
    ] {
        let said = desk.bad(line);
        assert!(said.contains(&format!("tensor '{tensor}' holds NaN: ")), "{line}: {said}");
    }
    for name in ["f.safetensors", "b.json", "p", "tr", "c.json", "r.safetensors", "q.json", "o", "g.gguf"] {
        assert!(!desk.path(name).exists(), "{name}");
    }
}

#[test]
fn a_decoder_that_is_not_causal_has_the_loss_that_transformers_gives_it() {
    let desk = Desk::new();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(fixtures().join("qwen2").join(name), desk.path("m").join(name)).unwrap();
    }
    let mut config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(desk.path("m/config.json")).unwrap()).unwrap();
    config["is_causal"] = false.into();
    std::fs::write(desk.path("m/config.json"), config.to_string()).unwrap();
    let ids = [5, 17, 33, 8, 61, 40, 22, 9, 77, 13];
    std::fs::write(desk.path("rows.jsonl"), format!("{{\"input_ids\": {ids:?}, \"labels\": {ids:?}}}\n")).unwrap();
    let output = desk.run("evaluate @m --tokens @rows.jsonl --device cpu --json --quiet");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let loss = told["loss_per_token"].as_f64().unwrap_or_else(|| panic!("{told}"));
    assert!((loss - 5.698_246).abs() < 2e-6, "{loss}");
}

#[test]
fn a_plan_of_another_model_is_said_to_be_one() {
    let desk = Desk::new();
    desk.good("analyze @m --tokens @t.jsonl --out @a.json");
    desk.good("plan @a.json --keep 2 --out @p.json");
    let said = |desk: &Desk| {
        let output = desk.run("evaluate @m --tokens @t.jsonl --plan @p.json");
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap().contains("made for a model with another fingerprint")
    };
    assert!(!said(&desk));
    let path = desk.path("m/config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config["rms_norm_eps"] = 0.001.into();
    std::fs::write(&path, config.to_string()).unwrap();
    assert!(said(&desk));
}

#[cfg(unix)]
#[test]
fn signals_that_were_ignored_at_the_start_stay_ignored() {
    let desk = Desk::new();
    let rows = std::fs::read_to_string(desk.path("t.jsonl")).unwrap();
    std::fs::write(desk.path("long.jsonl"), rows.repeat(2_000)).unwrap();
    let run = |trap: &str| {
        // A shell that ignores a signal hands that on to what it starts.
        let script = format!("{trap} exec \"$0\" analyze \"$1\" --tokens \"$2\" --out \"$3\"");
        let mut child = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_pillars")])
            .args([desk.name("m"), desk.name("long.jsonl"), desk.name("n.json")])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The first line about progress comes when the handler is in place.
        let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut stderr, &mut line).unwrap();
        assert!(Command::new("kill").args(["-HUP", &child.id().to_string()]).status().unwrap().success());
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut stderr, &mut rest).unwrap();
        child.wait().unwrap().code()
    };
    // Under `nohup` these tests are started with the signal ignored already, and a shell cannot take that back.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|l| l.strip_prefix("SigIgn:")).unwrap_or("0");
    if u64::from_str_radix(ignored.trim(), 16).unwrap() & 1 == 0 {
        assert_eq!(run(""), Some(130));
    }
    assert_eq!(run("trap '' HUP;"), Some(0));
}

/// Also while the program takes signals over: a shell sends them without pause from its first moment on.
#[cfg(unix)]
#[test]
fn an_ignored_signal_is_ignored_at_every_moment() {
    let desk = Desk::new();
    let script = "trap '' HUP; \"$0\" evaluate \"$1\" --tokens \"$2\" & p=$!; i=0; \
                  while [ $i -lt 30000 ]; do kill -HUP $p; i=$((i + 1)); done 2>/dev/null; wait $p";
    for _ in 0..16 {
        let output = Command::new("sh")
            .args(["-c", script, env!("CARGO_BIN_EXE_pillars")])
            .args([desk.name("m"), desk.name("t.jsonl")])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn features_are_written_map_by_map_and_attention_may_stay_away() {
    let desk = Desk::new();
    let rows = "{\"input_ids\": [1, 2, 3]}\n{\"input_ids\": [4, 5, 6, 7, 8]}\n{\"input_ids\": [9, 3]}\n";
    std::fs::write(desk.path("short.jsonl"), rows).unwrap();
    let load = |name: &str| candle_core::safetensors::load(desk.path(name), &candle_core::Device::Cpu).unwrap();
    desk.good("features @m --tokens @short.jsonl --out @all.safetensors --features value,residual");
    desk.good("features @m --tokens @short.jsonl --batch-size 1 --out @one.safetensors --features value,residual");
    desk.good("features @m --tokens @short.jsonl --out @less.safetensors --no-attention");
    let (all, one, less) = (load("all.safetensors"), load("one.safetensors"), load("less.safetensors"));
    assert_eq!(all["attn.decoder.0"].dims(), [3, 4, 5, 5]);
    assert_eq!(all["logits"].dims(), [3, 5, 96]);
    assert_eq!(all.len(), one.len());
    for (name, tensor) in &all {
        assert_eq!(tensor.dims(), one[name].dims(), "{name}");
        // Rows of real positions are the same, however sequences are batched; what is padded is 0 where each is alone.
        let first = |t: &candle_core::Tensor| t.get(1).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let far = first(tensor).iter().zip(first(&one[name])).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far < 1e-5, "{name}: {far}");
    }
    let short = one["value.decoder.0"].get(2).unwrap().narrow(1, 2, 3).unwrap();
    assert_eq!(short.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap(), 0.0);
    assert!(less.keys().all(|name| !name.starts_with("attn")) && less.contains_key("out.decoder.1"));
}

#[test]
fn force_replaces_nothing_that_somebody_else_put_there() {
    let desk = Desk::new();
    std::fs::write(desk.path("p.json"), r#"{"decoder.0": [0, 1]}"#).unwrap();
    for format in ["compact", "onnx", "gguf", "ct2"] {
        let line = format!("prune @m --plan @p.json --format {format} --out @{format} --force");
        // Whatever an export wrote is its own.
        desk.good(&line);
        desk.good(&line);
        std::fs::write(desk.path(format).join("thesis.txt"), "years of work").unwrap();
        let before = contents(&desk.path(format));
        let said = desk.bad(&line);
        assert!(said.contains("holds 'thesis.txt', which this command did not write"), "{said}");
        assert_eq!(contents(&desk.path(format)), before);
        assert!(desk.bad(&format!("convert @m --to onnx --out @{format} --force")).contains("thesis.txt"));
    }
    // Another command's result, and a folder of nobody.
    let train = "train @m --tokens @t.jsonl --batch-size 1 --steps 1 --held-out-every 2 --held-out-batches 1 --keep 2 --out @run --force";
    desk.good(train);
    assert!(desk.bad("prune @m --plan @p.json --out @run --force").contains("which this command did not write"));
    desk.good("prune @m --plan @p.json --out @export");
    let said = desk.bad(&train.replace("@run", "@export"));
    assert!(said.contains("which this command did not write"), "{said}");
    desk.good(train);
}

#[test]
fn a_word_that_is_no_command_and_no_folder_is_told_so() {
    let desk = Desk::new();
    for (word, part) in [
        ("annalyze", "did you mean 'pillars analyze'?"),
        ("prnue", "did you mean 'pillars prune'?"),
        ("no-such-model", "pillars --help lists the commands"),
    ] {
        let output = desk.run(word);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(&format!("'{word}' is no command, and there is no such file or folder")), "{said}");
        assert!(output.status.code() == Some(2) && said.contains(part), "{said}");
    }
    std::fs::write(desk.path("p.json"), r#"{"decoder.0": [0, 1]}"#).unwrap();
    for (format, part) in
        [("onnx", "is for ONNX Runtime"), ("ct2", "is for CTranslate2"), ("gguf", "open the file itself: ")]
    {
        desk.good(&format!("prune @m --plan @p.json --format {format} --out @{format}"));
        let said = desk.bad(&format!("inspect @{format}"));
        assert!(said.contains(part), "{format}: {said}");
    }
}

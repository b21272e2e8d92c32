//! How many threads compute changes no bit of any result.
use std::process::Command;

use crate::contract::{Folder, sample};

#[test]
fn results_are_the_same_bit_for_bit_on_one_two_and_eight_threads() {
    let (model, text) = (sample("austen-plain"), sample("austen.txt"));
    let folders = [1, 2, 8].map(|threads: usize| {
        let folder = Folder::new();
        let run = |arguments: &str| {
            let done = Command::new(env!("CARGO_BIN_EXE_pillars"))
                .args(arguments.replace("MODEL", &model).replace("TEXT", &text).split(' '))
                .current_dir(folder.path(""))
                .env("RAYON_NUM_THREADS", threads.to_string())
                .output()
                .unwrap();
            assert!(done.status.success(), "{arguments}: {}", String::from_utf8_lossy(&done.stderr));
        };
        let input = "MODEL --text TEXT --seq-len 48 --batch-size 4 --quiet";
        run(&format!("analyze {input} --batches 6 --moments --scores importance,magnitude,confidence --out a.json"));
        run("plan a.json --method reconstruction --layer-ratio 0.5 --out p.json");
        run(&format!("repair {input} --batches 6 --plan p.json --mode stream --out r.safetensors"));
        run("prune MODEL --plan p.json --repair r.safetensors --out pruned --quiet");
        let steps = "--steps 3 --finetune-steps 1 --vote-batches 2 --held-out-batches 1 --groups 4 --keep 4";
        run(&format!("train {input} --batches 12 --held-out-every 4 {steps} --out trained"));
        folder
    });
    let results = ["a.json", "a.moments.safetensors", "p.json", "r.safetensors"];
    for name in results.iter().chain(&["pruned/model.safetensors", "trained/model.safetensors"]) {
        let [one, two, eight] = folders.each_ref().map(|folder| std::fs::read(folder.path(name)).unwrap());
        assert!(one == two && one == eight, "{name} depends on the number of threads");
    }
}

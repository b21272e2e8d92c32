"""Runs the guide's recipe for Ray as it stands there, with two workers, and compares the merged analysis with that of one
process. Not part of `cargo test`, for it needs Ray:

    cargo build && python3 -m venv target/ray && target/ray/bin/pip install ray && target/ray/bin/python tests/with_ray.py
"""

import json
import os
import pathlib
import re
import subprocess
import tempfile

import ray

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOLERANCE = 1e-9


def recipe():
    """The block of the guide that has a task of Ray in it."""
    blocks = re.findall(r"```text\n(.*?)```", (ROOT / "src/guide.md").read_text(), re.S)
    return next(block for block in blocks if "@ray.remote" in block)


def numbers(value):
    return [float(x) for item in value for x in numbers(item)] if isinstance(value, list) else [value]


def main():
    os.environ["PATH"] = f"{ROOT / 'target/debug'}{os.pathsep}{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.symlink(ROOT / "sample_models/austen-plain", "decoder")
        # Enough for every part to have a batch.
        text = (ROOT / "sample_models/austen.txt").read_text() * 8
        pathlib.Path("novel.txt").write_text(text)
        # Two of its tasks at once, wherever Ray starts them.
        ray.init(num_cpus=8, include_dashboard=False, runtime_env={"env_vars": {"PATH": os.environ["PATH"]}})
        script = recipe().replace('"analyze", "decoder"', f'"analyze", "{folder}/decoder"')
        script = script.replace('"novel.txt"', f'"{folder}/novel.txt"').replace('f"part{n}.json"', f'f"{folder}/part{{n}}.json"')
        exec(compile(script, "guide", "exec"), {"ray": ray, "subprocess": subprocess})
        whole = ["pillars", "analyze", f"{folder}/decoder", "--text", f"{folder}/novel.txt", "--moments", "--out", "one.json"]
        subprocess.run(whole, check=True, stdout=subprocess.DEVNULL)
        one, merged = (json.loads(pathlib.Path(name).read_text()) for name in ("one.json", "whole.json"))
    assert (one["tokens"], one["batches"]) == (merged["tokens"], merged["batches"]), "other batches were read"
    worst = 0.0
    for a, b in zip(one["sites"], merged["sites"], strict=True):
        assert (a["votes"], a["kept"]) == (b["votes"], b["kept"]), a["site"]
        grams = [numbers(site["features"]["output"]["gram"]) for site in (a, b)]
        worst = max(worst, *(abs(x - y) / max(abs(x), TOLERANCE) for x, y in zip(*grams, strict=True)))
    assert worst <= TOLERANCE, worst
    print(f"Ray {ray.__version__}: {one['batches']} batches in 8 parts add up to one run, largest difference {worst:.1e}")


if __name__ == "__main__":
    main()

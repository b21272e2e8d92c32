"""Runs the guide's recipes for Slurm and Ray as they stand there, and compares the merged analysis and moments with those
of one process. Not part of `cargo test`, for it needs Ray, or a cluster of Slurm whose nodes see this folder and TMPDIR
(one machine with `slurmctld` and `slurmd` will do, if its configuration claims eight processors or more):

    cargo build && python3 -m venv target/ray && target/ray/bin/pip install ray numpy safetensors
    target/ray/bin/python tests/with_cluster.py ray slurm [PROGRAM]
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy
from safetensors.numpy import load_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOLERANCE = 1e-9


def recipe(mark):
    """The block of the guide that has `mark` in it."""
    blocks = re.findall(r"```text\n(.*?)```", (ROOT / "src/guide.md").read_text(), re.S)
    return next(block for block in blocks if mark in block)


def run_ray(folder):
    import ray

    # Two of its tasks at once, wherever Ray starts them.
    ray.init(num_cpus=8, include_dashboard=False, runtime_env={"env_vars": {"PATH": os.environ["PATH"]}})
    # Its workers start in folders of their own.
    script = recipe("@ray.remote").replace('"analyze", "decoder"', f'"analyze", "{folder}/decoder"')
    script = script.replace('"novel.txt"', f'"{folder}/novel.txt"').replace('f"part{n}.json"', f'f"{folder}/part{{n}}.json"')
    exec(compile(script, "guide", "exec"), {})
    return f"Ray {ray.__version__}"


def run_slurm(folder):
    pathlib.Path("parts.sh").write_text(recipe("#SBATCH"))
    subprocess.run(["sh", "-ec", recipe("--dependency")], check=True)
    return subprocess.run(["sbatch", "--version"], check=True, capture_output=True, text=True).stdout.strip()


def numbers(value):
    return [float(x) for item in value for x in numbers(item)] if isinstance(value, list) else [value]


def compare(one, merged):
    """The largest difference of Gram matrices and moments, in parts of the largest value of each."""
    a, b = (json.loads(pathlib.Path(f"{name}.json").read_text()) for name in (one, merged))
    assert (a["tokens"], a["batches"]) == (b["tokens"], b["batches"]), "other batches were read"
    pairs = []
    for x, y in zip(a["sites"], b["sites"], strict=True):
        assert (x["votes"], x["kept"]) == (y["votes"], y["kept"]), x["site"]
        pairs.append([numpy.array(numbers(site["features"]["output"]["gram"])) for site in (x, y)])
    x, y = (load_file(f"{name}.moments.safetensors") for name in (one, merged))
    assert x.keys() == y.keys() and any(".odd." in name for name in x)
    pairs.extend((x[name].astype(float), y[name].astype(float)) for name in x)
    worst = max(numpy.abs(p - q).max() / max(numpy.abs(p).max(), TOLERANCE) for p, q in pairs)
    assert worst <= TOLERANCE, worst
    return a["batches"], worst


def main():
    systems = [name for name in sys.argv[1:] if name in ("ray", "slurm")]
    program = next((name for name in sys.argv[1:] if name not in systems), ROOT / "target/debug/pillars")
    os.environ["PATH"] = f"{pathlib.Path(program).resolve().parent}{os.pathsep}{os.environ['PATH']}"
    for system in systems or sys.exit(__doc__):
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            os.symlink(ROOT / "sample_models/austen-plain", "decoder")
            # Enough for every part to have a batch.
            pathlib.Path("novel.txt").write_text((ROOT / "sample_models/austen.txt").read_text() * 8)
            version = {"ray": run_ray, "slurm": run_slurm}[system](folder)
            whole = ["pillars", "analyze", "decoder", "--text", "novel.txt", "--moments", "--out", "one.json"]
            subprocess.run(whole, check=True, stdout=subprocess.DEVNULL)
            batches, worst = compare("one", "whole")
            os.chdir(ROOT)
        print(f"{version}: {batches} batches in 8 parts add up to one run, largest difference {worst:.1e}")


if __name__ == "__main__":
    main()

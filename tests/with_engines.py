"""Opens what `pillars convert` writes with the engines it is for. Not part of `cargo test`, for it needs them; run it with

    cargo build && python3 -m venv target/venv && target/venv/bin/pip install onnx onnxruntime safetensors numpy
    target/venv/bin/python tests/with_engines.py

Every family's fixture is written whole and with the heads of its `mask.json`, in 32 and 16 bits. A file passes if the
checker of ONNX accepts it and ONNX Runtime computes from the reference's inputs what Hugging Face transformers computed
(1e-4 of the largest value at real positions; 2e-2 in 16 bits). Prints a table in Markdown: the largest difference, or "-"
where heads cannot be removed.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnx
import onnxruntime
from safetensors.numpy import load_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = ROOT / "target" / "debug" / "pillars"


def convert(model, out, *more):
    command = [BINARY, "convert", model, "--to", "onnx", "--out", out, "--json", *more]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)


def inputs_of(reference, session):
    """What the session asks for, from the reference or as transformers fills it in."""
    given = {}
    for port in session.get_inputs():
        name = port.name
        if name in reference:
            value = reference[name]
        elif name == "token_type_ids":
            value = numpy.zeros_like(reference["input_ids"])
        elif name == "attention_mask":
            value = numpy.ones_like(reference["input_ids"])
        elif name == "decoder_attention_mask":
            value = numpy.ones_like(reference["decoder_input_ids"])
        else:
            raise KeyError(f"the reference has no {name}")
        given[name] = value.astype(numpy.float32 if "float" in port.type else numpy.int64)
    return given


def difference(got, want, mask):
    if mask is not None and mask.shape == want.shape[:2]:
        got, want = got[mask > 0], want[mask > 0]
    return float(numpy.abs(got - want).max() / numpy.abs(want).max())


def main():
    rows, failed = [], 0
    for folder in sorted((ROOT / "tests" / "fixtures").iterdir()):
        if not (folder / "reference.safetensors").is_file():
            continue
        reference = load_file(folder / "reference.safetensors")
        mask = reference.get("decoder_attention_mask" if "decoder_input_ids" in reference else "attention_mask")
        cells = []
        for plan, prefix in (([], ""), (["--plan", folder / "mask.json"], "masked.")):
            for half in ([], ["--half"]):
                with tempfile.TemporaryDirectory() as scratch:
                    out = pathlib.Path(scratch) / "out"
                    done = convert(folder, out, *plan, *half)
                    if done.returncode:
                        cells.append("-" if "masked" in done.stderr or "unequal" in done.stderr else "FAILED")
                        print(folder.name, prefix, done.stderr.strip(), file=sys.stderr)
                        failed += cells[-1] == "FAILED"
                        continue
                    path = str(out / "onnx" / "model.onnx")
                    onnx.checker.check_model(path, full_check=True)
                    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
                    name = session.get_outputs()[0].name
                    (got,) = session.run([name], inputs_of(reference, session))
                    apart = difference(got, reference[prefix + name], mask)
                    bound = 2e-2 if half else 1e-4
                    failed += apart > bound
                    cells.append(f"{apart:.0e}" + ("" if apart <= bound else " FAILED"))
        rows.append(f"| `{folder.name}` | " + " | ".join(cells) + " |")
    print("| family | whole | whole, 16 bits | masked | masked, 16 bits |\n| --- | --- | --- | --- | --- |")
    print("\n".join(rows))
    return failed


if __name__ == "__main__":
    sys.exit(main())

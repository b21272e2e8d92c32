"""Opens what `pillars convert` writes with the engines it is for. Not part of `cargo test`, for it needs them; run it with

    cargo build && python3 -m venv target/venv
    target/venv/bin/pip install onnx onnxruntime safetensors numpy tokenizers
    npm install --prefix target/node node-llama-cpp@3.21.1
    target/venv/bin/python tests/with_engines.py [onnx|gguf]

onnx: every family's fixture is written whole and with the heads of its `mask.json`, in 32 and 16 bits. A file passes if the
checker of ONNX accepts it and ONNX Runtime computes from the reference's inputs what Hugging Face transformers computed
(1e-4 of the largest value at real positions; 2e-2 in 16 bits).

gguf: families that llama.cpp has an architecture for are written whole, with the heads of `mask.json`, with another number
of heads in every layer, and those in 16 and 8 bits. A file passes if llama.cpp loads it and gives next tokens the
probabilities of transformers, of the masked model where layers differ (1e-4 of the largest; 3e-3 for Gemma, whose activation
llama.cpp reads from a table; 1e-2 in 16 bits, 3e-1 in 8, of random weights in tiny layers), and if the bundled decoder's tokens and 20 greedy tokens are ours.

Prints tables in Markdown: the largest difference, or "-" where heads cannot be removed or no architecture computes them.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
from safetensors.numpy import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = ROOT / "target" / "debug" / "pillars"


def pillars(*words):
    return subprocess.run([str(BINARY), *map(str, words)], capture_output=True, text=True)


def convert(model, engine, out, *more):
    return pillars("convert", model, "--to", engine, "--out", out, "--json", *more)


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


def with_onnx():
    import onnx
    import onnxruntime

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
                    done = convert(folder, "onnx", out, *plan, *half)
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


# Families that llama.cpp has an architecture for, and what of a fixture's configuration it needs otherwise.
GGUF = [
    ("llama", {}),
    ("llama", {"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0,
                                   "high_freq_factor": 4.0, "original_max_position_embeddings": 20}}),
    ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}}),
    ("mistral", {}),
    ("qwen2", {}),
    ("qwen3", {}),
    ("qwen3", {"tie_word_embeddings": True}),
    ("phi3", {}),
    ("granite", {}),
    ("smollm3", {"no_rope_layers": [1, 1, 1, 0]}),
    ("gemma", {}),
    ("gemma2", {}),
    ("gemma3_text", {}),
    ("t5", {}),
]


def probabilities(logits):
    shares = numpy.exp(logits - logits.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


def variant(folder, changes, place):
    """The model in `folder` with other keys; a head that is tied is left out."""
    config = json.loads((folder / "config.json").read_text()) | changes
    place.mkdir()
    (place / "config.json").write_text(json.dumps(config))
    tensors = load_file(folder / "model.safetensors")
    if changes.get("tie_word_embeddings"):
        tensors.pop("lm_head.weight", None)
    save_file(tensors, place / "model.safetensors")


def uneven(folder):
    """Key/value groups, one more in every layer."""
    config = json.loads((folder / "config.json").read_text())
    heads = config.get("num_attention_heads") or config["num_heads"]
    groups = config.get("num_key_value_heads", heads)
    sites = json.loads((folder / "mask.json").read_text())
    return {site: [h for h in range(heads) if h * groups // heads < 1 + i % groups] for i, site in enumerate(sites)}


def gguf_difference(llama, file, reference, want):
    worst = 0.0
    mask, targets = reference.get("attention_mask"), reference.get("decoder_input_ids")
    for row, ids in enumerate(reference["input_ids"]):
        length = int(mask[row].sum()) if mask is not None else len(ids)
        got = probabilities(llama.logits(file, ids[:length], None if targets is None else targets[row]))
        wanted = probabilities(want[row][: len(got)].astype(numpy.float64))
        worst = max(worst, float(numpy.abs(got - wanted).max() / wanted.max()))
    return worst


def with_gguf():
    from llama_cpp import LlamaCpp

    llama = LlamaCpp(ROOT / "target" / "node")
    rows, failed = [], 0
    for family, changes in GGUF:
        folder = ROOT / "tests" / "fixtures" / family
        reference = load_file(folder / "reference.safetensors")
        cells = []
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            variant(folder, changes, scratch / "model")
            (scratch / "whole.json").write_text("{}")
            (scratch / "masked.json").write_text((folder / "mask.json").read_text())
            (scratch / "uneven.json").write_text(json.dumps(uneven(folder)))
            for plan, kind in (("whole", "f32"), ("masked", "f32"), ("uneven", "f32"), ("uneven", "f16"), ("uneven", "q8_0")):
                mask, maps, out = scratch / f"{plan}.json", scratch / f"{plan}.safetensors", scratch / f"{plan}-{kind}"
                known = {"whole": "logits", "masked": "masked.logits"}.get(plan)
                if known and not changes:
                    want = reference[known]
                else:
                    done = pillars("features", scratch / "model", "--inputs", folder / "reference.safetensors", "--mask",
                                   mask, "--out", maps, "--no-attention")
                    assert done.returncode == 0, done.stderr
                    want = load_file(maps)["logits"]
                done = convert(scratch / "model", "gguf", out, "--plan", mask, "--quantize", kind)
                try:
                    assert done.returncode == 0, done.stderr
                    architecture = json.loads(done.stdout)["notes"][0].split("'")[2]
                    apart = gguf_difference(llama, out / "model.gguf", reference, want)
                except (AssertionError, RuntimeError) as error:
                    print(family, changes, plan, kind, error, file=sys.stderr)
                    cells.append("FAILED")
                    failed += 1
                    continue
                bound = {"f32": 3e-3 if family.startswith("gemma") else 1e-4, "f16": 1e-2, "q8_0": 3e-1}[kind]
                failed += apart > bound
                cells.append(f"{apart:.0e} `{architecture}`" + ("" if apart <= bound else " FAILED"))
        said = ", ".join(str(v.get("rope_type") if isinstance(v, dict) else k) for k, v in changes.items())
        rows.append(f"| `{family}` {said} | " + " | ".join(cells) + " |")
    print("| family | whole | masked | uneven | uneven, f16 | uneven, q8_0 |\n| --- | --- | --- | --- | --- | --- |")
    print("\n".join(rows))
    return failed + bundled(llama)


def bundled(llama):
    """The bundled decoder's tokenizer and greedy continuation."""
    from tokenizers import Tokenizer

    folder = ROOT / "sample_models" / "austen-plain"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    text = "It is a truth universally acknowledged, that 23 single men -- in possession of \u00e9lan --\n  must be in want!"
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        done = convert(folder, "gguf", scratch / "out")
        assert done.returncode == 0, done.stderr
        file = scratch / "out" / "model.gguf"
        failed = int(llama.tokens(file, text) != ids)
        said = ids[:12]
        for _ in range(20):
            (scratch / "t.jsonl").write_text(json.dumps({"input_ids": said}))
            done = pillars("features", folder, "--tokens", scratch / "t.jsonl", "--out", scratch / "f.safetensors",
                           "--no-attention")
            assert done.returncode == 0, done.stderr
            ours = int(load_file(scratch / "f.safetensors")["logits"][0, -1].argmax())
            theirs = int(llama.logits(file, said)[-1].argmax())
            failed += ours != theirs
            said = said + [ours]
    print(f"\nThe bundled decoder: {len(ids)} tokens and 20 greedy ones, {failed} differ.")
    return failed


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["onnx", "gguf"]
    sys.exit(sum({"onnx": with_onnx, "gguf": with_gguf}[name]() for name in wanted))

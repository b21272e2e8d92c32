"""Opens what `pillars convert` writes with the engines it is for. Not part of `cargo test`, for it needs them; run it with

    cargo build && python3 -m venv target/venv
    target/venv/bin/pip install onnx onnxruntime safetensors numpy tokenizers
    npm install --prefix target/node node-llama-cpp@3.21.1
    target/venv/bin/pip install ctranslate2 transformers torch    # for ct2, with faster-whisper as well
    target/venv/bin/pip install mlx[cpu] mlx-lm                    # for mlx
    target/venv/bin/python tests/with_engines.py [onnx|gguf|ct2|mlx]

onnx: every family's fixture, and every head of a labeled task, is written whole and with the heads of its `mask.json`, in 32
and 16 bits, with as many heads in every layer, and with another number in each. A file passes if the checker of ONNX accepts
it and ONNX Runtime computes from the reference's inputs what Hugging Face transformers computed, and of the last two what the
masked model does (1e-4 of the largest value at real positions; 2e-2 in 16 bits).

gguf: families that llama.cpp has an architecture for are written whole, with the heads of `mask.json`, with another number
of heads in every layer, and those in 16, 8 and 4 bits. A file passes if llama.cpp loads it and gives next tokens the
probabilities of transformers, of the masked model where layers differ (1e-4 of the largest; 3e-3 for Gemma, whose activation
llama.cpp reads from a table; 1e-2 in 16 bits, 3e-1 in less, of random weights in tiny layers), if 20 greedy tokens are those of the masked model, and if the
bundled decoder's tokens and 20 greedy tokens are ours.

ct2: families that CTranslate2 computes are written whole, with the last heads of every layer in 32, 16 and 8 bits, and with
another number of heads in every layer, which zero heads fill up. A folder passes if CTranslate2 gives the log-probabilities
of transformers over the masked model (1e-4 of the largest; 2e-2 in 16 bits, 3e-1 in 8, of random weights in tiny layers), and
20 tokens of greedy and beam search are its own; Whisper if its states and 20 tokens are.

mlx: families that mlx-lm has are opened as checkpoints that Pillars prunes, even ones by stock classes where these read the
width of heads, else by the module that is written beside them; a folder passes if logits are those of the masked model, also
with a cache.

Prints tables in Markdown: the largest difference, or "-" where heads cannot be removed or no architecture computes them.
"""

import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy
from ctranslate2_checks import with_ct2
from mlx_lm_checks import with_mlx
from safetensors.numpy import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = pathlib.Path(os.environ.get("PILLARS", ROOT / "target" / "debug" / "pillars"))


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
        value = value.astype(numpy.float32 if "float" in port.type else numpy.int64)
        # The endings of a multiple choice are sequences of their own.
        rows = value.ndim > len(port.shape) and len(port.shape) == 2
        given[name] = value.reshape(-1, value.shape[-1]) if rows else value
    return given


def difference(got, want, mask):
    got = got.reshape(want.shape)
    if mask is not None and mask.shape == want.shape[:2]:
        got, want = got[mask > 0], want[mask > 0]
    return float(numpy.abs(got - want).max() / numpy.abs(want).max())


def masks(folder):
    """Plans by name, each for every attention layer: the one of the reference, as many heads everywhere, and one more in
    each layer than in the one before; key/value groups stay whole in the last two."""
    config = json.loads((folder / "config.json").read_text())
    config = config.get("text_config", config) | config
    reference = json.loads((folder / "mask.json").read_text())
    names = ("num_attention_heads", "num_heads", "n_head", "n_heads", "encoder_attention_heads", "attention_heads")
    heads = next(config[name] for name in names if config.get(name))
    groups = config.get("num_key_value_heads") or heads
    if config["model_type"] == "falcon" and config.get("multi_query") and not config.get("new_decoder_architecture"):
        groups = 1
    each = heads // groups
    kept = lambda count: [head for head in range(heads) if head // each < count]
    shared = config["model_type"] == "albert"
    return {
        "whole": None,
        "masked": reference,
        "even": {site: kept(max(groups // 2, 1)) for site in reference},
        "uneven": {site: kept(1 + (0 if shared else i) % groups) for i, site in enumerate(reference)},
    }


def with_onnx():
    import onnx
    import onnxruntime

    rows, failed, worst = [], 0, 0.0
    folders = [*sorted((ROOT / "tests" / "fixtures").iterdir()), *sorted((ROOT / "tests" / "data" / "tasks").iterdir())]
    for folder in folders:
        if not (folder / "reference.safetensors").is_file():
            continue
        reference = load_file(folder / "reference.safetensors")
        mask = reference.get("decoder_attention_mask" if "decoder_input_ids" in reference else "attention_mask")
        cells = []
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            for (plan, kept), kind in itertools.product(masks(folder).items(), ("f32", "f16")):
                if kind == "f16" and plan in ("even", "uneven"):
                    continue
                path, out, maps = scratch / f"{plan}.json", scratch / f"{plan}-{kind}", scratch / "maps.safetensors"
                path.write_text(json.dumps(kept or {}))
                done = convert(folder, "onnx", out, "--quantize", kind, *([] if kept is None else ["--plan", path]))
                if done.returncode:
                    impossible = any(word in done.stderr for word in ("over all heads together", "unequal", "sound"))
                    cells.append("-" if impossible else "FAILED")
                    print(folder.name, plan, done.stderr.strip(), file=sys.stderr)
                    failed += not impossible
                    continue
                file = str(out / "onnx" / "model.onnx")
                onnx.checker.check_model(file, full_check=True)
                session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
                names = [port.name for port in session.get_outputs()]
                results = dict(zip(names, session.run(names, inputs_of(reference, session))))
                if plan in ("whole", "masked"):
                    prefix = "" if plan == "whole" else "masked."
                    want = {name: reference[prefix + name] for name in names if prefix + name in reference}
                else:
                    done = pillars("features", folder, "--inputs", folder / "reference.safetensors", "--mask", path, "--out",
                                   maps, "--no-attention")
                    assert done.returncode == 0, done.stderr
                    found = load_file(maps)
                    want = {name: found[name] for name in names if name in found}
                    if names == ["start_logits", "end_logits"] and not want:
                        want = {name: found["logits"][..., i] for i, name in enumerate(names)}
                assert want, (folder.name, names)
                apart = max(difference(results[name], value, mask) for name, value in want.items())
                # Other experts, or another class, where 16 bits decide: what rounding does, which the export says.
                rounded = "rounded to 16 bits" in (out / "pillars.json").read_text()
                bound = 2e-2 if kind == "f16" else 1e-4
                failed += apart > bound and not rounded
                worst = max(worst, apart if kind == "f32" else 0.0)
                cells.append(f"{apart:.0e}" + ("" if apart <= bound else " rounded" if rounded else " FAILED"))
        rows.append(f"| `{folder.name}` | " + " | ".join(cells) + " |")
        print(rows[-1], file=sys.stderr, flush=True)
    print("| family | whole | whole, 16 bits | masked | masked, 16 bits | even | uneven |\n" + "| --- " * 7 + "|")
    print("\n".join(rows))
    print(f"\nThe largest difference in 32 bits: {worst:.0e}")
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


# Plans and ways to store; narrow rows have no blocks of 256 numbers, so that the last is mostly in blocks of 32.
GGUF_FILES = [("whole", "f32"), ("masked", "f32"), ("uneven", "f32"), ("uneven", "f16"), ("uneven", "q8_0"), ("uneven", "q4_k")]


def greedy(llama, file, scratch, mask, reference):
    """Whether the 20 tokens that llama.cpp finds likeliest, one after the other, are the masked model's."""
    if "decoder_input_ids" in reference:
        source, said, start = reference["input_ids"][0].tolist(), [int(reference["decoder_input_ids"][0][0])], 1
    else:
        source, said, start = None, reference["input_ids"][0][:4].tolist(), 4
    if source is not None and "attention_mask" in reference:
        source = source[: int(reference["attention_mask"][0].sum())]
    for _ in range(20):
        logits = llama.logits(file, said) if source is None else llama.logits(file, source, said)
        said.append(int(logits[-1].argmax()))
    row = {"input_ids": said} if source is None else {"input_ids": source, "decoder_input_ids": said}
    (scratch / "said.jsonl").write_text(json.dumps(row))
    done = pillars("features", scratch / "model", "--tokens", scratch / "said.jsonl", "--mask", mask, "--out",
                   scratch / "said.safetensors", "--no-attention")
    assert done.returncode == 0, done.stderr
    ours = load_file(scratch / "said.safetensors")["logits"][0].argmax(-1)
    return said[start:] == ours[start - 1 : -1].tolist()


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
            (scratch / "masked.json").write_text((folder / "mask.json").read_text())
            (scratch / "uneven.json").write_text(json.dumps(uneven(folder)))
            for plan, kind in GGUF_FILES:
                mask, maps, out = scratch / f"{plan}.json", scratch / f"{plan}.safetensors", scratch / f"{plan}-{kind}"
                chosen = ["--plan", mask] if mask.is_file() else []
                known = {"whole": "logits", "masked": "masked.logits"}.get(plan)
                if known and not changes:
                    want = reference[known]
                else:
                    done = pillars("features", scratch / "model", "--inputs", folder / "reference.safetensors",
                                   *(["--mask", mask] if chosen else []), "--out", maps, "--no-attention")
                    assert done.returncode == 0, done.stderr
                    want = load_file(maps)["logits"]
                done = convert(scratch / "model", "gguf", out, *chosen, "--quantize", kind)
                try:
                    assert done.returncode == 0, done.stderr
                    architecture = json.loads(done.stdout)["notes"][0].split("'")[2]
                    apart = gguf_difference(llama, out / "model.gguf", reference, want)
                except (AssertionError, RuntimeError) as error:
                    print(family, changes, plan, kind, error, file=sys.stderr)
                    cells.append("FAILED")
                    failed += 1
                    continue
                bound = {"f32": 3e-3 if family.startswith("gemma") else 1e-4, "f16": 1e-2}.get(kind, 3e-1)
                same = kind != "f32" or plan == "whole" or greedy(llama, out / "model.gguf", scratch, mask, reference)
                good = apart <= bound and same
                failed += not good
                cells.append(f"{apart:.0e} `{architecture}`" + ("" if same else ", other tokens") + ("" if good else " FAILED"))
        said = ", ".join(str(v.get("rope_type") if isinstance(v, dict) else k) for k, v in changes.items())
        rows.append(f"| `{family}` {said} | " + " | ".join(cells) + " |")
    print("| family | " + " | ".join(f"{plan}, {kind}" for plan, kind in GGUF_FILES) + " |\n" + "| --- " * 7 + "|")
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
    wanted = sys.argv[1:] or ["onnx", "gguf", "ct2", "mlx"]
    engines = {"onnx": with_onnx, "gguf": with_gguf, "ct2": lambda: with_ct2(ROOT, pillars), "mlx": lambda: with_mlx(ROOT, pillars)}
    sys.exit(min(sum(engines[name]() for name in wanted), 100))

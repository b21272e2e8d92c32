"""Opens what `pillars prune` writes with transformers, and compares it with the masked model. Not part of `cargo test`,
for it needs PyTorch and transformers; run it once with each version:

    cargo build && python3 -m venv target/venv && target/venv/bin/pip install torch transformers==5.23.0 && target/venv/bin/python tests/with_transformers.py

Every family's fixture, and those of labeled tasks, are exported under a uniform and a ragged plan in every format
that Pillars writes of it. A folder passes if it opens with no missing, unexpected or mismatched keys, both with eager
and sdpa attention, and computes what the masked export computes when stock transformers opens that one (1e-4 of the
largest value, at real positions), whose values must be those of the fixture where its own mask is the plan. For
causal models greedy generation with a cache must give the same tokens too, and for Llama the same as Pillars' own
network gives one by one. Exports with merged key/value heads (`gqa`) must compute what Pillars computes on them.
Prints a table in Markdown: the largest difference, or "-" for what nobody promised.
"""

import argparse
import json
import pathlib
import re
import subprocess
import tempfile
import warnings

import safetensors.torch
import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOLERANCE = 1e-4
AUTO = [
    ("ForSpeechSeq2Seq", "AutoModelForSpeechSeq2Seq"),
    ("ForCausalLM", "AutoModelForCausalLM"),
    ("LMHeadModel", "AutoModelForCausalLM"),
    ("ForMaskedLM", "AutoModelForMaskedLM"),
    ("ForConditionalGeneration", "AutoModelForSeq2SeqLM"),
    ("MTModel", "AutoModelForSeq2SeqLM"),
    ("ForCTC", "AutoModelForCTC"),
    ("ForSequenceClassification", "AutoModelForSequenceClassification"),
    ("ForTokenClassification", "AutoModelForTokenClassification"),
    ("ForQuestionAnswering", "AutoModelForQuestionAnswering"),
    ("ForMultipleChoice", "AutoModelForMultipleChoice"),
    ("ForImageClassification", "AutoModelForImageClassification"),
    ("ForImageClassificationWithTeacher", "AutoModelForImageClassification"),
    ("Model", "AutoModel"),
]


def plans(fixture, end):
    """A uniform and a ragged plan, by the number of heads of every layer that `mask.json` names."""
    sites = json.loads((fixture / f"mask{end}.json").read_text())
    shared = len({json.dumps(heads) for heads in sites.values()}) == 1 and "albert" in fixture.name
    uniform = {site: [1, 3] for site in sites}
    ragged = {}
    for index, site in enumerate(sites):
        ragged[site] = [0, 2, 3] if (0 if shared else index) % 2 == 0 else [2]
    # The fixture's own mask, for which the reference has values of its own.
    return {"uniform": uniform, "ragged": ragged, "mask": sites}


def eight_heads(folder):
    """A Llama of which three heads of a layer are left, a number that only Mistral's configuration takes."""
    config = transformers.LlamaConfig(
        vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=8,
        num_key_value_heads=8, max_position_embeddings=64, tie_word_embeddings=True,
    )
    torch.manual_seed(1)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    ids = torch.arange(24).reshape(2, 12) * 7 % 96
    safetensors.torch.save_file({"input_ids": ids}, folder / "reference.safetensors")
    (folder / "mask.json").write_text(json.dumps({"decoder.0": [1, 3, 6], "decoder.1": [0, 2, 5]}))
    return folder


def auto_class(config):
    architecture = config["architectures"][0]
    if config["model_type"] == "whisper":
        return transformers.AutoModelForSpeechSeq2Seq
    if config["model_type"] in ("wav2vec2", "hubert") and architecture.endswith("ForSequenceClassification"):
        return transformers.AutoModelForAudioClassification
    # Models of several parts have no automatic class of their own.
    if "text_config" in config or "vision_config" in config:
        return getattr(transformers, architecture)
    for ending, name in AUTO:
        if architecture.endswith(ending):
            return getattr(transformers, name)
    raise ValueError(architecture)


def open_model(folder, attention, remote, lacks=None):
    """The model in a folder. `lacks` is what the original checkpoint lacks too, an unused pooler say; a list to fill."""
    config = json.loads((folder / "config.json").read_text())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, info = auto_class(config).from_pretrained(
            folder, output_loading_info=True, trust_remote_code=remote, attn_implementation=attention
        )
    wrong = {key: sorted(map(str, value)) for key, value in info.items() if value and key != "error_msgs"}
    if lacks == []:
        lacks.extend(wrong.pop("missing_keys", []))
    elif lacks is not None and wrong.get("missing_keys") == lacks:
        wrong.pop("missing_keys")
    if wrong or info.get("error_msgs"):
        raise ValueError(f"{wrong or info['error_msgs']}"[:200])
    return model.eval()


def inputs(reference):
    names = ["input_ids", "attention_mask", "token_type_ids", "decoder_input_ids", "pixel_values", "input_features", "input_values"]
    return {name: reference[name] for name in names if name in reference}


def values(model, given):
    # Of two encoders the one whose inputs these are.
    if hasattr(model, "text_model") and hasattr(model, "vision_model"):
        model = model.vision_model if "pixel_values" in given else model.text_model
    with torch.no_grad():
        output = model(**given)
    if "start_logits" in output:
        return torch.stack([output.start_logits, output.end_logits], -1)
    return output.logits if "logits" in output else output.last_hidden_state


def difference(got, want, given):
    if got.shape != want.shape:
        return float("inf")
    apart = (got - want).abs()
    mask = given.get("attention_mask")
    if mask is not None and mask.shape == apart.shape[:2] and "decoder_input_ids" not in given:
        apart = apart * mask[..., None]
    return (apart.max() / want.abs().max()).item()


def generated(model, given):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # One sentence without padding.
        ids = given["input_ids"][:1, :4]
        return model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, min_new_tokens=8, do_sample=False,
            use_cache=True, pad_token_id=0,
        ).tolist()


def ours(pillars, folder, ids):
    """Logits of one sequence by Pillars."""
    with tempfile.TemporaryDirectory() as scratch:
        tokens, out = pathlib.Path(scratch) / "tokens.jsonl", pathlib.Path(scratch) / "out.safetensors"
        tokens.write_text(json.dumps({"input_ids": ids}) + "\n")
        command = [pillars, "features", folder, "--tokens", tokens, "--out", out, "--quiet"]
        subprocess.run(command, check=True, capture_output=True)
        return safetensors.torch.load_file(out)["logits"]


def generated_by_us(pillars, folder, ids, count):
    """Greedy generation without a cache: the whole prefix anew for every token. As `min_new_tokens` asks, no end."""
    end = json.loads((folder / "config.json").read_text()).get("eos_token_id")
    for _ in range(count):
        logits = ours(pillars, folder, ids)[0, len(ids) - 1]
        logits[[] if end is None else end] = -torch.inf
        ids = ids + [logits.argmax().item()]
    return ids


def check_merged(pillars, folder, given):
    """How well transformers agrees with Pillars on an export with merged key/value heads."""
    ids = given["input_ids"][:1, :4]
    want = ours(pillars, folder, ids[0].tolist())
    # Of the kinds of attention, eager is the one that every version computes in full (sdpa of 4.57 leaves Gemma 2's cap).
    worst = difference(values(open_model(folder, "eager", False), {"input_ids": ids}), want, {})
    if not worst <= TOLERANCE:
        raise ValueError(f"differs by {worst:.1e}")
    return f"{worst:.0e}"


def prune(pillars, fixture, plan, form, out):
    plan_file = out.parent / f"{out.name}.plan.json"
    plan_file.write_text(json.dumps(plan))
    command = [pillars, "prune", fixture, "--plan", plan_file, "--format", form, "--out", out, "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else None


def check(folder, masked, given, remote, generates):
    """How well `folder` agrees with what the masked export gives, by kind of attention: its worst, in a word."""
    worst = 0.0
    for attention, want in masked.items():
        model = open_model(folder, attention, remote, want["lacks"])
        worst = max(worst, difference(values(model, given), want["values"], given))
        if generates and generated(model, given) != want["generated"]:
            raise ValueError("generates other tokens")
    if not worst <= TOLERANCE:
        raise ValueError(f"differs by {worst:.1e}")
    return f"{worst:.0e}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pillars", type=pathlib.Path, default=ROOT / "target/debug/pillars")
    parser.add_argument("--families", nargs="*")
    arguments = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    folders = [*(ROOT / "tests/fixtures").iterdir(), *(ROOT / "tests/data/tasks").iterdir()]
    fixtures = sorted((p for p in folders if p.is_dir()), key=lambda p: ("tasks" in p.parts, p.name))
    version = transformers.__version__
    print(f"transformers {version}, torch {torch.__version__}\n")
    print("| family | plan | native | compact, remote code | compact, stock | gqa |\n| --- | --- | --- | --- | --- | --- |")
    failures = 0
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        ends = [(fixture, "") for fixture in [*fixtures, eight_heads(scratch / "llama-of-8-heads")]]
        # The other of two encoders.
        ends += [(fixture, ".text_model") for fixture in fixtures if (fixture / "mask.text_model.json").exists()]
        for fixture, end in ends:
            if arguments.families and fixture.name not in arguments.families:
                continue
            opened = fixture / "text_model" if end else fixture
            reference = safetensors.torch.load_file(fixture / f"reference{end}.safetensors")
            given = inputs(reference)
            config = json.loads((fixture / "config.json").read_text())
            generates = re.search("CausalLM|LMHead", config["architectures"][0]) is not None
            for name, plan in plans(fixture, end).items():
                cells = []
                where = {form: scratch / f"{fixture.name}{end}-{name}-{form}" for form in ("masked", "native", "compact", "gqa")}
                refused = {form: prune(arguments.pillars, opened, plan, form, out) for form, out in where.items()}
                if refused["masked"]:
                    raise SystemExit(refused["masked"])
                masked = {}
                for attention in ("eager", "sdpa"):
                    lacks = []
                    try:
                        stock = open_model(where["masked"], attention, False, lacks)
                    except ValueError as error:
                        # Families without an sdpa kernel say so.
                        if attention == "sdpa" and "scaled_dot_product_attention" in str(error):
                            continue
                        raise
                    masked[attention] = {
                        "values": values(stock, given),
                        "generated": generates and generated(stock, given),
                        "lacks": lacks or None,
                    }
                if name == "mask" and "masked" in " ".join(reference):
                    want = reference.get("masked.logits", reference.get("masked.last_hidden_state"))
                    apart = difference(masked["eager"]["values"], want, given)
                    if not apart <= TOLERANCE:
                        raise SystemExit(f"{fixture.name}: the masked export differs from the reference by {apart:.1e}")
                own = [] if refused["compact"] else json.loads((where["compact"] / "pillars.json").read_text())["opens_in"]
                native_told = [] if refused["native"] else json.loads((where["native"] / "pillars.json").read_text())["opens_in"]
                # What stands in brackets says which version does not.
                stated = r"\b4\.57\b" if version.startswith("4") else r"\b5\b"
                reads = lambda opens: any(re.search(stated, re.sub(r"\(.*?\)", "", o)) for o in opens)
                for form, remote, promised in [
                    ("native", False, reads(native_told)),
                    ("compact", True, reads([o for o in own if "trust_remote_code" in o])),
                    ("compact", False, reads([o for o in own if "trust_remote_code" not in o])),
                ]:
                    if refused[form]:
                        cells.append("refused")
                        continue
                    try:
                        cells.append(check(where[form], masked, given, remote, generates))
                        if not promised:
                            cells[-1] += " (not promised)"
                    except Exception as error:  # whatever transformers raises is the result
                        if promised:
                            failures += 1
                            cells.append(f"FAILS: {type(error).__name__} {str(error).splitlines()[0][:160]}")
                        else:
                            cells.append("-")
                if refused["gqa"]:
                    cells.append("refused")
                else:
                    try:
                        cells.append(check_merged(arguments.pillars, where["gqa"], given))
                    except Exception as error:
                        failures += 1
                        cells.append(f"FAILS: {type(error).__name__} {str(error).splitlines()[0][:160]}")
                if fixture.name == "llama":
                    start = given["input_ids"][0, :4].tolist()
                    if generated_by_us(arguments.pillars, where["compact"], start, 8) != masked["eager"]["generated"][0]:
                        failures += 1
                        cells[-1] += " FAILS: Pillars generates other tokens"
                print(f"| {fixture.name}{end} | {name} | {' | '.join(cells)} |", flush=True)
    raise SystemExit(f"{failures} failures" if failures else 0)


if __name__ == "__main__":
    main()

"""CTranslate2, as far as tests/with_engines.py needs it: opens folders, and holds what it generates against transformers.

The reference is the masked model: an export with --format masked, opened by transformers and decoded by its own greedy and
beam search. Whisper runs over noise, and by faster-whisper over a second of it where that is installed.
"""

import json
import pathlib
import subprocess
import tempfile

import numpy
from safetensors.numpy import load_file, save_file

# Families that are told apart by what the engine computes; all are fixtures.
TRANSLATORS = ["bart", "mbart", "pegasus", "blenderbot", "marian", "m2m_100", "t5"]
GENERATORS = [
    "gpt2", "gpt_neox", "gptj", "codegen", "opt", "phi", "llama", "mistral", "qwen2", "qwen3", "phi3", "granite", "gemma",
    "gemma3_text", "starcoder2", "cohere", "falcon", "bloom",
]
WHISPER = ["whisper"]
LENGTH = 20  # generated tokens


def names(family, size):
    """A text for every id; those of Whisper have a meaning."""
    tokens = [f"t{i}" for i in range(size)]
    if family == "whisper":
        special = "<|endoftext|> <|startoftranscript|> <|en|> <|de|> <|translate|> <|transcribe|> <|startoflm|> "
        special += "<|startofprev|> <|nospeech|> <|notimestamps|>"
        tokens[size - 20 : size - 10] = special.split()
        tokens[size - 10 :] = [f"<|{0.02 * i:.2f}|>" for i in range(10)]
    return tokens


def variant(family, folder, place):
    """The fixture with a tokenizer of one word for each id."""
    place.mkdir()
    config = json.loads((folder / "config.json").read_text())
    tokens = names(family, config["vocab_size"])
    tensors = load_file(folder / "model.safetensors")
    if family == "marian":
        # As trained models have it.
        tensors["model.shared.weight"][-1] = 0
    if config.get("sliding_window"):
        # Prompts beyond a window are read in pieces, and have no logits then.
        config["sliding_window"] = 40
    if family in ("mbart", "t5"):
        config["decoder_start_token_id"] = config["pad_token_id"]
    if family in ("gpt2", "granite", "llama", "mistral", "qwen2", "qwen3", "bloom", "falcon"):
        config |= {"bos_token_id": 1, "eos_token_id": 2}
    if family == "whisper":
        start, end = config["vocab_size"] - 19, config["vocab_size"] - 20
        config |= {"decoder_start_token_id": start, "bos_token_id": end, "eos_token_id": end, "pad_token_id": end}
        heads = {"alignment_heads": [[1, 0], [1, 3]], "suppress_tokens": [], "begin_suppress_tokens": []}
        heads |= {key: config[key] for key in ("decoder_start_token_id", "eos_token_id", "pad_token_id")}
        (place / "generation_config.json").write_text(json.dumps(heads))
    (place / "config.json").write_text(json.dumps(config))
    save_file(tensors, place / "model.safetensors")
    words = {"type": "WordLevel", "vocab": {t: i for i, t in enumerate(tokens)}, "unk_token": tokens[3]}
    added = [
        {"id": i, "content": t, "special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
        for i, t in enumerate(tokens)
        if t.startswith("<|")
    ]
    tokenizer = {"version": "1.0", "added_tokens": added, "pre_tokenizer": {"type": "Whitespace"}, "model": words}
    (place / "tokenizer.json").write_text(json.dumps(tokenizer))
    extra = {"additional_special_tokens": [t["content"] for t in added]} if added else {}
    (place / "special_tokens_map.json").write_text(json.dumps(extra))
    return config, tokens


def plans(folder, config):
    """Whole, the last heads of every layer, and another number in every layer, key/value groups whole."""
    sites = list(json.loads((folder / "mask.json").read_text()))
    heads = next(config[k] for k in ("num_attention_heads", "num_heads", "n_head", "encoder_attention_heads") if config.get(k))
    groups = config.get("num_key_value_heads") or heads
    if config["model_type"] == "falcon":
        groups = config["num_kv_heads"] if config.get("new_decoder_architecture") else 1 if config["multi_query"] else heads
    each = heads // groups
    kept = lambda first, last: [h for h in range(heads) if first <= h // each < last]
    return {
        "whole": {},
        "even": {site: kept(max(groups - 2, 0), groups) if groups > 1 else kept(0, 1) for site in sites},
        "uneven": {site: kept(0, 1 + i % groups) for i, site in enumerate(sites)},
    }


def reference_of(family, folder):
    import torch
    import transformers

    torch.set_num_threads(1)
    kind = {"whisper": "AutoModelForSpeechSeq2Seq"}.get(family)
    kind = kind or ("AutoModelForSeq2SeqLM" if family in TRANSLATORS else "AutoModelForCausalLM")
    return getattr(transformers, kind).from_pretrained(folder, attn_implementation="eager").eval(), torch


def decoded(model, torch, beams, ids=None, **inputs):
    """Ids that transformers generates, and the sum of their log-probabilities over their number."""
    with torch.no_grad():
        out = model.generate(
            input_ids=None if ids is None else torch.tensor([ids]), **inputs, num_beams=beams, do_sample=False,
            max_new_tokens=LENGTH, min_new_tokens=LENGTH, length_penalty=1.0, early_stopping=False, forced_eos_token_id=None,
            forced_bos_token_id=None, bad_words_ids=None, return_dict_in_generate=True, output_scores=True,
        )
    return out.sequences[0].tolist()


def scores_of(logits, ids):
    """Log-probabilities of `ids` at the rows of `logits`."""
    shifted = logits - logits.max(-1, keepdims=True)
    shares = shifted - numpy.log(numpy.exp(shifted).sum(-1, keepdims=True))
    return shares[numpy.arange(len(ids)), ids]


def check_generator(family, out, model, torch, tokens, ids):
    """Largest difference of logits over the largest, and whether 20 greedy tokens are the same."""
    import ctranslate2

    engine = ctranslate2.Generator(str(out), intra_threads=1)
    got = numpy.array(engine.forward_batch([ids]))[0]
    with torch.no_grad():
        want = model(torch.tensor([ids])).logits[0].double().numpy()
    apart = float(numpy.abs(got - want).max() / numpy.abs(want).max())
    greedy = decoded(model, torch, 1, ids)[len(ids) :]
    made = engine.generate_batch(
        [[tokens[i] for i in ids]], max_length=LENGTH, min_length=LENGTH, beam_size=1, include_prompt_in_result=False
    )[0]
    return apart, [made.sequences_ids[0][:LENGTH] == greedy[:LENGTH]]


def check_translator(family, out, model, torch, tokens, source):
    """Largest difference of log-probabilities over the largest, and whether greedy and beam search give the same."""
    import ctranslate2

    engine = ctranslate2.Translator(str(out), intra_threads=1)
    config = json.loads((out / "config.json").read_text())
    start = model.generation_config.decoder_start_token_id
    words = [tokens[i] for i in source]
    target = [7, 11, 5, 23, 42, 13]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([[start] + target])).logits[0]
    # What the engine cannot generate takes no part.
    known = len(json.loads((out / "shared_vocabulary.json").read_text()))
    want = scores_of(logits.double().numpy()[:-1, :known], target)
    assert config["decoder_start_token"] is not None
    got = engine.score_batch([words], [[tokens[i] for i in target]])[0].log_probs[: len(target)]
    apart = float(numpy.abs(numpy.array(got) - want).max() / numpy.abs(want).max())
    same = []
    for beams in (1, 4):
        ids = decoded(model, torch, beams, source)[1:]
        made = engine.translate_batch(
            [words], beam_size=beams, max_decoding_length=LENGTH, min_decoding_length=LENGTH, length_penalty=1.0,
        )[0].hypotheses[0]
        made = [tokens.index(t) for t in made][:LENGTH]
        # The two prune their beams in other ways: what is found may be likelier, but never less likely.
        with torch.no_grad():
            each = [model(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([[start] + s[:LENGTH]])).logits[0]
                    for s in (made, ids)]
        sums = [scores_of(x.double().numpy()[:-1, :known], s[:LENGTH]).sum() for x, s in zip(each, (made, ids))]
        same.append(made == ids[:LENGTH] or (beams > 1 and sums[0] > sums[1]))
    return apart, same


def check_whisper(family, out, model, torch, tokens, features):
    import ctranslate2

    engine = ctranslate2.models.Whisper(str(out), intra_threads=1)
    view = ctranslate2.StorageView.from_array(numpy.ascontiguousarray(features[:1]))
    prompt = [tokens.index(t) for t in ("<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>")]
    encoded = numpy.array(engine.encode(view, to_cpu=True))
    with torch.no_grad():
        want = model.get_encoder()(torch.tensor(features[:1])).last_hidden_state.numpy()
        ids = list(prompt)
        for _ in range(LENGTH):
            logits = model(input_features=torch.tensor(features[:1]), decoder_input_ids=torch.tensor([ids])).logits[0, -1]
            # Times are not generated behind <|notimestamps|>, and nothing ends early.
            logits[tokens.index("<|notimestamps|>") + 1 :] = -torch.inf
            logits[tokens.index("<|endoftext|>")] = -torch.inf
            ids.append(int(logits.argmax()))
    apart = float(numpy.abs(encoded - want).max() / numpy.abs(want).max())
    made = engine.generate(
        view, [prompt], beam_size=1, max_length=2 * LENGTH, suppress_blank=False,
        suppress_tokens=[tokens.index("<|endoftext|>")],
    )[0].sequences_ids[0]
    aligned = engine.align(view, prompt, [ids[len(prompt) : len(prompt) + 4]], num_frames=features.shape[-1])
    assert len(aligned[0].alignments) > 0
    return apart, [list(made)[:LENGTH] == ids[len(prompt) :][:LENGTH]]


def with_ct2(root, pillars):
    rows, failed = [], 0
    kinds = ("f32", "f16", "int8")
    for family in TRANSLATORS + WHISPER + GENERATORS:
        folder = root / "tests" / "fixtures" / family
        reference = load_file(folder / "reference.safetensors")
        cells = []
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            config, tokens = variant(family, folder, scratch / "model")
            for plan, kept in plans(folder, config).items():
                mask, masked = scratch / f"{plan}.json", scratch / f"{plan}-masked"
                mask.write_text(json.dumps(kept))
                chosen = ["--plan", mask] if kept else []
                if kept:
                    done = pillars("prune", scratch / "model", *chosen, "--format", "masked", "--out", masked)
                    assert done.returncode == 0, done.stderr
                else:
                    masked = scratch / "model"
                model, torch = reference_of(family, masked)
                for kind in kinds if plan == "even" else kinds[:1]:
                    out = scratch / f"{plan}-{kind}"
                    done = pillars("convert", scratch / "model", "--to", "ct2", *chosen, "--quantize", kind, "--out", out)
                    if done.returncode:
                        refused = "does not compute" in done.stderr
                        cells.append("-" if refused else "FAILED")
                        failed += not refused
                        print(family, plan, kind, done.stderr.strip())
                        continue
                    try:
                        if family in WHISPER:
                            apart, same = check_whisper(family, out, model, torch, tokens, reference["input_features"])
                        else:
                            ids = [i % (config["vocab_size"] - 1) for i in (9, 4, 31, 77, 12, 5, 60, 18)]
                            check = check_translator if family in TRANSLATORS else check_generator
                            apart, same = check(family, out, model, torch, tokens, ids)
                    except Exception as error:
                        print(family, plan, kind, type(error).__name__, str(error)[:300])
                        cells.append("FAILED")
                        failed += 1
                        continue
                    # Random weights in tiny layers: 8 bits may choose another token.
                    bound = {"f32": 1e-4, "f16": 2e-2, "int8": 3e-1}[kind]
                    good = apart <= bound and (all(same) or kind != "f32")
                    failed += not good
                    cells.append(f"{apart:.0e}{'' if all(same) else ', other tokens'}{'' if good else ' FAILED'}")
        rows.append(f"| `{family}` | " + " | ".join(cells) + " |")
        print(rows[-1], flush=True)
    print("| family | whole | even | even, f16 | even, int8 | filled up |\n| --- | --- | --- | --- | --- | --- |")
    print("\n".join(rows))
    return failed

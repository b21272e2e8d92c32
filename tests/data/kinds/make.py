"""Writes transformer_lens.json: attention patterns of the fixture gpt2 and what TransformerLens' head detector says of them.

    python tests/data/kinds/make.py

Needs torch, transformers and transformer-lens (made with 4.3). The text has no token twice in a row; the repeats are a first
token and then a round of different tokens, twice.
"""

import json
import os
import pathlib

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from transformer_lens import head_detector
from transformer_lens.model_bridge import TransformerBridge

HERE = pathlib.Path(__file__).parent
FIXTURE = str(HERE.parent.parent / "fixtures" / "gpt2")
TEXT = [11, 42, 7, 42, 63, 7, 90, 11, 5, 42, 63, 1]
ROUND = [17, 3, 88, 54, 29, 71, 60]
NAMES = ["previous_token_head", "duplicate_token_head", "induction_head"]


class Detected:
    """What the head detector asks of a model, for tokens that are there already."""

    def __init__(self, bridge, tokens):
        self.cfg, self.tokens = bridge.cfg, torch.tensor([tokens])

    def to_tokens(self, _):
        return self.tokens


def case(bridge, tokens, period):
    _, cache = bridge.run_with_cache(torch.tensor([tokens]), remove_batch_dim=True)
    patterns = [cache["pattern", layer, "attn"] for layer in range(bridge.cfg.n_layers)]
    scores = {}
    for name in NAMES:
        for measure in ["mul", "abs"]:
            model = Detected(bridge, tokens)
            found = head_detector.detect_head(model, "", name, cache=cache, error_measure=measure)
            scores[f"{name} {measure}"] = found.tolist()
    if period:
        # The induction stripe of TransformerLens' demonstrations, query by query.
        stripes = [p.diagonal(dim1=-2, dim2=-1, offset=1 - period).tolist() for p in patterns]
        scores["stripe"] = stripes
    return {"tokens": tokens, "period": period, "patterns": [p.tolist() for p in patterns], "scores": scores}


def rounded(value):
    if isinstance(value, list):
        return [rounded(v) for v in value]
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return round(value, 9) if isinstance(value, float) else value


model = transformers.AutoModelForCausalLM.from_pretrained(FIXTURE, attn_implementation="eager")
# Heads of a model that nobody trained look everywhere alike: louder queries make them choose.
with torch.no_grad():
    for block in model.transformer.h:
        block.attn.c_attn.weight[:, : model.config.n_embd] *= 40
bridge = TransformerBridge.boot_transformers(FIXTURE, hf_model=model, device="cpu")
cases = {"text": case(bridge, TEXT, None), "repeats": case(bridge, [2] + ROUND + ROUND, len(ROUND))}
(HERE / "transformer_lens.json").write_text(json.dumps(rounded(cases)) + "\n")

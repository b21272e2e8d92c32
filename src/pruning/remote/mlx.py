"""Opens a {title} whose layers have lost attention heads, with mlx-lm:

    mlx_lm.load(folder, trust_remote_code=True)

The stock model with narrower projections: `config.json` says under "pillars" which heads of the original model each layer
kept, and under "model_file" that this file builds the model. Written by Pillars; the same file for every family but for
the next line.
"""

STOCK = "{module}"

import importlib
from dataclasses import dataclass
from typing import Optional

import mlx.nn as nn

stock = importlib.import_module(f"mlx_lm.models.{STOCK}")

# What stock classes call the projections of an attention layer, and its numbers of heads.
QUERY, KEY, VALUE = "q_proj", "k_proj", "v_proj"
FUSED = ("qkv_proj",)
OUTPUT = ("o_proj", "dense")
HEADS = ("n_heads", "num_heads", "num_attention_heads")
KEY_VALUE_HEADS = ("n_kv_heads", "num_key_value_heads")


@dataclass
class ModelArgs(stock.ModelArgs):
    pillars: Optional[dict] = None

    @classmethod
    def from_dict(cls, params):
        # transformers 5 keeps the base of rotary positions among their other parameters, by kind of layer where layers differ.
        rope = params.get("rope_parameters") or {}
        full, sliding = rope.get("full_attention") or rope, rope.get("sliding_attention") or {}
        named = {
            "rope_theta": full.get("rope_theta"),
            "partial_rotary_factor": full.get("partial_rotary_factor"),
            "rope_local_base_freq": sliding.get("rope_theta"),
        }
        kinds = params.get("layer_types") or []
        if "full_attention" in kinds and "sliding_attention" in kinds:
            named["sliding_window_pattern"] = kinds.index("full_attention") + 1
        return super().from_dict({key: value for key, value in named.items() if value is not None} | params)


class Model(stock.Model):
    def __init__(self, args):
        super().__init__(args)
        for index, layer in enumerate(self.layers):
            heads = args.pillars["kept"].get(f"decoder.{index}")
            if heads is not None:
                narrow(attention_of(layer), heads, args)


def attention_of(layer):
    """The attention of a layer."""
    return next(part for part in layer.children().values() if child(part, (QUERY, *FUSED)))


def narrow(attention, heads, args):
    """Gives an attention layer the shape of the heads that it kept."""
    every = next(getattr(args, name) for name in HEADS if getattr(args, name, None))
    group = every // (next((getattr(args, name) for name in KEY_VALUE_HEADS if getattr(args, name, None)), every))
    queries, keys = len(heads), len({head // group for head in heads})
    output = child(attention, OUTPUT)
    width = attention[output].weight.shape[1] // every
    fused = child(attention, FUSED)
    if fused:
        resize(attention, fused, outputs=(queries + 2 * keys) * width)
    else:
        resize(attention, QUERY, outputs=queries * width)
        resize(attention, KEY, outputs=keys * width)
        resize(attention, VALUE, outputs=keys * width)
    resize(attention, output, inputs=queries * width)
    for name, value in [(name, queries) for name in HEADS] + [(name, keys) for name in KEY_VALUE_HEADS]:
        if hasattr(attention, name):
            setattr(attention, name, value)
    if hasattr(attention, "repeats"):
        attention.repeats = queries // keys


def child(module, names):
    """The first of `names` that is a projection of `module`."""
    return next((name for name in names if isinstance(module.get(name), nn.Linear)), None)


def resize(module, name, inputs=None, outputs=None):
    """Replaces a projection by one of another size, to be filled from the checkpoint."""
    rows, columns = module[name].weight.shape
    module[name] = nn.Linear(inputs or columns, outputs or rows, bias="bias" in module[name])

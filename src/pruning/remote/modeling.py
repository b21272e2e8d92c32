"""Opens a {title} whose layers have lost attention heads, with transformers 4.57 and 5:

    AutoModel.from_pretrained(folder, trust_remote_code=True)

Every class here is the stock class with narrower projections: `config.json` says under "pillars" which heads of the
original model each layer kept. Written by Pillars; the same file for every family but for the next line.
"""

MODEL_TYPE, PREFIX, ONLY_STACK, NEEDS = "{model_type}", "{prefix}", {only_stack}, ({needs})
ARCHITECTURE = "{architecture}"

import transformers
from torch import nn
from transformers.pytorch_utils import Conv1D

# What stock classes call the projections of an attention layer; the output of some lies beside it.
QUERY = ("q_proj", "query", "q_lin", "q")
KEY = ("k_proj", "key", "k_lin", "k")
VALUE = ("v_proj", "value", "v_lin", "v")
FUSED = ("qkv_proj", "query_key_value", "c_attn", "Wqkv")
OUTPUT = ("o_proj", "out_proj", "dense", "c_proj", "out_lin", "Wo", "o")
HEAD_WIDTH = ("head_dim", "attention_head_size", "head_size", "key_value_proj_dim")
CROSS = ("encoder_attn", "EncDecAttention")


def narrow(model, config):
    """Gives every attention layer the shape of the heads that it kept."""
    kept = config.pillars["kept"]
    modules = dict(model.named_modules())
    for path, module in modules.items():
        fused, query = child(module, FUSED), child(module, QUERY)
        if not fused and not (query and child(module, KEY) and child(module, VALUE)):
            continue
        kind, layer = place(path.split("."), config)
        heads = kept.get(f"{kind}.{layer}")
        if heads is None:
            continue
        every, every_kv = original(kind, config)
        group = every // every_kv
        queries, keys = len(heads), len({head // group for head in heads})
        width = next(getattr(module, name) for name in HEAD_WIDTH if hasattr(module, name))
        if fused:
            resize(module, fused, outputs=(queries + 2 * keys) * width)
        else:
            resize(module, query, outputs=queries * width)
            resize(module, child(module, KEY), outputs=keys * width)
            resize(module, child(module, VALUE), outputs=keys * width)
        beside = getattr(modules.get(path.rpartition(".")[0]), "output", None)
        holder = module if child(module, OUTPUT) else beside
        resize(holder, child(holder, OUTPUT), inputs=queries * width)
        for name, value in {
            "num_attention_heads": queries,
            "num_heads": queries,
            "n_heads": queries,
            "num_key_value_heads": keys,
            "num_key_value_groups": queries // keys,
            "all_head_size": queries * width,
            "inner_dim": queries * width,
            "split_size": queries * width,
        }.items():
            if hasattr(module, name):
                setattr(module, name, value)
        for name in ("dim", "hidden_size"):
            if "width" in NEEDS and hasattr(module, name):
                setattr(module, name, queries * width)
        if "configuration" in NEEDS:
            module.config = Own(module.config, num_attention_heads=queries)
        mixin = Alibi if "alibi" in NEEDS else RelativeBias if "relative_bias" in NEEDS else None
        if mixin:
            module.pillars_heads, module.pillars_total = heads, every
            module.__class__ = type(module.__class__.__name__, (mixin, module.__class__), {})


def place(parts, config):
    """The kind and the number of the attention layer at a path."""
    layer = next(int(part) for part in parts if part.isdigit())
    groups = getattr(config, "num_hidden_groups", None)
    if groups:
        # ALBERT: a stored layer serves several passes, which keep the same heads.
        layer = -(-layer * config.num_hidden_layers // groups)
    if ONLY_STACK:
        return ONLY_STACK, layer
    if any(part in CROSS for part in parts):
        return "cross", layer
    return "decoder" if "decoder" in parts else "encoder", layer


def original(kind, config):
    """Query heads and key/value heads of a layer before any were removed."""
    side = "encoder" if kind == "encoder" else "decoder"
    heads = getattr(config, f"{side}_attention_heads", None) or config.num_attention_heads
    return heads, getattr(config, "num_key_value_heads", None) or heads


def child(module, names):
    """The first of `names` that is a projection of `module`."""
    return next((name for name in names if isinstance(getattr(module, name, None), (nn.Linear, Conv1D))), None)


def resize(module, name, inputs=None, outputs=None):
    """Replaces a projection by one of another size, to be filled from the checkpoint."""
    old = getattr(module, name)
    if isinstance(old, Conv1D):
        new = Conv1D(outputs or old.weight.shape[1], inputs or old.weight.shape[0])
    else:
        new = nn.Linear(inputs or old.in_features, outputs or old.out_features, bias=old.bias is not None)
    setattr(module, name, new.to(device=old.weight.device, dtype=old.weight.dtype))


class Own:
    """A configuration that differs in some values."""

    def __init__(self, config, **own):
        self.__dict__.update(own, _config=config)

    def __getattr__(self, name):
        if name.startswith("_config") or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._config, name)


class Alibi:
    """BLOOM: each head has a slope of its own, made for all heads at once."""

    def forward(self, hidden_states, residual, alibi, attention_mask, **kwargs):
        by_head = alibi.view(-1, self.pillars_total, *alibi.shape[1:])
        alibi = by_head[:, self.pillars_heads].flatten(0, 1)
        return super().forward(hidden_states, residual, alibi=alibi, attention_mask=attention_mask, **kwargs)


class RelativeBias:
    """T5: the first layer of a stack makes the bias of all heads, and the others read their columns of it."""

    def compute_bias(self, *args, **kwargs):
        self.pillars_bias = super().compute_bias(*args, **kwargs)
        return self.pillars_bias[:, self.pillars_heads]

    def forward(self, hidden_states, *args, position_bias=None, **kwargs):
        own = None if position_bias is None else position_bias[:, self.pillars_heads]
        outputs = super().forward(hidden_states, *args, position_bias=own, **kwargs)
        if position_bias is None:
            own = outputs[1]
            if self.has_relative_attention_bias:
                made = self.pillars_bias[:, :, -own.shape[2] :]
                # Some versions add the mask, the same for every head.
                mask = (own - made[:, self.pillars_heads])[:, :1]
                position_bias = made + mask
                del self.pillars_bias
            else:
                position_bias = own[:, :1].expand(-1, self.pillars_total, -1, -1)
        return (outputs[0], position_bias, *outputs[2:])


class Pruned:
    """What every class here adds to its stock class."""

    def __init__(self, config, *args, **kwargs):
        super().__init__(config, *args, **kwargs)
        narrow(self, config)


def __getattr__(name):
    """`{prefix}ModelForX` is the class that `AutoModelForX` opens for this family."""
    auto = getattr(transformers, name.replace(PREFIX, "Auto", 1), None)
    if not name.startswith(PREFIX) or auto is None:
        raise AttributeError(name)
    stock = auto._model_mapping[transformers.CONFIG_MAPPING[MODEL_TYPE]]
    if isinstance(stock, (tuple, list)):
        stock = next((one for one in stock if one.__name__ == ARCHITECTURE), stock[0])
    read_old_names(name, stock)
    globals()[name] = type(name, (Pruned, stock), {"__module__": __name__})
    return globals()[name]


def read_old_names(name, stock):
    """transformers 5 renames the tensors of some families when it reads them, of classes that it knows."""
    try:
        from transformers import conversion_mapping

        known = conversion_mapping.get_checkpoint_conversion_mapping
        renamed = known(stock.__name__) or known(MODEL_TYPE)
        if renamed:
            conversion_mapping.register_checkpoint_conversion_mapping(name, renamed, overwrite=True)
    except (ImportError, AttributeError):
        pass

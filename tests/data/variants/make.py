"""Makes the checkpoints and references in this folder with transformers 5.23.0 and torch (CPU, float32, eager).

Each is a tiny model with random weights whose configuration uses what the fixtures of `tests/fixtures` do not: other
position schemes, biases, windows, ties, the spelling of older files. `reference.safetensors` holds the inputs and what
the family's own code computes on them.  Usage: python make.py [NAME ..]
"""

import json
import os
import sys

import torch
from safetensors.torch import save_file
from transformers import *  # noqa: F403
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()

HERE = os.path.dirname(os.path.abspath(__file__))
LLAMA = dict(vocab_size=24, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, head_dim=8, max_position_embeddings=32, pad_token_id=0)
BERT = dict(vocab_size=24, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
            max_position_embeddings=16, pad_token_id=0)
BART = dict(vocab_size=24, d_model=16, encoder_layers=2, decoder_layers=1, encoder_attention_heads=4,
            decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=20, max_position_embeddings=16,
            pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=2, forced_eos_token_id=2)
VISION = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, image_size=16,
              patch_size=4)


def old_rope(config):
    """transformers 4 kept the base apart and called the rest `rope_scaling`."""
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    rope.pop("partial_rotary_factor", None)
    if rope["rope_type"] != "default":
        rope["type"] = rope.pop("rope_type")
        config["rope_scaling"] = rope


def old_gemma3(config):
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope["full_attention"]["rope_theta"]
    config["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
    config["rope_scaling"] = {"rope_type": "linear", "factor": 4.0}
    config["sliding_window_pattern"] = 3
    del config["layer_types"], config["_sliding_window_pattern"]


def old_modernbert(config):
    rope = config.pop("rope_parameters")
    config["global_rope_theta"] = rope["full_attention"]["rope_theta"]
    config["local_rope_theta"] = rope["sliding_attention"]["rope_theta"]
    config["global_attn_every_n_layers"] = 2
    del config["layer_types"]


def old_phi3(config):
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope["rope_theta"]
    config["partial_rotary_factor"] = rope["partial_rotary_factor"]
    config["rope_scaling"] = {"type": "longrope", "short_factor": rope["short_factor"], "long_factor": rope["long_factor"]}


def old_neox(config):
    rope = config.pop("rope_parameters")
    config["rotary_emb_base"] = rope["rope_theta"]
    config["rotary_pct"] = rope["partial_rotary_factor"]


def without(*keys):
    def edit(config):
        for key in keys:
            config.pop(key, None)
    return edit


def rope(kind, **more):
    return {"rope_type": kind, "rope_theta": 10000.0, **more}


# name: configuration class, model class, configuration, then what differs from the usual inputs.
VARIANTS = {
    "opt-350m": ("OPTConfig", "OPTForCausalLM", dict(
        vocab_size=24, hidden_size=16, ffn_dim=24, num_hidden_layers=2, num_attention_heads=4, word_embed_proj_dim=8,
        max_position_embeddings=16, do_layer_norm_before=False), {}),
    "opt-unbiased": ("OPTConfig", "OPTModel", dict(
        vocab_size=24, hidden_size=16, ffn_dim=24, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=16, enable_bias=False, _remove_final_layer_norm=True), {}),
    "neox-sequential": ("GPTNeoXConfig", "GPTNeoXForCausalLM", dict(
        vocab_size=24, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=32, use_parallel_residual=False, attention_bias=False,
        rope_parameters=dict(rope("default", partial_rotary_factor=0.5), rope_theta=500.0)), dict(edit=old_neox)),
    "gpt2-scaled": ("GPT2Config", "GPT2LMHeadModel", dict(
        vocab_size=24, n_embd=16, n_head=4, n_layer=2, n_positions=16, n_inner=20, scale_attn_by_inverse_layer_idx=True,
        scale_attn_weights=False, tie_word_embeddings=False), {}),
    "bloom-6-heads": ("BloomConfig", "BloomForCausalLM", dict(vocab_size=24, hidden_size=24, n_head=6, n_layer=2), {}),
    "llama-yarn": ("LlamaConfig", "LlamaForCausalLM", dict(
        LLAMA, attention_bias=True, mlp_bias=True, tie_word_embeddings=True, rope_parameters=rope(
            "yarn", factor=4.0, original_max_position_embeddings=8, beta_fast=2.0, beta_slow=0.5)),
        dict(edit=old_rope)),
    "llama-dynamic": ("LlamaConfig", "LlamaForCausalLM", dict(
        LLAMA, max_position_embeddings=6, rope_parameters=rope("dynamic", factor=3.0)), dict(edit=old_rope)),
    "llama-3.1": ("LlamaConfig", "LlamaForCausalLM", dict(LLAMA, rope_parameters=rope(
        "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)), {}),
    "llama-classifier": ("LlamaConfig", "LlamaForSequenceClassification", LLAMA, {}),
    "qwen2-window": ("Qwen2Config", "Qwen2ForCausalLM", dict(
        {k: v for k, v in LLAMA.items() if k != "head_dim"}, use_sliding_window=True, sliding_window=3,
        max_window_layers=1), dict(edit=without("layer_types"))),
    "qwen3-mqa": ("Qwen3Config", "Qwen3ForCausalLM", dict(LLAMA, num_key_value_heads=1, attention_bias=True), {}),
    "mistral-window": ("MistralConfig", "MistralForCausalLM", dict(LLAMA, sliding_window=3), {}),
    "smollm3-window": ("SmolLM3Config", "SmolLM3ForCausalLM", dict(
        {k: v for k, v in LLAMA.items() if k != "head_dim"}, num_hidden_layers=4, use_sliding_window=True,
        sliding_window=3, no_rope_layer_interval=2), dict(edit=without("layer_types", "no_rope_layers"))),
    "gemma-old": ("GemmaConfig", "GemmaForCausalLM", dict(LLAMA, attention_bias=True), dict(
        edit=lambda c: (old_rope(c), c.update(hidden_act="gelu", hidden_activation=None)))),
    "gemma2-uncapped": ("Gemma2Config", "Gemma2ForCausalLM", dict(
        LLAMA, attn_logit_softcapping=None, final_logit_softcapping=None, sliding_window=3, query_pre_attn_scalar=24),
        dict(edit=without("layer_types"))),
    "gemma3-old": ("Gemma3TextConfig", "Gemma3ForCausalLM", dict(
        LLAMA, num_hidden_layers=3, sliding_window=3, query_pre_attn_scalar=12), dict(edit=old_gemma3)),
    "granite-tied": ("GraniteConfig", "GraniteModel", dict(
        {k: v for k, v in LLAMA.items() if k != "head_dim"}, embedding_multiplier=3.0, attention_multiplier=0.4,
        residual_multiplier=0.6, logits_scaling=2.0, attention_bias=True, mlp_bias=True), {}),
    "phi3-long": ("Phi3Config", "Phi3ForCausalLM", dict(
        {k: v for k, v in LLAMA.items() if k != "head_dim"}, hidden_size=32, original_max_position_embeddings=6,
        sliding_window=7, rope_parameters=rope("longrope", partial_rotary_factor=0.5, short_factor=[1.0, 1.5],
                                               long_factor=[1.25, 3.0])), dict(edit=old_phi3)),
    "phi3-short": ("Phi3Config", "Phi3ForCausalLM", dict(
        {k: v for k, v in LLAMA.items() if k != "head_dim"}, hidden_size=32, original_max_position_embeddings=12,
        rope_parameters=rope("longrope", short_factor=[1.0, 1.5, 2.0, 2.5], long_factor=[1.25, 3.0, 4.0, 5.0])), {}),
    "roberta-types": ("RobertaConfig", "RobertaForMaskedLM", dict(BERT, type_vocab_size=2, pad_token_id=3), {}),
    "distilbert-base": ("DistilBertConfig", "DistilBertModel", dict(
        vocab_size=24, dim=16, hidden_dim=24, n_layers=2, n_heads=4, max_position_embeddings=16, activation="relu"), {}),
    "electra-discriminator": ("ElectraConfig", "ElectraForPreTraining", dict(BERT, embedding_size=16), {}),
    "albert-groups": ("AlbertConfig", "AlbertForMaskedLM", dict(
        BERT, embedding_size=16, num_hidden_layers=5, num_hidden_groups=2, hidden_act="gelu"), {}),
    "bert-untied": ("BertConfig", "BertForPreTraining", dict(BERT, tie_word_embeddings=False, hidden_act="relu"), {}),
    "modernbert-biases": ("ModernBertConfig", "ModernBertForMaskedLM", dict(
        BERT, num_hidden_layers=3, norm_bias=True, attention_bias=True, mlp_bias=True, classifier_bias=True,
        decoder_bias=False, local_attention=6, layer_types=["full_attention", "sliding_attention", "full_attention"],
        cls_token_id=1, sep_token_id=2, bos_token_id=1, eos_token_id=2), dict(edit=old_modernbert)),
    "marian-apart": ("MarianConfig", "MarianMTModel", dict(
        BART, vocab_size=30, decoder_vocab_size=24, share_encoder_decoder_embeddings=False, scale_embedding=True,
        activation_function="swish"), {}),
    "mbart-base": ("MBartConfig", "MBartModel", dict(BART, scale_embedding=True, activation_function="relu"), {}),
    "t5-v1.1": ("T5Config", "T5ForConditionalGeneration", dict(
        vocab_size=24, d_model=16, d_kv=6, d_ff=20, num_layers=2, num_decoder_layers=1, num_heads=4,
        relative_attention_num_buckets=8, relative_attention_max_distance=12, feed_forward_proj="gated-gelu",
        tie_word_embeddings=False, decoder_start_token_id=0), dict(
            edit=lambda c: (c.pop("scale_decoder_outputs"), c.update(tie_word_embeddings=False)))),
    "t5-encoder": ("T5Config", "T5EncoderModel", dict(
        vocab_size=24, d_model=16, d_kv=6, d_ff=20, num_layers=2, num_heads=4, relative_attention_num_buckets=8,
        relative_attention_max_distance=6), {}),
    "whisper-scaled": ("WhisperConfig", "WhisperModel", dict(
        {k: v for k, v in BART.items() if k != "max_position_embeddings"}, num_mel_bins=4, max_source_positions=5,
        max_target_positions=16, scale_embedding=True, begin_suppress_tokens=None), {}),
    "vit-unbiased": ("ViTConfig", "ViTForImageClassification", dict(VISION, qkv_bias=False, num_labels=3), {}),
    "dinov2-swiglu": ("Dinov2Config", "Dinov2Model", dict(
        {k: v for k, v in VISION.items() if k != "intermediate_size"}, mlp_ratio=3, use_swiglu_ffn=True),
        dict(size=(26, 12))),
    "olmo-clip": ("OlmoConfig", "OlmoForCausalLM", dict(
        {k: v for k, v in LLAMA.items() if k != "head_dim"}, clip_qkv=0.5, attention_bias=True), {}),
    "cohere-norms": ("CohereConfig", "CohereForCausalLM", dict(
        {k: v for k, v in LLAMA.items() if k != "head_dim"}, use_qk_norm=True, attention_bias=True, bos_token_id=1,
        eos_token_id=2, tie_word_embeddings=False), {}),
    "phi-grouped": ("PhiConfig", "PhiForCausalLM", dict(
        {k: v for k, v in LLAMA.items() if k != "head_dim"}, hidden_size=32, qk_layernorm=True), dict(edit=old_rope)),
    "falcon-7b": ("FalconConfig", "FalconForCausalLM", dict(
        vocab_size=24, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, multi_query=True,
        new_decoder_architecture=False, parallel_attn=True, bias=False, max_position_embeddings=32), {}),
    "falcon-sequential": ("FalconConfig", "FalconForCausalLM", dict(
        vocab_size=24, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, multi_query=False,
        new_decoder_architecture=False, parallel_attn=False, bias=True, ffn_hidden_size=20), {}),
    "stablelm-parallel": ("StableLmConfig", "StableLmForCausalLM", dict(
        {k: v for k, v in LLAMA.items() if k != "head_dim"}, hidden_size=32, use_parallel_residual=True,
        use_qkv_bias=True), dict(edit=old_rope)),
    "starcoder2-window": ("Starcoder2Config", "Starcoder2ForCausalLM", dict(
        {k: v for k, v in LLAMA.items() if k != "head_dim"}, sliding_window=3, use_bias=False,
        tie_word_embeddings=False), {}),
    "nemotron-biases": ("NemotronConfig", "NemotronForCausalLM", dict(
        LLAMA, attention_bias=True, mlp_bias=True), {}),
    "olmo2-grouped": ("Olmo2Config", "Olmo2ForCausalLM", dict(
        {k: v for k, v in LLAMA.items() if k != "head_dim"}, attention_bias=True), {}),
    "qwen3-both-ways": ("Qwen3Config", "Qwen3ForCausalLM", dict(LLAMA, is_causal=False), {}),
    "mistral-both-ways": ("MistralConfig", "MistralForCausalLM", dict(LLAMA, sliding_window=2, is_causal=False), {}),
    "gemma3-both-ways": ("Gemma3TextConfig", "Gemma3TextModel", dict(
        LLAMA, num_hidden_layers=3, sliding_window=5, query_pre_attn_scalar=12, use_bidirectional_attention=True,
        layer_types=["sliding_attention", "sliding_attention", "full_attention"]), {}),
}


def randomise(model):
    for name, parameter in model.named_parameters():
        spread = 0.3 if parameter.dim() > 1 else 0.1
        centre = 1.0 if parameter.dim() == 1 and name.endswith("weight") else 0.0
        torch.nn.init.normal_(parameter, centre, spread)
    for name, buffer in model.named_buffers():
        if name.endswith("final_logits_bias"):
            torch.nn.init.normal_(buffer)


def inputs_of(config, model, options, vocabulary):
    if hasattr(config, "patch_size"):
        height, width = options.get("size", (16, 16))
        return {"pixel_values": torch.randn(2, 3, height, width)}
    # One whole line, one padded on the right, one on the left.
    mask = torch.ones(3, 9, dtype=torch.long)
    mask[1, 6:] = 0
    mask[2, :2] = 0
    ids = torch.randint(4, vocabulary, (3, 9))
    ids[mask == 0] = config.pad_token_id if config.pad_token_id is not None else 0
    inputs = {"input_ids": ids, "attention_mask": mask}
    if getattr(config, "num_mel_bins", None):
        inputs = {"input_features": torch.randn(3, config.num_mel_bins, 2 * config.max_source_positions)}
    if config.is_encoder_decoder and not type(model).__name__.endswith("EncoderModel"):
        inputs["decoder_input_ids"] = torch.randint(4, vocabulary, (3, 7))
    return inputs


def make(number, name):
    config_class, model_class, keys, options = VARIANTS[name]
    torch.manual_seed(number)
    folder = os.path.join(HERE, name)
    os.makedirs(folder, exist_ok=True)
    model = globals()[model_class](globals()[config_class](**keys))
    if name == "t5-v1.1":
        # transformers 5 ties this head whatever the configuration says, and unties it when both are in the file.
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    randomise(model)
    model.save_pretrained(folder)
    for extra in ("generation_config.json",):
        if os.path.exists(os.path.join(folder, extra)):
            os.remove(os.path.join(folder, extra))
    path = os.path.join(folder, "config.json")
    config = json.load(open(path))
    if "edit" in options:
        options["edit"](config)
        config["transformers_version"] = "4.57.6"
        json.dump(config, open(path, "w"), indent=2, sort_keys=True)
    model = globals()[model_class].from_pretrained(folder, attn_implementation="eager").eval()
    inputs = inputs_of(model.config, model, options, 24)
    with torch.no_grad():
        output = model(**inputs, output_hidden_states=True)
        kept = {}
        if getattr(output, "logits", None) is not None and "Classification" not in model_class and name != "electra-discriminator":
            kept["logits"] = output.logits
        elif name == "bert-untied":
            kept["logits"] = output.prediction_logits
        elif "last_hidden_state" in output:
            kept["last_hidden_state"] = output.last_hidden_state
        else:
            base = getattr(model, model.base_model_prefix)
            kept["last_hidden_state"] = base(**inputs).last_hidden_state
    save_file({k: v.contiguous() for k, v in {**inputs, **kept}.items()}, os.path.join(folder, "reference.safetensors"))
    print(name, {k: list(v.shape) for k, v in kept.items()}, float(next(iter(kept.values())).std()))


if __name__ == "__main__":
    for i, variant in enumerate(VARIANTS):
        if len(sys.argv) == 1 or variant in sys.argv[1:]:
            make(i, variant)

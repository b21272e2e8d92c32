"""Counts, with transformers 5.23.0, the parameters of published models from their `config.json` as it is on the hub
(keys that neither side reads are left out).  Writes published.json.  Usage: python make.py"""

import json
import os

import torch
import transformers

MODELS = {
    "bert-base-uncased": dict(architectures=["BertForMaskedLM"], model_type="bert", hidden_act="gelu", hidden_size=768,
        intermediate_size=3072, layer_norm_eps=1e-12, max_position_embeddings=512, num_attention_heads=12,
        num_hidden_layers=12, pad_token_id=0, type_vocab_size=2, vocab_size=30522),
    "roberta-large": dict(architectures=["RobertaForMaskedLM"], model_type="roberta", bos_token_id=0, eos_token_id=2,
        hidden_act="gelu", hidden_size=1024, intermediate_size=4096, layer_norm_eps=1e-05, max_position_embeddings=514,
        num_attention_heads=16, num_hidden_layers=24, pad_token_id=1, type_vocab_size=1, vocab_size=50265),
    "albert-base-v2": dict(architectures=["AlbertForMaskedLM"], model_type="albert", embedding_size=128, hidden_act="gelu_new",
        hidden_size=768, inner_group_num=1, intermediate_size=3072, layer_norm_eps=1e-12, max_position_embeddings=512,
        num_attention_heads=12, num_hidden_groups=1, num_hidden_layers=12, pad_token_id=0, type_vocab_size=2,
        vocab_size=30000),
    "distilbert-base-uncased": dict(architectures=["DistilBertForMaskedLM"], model_type="distilbert", activation="gelu",
        dim=768, hidden_dim=3072, max_position_embeddings=512, n_heads=12, n_layers=6, pad_token_id=0,
        sinusoidal_pos_embds=False, vocab_size=30522),
    "electra-small-generator": dict(architectures=["ElectraForMaskedLM"], model_type="electra", embedding_size=128,
        hidden_act="gelu", hidden_size=256, intermediate_size=1024, layer_norm_eps=1e-12, max_position_embeddings=512,
        num_attention_heads=4, num_hidden_layers=12, type_vocab_size=2, vocab_size=30522),
    "ModernBERT-large": dict(architectures=["ModernBertForMaskedLM"], model_type="modernbert", attention_bias=False,
        classifier_activation="gelu", classifier_bias=False, decoder_bias=True, global_attn_every_n_layers=3,
        global_rope_theta=160000.0, local_rope_theta=10000.0, local_attention=128, hidden_activation="gelu",
        hidden_size=1024, intermediate_size=2624, max_position_embeddings=8192, mlp_bias=False, norm_bias=False,
        norm_eps=1e-05, num_attention_heads=16, num_hidden_layers=28, vocab_size=50368),
    "gpt2-xl": dict(architectures=["GPT2LMHeadModel"], model_type="gpt2", activation_function="gelu_new", n_ctx=1024,
        n_embd=1600, n_head=25, n_layer=48, n_positions=1024, layer_norm_epsilon=1e-05, vocab_size=50257),
    "opt-350m": dict(architectures=["OPTForCausalLM"], model_type="opt", activation_function="relu",
        do_layer_norm_before=False, ffn_dim=4096, hidden_size=1024, max_position_embeddings=2048,
        num_attention_heads=16, num_hidden_layers=24, pad_token_id=1, vocab_size=50272, word_embed_proj_dim=512),
    "bloom-560m": dict(architectures=["BloomForCausalLM"], model_type="bloom", hidden_size=1024, n_embed=1024, n_head=16,
        n_layer=24, layer_norm_epsilon=1e-05, vocab_size=250880, apply_residual_connection_post_layernorm=False),
    "pythia-160m": dict(architectures=["GPTNeoXForCausalLM"], model_type="gpt_neox", hidden_act="gelu", hidden_size=768,
        intermediate_size=3072, max_position_embeddings=2048, num_attention_heads=12, num_hidden_layers=12,
        rotary_emb_base=10000, rotary_pct=0.25, tie_word_embeddings=False, use_parallel_residual=True, vocab_size=50304),
    "Llama-3.1-8B": dict(architectures=["LlamaForCausalLM"], model_type="llama", attention_bias=False, hidden_act="silu",
        hidden_size=4096, intermediate_size=14336, max_position_embeddings=131072, mlp_bias=False,
        num_attention_heads=32, num_hidden_layers=32, num_key_value_heads=8, rms_norm_eps=1e-05, rope_theta=500000.0,
        rope_scaling=dict(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, rope_type="llama3",
                          original_max_position_embeddings=8192), tie_word_embeddings=False, vocab_size=128256),
    "Mistral-7B-v0.1": dict(architectures=["MistralForCausalLM"], model_type="mistral", hidden_act="silu", hidden_size=4096,
        intermediate_size=14336, max_position_embeddings=32768, num_attention_heads=32, num_hidden_layers=32,
        num_key_value_heads=8, rms_norm_eps=1e-05, rope_theta=10000.0, sliding_window=4096, tie_word_embeddings=False,
        vocab_size=32000),
    "Qwen2.5-0.5B": dict(architectures=["Qwen2ForCausalLM"], model_type="qwen2", hidden_act="silu", hidden_size=896,
        intermediate_size=4864, max_position_embeddings=32768, max_window_layers=24, num_attention_heads=14,
        num_hidden_layers=24, num_key_value_heads=2, rms_norm_eps=1e-06, rope_theta=1000000.0, sliding_window=32768,
        tie_word_embeddings=True, use_sliding_window=False, vocab_size=151936),
    "Qwen3-0.6B": dict(architectures=["Qwen3ForCausalLM"], model_type="qwen3", attention_bias=False, head_dim=128,
        hidden_act="silu", hidden_size=1024, intermediate_size=3072, max_position_embeddings=40960,
        max_window_layers=28, num_attention_heads=16, num_hidden_layers=28, num_key_value_heads=8, rms_norm_eps=1e-06,
        rope_scaling=None, rope_theta=1000000, sliding_window=None, tie_word_embeddings=True, use_sliding_window=False,
        vocab_size=151936),
    "gemma-2b": dict(architectures=["GemmaForCausalLM"], model_type="gemma", attention_bias=False, head_dim=256,
        hidden_act="gelu", hidden_activation=None, hidden_size=2048, intermediate_size=16384,
        max_position_embeddings=8192, num_attention_heads=8, num_hidden_layers=18, num_key_value_heads=1,
        rms_norm_eps=1e-06, rope_scaling=None, rope_theta=10000.0, vocab_size=256000),
    "gemma-2-2b": dict(architectures=["Gemma2ForCausalLM"], model_type="gemma2", attention_bias=False,
        attn_logit_softcapping=50.0, final_logit_softcapping=30.0, head_dim=256, hidden_act="gelu_pytorch_tanh",
        hidden_activation="gelu_pytorch_tanh", hidden_size=2304, intermediate_size=9216, max_position_embeddings=8192,
        num_attention_heads=8, num_hidden_layers=26, num_key_value_heads=4, query_pre_attn_scalar=256,
        rms_norm_eps=1e-06, rope_theta=10000.0, sliding_window=4096, vocab_size=256000),
    "gemma-3-1b-it": dict(architectures=["Gemma3ForCausalLM"], model_type="gemma3_text", attention_bias=False,
        attn_logit_softcapping=None, final_logit_softcapping=None, head_dim=256,
        hidden_activation="gelu_pytorch_tanh", hidden_size=1152, intermediate_size=6912, max_position_embeddings=32768,
        num_attention_heads=4, num_hidden_layers=26, num_key_value_heads=1, query_pre_attn_scalar=256,
        rms_norm_eps=1e-06, rope_local_base_freq=10000, rope_scaling=None, rope_theta=1000000, sliding_window=512,
        sliding_window_pattern=6, vocab_size=262144),
    "Phi-3-mini-128k-instruct": dict(architectures=["Phi3ForCausalLM"], model_type="phi3", attention_bias=False,
        hidden_act="silu", hidden_size=3072, intermediate_size=8192, max_position_embeddings=131072,
        num_attention_heads=32, num_hidden_layers=32, num_key_value_heads=32, original_max_position_embeddings=4096,
        rms_norm_eps=1e-05, rope_scaling=dict(type="longrope", short_factor=[1.0 + i / 48 for i in range(48)],
                                              long_factor=[1.0 + i for i in range(48)]),
        rope_theta=10000.0, sliding_window=262144, tie_word_embeddings=False, vocab_size=32064),
    "granite-3.1-2b-base": dict(architectures=["GraniteForCausalLM"], model_type="granite", attention_bias=False,
        attention_multiplier=0.015625, embedding_multiplier=12.0, hidden_act="silu", hidden_size=2048,
        intermediate_size=8192, logits_scaling=8.0, max_position_embeddings=131072, mlp_bias=False,
        num_attention_heads=32, num_hidden_layers=40, num_key_value_heads=8, residual_multiplier=0.22,
        rms_norm_eps=1e-05, rope_scaling=None, rope_theta=5000000.0, tie_word_embeddings=True, vocab_size=49152),
    "SmolLM3-3B": dict(architectures=["SmolLM3ForCausalLM"], model_type="smollm3", attention_bias=False, hidden_act="silu",
        hidden_size=2048, intermediate_size=11008, max_position_embeddings=65536, max_window_layers=28, mlp_bias=False,
        no_rope_layer_interval=4, no_rope_layers=[1, 1, 1, 0] * 9, num_attention_heads=16, num_hidden_layers=36,
        num_key_value_heads=4, rms_norm_eps=1e-06, rope_scaling=None, rope_theta=5000000.0, sliding_window=None,
        use_sliding_window=False, vocab_size=128256),
    "bart-large": dict(architectures=["BartModel"], model_type="bart", activation_function="gelu", d_model=1024,
        decoder_attention_heads=16, decoder_ffn_dim=4096, decoder_layers=12, encoder_attention_heads=16,
        encoder_ffn_dim=4096, encoder_layers=12, is_encoder_decoder=True, max_position_embeddings=1024,
        num_hidden_layers=12, pad_token_id=1, scale_embedding=False, vocab_size=50265),
    "mbart-large-50": dict(architectures=["MBartForConditionalGeneration"], model_type="mbart", activation_function="gelu",
        d_model=1024, decoder_attention_heads=16, decoder_ffn_dim=4096, decoder_layers=12, encoder_attention_heads=16,
        encoder_ffn_dim=4096, encoder_layers=12, is_encoder_decoder=True, max_position_embeddings=1024,
        num_hidden_layers=12, pad_token_id=1, scale_embedding=True, vocab_size=250054),
    "opus-mt-en-de": dict(architectures=["MarianMTModel"], model_type="marian", activation_function="swish",
        add_final_layer_norm=False, d_model=512, decoder_attention_heads=8, decoder_ffn_dim=2048, decoder_layers=6,
        decoder_start_token_id=58100, encoder_attention_heads=8, encoder_ffn_dim=2048, encoder_layers=6,
        is_encoder_decoder=True, max_position_embeddings=512, normalize_embedding=False, num_hidden_layers=6,
        pad_token_id=58100, scale_embedding=True, static_position_embeddings=True, vocab_size=58101),
    "t5-small": dict(architectures=["T5ForConditionalGeneration"], model_type="t5", d_ff=2048, d_kv=64, d_model=512,
        decoder_start_token_id=0, is_encoder_decoder=True, layer_norm_epsilon=1e-06, n_positions=512, num_heads=8,
        num_layers=6, pad_token_id=0, relative_attention_num_buckets=32, vocab_size=32128),
    "flan-t5-base": dict(architectures=["T5ForConditionalGeneration"], model_type="t5", d_ff=2048, d_kv=64, d_model=768,
        decoder_start_token_id=0, feed_forward_proj="gated-gelu", is_encoder_decoder=True, layer_norm_epsilon=1e-06,
        n_positions=512, num_decoder_layers=12, num_heads=12, num_layers=12, pad_token_id=0,
        relative_attention_max_distance=128, relative_attention_num_buckets=32, tie_word_embeddings=False,
        vocab_size=32128),
    "whisper-tiny": dict(architectures=["WhisperForConditionalGeneration"], model_type="whisper", activation_function="gelu",
        d_model=384, decoder_attention_heads=6, decoder_ffn_dim=1536, decoder_layers=4, decoder_start_token_id=50258,
        encoder_attention_heads=6, encoder_ffn_dim=1536, encoder_layers=4, is_encoder_decoder=True,
        max_source_positions=1500, max_target_positions=448, num_hidden_layers=4, num_mel_bins=80, pad_token_id=50257,
        scale_embedding=False, vocab_size=51865),
    "vit-base-patch16-224-in21k": dict(architectures=["ViTModel"], model_type="vit", hidden_act="gelu", hidden_size=768,
        image_size=224, intermediate_size=3072, layer_norm_eps=1e-12, num_attention_heads=12, num_channels=3,
        num_hidden_layers=12, patch_size=16, qkv_bias=True),
    "deit-tiny-distilled-patch16-224": dict(architectures=["DeiTModel"], model_type="deit", hidden_act="gelu",
        hidden_size=192, image_size=224, intermediate_size=768, layer_norm_eps=1e-12, num_attention_heads=3,
        num_channels=3, num_hidden_layers=12, patch_size=16, qkv_bias=True),
    "dinov2-giant": dict(architectures=["Dinov2Model"], model_type="dinov2", hidden_act="gelu", hidden_size=1536,
        image_size=518, layer_norm_eps=1e-06, layerscale_value=1.0, mlp_ratio=4, num_attention_heads=24,
        num_channels=3, num_hidden_layers=40, patch_size=14, qkv_bias=True, use_swiglu_ffn=True),
    "xlm-roberta-base": dict(architectures=["XLMRobertaForMaskedLM"], model_type="xlm-roberta", bos_token_id=0,
        eos_token_id=2, hidden_act="gelu", hidden_size=768, intermediate_size=3072, layer_norm_eps=1e-05,
        max_position_embeddings=514, num_attention_heads=12, num_hidden_layers=12, pad_token_id=1, type_vocab_size=1,
        vocab_size=250002),
}

# Parameters that belong to no layer, table or language-model head: poolers, mask tokens, sinusoids that are computed.
ASIDE = ("pooler.", "mask_token")


def count(name, keys):
    config = transformers.AutoConfig.for_model(**{k: v for k, v in keys.items()})
    with torch.device("meta"):
        model = getattr(transformers, keys["architectures"][0])(config)
    if keys["model_type"] == "t5" and keys.get("tie_word_embeddings") is False:
        # Tied in memory whatever the configuration says; the files hold both.
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    aside = ASIDE + (("embed_positions",) if keys["model_type"] == "marian" else ())
    total = sum(p.numel() for n, p in model.named_parameters() if not any(a in n for a in aside))
    # Buffers that are read from the file.
    return total + sum(b.numel() for n, b in model.named_buffers() if n.endswith("final_logits_bias"))


counts = {name: {"config": keys, "parameters": count(name, keys)} for name, keys in MODELS.items()}
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "published.json")
json.dump(counts, open(path, "w"), indent=1)
for name, entry in counts.items():
    print(f"{name:<34} {entry['parameters']:>14,}")

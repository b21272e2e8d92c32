"""Makes the GGUF files of this folder with llama.cpp's own writer, and what transformers and sentencepiece say of them.

    pip install torch transformers gguf sentencepiece safetensors && python make.py

Weights are random blocks of every type; `reference.safetensors` holds the logits of transformers with the weights that
llama.cpp's Python reads from the blocks, and the ids that sentencepiece gives the lines of `lines.txt`.
"""

import io
import pathlib

import gguf
import numpy as np
import sentencepiece
import torch
from gguf import GGMLQuantizationType as Q
from safetensors.numpy import save_file
from transformers import Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM, Phi3Config, Phi3ForCausalLM

HERE = pathlib.Path(__file__).parent
rng = np.random.default_rng(7)


def blocks(shape, kind):
    """Random blocks whose numbers are of ordinary size, as bytes, and as llama.cpp's Python reads them."""
    if kind in (Q.F32, Q.F16):
        values = (rng.standard_normal(shape) * 0.1).astype(np.float32 if kind == Q.F32 else np.float16)
        return values, values.astype(np.float32)
    if kind in (Q.Q8_0, Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1):
        raw = gguf.quants.quantize((rng.standard_normal(shape) * 0.1).astype(np.float32), kind)
    else:
        size, width = gguf.GGML_QUANT_SIZES[kind]
        raw = rng.integers(0, 256, (shape[0], shape[1] // size * width), dtype=np.uint8)
        # Where the scales of a block stand in its bytes.
        at = {Q.Q2_K: [80, 82], Q.Q3_K: [108], Q.Q4_K: [0, 2], Q.Q5_K: [0, 2], Q.Q6_K: [208]}[kind]
        scale = {Q.Q2_K: 5e-3, Q.Q3_K: 1e-3, Q.Q4_K: 2e-4, Q.Q5_K: 1e-4, Q.Q6_K: 5e-5}[kind]
        for block in range(shape[1] // size):
            for offset in at:
                values = (rng.uniform(0.5, 1.0, shape[0]) * scale).astype(np.float16)
                raw[:, block * width + offset : block * width + offset + 2] = values.view(np.uint8).reshape(-1, 2)
    return raw, gguf.quants.dequantize(raw, kind)


def permute(weights, heads):
    """As convert_hf_to_gguf.py has it."""
    shape = weights.shape
    return weights.reshape(heads, 2, shape[0] // heads // 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


def unpermute(weights, heads):
    shape = weights.shape
    return weights.reshape(heads, shape[0] // heads // 2, 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


def vocabulary():
    text = (HERE / "../../../sample_models/austen.txt").read_text()
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text.splitlines()), model_writer=model, vocab_size=360, model_type="bpe",
        byte_fallback=True, character_coverage=0.98, normalization_rule_name="identity", remove_extra_whitespaces=False,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def common(writer, config, heads, kv_heads, dim):
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_key_length(dim)
    writer.add_value_length(dim)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def logits(model, state, ids):
    missing, unexpected = model.load_state_dict({k: torch.tensor(np.ascontiguousarray(v)) for k, v in state.items()}, strict=False)
    assert not unexpected and all("lm_head" in name for name in missing), (missing, unexpected)
    model.tie_weights()
    with torch.no_grad():
        return model.eval()(torch.tensor(ids)).logits.numpy()


def tokens(writer, sp):
    texts, scores, types = [], [], []
    for id in range(sp.vocab_size()):
        texts.append(sp.id_to_piece(id).encode())
        scores.append(sp.get_score(id))
        kind = gguf.TokenType.NORMAL
        if sp.is_unknown(id):
            kind = gguf.TokenType.UNKNOWN
        elif sp.is_control(id):
            kind = gguf.TokenType.CONTROL
        elif sp.is_unused(id):
            kind = gguf.TokenType.UNUSED
        elif sp.is_byte(id):
            kind = gguf.TokenType.BYTE
        types.append(kind)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(texts)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_bos_token_id(sp.bos_id())
    writer.add_eos_token_id(sp.eos_id())
    writer.add_unk_token_id(sp.unk_id())


def llama(sp, out):
    heads, kv, dim = 2, 1, 32
    config = LlamaConfig(
        vocab_size=sp.vocab_size(), hidden_size=256, intermediate_size=64, num_hidden_layers=1, num_attention_heads=heads,
        num_key_value_heads=kv, head_dim=dim, max_position_embeddings=64, rms_norm_eps=1e-5, tie_word_embeddings=False,
        rope_theta=500000.0,
        rope_scaling={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192},
    )
    model = LlamaForCausalLM(config)
    writer = gguf.GGUFWriter(HERE / "llama.gguf", "llama")
    common(writer, config, heads, kv, dim)
    writer.add_rope_dimension_count(dim)
    writer.add_rope_freq_base(500000.0)
    tokens(writer, sp)
    # `generate_extra_tensors` of convert_hf_to_gguf.py.
    factors = []
    for i in range(0, dim, 2):
        frequency = 1.0 / 500000.0 ** (i / dim)
        wave = 2 * np.pi / frequency
        smooth = (8192 / wave - 1.0) / (4.0 - 1.0)
        factors.append(1.0 if wave < 8192 / 4 else 8.0 if wave > 8192 else 1.0 / ((1 - smooth) / 8.0 + smooth))
    writer.add_tensor("rope_freqs.weight", np.array(factors, dtype=np.float32))
    state = {}
    layer = "model.layers.0"
    for name, own, shape, kind in [
        ("token_embd.weight", "model.embed_tokens.weight", (sp.vocab_size(), 256), Q.Q4_K),
        ("output.weight", "lm_head.weight", (sp.vocab_size(), 256), Q.Q6_K),
        ("blk.0.attn_q.weight", f"{layer}.self_attn.q_proj.weight", (heads * dim, 256), Q.Q5_K),
        ("blk.0.attn_k.weight", f"{layer}.self_attn.k_proj.weight", (kv * dim, 256), Q.Q8_0),
        ("blk.0.attn_v.weight", f"{layer}.self_attn.v_proj.weight", (kv * dim, 256), Q.F16),
        ("blk.0.attn_output.weight", f"{layer}.self_attn.o_proj.weight", (256, heads * dim), Q.Q5_1),
        ("blk.0.ffn_gate.weight", f"{layer}.mlp.gate_proj.weight", (64, 256), Q.Q2_K),
        ("blk.0.ffn_up.weight", f"{layer}.mlp.up_proj.weight", (64, 256), Q.Q3_K),
        ("blk.0.ffn_down.weight", f"{layer}.mlp.down_proj.weight", (256, 64), Q.Q4_0),
    ]:
        raw, values = blocks(shape, kind)
        writer.add_tensor(name, raw, raw_dtype=kind)
        if "attn_q" in name or "attn_k" in name:
            values = unpermute(values, heads if "attn_q" in name else kv)
        state[own] = values
    for name, own in [
        ("output_norm.weight", "model.norm.weight"), ("blk.0.attn_norm.weight", f"{layer}.input_layernorm.weight"),
        ("blk.0.ffn_norm.weight", f"{layer}.post_attention_layernorm.weight"),
    ]:
        values = (1 + 0.1 * rng.standard_normal(256)).astype(np.float32)
        writer.add_tensor(name, values)
        state[own] = values
    finish(writer)
    ids = rng.integers(3, sp.vocab_size(), (2, 12))
    out["llama.input_ids"], out["llama.logits"] = ids, logits(model, state, ids)


def gemma2(out):
    heads, kv, dim, width = 2, 1, 16, 32
    config = Gemma2Config(
        vocab_size=96, hidden_size=width, intermediate_size=32, num_hidden_layers=3, num_attention_heads=heads,
        num_key_value_heads=kv, head_dim=dim, max_position_embeddings=64, sliding_window=4, query_pre_attn_scalar=dim,
        attn_implementation="eager",
    )
    model = Gemma2ForCausalLM(config)
    writer = gguf.GGUFWriter(HERE / "gemma2.gguf", "gemma2")
    common(writer, config, heads, kv, dim)
    writer.add_attn_logit_softcapping(50.0)
    writer.add_final_logit_softcapping(30.0)
    writer.add_sliding_window(4)
    writer.add_tokenizer_model("none")
    state = {}
    raw, values = blocks((96, width), Q.Q8_0)
    writer.add_tensor("token_embd.weight", raw, raw_dtype=Q.Q8_0)
    state["model.embed_tokens.weight"] = values

    def norm(name, own):
        values = (0.1 * rng.standard_normal(width)).astype(np.float32)
        writer.add_tensor(name, values + 1)
        state[own] = values

    norm("output_norm.weight", "model.norm.weight")
    for i in range(3):
        layer = f"model.layers.{i}"
        for name, own, shape in [
            ("attn_q", "self_attn.q_proj", (heads * dim, width)), ("attn_k", "self_attn.k_proj", (kv * dim, width)),
            ("attn_v", "self_attn.v_proj", (kv * dim, width)), ("attn_output", "self_attn.o_proj", (width, heads * dim)),
            ("ffn_gate", "mlp.gate_proj", (32, width)), ("ffn_up", "mlp.up_proj", (32, width)),
            ("ffn_down", "mlp.down_proj", (width, 32)),
        ]:
            raw, values = blocks(shape, Q.Q5_0)
            writer.add_tensor(f"blk.{i}.{name}.weight", raw, raw_dtype=Q.Q5_0)
            state[f"{layer}.{own}.weight"] = values
        norm(f"blk.{i}.attn_norm.weight", f"{layer}.input_layernorm.weight")
        norm(f"blk.{i}.post_attention_norm.weight", f"{layer}.post_attention_layernorm.weight")
        norm(f"blk.{i}.ffn_norm.weight", f"{layer}.pre_feedforward_layernorm.weight")
        norm(f"blk.{i}.post_ffw_norm.weight", f"{layer}.post_feedforward_layernorm.weight")
    finish(writer)
    ids = rng.integers(3, 96, (2, 12))
    out["gemma2.input_ids"], out["gemma2.logits"] = ids, logits(model, state, ids)


def phi3(out):
    heads, dim, width = 4, 16, 64
    short, long = [1.0 + 0.01 * i for i in range(dim // 2)], [1.0 + 0.5 * i for i in range(dim // 2)]
    config = Phi3Config(
        vocab_size=96, hidden_size=width, intermediate_size=32, num_hidden_layers=2, num_attention_heads=heads,
        num_key_value_heads=heads, max_position_embeddings=128, original_max_position_embeddings=32, pad_token_id=0,
        rope_scaling={"type": "longrope", "short_factor": short, "long_factor": long}, sliding_window=None,
    )
    model = Phi3ForCausalLM(config)
    writer = gguf.GGUFWriter(HERE / "phi3.gguf", "phi3")
    common(writer, config, heads, heads, dim)
    writer.add_rope_dimension_count(dim)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_scaling_orig_ctx_len(32)
    # `generate_extra_tensors` of convert_hf_to_gguf.py.
    writer.add_rope_scaling_attn_factors(float(np.sqrt(1 + np.log(128 / 32) / np.log(32))))
    writer.add_tokenizer_model("none")
    writer.add_tensor("rope_factors_long.weight", np.array(long, dtype=np.float32))
    writer.add_tensor("rope_factors_short.weight", np.array(short, dtype=np.float32))
    state = {}
    for name, own, shape in [("token_embd", "model.embed_tokens", (96, width)), ("output", "lm_head", (96, width))] + [
        (f"blk.{i}.{name}", f"model.layers.{i}.{own}", shape)
        for i in range(2)
        for name, own, shape in [
            ("attn_qkv", "self_attn.qkv_proj", (3 * heads * dim, width)), ("attn_output", "self_attn.o_proj", (width, heads * dim)),
            ("ffn_up", "mlp.gate_up_proj", (64, width)), ("ffn_down", "mlp.down_proj", (width, 32)),
        ]
    ]:
        raw, values = blocks(shape, Q.Q4_1)
        writer.add_tensor(f"{name}.weight", raw, raw_dtype=Q.Q4_1)
        state[f"{own}.weight"] = values
    for name, own in [("output_norm", "model.norm")] + [
        (f"blk.{i}.{name}", f"model.layers.{i}.{own}")
        for i in range(2)
        for name, own in [("attn_norm", "input_layernorm"), ("ffn_norm", "post_attention_layernorm")]
    ]:
        values = (1 + 0.1 * rng.standard_normal(width)).astype(np.float32)
        writer.add_tensor(f"{name}.weight", values)
        state[f"{own}.weight"] = values
    finish(writer)
    ids = rng.integers(3, 96, (2, 12))
    out["phi3.input_ids"], out["phi3.logits"] = ids, logits(model, state, ids)


def lines():
    """Mixed scripts, odd spaces, what looks like special tokens."""
    text = (HERE / "../../../sample_models/austen.txt").read_text().splitlines()[::8]
    odd = [
        "Η γάτα κάθεται στο χαλί.", "Кошка сидит на ковре.", "猫がマットの上に座っている。", "القطة على السجادة", "🦀 and 👩‍👩‍👧 here",
        "  two  spaces   three", "tab\tand\u00a0more", "x", "", " ", "\u2581 itself", "naïve café, don't! 12345 6.7e-8",
    ]
    return text + odd


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    out = {}
    sp = vocabulary()
    llama(sp, out)
    gemma2(out)
    phi3(out)
    (HERE / "lines.txt").write_text("\n".join(lines()))
    encoded = [sp.encode(line) for line in lines()]
    out["llama.lines"] = np.array([id for ids in encoded for id in [sp.bos_id()] + ids], dtype=np.int64)
    save_file({k: np.ascontiguousarray(v) for k, v in out.items()}, HERE / "reference.safetensors")

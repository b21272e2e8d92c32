"""llama.cpp by its C interface, as far as tests/with_engines.py needs it: opens a GGUF file, gives logits and tokens.

The shared libraries come with the npm package node-llama-cpp, prebuilt. The structures below are those of its release
3.21.1 (llama.h of llama.cpp v0.4.0), so that version is pinned:

    npm install --prefix target/node node-llama-cpp@3.21.1
"""

import ctypes
import pathlib

import numpy

PLACE = "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64"
FLOAT32 = 0  # ggml_type of a cache that rounds nothing


def fields(kind, names):
    return [(name, kind) for name in names.split()]


class ModelParameters(ctypes.Structure):
    _fields_ = (
        fields(ctypes.c_void_p, "devices overrides")
        + fields(ctypes.c_int, "n_gpu_layers split_mode load_mode lazy_mode main_gpu")
        + fields(ctypes.c_void_p, "tensor_split progress progress_data kv_overrides")
        + fields(ctypes.c_bool, "vocab_only check_tensors use_extra_bufts no_host no_alloc load_mtp")
    )


class ContextParameters(ctypes.Structure):
    _fields_ = (
        fields(ctypes.c_uint32, "n_ctx n_batch n_ubatch n_seq_max n_rs_seq n_outputs_max n_outputs_max_per_seq")
        + fields(ctypes.c_int, "n_threads n_threads_batch context_type rope_scaling_type pooling_type attention_type flash")
        + fields(ctypes.c_float, "freq_base freq_scale yarn_ext yarn_attn yarn_fast yarn_slow")
        + fields(ctypes.c_uint32, "yarn_orig_ctx")
        + fields(ctypes.c_float, "defrag_thold")
        + fields(ctypes.c_void_p, "eval eval_data")
        + fields(ctypes.c_int, "type_k type_v")
        + fields(ctypes.c_void_p, "abort abort_data")
        + fields(ctypes.c_bool, "embeddings offload_kqv no_perf op_offload swa_full kv_unified")
        + fields(ctypes.c_void_p, "samplers")
        + fields(ctypes.c_size_t, "n_samplers")
        + fields(ctypes.c_void_p, "other")
    )


class Batch(ctypes.Structure):
    _fields_ = [
        ("n_tokens", ctypes.c_int32),
        ("token", ctypes.POINTER(ctypes.c_int32)),
        ("embd", ctypes.POINTER(ctypes.c_float)),
        ("pos", ctypes.POINTER(ctypes.c_int32)),
        ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
        ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    ]


LOG = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)


class LlamaCpp:
    def __init__(self, prefix):
        folder = pathlib.Path(prefix) / PLACE
        libraries = {}
        for name in ("libggml-base", "libggml", "libllama"):
            path = next(p for p in sorted(folder.iterdir()) if p.name.startswith(name + "."))
            libraries[name] = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
        libraries["libggml"].ggml_backend_load_all_from_path(str(folder).encode())
        self.library = library = libraries["libllama"]
        pointer = ctypes.c_void_p
        library.llama_model_default_params.restype = ModelParameters
        library.llama_context_default_params.restype = ContextParameters
        library.llama_batch_init.restype = Batch
        for name, result, arguments in [
            ("llama_model_load_from_file", pointer, [ctypes.c_char_p, ModelParameters]),
            ("llama_init_from_model", pointer, [pointer, ContextParameters]),
            ("llama_decode", ctypes.c_int, [pointer, Batch]),
            ("llama_encode", ctypes.c_int, [pointer, Batch]),
            ("llama_batch_free", None, [Batch]),
            ("llama_get_logits_ith", ctypes.POINTER(ctypes.c_float), [pointer, ctypes.c_int]),
            ("llama_model_get_vocab", pointer, [pointer]),
            ("llama_vocab_n_tokens", ctypes.c_int, [pointer]),
            ("llama_free", None, [pointer]),
            ("llama_model_free", None, [pointer]),
            ("llama_log_set", None, [LOG, pointer]),
            (
                "llama_tokenize",
                ctypes.c_int,
                [pointer, ctypes.c_char_p, ctypes.c_int, pointer, ctypes.c_int, ctypes.c_bool, ctypes.c_bool],
            ),
        ]:
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        self.said = []
        self.log = LOG(lambda level, text, _: self.said.append(text.decode(errors="replace")) if level >= 3 else None)
        library.llama_log_set(self.log, None)
        library.llama_backend_init()

    def open(self, path, length):
        self.said.clear()
        parameters = self.library.llama_model_default_params()
        parameters.n_gpu_layers = 0
        model = self.library.llama_model_load_from_file(str(path).encode(), parameters)
        if not model:
            raise RuntimeError("".join(self.said)[-400:].strip())
        parameters = self.library.llama_context_default_params()
        parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = length
        parameters.n_threads = parameters.n_threads_batch = 1
        parameters.type_k = parameters.type_v = FLOAT32
        parameters.flash = 0
        parameters.swa_full = True
        return model, self.library.llama_init_from_model(model, parameters)

    def close(self, model, context):
        self.library.llama_free(context)
        self.library.llama_model_free(model)

    def run(self, step, context, ids):
        batch = self.library.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for index, token in enumerate(ids):
            batch.token[index], batch.pos[index] = int(token), index
            batch.n_seq_id[index], batch.seq_id[index][0], batch.logits[index] = 1, 0, 1
        code = step(context, batch)
        self.library.llama_batch_free(batch)
        if code:
            raise RuntimeError(f"llama.cpp failed with {code}: {''.join(self.said)[-400:].strip()}")

    def logits(self, path, ids, targets=None):
        """Logits [T, V] of every position of `ids`; of those of `targets` behind them for an encoder-decoder."""
        model, context = self.open(path, 64)
        if targets is not None:
            self.run(self.library.llama_encode, context, ids)
            ids = targets
        self.run(self.library.llama_decode, context, ids)
        width = self.library.llama_vocab_n_tokens(self.library.llama_model_get_vocab(model))
        rows = [self.library.llama_get_logits_ith(context, index) for index in range(len(ids))]
        result = numpy.array([numpy.ctypeslib.as_array(row, (width,)).copy() for row in rows], dtype=numpy.float64)
        self.close(model, context)
        return result

    def tokens(self, path, text):
        """Ids of `text` without what stands around it."""
        model, context = self.open(path, 64)
        data = text.encode()
        ids = (ctypes.c_int32 * (len(data) + 8))()
        vocabulary = self.library.llama_model_get_vocab(model)
        count = self.library.llama_tokenize(vocabulary, data, len(data), ids, len(ids), False, True)
        self.close(model, context)
        return list(ids[:count])

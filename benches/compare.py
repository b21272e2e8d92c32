#!/usr/bin/env python3
"""Pillars against Python on one machine, alternately in one run.

Wanted once:

    python3 -m venv venv
    venv/bin/pip install torch --index-url https://download.pytorch.org/whl/cpu
    venv/bin/pip install transformers scikit-learn
    cargo build --release
    cargo bench --bench parts --no-run      # prints the path of the executable

    venv/bin/python benches/compare.py analysis --model all-MiniLM-L6-v2 --text novel.txt \
        --binary target/release/pillars --parts target/release/deps/parts-...
    venv/bin/python benches/compare.py training --parts target/release/deps/parts-...

`analysis`: 40,000 tokens of the text in sequences of 128 and batches of 8 through a BERT-like encoder; feature
`output`, 4 groups, k-means and votes on every batch. Python is transformers, and scikit-learn on the raw features, as
the published method does it. Compared: the whole process of ours against the time of Python's work without its
imports; the forward passes alone.

`training`: processor time of one AdamW step of a GPT-2 of 4 layers, 8 heads, width 128, 2048 tokens, batch 16 x 128.

`--device cuda --dtype bf16` does both on a graphics device (build with `--features cuda`; PyTorch for it, not the one
above), in f32, bf16 or f16: the forward passes and analyses in that type, training in mixed precision (PyTorch's
autocast, with a gradient scaler in f16).

Every side runs in a process of its own, in turns, on as many threads as `--threads` says; the best of the rounds
counts, since other work on the machine only ever slows.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time


TYPES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}


def settle(device):
    """Waits until a graphics device has done what it was given."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize()


def python_analysis(model_folder, text, threads, device, dtype):
    """One run of the reference; prints seconds of its parts."""
    import numpy as np
    import torch
    from sklearn.cluster import KMeans
    from transformers import AutoModel, AutoTokenizer

    torch.set_num_threads(threads)
    start = time.perf_counter()
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    model = AutoModel.from_pretrained(model_folder, dtype=TYPES[dtype]).eval().to(device)
    opened = time.perf_counter()
    lines = open(text, encoding="utf-8").read().splitlines()
    encoded = tokenizer(lines, truncation=True, max_length=128)
    batches = [
        tokenizer.pad({k: encoded[k][i : i + 8] for k in ("input_ids", "attention_mask")}, return_tensors="pt")
        for i in range(0, len(lines), 8)
    ]
    batches = [{key: x.to(device) for key, x in batch.items()} for batch in batches]
    tokenised = time.perf_counter()

    heads = model.config.num_attention_heads
    features = {}

    def keep(layer):
        return lambda module, given: features.__setitem__(layer, given[0])

    layers = model.encoder.layer
    forward = grouping = 0.0
    votes = np.zeros((len(layers), heads), dtype=int)
    grams = np.zeros((len(layers), heads, heads))
    hooks = [layer.attention.output.dense.register_forward_pre_hook(keep(i)) for i, layer in enumerate(layers)]
    with torch.inference_mode():
        for batch in batches:
            before = time.perf_counter()
            model(**batch)
            settle(device)
            between = time.perf_counter()
            real = batch["attention_mask"].bool()
            for i, x in features.items():
                x = x[real].view(-1, heads, x.shape[-1] // heads).transpose(0, 1).reshape(heads, -1).float().cpu().numpy()
                grams[i] += x @ x.T
                groups = KMeans(n_clusters=4, n_init=10, random_state=0).fit(x)
                distance = np.linalg.norm(x - groups.cluster_centers_[groups.labels_], axis=1)
                for c in range(4):
                    own = np.flatnonzero(groups.labels_ == c)
                    votes[i, own[np.argmin(distance[own])]] += 1
            forward += between - before
            grouping += time.perf_counter() - between
    total = time.perf_counter() - start
    for hook in hooks:
        hook.remove()
    # The forward pass alone, unwatched.
    with torch.inference_mode():
        cpu = time.process_time()
        before = time.perf_counter()
        for batch in batches:
            model(**batch)
        settle(device)
        alone = time.perf_counter() - before
        cpu = time.process_time() - cpu
    # What a pass multiplies, alone: the affine maps over the tokens that are there, and every head of every sequence.
    config = model.config
    width, inner = config.hidden_size, config.intermediate_size
    weights = {shape: torch.rand(shape) for shape in ((width, width), (inner, width), (width, inner))}
    products = [0.0, 0.0]
    if device == "cpu" and dtype == "f32":
        with torch.inference_mode():
            for batch in batches:
                lengths = batch["attention_mask"].sum(1).tolist()
                narrow, wide = torch.rand(sum(lengths), width), torch.rand(sum(lengths), inner)
                q = [torch.rand(heads, length, width // heads) for length in lengths]
                k = [x.transpose(1, 2).contiguous() for x in q]
                scores = [torch.rand(heads, length, length) for length in lengths]
                before = time.perf_counter()
                for _ in layers:
                    for _ in range(4):
                        torch.matmul(narrow, weights[width, width].T)
                    torch.matmul(narrow, weights[inner, width].T)
                    torch.matmul(wide, weights[width, inner].T)
                between = time.perf_counter()
                for _ in layers:
                    for a, b, c in zip(q, k, scores):
                        torch.matmul(a, b)
                        torch.matmul(c, a)
                products[0] += between - before
                products[1] += time.perf_counter() - between
    tokens = int(sum(batch["attention_mask"].sum() for batch in batches))
    print(json.dumps({
        "affine_products": products[0], "attention_products": products[1], "tokens": tokens, "total": total, "open": opened - start, "tokenise": tokenised - opened,
        "forward_watched": forward, "grouping": grouping, "forward": alone, "forward_cpu": cpu,
    }))


def python_training(folder, steps, threads, device, dtype):
    """AdamW steps of the reference; prints seconds a step."""
    import torch
    from transformers import GPT2LMHeadModel

    torch.set_num_threads(threads)
    model = GPT2LMHeadModel.from_pretrained(folder).train().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.01)
    ids = torch.tensor([[(n * 7919 + t * 104729) % 2048 for t in range(128)] for n in range(16)], device=device)
    kind = device.split(":")[0]
    scaler = torch.amp.GradScaler(kind, enabled=dtype == "f16")
    autocast = torch.autocast(kind, dtype=getattr(torch, TYPES[dtype]), enabled=dtype != "f32")

    def step():
        with autocast:
            loss = model(input_ids=ids, labels=ids).loss
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        return loss.item()

    first = step()
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(steps):
        last = step()
    print(json.dumps({
        "first": first, "last": last,
        "wall": (time.perf_counter() - wall) / steps, "cpu": (time.process_time() - cpu) / steps,
    }))


def excerpt(model_folder, text, tokens, to):
    """Writes the first `tokens` tokens of `text` as lines of 126, which two special tokens make 128."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    words = open(text, encoding="utf-8").read().split()
    lengths = [len(ids) for ids in tokenizer(words, add_special_tokens=False)["input_ids"]]
    lines, line, length, total = [], [], 0, 0
    for word, count in zip(words, lengths):
        if length + count > 126:
            lines.append(" ".join(line))
            total += length + 2
            line, length = [], 0
            if total >= tokens:
                break
        line.append(word)
        length += count
    open(to, "w", encoding="utf-8").write("\n".join(lines) + "\n")


def run(command, threads):
    env = dict(os.environ, RAYON_NUM_THREADS=str(threads), OMP_NUM_THREADS=str(threads))
    env["TOKENIZERS_PARALLELISM"] = "true"
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


def best(results):
    return {key: min(r[key] for r in results) for key in results[0]}


def analysis(args):
    with tempfile.TemporaryDirectory() as folder:
        lines = os.path.join(folder, "lines.txt")
        excerpt(args.model, args.text, args.tokens, lines)
        theirs, ours, parts = [], [], []
        for round in range(args.rounds):
            command = [sys.executable, __file__, "python-analysis", args.model, lines, str(args.threads),
                       args.device, args.dtype]
            theirs.append(json.loads(run(command, args.threads).splitlines()[-1]))
            out = os.path.join(folder, f"{round}.json")
            command = [args.binary, "analyze", args.model, "--text", lines, "--seq-len", "128", "--batch-size", "8",
                       "--feature", "output", "--groups", "4", "--device", args.device, "--dtype", args.dtype,
                       "--quiet", "--out", out]
            start = time.perf_counter()
            run(command, args.threads)
            ours.append(time.perf_counter() - start)
            parts.append(json.loads(run([args.parts, "analysis", args.model, lines, args.device, args.dtype], args.threads)))
        python, part, whole = best(theirs), best(parts), min(ours)
        print(f"tokens: Python {python['tokens']}, ours {part['tokens']}; best of {args.rounds}, {args.threads} threads, "
              f"{args.device} {args.dtype}")
        print(f"{'seconds':<28}{'Python':>10}{'ours':>10}{'ratio':>8}")

        def row(name, a, b):
            print(f"{name:<28}{a:>10.2f}{b:>10.2f}{a / b:>8.2f}")

        row("whole, Python's imports out", python["total"], whole)
        row("open model", python["open"], part["open"])
        row("tokenise", python["tokenise"], part["tokenise"])
        row("forward alone", python["forward"], part["forward"])
        row("forward alone, processor", python["forward_cpu"], part["forward_cpu"])
        row("forward as far as watched", python["forward_watched"], part["watched"])
        row("gram, groups and votes", python["grouping"], part["gram"] + part["grouping"])
        if args.device == "cpu" and args.dtype == "f32":
            print(f"\n{'f32 on the processor':<28}{'products':>10}{'PyTorch':>10}{'whole':>8}{'share':>8}")
            total = [0.0, 0.0, 0.0]
            for name in ("affine", "attention"):
                row = part[f"{name}_products"], python[f"{name}_products"], part[name]
                total = [sum(pair) for pair in zip(total, row)]
                print(f"{name:<28}{row[0]:>10.2f}{row[1]:>10.2f}{row[2]:>8.2f}{min(row[:2]) / row[2]:>8.2f}")
            least = sum(min(part[f"{n}_products"], python[f"{n}_products"]) for n in ("affine", "attention"))
            print(f"{'pass':<28}{total[0]:>10.2f}{total[1]:>10.2f}{part['forward']:>8.2f}{least / part['forward']:>8.2f}")
        print(f"shares of our analysis: forward {part['watched'] / part['analysis']:.3f}, "
              f"Gram {part['gram'] / part['analysis']:.3f}, groups and votes {part['grouping'] / part['analysis']:.3f}")


def training(args):
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        config = GPT2Config(vocab_size=2048, n_positions=128, n_embd=128, n_layer=4, n_head=8,
                            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
        GPT2LMHeadModel(config).save_pretrained(folder)
        theirs, ours = [], []
        for _ in range(args.rounds):
            command = [sys.executable, __file__, "python-training", folder, str(args.steps), str(args.threads),
                       args.device, args.dtype]
            theirs.append(json.loads(run(command, args.threads).splitlines()[-1]))
            command = [args.parts, "training", folder, str(args.steps), args.device, args.dtype]
            ours.append(json.loads(run(command, args.threads)))
        python, own = best(theirs), best(ours)
        print(f"first loss: Python {python['first']:.5f}, ours {own['first']:.5f}")
        for key in ("wall", "cpu"):
            print(f"{key} of a step: Python {python[key] * 1e3:.1f} ms, ours {own[key] * 1e3:.1f} ms: "
                  f"{own[key] / python[key]:.2f} times Python's")


def main():
    if len(sys.argv) > 1 and sys.argv[1] == "python-analysis":
        return python_analysis(sys.argv[2], sys.argv[3], int(sys.argv[4]), *sys.argv[5:])
    if len(sys.argv) > 1 and sys.argv[1] == "python-training":
        return python_training(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["analysis", "training"])
    parser.add_argument("--parts", required=True, help="executable of `cargo bench --bench parts --no-run`")
    parser.add_argument("--binary", default="target/release/pillars")
    parser.add_argument("--model", help="folder of the checkpoint")
    parser.add_argument("--text", help="English prose")
    parser.add_argument("--tokens", type=int, default=40_000)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--dtype", default="f32", choices=TYPES)
    args = parser.parse_args()
    if args.what == "analysis" and not (args.model and args.text):
        parser.error("analysis needs --model and --text")
    analysis(args) if args.what == "analysis" else training(args)


if __name__ == "__main__":
    main()

"""mlx-lm, as far as tests/with_engines.py needs it: opens folders on the processor of any machine (`pip install mlx[cpu]
mlx-lm`), and holds logits against those of the masked model."""

import json
import pathlib
import shutil
import tempfile

import numpy
from safetensors.numpy import load_file

# Family, and whether stock classes open narrower layers that are all alike.
FAMILIES = {
    "llama": True, "mistral": True, "qwen3": True, "gemma": True, "gemma2": True, "gemma3_text": True, "smollm3": True,
    "qwen2": False, "phi3": False, "granite": False, "starcoder2": False, "phi": False, "stablelm": False, "mixtral": False,
}


def variant(folder, place, is_old):
    """The fixture without what mlx-lm does not have: windows within the text. `is_old` names rotary bases as transformers
    did before version 5, which is what stock classes read."""
    place.mkdir()
    config = json.loads((folder / "config.json").read_text())
    rope = config.get("rope_parameters") or {}
    if config.get("sliding_window"):
        config["sliding_window"] = 40
    if is_old:
        full = rope.get("full_attention") or rope
        old = {"rope_theta": full.get("rope_theta"), "partial_rotary_factor": full.get("partial_rotary_factor")}
        old["rope_local_base_freq"] = rope.get("sliding_attention", {}).get("rope_theta")
        config |= {key: value for key, value in old.items() if value is not None}
        kinds = config.get("layer_types") or []
        if "sliding_attention" in kinds:
            config["sliding_window_pattern"] = kinds.index("full_attention") + 1
    (place / "config.json").write_text(json.dumps(config))
    shutil.copy(folder / "model.safetensors", place)
    return place


def logits_of(folder, ids):
    import mlx.core as mx
    from mlx_lm.utils import load_model

    model, _ = load_model(folder, trust_remote_code=True)
    whole = model(mx.array([ids]))
    # With a cache, token by token behind the first half.
    cache = model.make_cache() if hasattr(model, "make_cache") else None
    if cache is not None:
        half = len(ids) // 2
        parts = [model(mx.array([ids[:half]]), cache=cache)]
        parts += [model(mx.array([[token]]), cache=cache) for token in ids[half:]]
        again = mx.concatenate(parts, axis=1)
        assert float(mx.abs(again - whole).max()) < 1e-3 * float(mx.abs(whole).max()), "the cache changes the result"
    return numpy.array(whole.astype(mx.float32))[0]


def with_mlx(root, pillars):
    rows, failed = [], 0
    for family, reads_width in FAMILIES.items():
        folder = root / "tests" / "fixtures" / family
        config = json.loads((folder / "config.json").read_text())
        heads = config["num_attention_heads"]
        groups = config.get("num_key_value_heads") or heads
        each, sites = heads // groups, list(json.loads((folder / "mask.json").read_text()))
        kept = lambda count: [h for h in range(heads) if h // each < count]
        plans = {
            "whole": ("compact", {}),
            "even": ("native" if reads_width else "compact", {site: kept(max(groups // 2, 1)) for site in sites}),
            "uneven": ("compact", {site: kept(1 + i % groups) for i, site in enumerate(sites)}),
        }
        ids, cells = [9, 4, 31, 77, 12, 5, 60, 18], []
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            (scratch / "ids.jsonl").write_text(json.dumps({"input_ids": ids}))
            old, new = variant(folder, scratch / "old", True), variant(folder, scratch / "new", False)
            for plan, (form, mask) in plans.items():
                folder = new if plan == "uneven" else old
                path, out, maps = scratch / f"{plan}.json", scratch / plan, scratch / f"{plan}.safetensors"
                path.write_text(json.dumps(mask))
                chosen = ["--mask", path] if mask else []
                done = pillars("features", folder, "--tokens", scratch / "ids.jsonl", *chosen, "--out", maps, "--no-attention")
                assert done.returncode == 0, done.stderr
                want = load_file(maps)["logits"][0]
                said = True
                if mask:
                    done = pillars("prune", folder, "--plan", path, "--format", form, "--out", out, "--json")
                    assert done.returncode == 0, done.stderr
                    said = any(name in " ".join(json.loads(done.stdout)["opens_in"]) for name in ("mlx-lm", "the original"))
                else:
                    out = folder
                try:
                    got = logits_of(out, ids)
                except Exception as error:
                    print(family, plan, type(error).__name__, str(error)[:300])
                    cells.append("FAILED")
                    failed += 1
                    continue
                apart = float(numpy.abs(got - want).max() / numpy.abs(want).max())
                # There, Gemma scales embeddings by a rounded number, and StarCoder 2 has another form of its activation.
                good = apart <= (2e-2 if family.startswith("gemma") else 1e-3 if family == "starcoder2" else 1e-4) and said
                failed += not good
                cells.append(f"{apart:.0e} `{form}`" + ("" if good else " FAILED"))
        rows.append(f"| `{family}` | " + " | ".join(cells) + " |")
        print(rows[-1], flush=True)
    print("| family | whole | even | uneven |\n| --- | --- | --- | --- |")
    print("\n".join(rows))
    return failed

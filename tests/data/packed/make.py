"""Makes what transformers 5.24.0 computes (CPU, float32, eager) of packed rows on models of `tests/fixtures`.

Documents share a row, `position_ids` begin anew with each, and there is no attention mask: transformers keeps them apart.
Usage: python make.py
"""

import pathlib

import torch
import transformers
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
LENGTHS = [[5, 9, 4], [1, 15, 2]]

for name in ("llama", "gpt2", "gpt_neox", "gemma3_text"):
    folder = HERE.parents[1] / "fixtures" / name
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    torch.manual_seed(3)
    ids = torch.randint(4, 96, (2, 18))
    positions = torch.stack([torch.cat([torch.arange(length) for length in row]) for row in LENGTHS])
    with torch.no_grad():
        logits = model(input_ids=ids, position_ids=positions, use_cache=False).logits
    save_file({"input_ids": ids, "position_ids": positions, "logits": logits}, HERE / f"{name}.safetensors")
    print(name, list(logits.shape), float(logits.std()))

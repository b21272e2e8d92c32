"""Makes what transformers 5.24.0 computes (CPU, float32, eager) of images of another size on models of `tests/fixtures`.

Positions are interpolated: by DINOv2 always, by the others where `interpolate_pos_encoding` is asked for.
Usage: python make.py
"""

import pathlib

import torch
import transformers
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent

for name in ("vit", "deit", "clip_vision_model", "siglip_vision_model", "dinov2", "dinov2_with_registers"):
    folder = HERE.parents[1] / "fixtures" / name
    # Among the classes of a family the one without a head.
    kind = {"clip_vision_model": "CLIPVisionModel", "siglip_vision_model": "SiglipVisionModel"}.get(name)
    build = getattr(transformers, kind) if kind else transformers.AutoModel
    model = build.from_pretrained(folder, attn_implementation="eager").eval()
    torch.manual_seed(5)
    pixels = torch.randn(2, 3, 20, 12)
    more = {} if name.startswith("dinov2") else {"interpolate_pos_encoding": True}
    with torch.no_grad():
        states = model(pixel_values=pixels, **more).last_hidden_state
    save_file({"pixel_values": pixels, "last_hidden_state": states}, HERE / f"{name}.safetensors")
    print(name, list(states.shape), float(states.std()))

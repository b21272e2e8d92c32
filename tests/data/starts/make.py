"""What transformers lets every encoder-decoder of the fixtures read where it is given labels.

    pip install torch transformers && python make.py
"""

import importlib
import json
import pathlib

import torch
from transformers import AutoConfig

HERE = pathlib.Path(__file__).parent
LABELS = [[5, 6, 7, 2, 9], [8, 2, 9, -100, -100]]

found = {}
for family in ["bart", "mbart", "pegasus", "blenderbot", "marian", "m2m_100", "whisper", "t5"]:
    config = AutoConfig.from_pretrained(HERE / "../../fixtures" / family)
    if family == "t5":
        config.decoder_start_token_id = json.loads((HERE / "../../fixtures/t5/config.json").read_text()).get("decoder_start_token_id", 0)
    module = importlib.import_module(f"transformers.models.{family}.modeling_{family}")
    labels = torch.tensor(LABELS)
    if family == "t5":
        ids = module.T5ForConditionalGeneration(config)._shift_right(labels)
    elif family == "mbart":
        ids = module.shift_tokens_right(labels, config.pad_token_id)
    else:
        ids = module.shift_tokens_right(labels, config.pad_token_id, config.decoder_start_token_id)
    # What its class names where a configuration names nothing.
    default = getattr(type(config)(), "decoder_start_token_id", None)
    found[family] = {"decoder_input_ids": ids.tolist(), "default": default}
(HERE / "starts.json").write_text(json.dumps({"labels": LABELS, "families": found}, indent=1) + "\n")

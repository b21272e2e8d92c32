"""Opens the pruned classifier of the README's story with transformers and holds its accuracy against what `pillars evaluate`
says of it. Not part of `cargo test`, for it needs PyTorch and transformers:

    python tests/books_with_transformers.py smaller sample_models/books/test.tsv [PILLARS]

The program is the third argument, the variable PILLARS, the one on the path, or what cargo built here.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

ROOT = pathlib.Path(__file__).resolve().parent.parent
folder, data = sys.argv[1:3]
built = [ROOT / "target" / kind / "pillars" for kind in ("release", "debug")]
named = [*sys.argv[3:4], os.environ.get("PILLARS"), shutil.which("pillars"), *filter(pathlib.Path.exists, built)]
pillars = next(filter(None, named), None)
if pillars is None:
    sys.exit("pillars is not on the path and not built here; name it behind the data, or in the variable PILLARS")
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True).float().eval()
rows = [line.split("\t") for line in pathlib.Path(data).read_text(encoding="utf-8").splitlines()[1:]]
right = 0
with torch.no_grad():
    for at in range(0, len(rows), 50):
        part = rows[at : at + 50]
        encoded = tokenizer([text for text, _ in part], padding=True, truncation=True, max_length=64, return_tensors="pt")
        said = model(**encoded).logits.argmax(-1).tolist()
        right += sum(model.config.id2label[one] == label for one, (_, label) in zip(said, part))
told = json.loads(subprocess.check_output([pillars, "evaluate", folder, "--data", data, "--json", "--quiet"]))
told = told["metrics"]["accuracy"]["value"]
print(f"transformers {right / len(rows):.4f}, pillars {told:.4f} of {len(rows)}")
sys.exit(abs(right / len(rows) - told) > 1e-9)

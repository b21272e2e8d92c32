"""Sentences of two public-domain novels with their books as labels, and a small BERT that tells the books apart.

`make.py EMMA.txt PRIDE.txt` writes train.tsv, dev.tsv, test.tsv, unseen.tsv and the folder classifier; needs transformers,
tokenizers and torch.
"""

import json
import pathlib
import random
import re
import sys

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

HERE = pathlib.Path(__file__).parent
LABELS = ["Emma", "Pride and Prejudice"]
SEED, LENGTH = 11, 48
random.seed(SEED)
torch.manual_seed(SEED)
torch.set_num_threads(1)


def sentences(path):
    text = re.sub(r"\s+", " ", pathlib.Path(path).read_text(encoding="utf-8"))
    found = re.split(r"(?<=[.!?])\"? (?=[\"A-Z])", text)
    plain = (re.sub(r"[_\"]", "", sentence).strip() for sentence in found)
    return sorted({s for s in plain if 50 <= len(s) <= 200 and "CHAPTER" not in s and "Chapter" not in s})


rows = []
for label, path in zip(LABELS, sys.argv[1:3]):
    own = sentences(path)
    random.shuffle(own)
    rows.append([(sentence, label) for sentence in own])
count = min(2300, *(len(own) for own in rows))
dev = [row for own in rows for row in own[: 300]]
train = [row for own in rows for row in own[300:count]]
random.shuffle(dev)
random.shuffle(train)
# What was neither trained on nor is small: enough to tell a loss of 1 % of accuracy from chance.
unseen = min(map(len, rows))
unseen = [row for own in rows for row in own[count:unseen]]
random.Random(SEED).shuffle(unseen)
for name, part in [("train.tsv", train), ("dev.tsv", dev[:300]), ("test.tsv", dev[300:]), ("unseen.tsv", unseen)]:
    (HERE / name).write_text("sentence\tlabel\n" + "".join(f"{s}\t{label}\n" for s, label in part), encoding="utf-8")
print(len(train), len(dev))

tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
tokenizer.train_from_iterator([s for s, _ in train], trainers.WordPieceTrainer(vocab_size=2048, special_tokens=special))
tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
folder = HERE / "classifier"
fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]", model_max_length=64)
fast.save_pretrained(folder)
config = BertConfig(
    vocab_size=2048, hidden_size=64, num_hidden_layers=3, num_attention_heads=8, intermediate_size=128, max_position_embeddings=64,
    hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.1, id2label=dict(enumerate(LABELS)), label2id={label: n for n, label in enumerate(LABELS)},
)
model = BertForSequenceClassification(config)
optimizer = torch.optim.AdamW(model.parameters(), lr=1.5e-3, weight_decay=0.05)
STEPS = 600
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.5e-3, total_steps=STEPS, pct_start=0.1)


def batch(part):
    encoded = fast([s for s, _ in part], padding=True, truncation=True, max_length=LENGTH, return_tensors="pt")
    return encoded, torch.tensor([LABELS.index(label) for _, label in part])


def accuracy():
    model.eval()
    right = 0
    with torch.no_grad():
        for at in range(0, len(dev), 100):
            encoded, labels = batch(dev[at : at + 100])
            right += (model(**encoded).logits.argmax(-1) == labels).sum().item()
    model.train()
    return right / len(dev)


for step in range(STEPS):
    encoded, labels = batch(random.sample(train, 32))
    loss = model(**encoded, labels=labels).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    schedule.step()
    if step % 100 == 99:
        print(step + 1, round(loss.item(), 3), accuracy(), flush=True)
model.half().save_pretrained(folder)

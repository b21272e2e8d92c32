"""References of SQuAD: `make.py FOLDER` with utils_qa.py of transformers' example (its function for one text as `postprocess`)
and squad_metrics.py of transformers 4 in that folder."""

import importlib.util
import json
import pathlib
import sys

import numpy as np

HERE, GIVEN = pathlib.Path(__file__).parent, pathlib.Path(sys.argv[1])


def load(name):
    spec = importlib.util.spec_from_file_location(name, GIVEN / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


metrics, postprocess = load("squad_metrics"), load("utils_qa").postprocess
scores = []
for said, right in [
    ("the cat", ["cat"]),
    ("The  Cat!", ["a cat", "dog"]),
    ("an apple a day", ["apple day"]),
    ("in 1066", ["1066", "the year 1066"]),
    ("Beyoncé", ["Beyonce", "Beyoncé."]),
    ("", ["something"]),
    ("", []),
    ("", ["the"]),
    ("something", []),
    ("the", ["a"]),
    ("red red blue", ["red blue blue"]),
    ("U.S. Army's", ["US Armys", "the us army"]),
    ("there are theories", ["there theories"]),
    ("x", ["y", "z"]),
]:
    golds = [answer for answer in right if metrics.normalize_answer(answer)] or [""]
    exact = max(metrics.compute_exact(gold, said) for gold in golds)
    f1 = max(metrics.compute_f1(gold, said) for gold in golds)
    scores.append({"said": said, "right": right, "exact": exact, "f1": f1})

text = "The quick brown fox jumps over the lazy dog while twelve sleepy cats watch from the old garden wall in the pale morning light of a late October day near Oxford"
words, at = [], 0
for word in text.split():
    at = text.index(word, at)
    words.append((at, at + len(word)))
    at += len(word)
rng = np.random.default_rng(3)
searches = []
for case in range(12):
    windows, features = [], []
    for begin, end in [(0, 20), (12, len(words))]:
        places = [None] * 4 + words[begin:end] + [None]
        spread = 4 if case % 3 else 0.05
        logits = [rng.normal(0, spread, len(places)).astype(np.float32).round(3) for _ in range(2)]
        if case == 4:
            # Nothing but the question is likely.
            logits = [np.where([place is None for place in places], 5, -5).astype(np.float32) + logit / 8 for logit in logits]
        if case in (5, 6):
            logits[0][0] = logits[1][0] = 9 if case == 5 else -9
        features.append((places, logits))
        windows.append({"places": places, "starts": [float(x) for x in logits[0]], "ends": [float(x) for x in logits[1]]})
    both = [[logits[end] for _, logits in features] for end in range(2)]
    only_places = [places for places, _ in features]
    v1 = postprocess(text, only_places, both)
    v2 = postprocess(text, only_places, both, version_2_with_negative=True)
    searches.append({"windows": windows, "v1": v1, "v2": v2})
# A window without text.
lonely = {"places": [None, None], "starts": [1.0, 2.0], "ends": [-3.0, 0.0]}
both = [[np.array(lonely["starts"])], [np.array(lonely["ends"])]]
searches.append({"windows": [lonely], "v1": postprocess(text, [lonely["places"]], both), "v2": postprocess(text, [lonely["places"]], both, version_2_with_negative=True)})
with open(HERE / "references.json", "w") as file:
    json.dump({"scores": scores, "text": text, "searches": searches}, file, ensure_ascii=False)
    file.write("\n")

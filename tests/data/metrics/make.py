"""Metrics of labeled tasks by scikit-learn, scipy and seqeval on answers drawn at random, for `references.json`.

    python3 -m venv env && env/bin/pip install scikit-learn scipy seqeval && env/bin/python make.py
"""
import json
import random
from importlib.metadata import version
from pathlib import Path

from scipy.stats import pearsonr, spearmanr
from seqeval.metrics import f1_score as entity_f1, precision_score as entity_precision, recall_score as entity_recall
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef, mean_squared_error

draw = random.Random(7)


def classes(count, n, agree):
    right = [draw.randrange(count) for _ in range(n)]
    said = [r if draw.random() < agree else draw.randrange(count) for r in right]
    return said, right


cases = []
for n, agree in [(40, 0.6), (200, 0.9), (12, 0.0)]:
    said, right = classes(2, n, agree)
    cases.append({"kind": "classes", "classes": 2, "said": said, "right": right, "metrics": {
        "accuracy": accuracy_score(right, said), "f1": f1_score(right, said, zero_division=0),
        "matthews": matthews_corrcoef(right, said)}})
for count, n, agree in [(3, 60, 0.5), (7, 150, 0.8), (5, 6, 0.3)]:
    said, right = classes(count, n, agree)
    cases.append({"kind": "classes", "classes": count, "said": said, "right": right, "metrics": {
        "accuracy": accuracy_score(right, said), "f1_macro": f1_score(right, said, average="macro"),
        "matthews": matthews_corrcoef(right, said)}})
# Nothing of one class is said, nothing right: both sides constant.
cases.append({"kind": "classes", "classes": 2, "said": [0, 0, 0], "right": [0, 1, 0], "metrics": {
    "accuracy": 2 / 3, "f1": f1_score([0, 1, 0], [0, 0, 0], zero_division=0), "matthews": matthews_corrcoef([0, 1, 0], [0, 0, 0])}})
for n, ties in [(50, False), (120, True)]:
    right = [round(draw.uniform(0, 5), 0 if ties else 3) for _ in range(n)]
    said = [r + draw.gauss(0, 1) for r in right]
    said = [round(s) for s in said] if ties else said
    cases.append({"kind": "numbers", "said": said, "right": right, "metrics": {
        "pearson": pearsonr(said, right)[0], "spearman": spearmanr(said, right)[0],
        "mean_squared_error": mean_squared_error(right, said)}})
for classes_, n in [(6, 40)]:
    right = [[int(draw.random() < 0.3) for _ in range(classes_)] for _ in range(n)]
    said = [[x if draw.random() < 0.8 else 1 - x for x in row] for row in right]
    cases.append({"kind": "several", "classes": classes_, "said": said, "right": right, "metrics": {
        "f1_micro": f1_score(right, said, average="micro"), "accuracy": accuracy_score(right, said)}})
names = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "E-LOC", "S-PER"]
for used, n in [(5, 60), (7, 60)]:
    right = [[draw.randrange(used) for _ in range(draw.randrange(1, 14))] for _ in range(n)]
    said = [[t if draw.random() < 0.7 else draw.randrange(used) for t in row] for row in right]
    spell = lambda rows: [[names[t] for t in row] for row in rows]
    cases.append({"kind": "tags", "names": names, "said": said, "right": right, "metrics": {
        "f1": entity_f1(spell(right), spell(said)), "precision": entity_precision(spell(right), spell(said)),
        "recall": entity_recall(spell(right), spell(said)),
        "accuracy": accuracy_score(sum(right, []), sum(said, []))}})

made = {"made_with": {name: version(name) for name in ["scikit-learn", "scipy", "seqeval"]}, "cases": cases}
Path(__file__).with_name("references.json").write_text(json.dumps(made) + "\n")

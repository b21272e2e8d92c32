"""References of rankings: nDCG by scikit-learn, recall by its definition."""

import json
import pathlib

import numpy as np
from sklearn.metrics import ndcg_score

HERE = pathlib.Path(__file__).parent
documents = [f"d{n:03}" for n in range(150)]
rng = np.random.default_rng(5)
rankings = []
for case, (count, grades) in enumerate([(1, 1), (3, 1), (12, 1), (5, 3), (40, 2), (2, 1), (130, 1)]):
    judged = {int(n): int(rng.integers(1, grades + 1)) for n in rng.choice(150, count, replace=False)}
    scores = rng.normal(0, 1, 150).round(6)
    for n in judged:
        # Right ones are mostly nearer.
        scores[n] += 1.0 if case != 5 else -3.0
    truth = np.array([judged.get(n, 0) for n in range(150)])
    order = np.argsort(-scores)
    recall = {f"recall_at_{k}": float((truth[order[:k]] > 0).sum() / count) for k in (10, 100)}
    rankings.append({"judged": judged, "scores": scores.tolist(), "ndcg_at_10": float(ndcg_score([truth], [scores], k=10)), **recall})
with open(HERE / "references.json", "w") as file:
    json.dump({"documents": documents, "rankings": rankings}, file)
    file.write("\n")

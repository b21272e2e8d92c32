"""rows.parquet and the same rows as JSON Lines, written by pyarrow as data sets of the hub are."""

import json
import pathlib

import pyarrow
import pyarrow.parquet

HERE = pathlib.Path(__file__).parent
rows = [
    {"text": "a fine film", "label": 1, "score": 0.5, "tokens": ["a", "fine", "film"], "answers": {"text": ["fine"], "answer_start": [2]}},
    {"text": "naïve\nand dull", "label": 0, "score": -2.25, "tokens": [], "answers": {"text": [], "answer_start": []}},
    {"text": "", "label": 1, "score": None, "tokens": ["x"], "answers": {"text": ["", "x"], "answer_start": [0, 0]}},
] * 5
note = {"info": {"features": {"text": {"dtype": "string", "_type": "Value"}, "label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}}}
table = pyarrow.Table.from_pylist(rows).replace_schema_metadata({"huggingface": json.dumps(note)})
pyarrow.parquet.write_table(table, HERE / "rows.parquet", compression="snappy", row_group_size=8)
pyarrow.parquet.write_table(table, HERE / "rows.gzip.parquet", compression="gzip")
(HERE / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

"""Rows in the layouts of published sets and what lm-eval's templates and pairing make of them with the bundled decoder:
`make.py LM_EVAL`, the folder that holds the package lm_eval 0.4; needs transformers, jinja2 and yaml."""

import importlib.util
import json
import pathlib
import sys

import jinja2
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE, PACKAGE = pathlib.Path(__file__).parent, pathlib.Path(sys.argv[1])
sys.path.insert(0, str(PACKAGE))
from lm_eval.api.model import TemplateLM

FOLDER = HERE.parents[2] / "sample_models/austen-plain"
tokenizer = AutoTokenizer.from_pretrained(FOLDER)
model = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()


class Decoder(TemplateLM):
    eot_token_id = tokenizer.eos_token_id
    backend = "causal"
    tokenizer = tokenizer

    def tok_encode(self, string, **_):
        return tokenizer.encode(string, add_special_tokens=False)

    def _loglikelihood_tokens(self, requests, **_):
        found = []
        for _, context, continuation in requests:
            ids = torch.tensor([(context + continuation)[:-1]])
            with torch.no_grad():
                logits = torch.log_softmax(model(ids).logits[0].double(), -1)
            rows = logits[-len(continuation) :]
            found.append(float(rows.gather(1, torch.tensor(continuation)[:, None]).sum()))
        return found

    def loglikelihood_rolling(self, *_):
        raise NotImplementedError

    def generate_until(self, *_):
        raise NotImplementedError


decoder = Decoder()


def module(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    found = importlib.util.module_from_spec(spec)
    sys.modules["datasets"] = sys.modules.get("datasets") or type(sys)("datasets")
    sys.modules["datasets"].Dataset = object
    spec.loader.exec_module(found)
    return found


def keys(path):
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: None)
    return yaml.load((PACKAGE / "lm_eval/tasks" / path).read_text(), Loader)


hellaswag = module(PACKAGE / "lm_eval/tasks/hellaswag/utils.py")
winogrande = module(PACKAGE / "lm_eval/tasks/winogrande/preprocess_winogrande.py")


class Rows(list):
    def map(self, change):
        return [{**row, **change(row)} for row in self]


def template(text, row):
    return jinja2.Environment(keep_trailing_newline=True).from_string(text).render(**row)


SETS = {
    "piqa": ("piqa/piqa.yaml", [
        {"goal": "To keep warm at a ball,", "sol1": "stand near the fire and dance.", "sol2": "sit by the window.", "label": 0},
        {"goal": "How to write a letter ", "sol1": "with a spoon", "sol2": "with pen and ink, and a steady hand", "label": 1},
    ]),
    "arc": ("arc/arc_easy.yaml", [
        {"question": "What gives light by day?", "choices": {"text": ["the moon", "the sun", "a candle"], "label": ["A", "B", "C"]}, "answerKey": "B"},
        {"question": "Which of these is warm?", "choices": {"text": ["ice", "snow", "rain", "fire"], "label": ["1", "2", "3", "4"]}, "answerKey": "4"},
    ]),
    "openbookqa": ("openbookqa/openbookqa.yaml", [
        {"question_stem": "A walk in the rain makes one", "choices": {"text": ["wet", "dry", "rich", "tall"], "label": ["A", "B", "C", "D"]}, "answerKey": " A"},
        {"question_stem": "Horses draw a", "choices": {"text": ["picture", "carriage", "letter", "house"], "label": ["A", "B", "C", "D"]}, "answerKey": "B"},
    ]),
    "boolq": ("super_glue/boolq/default.yaml", [
        {"passage": "Mr. Hill lived in the country. He had three daughters.", "question": "did mr hill have a daughter", "label": 1},
        {"passage": "The house was small.", "question": "was the house large", "label": 0},
    ]),
    "hellaswag": ("hellaswag/hellaswag.yaml", [
        {"activity_label": "Visiting", "ctx_a": "A lady comes in. [header] She", "ctx_b": "sits Down", "endings": ["and takes [step] tea.", "on the roof of a horse.", "is  [title] gone", "and and and"], "label": "0"},
        {"activity_label": "Dancing", "ctx_a": "Two people stand up.", "ctx_b": "", "endings": ["They sleep.", "They dance to the music."], "label": "1"},
    ]),
    "winogrande": ("winogrande/default.yaml", [
        {"sentence": "Anne lent her book to Kate because _ wished to read it.", "option1": "Anne", "option2": "Kate", "answer": "2"},
        {"sentence": "The trunk did not fit into the carriage as the _ was too small.", "option1": "trunk", "option2": "carriage", "answer": "2"},
    ]),
}
found = {}
for name, (path, rows) in SETS.items():
    config = keys(path)
    delimiter = config.get("target_delimiter", " ")
    cases = []
    for row in rows:
        if name == "winogrande":
            target = winogrande.doc_to_target(row)
            pairs = [(choice, delimiter + target) for choice in winogrande.doc_to_choice(row)]
            right = winogrande.doc_to_text(row)
        else:
            doc = hellaswag.process_docs(Rows([row]))[0] if name == "hellaswag" else row
            text = config["doc_to_text"]
            text = doc[text] if text in doc else template(text, doc)
            choices = config["doc_to_choice"]
            if choices in ("choices",):
                choices = doc["choices"]
            elif isinstance(choices, str):
                choices = eval(template(choices, doc))
            target = doc["label"] if config["doc_to_target"] == "label" else template(config["doc_to_target"], {**doc, "label": doc.get("gold")})
            right = int(target)
            pairs = [(text, delimiter + choice) for choice in choices]
        encoded = [decoder._encode_pair(*pair) for pair in pairs]
        likely = decoder._loglikelihood_tokens([(None, *pair) for pair in encoded])
        lengths = [len(pair[1]) - len(delimiter) for pair in pairs]
        cases.append({"row": row, "right": right, "log_likelihoods": likely, "characters": lengths})
    found[name] = cases
with open(HERE / "references.json", "w") as file:
    json.dump(found, file, indent=1)
    file.write("\n")

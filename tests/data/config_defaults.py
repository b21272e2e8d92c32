"""Writes `config_defaults.json`: what the configuration classes of transformers 5.23.0 take for keys that are absent.

    python config_defaults.py FOLDER MODEL_TYPE ..     FOLDER is that of the package, `transformers`

The classes' sources are read, not run, so that neither transformers nor torch has to be installed.
"""

import ast
import json
import pathlib
import sys


def classes(folder):
    """Every configuration class by name: its bases, its own fields and its `model_type`."""
    found = {}
    for path in sorted(folder.glob("models/*/configuration_*.py")):
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.ClassDef):
                continue
            fields, model_type = {}, None
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and line.value is not None:
                    try:
                        fields[line.target.id] = ast.literal_eval(line.value)
                    except ValueError:
                        pass
                elif isinstance(line, ast.Assign) and getattr(line.targets[0], "id", "") == "model_type":
                    model_type = ast.literal_eval(line.value)
            bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
            found[node.name] = (bases, fields, model_type)
    return found


def fields_of(name, found):
    bases, fields, _ = found[name]
    inherited = {}
    for base in reversed([base for base in bases if base in found]):
        inherited.update(fields_of(base, found))
    return inherited | fields


def main(folder, model_types):
    found = classes(pathlib.Path(folder))
    defaults = {}
    for name, (_, _, model_type) in found.items():
        if model_type in model_types:
            own = {key: value for key, value in fields_of(name, found).items() if not key.startswith("_")}
            defaults[model_type] = own
    missing = sorted(set(model_types) - set(defaults))
    assert not missing, f"no class has the model_type {missing}"
    target = pathlib.Path(__file__).with_name("config_defaults.json")
    target.write_text(json.dumps(defaults, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

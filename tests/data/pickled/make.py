"""Makes the checkpoints in this folder: the fixture of llama as `torch.save` writes it, without PyTorch.

    python3 -m venv target/venv && target/venv/bin/pip install numpy safetensors
    target/venv/bin/python tests/data/pickled/make.py

The classes and functions below stand for those of PyTorch, so that Python's own pickle writes the same instructions
(protocol 2, storages by persistent id, an OrderedDict with `_metadata`).
"""

import io
import json
import pathlib
import pickle
import shutil
import sys
import types
import zipfile
from collections import OrderedDict

import numpy
from safetensors.numpy import load_file

HERE = pathlib.Path(__file__).resolve().parent
LLAMA = HERE.parent.parent / "fixtures" / "llama"


def module(name, **members):
    made = sys.modules.setdefault(name, types.ModuleType(name))
    for key, value in members.items():
        value.__module__, value.__qualname__, value.__name__ = name, key, key
        setattr(made, key, value)
    return made


def rebuild(*arguments):
    raise NotImplementedError


def wrap(*arguments):
    raise NotImplementedError


module("torch", **{f"{kind}Storage": type(f"{kind}Storage", (), {}) for kind in ("Float", "Half", "Long", "Bool")})
module("torch._utils", _rebuild_tensor_v2=rebuild, _rebuild_parameter=wrap)
KINDS = {"float32": "Float", "float16": "Half", "int64": "Long", "bool": "Bool"}


class Storage:
    def __init__(self, key, array):
        self.key, self.array = key, array


class Tensor:
    def __init__(self, storage, offset, shape, strides, is_parameter=False):
        self.parts, self.is_parameter = (storage, offset, shape, strides), is_parameter

    def __reduce__(self):
        made = Call(rebuild, (*self.parts, False, OrderedDict()))
        return (wrap, (made, True, OrderedDict())) if self.is_parameter else made.__reduce__()


class Call:
    def __init__(self, function, arguments):
        self.made = (function, arguments)

    def __reduce__(self):
        return self.made


class Pickler(pickle.Pickler):
    def persistent_id(self, thing):
        if not isinstance(thing, Storage):
            return None
        kind = getattr(sys.modules["torch"], KINDS[str(thing.array.dtype)] + "Storage")
        return ("storage", kind, thing.key, "cpu", thing.array.size)


class State(OrderedDict):
    """An OrderedDict that carries `_metadata`, as that of a module does."""

    def __reduce__(self):
        return (OrderedDict, (), {"_metadata": OrderedDict([("", {"version": 1})])}, None, iter(self.items()))


def save(path, state, storages):
    text = io.BytesIO()
    Pickler(text, protocol=2).dump(state)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", text.getvalue())
        archive.writestr("archive/byteorder", b"little")
        for storage in storages:
            archive.writestr(f"archive/data/{storage.key}", storage.array.tobytes())
        archive.writestr("archive/version", b"3\n")


def tensors(arrays):
    """Of `arrays` each in a storage of its own; the second begins inside one that holds more."""
    state, storages = State(), []
    for index, (name, array) in enumerate(arrays.items()):
        before = 3 if index == 1 else 0
        storage = Storage(str(index), numpy.concatenate([numpy.zeros(before, array.dtype), array.ravel()]))
        strides = tuple(s // array.itemsize for s in array.strides)
        state[name] = Tensor(storage, before, array.shape, strides, is_parameter=index == 2)
        storages.append(storage)
    return state, storages


def main():
    arrays = load_file(LLAMA / "model.safetensors")
    whole = arrays | {"model.rotary.mask": numpy.array([[True, False]]), "model.position_ids": numpy.arange(4)}
    for name in ("single", "sharded", "nested"):
        shutil.rmtree(HERE / name, ignore_errors=True)
        (HERE / name).mkdir()
        shutil.copy(LLAMA / "config.json", HERE / name / "config.json")
    save(HERE / "single" / "pytorch_model.bin", *tensors(whole))
    state, storages = tensors(arrays)
    save(HERE / "nested" / "pytorch_model.bin", {"epoch": 3, "state_dict": state, "lr": 0.1, "done": True}, storages)
    names = list(arrays)
    weight_map = {}
    for part, chosen in enumerate((names[:9], names[9:]), 1):
        file = f"pytorch_model-0000{part}-of-00002.bin"
        weight_map |= dict.fromkeys(chosen, file)
        save(HERE / "sharded" / file, *tensors({name: arrays[name] for name in chosen}))
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (HERE / "sharded" / "pytorch_model.bin.index.json").write_text(json.dumps(index))


if __name__ == "__main__":
    main()

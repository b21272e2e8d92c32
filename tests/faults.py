"""Faults of the machine against every command that writes: full disks, read-only folders, signals, odd paths, files that
change while they are read. Opt-in, for Linux; what needs a file system of its own needs root, and is skipped without.

    python3 tests/faults.py target/debug/pillars [--only NAME] > faults.md

Each cell of the table it prints is an outcome: "refused" is status 1 with one line, nothing new on the disk; "whole" is a
finished result that reads back; "stopped" is status 130, or the signal's own death, with nothing that looks like a result.
Anything else is printed in capitals and makes the script fail.
"""

import argparse
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "sample_models"
READ = ["--seq-len", "48", "--batch-size", "4", "--device", "cpu", "--quiet"]
FEW = [*READ, "--batches", "3"]


class Bench:
    """Inputs that commands need, made once by the program itself."""

    def __init__(self, program, home):
        self.program, self.home = program, home
        self.model = home / "model"
        shutil.copytree(SAMPLES / "austen-plain", self.model)
        self.text = home / "text.txt"
        self.text.write_bytes((SAMPLES / "austen.txt").read_bytes()[:60_000])
        self.analysis, self.plan = home / "a.json", home / "p.json"
        self.parts = [home / "part1.json", home / "part2.json"]
        self.repair, self.curve = home / "r.safetensors", home / "c.json"
        for number, part in enumerate(self.parts, 1):
            self.make("analyze", [*COMMANDS["analyze"](self, part), "--shard", f"{number}/2"])
        for name in ("analyze", "plan", "repair", "curve"):
            out = {"analyze": self.analysis, "plan": self.plan, "repair": self.repair, "curve": self.curve}[name]
            self.make(name, COMMANDS[name](self, out))

    def make(self, name, args):
        done = self.run(args)
        if done.returncode:
            sys.exit(f"{name} fails without any fault: {done.stderr.decode(errors='replace')}")

    def argv(self, args):
        return [os.fsencode(self.program), *(os.fsencode(a) if isinstance(a, os.PathLike) else
                                             a if isinstance(a, bytes) else str(a).encode() for a in args)]

    def run(self, args, **more):
        return subprocess.run(self.argv(args), stdin=subprocess.DEVNULL, capture_output=True, timeout=600, **more)

    def start(self, args, **more):
        return subprocess.Popen(self.argv(args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


# The arguments of each command that writes `out`.
COMMANDS = {
    "features": lambda b, out: ["features", b.model, "--text", b.text, *FEW, "--out", out],
    "analyze": lambda b, out: ["analyze", b.model, "--text", b.text, *FEW, "--moments", "--out", out],
    "merge": lambda b, out: ["merge", *b.parts, "--out", out],
    "plan": lambda b, out: ["plan", b.analysis, "--layer-ratio", "0.5", "--out", out],
    "repair": lambda b, out: ["repair", b.model, "--plan", b.plan, "--text", b.text, *FEW, "--mode", "refit", "--out", out],
    "curve": lambda b, out: ["curve", b.model, "--text", b.text, *FEW, "--analysis", b.analysis, "--layer-ratio", "0.5",
                             "--seeds", "1", "--out", out],
    "figure": lambda b, out: ["figure", b.analysis, "--view", "overview", "--out", out],
    "prune": lambda b, out: ["prune", b.model, "--plan", b.plan, "--format", "compact", "--out", out],
    "prune onnx": lambda b, out: ["prune", b.model, "--plan", b.plan, "--format", "onnx", "--out", out],
    "convert gguf": lambda b, out: ["convert", b.model, "--to", "gguf", "--out", out],
    "train": lambda b, out: ["train", b.model, "--text", b.text, *READ, "--batches", "12", "--held-out-every", "4",
                             "--held-out-batches", "1", "--vote-batches", "2", "--steps", "3", "--finetune-steps", "1",
                             "--keep", "4", "--save-every", "1", "--out", out],
}
# What a process with no standard error has said.
CLOSED_STDERR = b"closed"
FOLDERS = {"prune", "prune onnx", "convert gguf", "train"}
ENDINGS = {"features": ".safetensors", "repair": ".safetensors", "figure": ".svg"}


def name_of(command):
    return "out" if command in FOLDERS else "out" + ENDINGS.get(command, ".json")


def whole(bench, command, out):
    """Why the result at `out` is not whole, or None."""
    if command in FOLDERS:
        if command == "convert gguf":
            return None if any(out.glob("*.gguf")) else "no .gguf"
        if command == "prune onnx":
            return None if any(out.rglob("*.onnx")) else "no .onnx"
        done = bench.run(["inspect", out, "--json"])
        return None if done.returncode == 0 else done.stderr.decode(errors="replace").strip()
    data = out.read_bytes()
    if out.suffix == ".json":
        try:
            json.loads(data)
        except ValueError as error:
            return str(error)
    elif out.suffix == ".safetensors":
        size = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8:8 + size])
        end = max((t["data_offsets"][1] for k, t in header.items() if k != "__metadata__"), default=0)
        if 8 + size + end != len(data):
            return "cut short"
    elif b"</svg>" not in data[-16:]:
        return "cut short"
    return None


def listing(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def refusal(done, folder, before):
    """Whether the command said one line, failed with 1, and left nothing."""
    # Commands without --quiet say how far they are; the error is the last line, and nothing panics.
    lines = done.stderr.decode(errors="replace").splitlines()
    said = done.stderr is CLOSED_STDERR or len(lines) >= 1 and lines[-1].startswith("pillars: ")
    if done.returncode != 1 or not said or "panicked" in " ".join(lines):
        return f"STATUS {done.returncode}: {done.stderr.decode(errors='replace')[-200:]!r}"
    left = [name for name in listing(folder) if name not in before]
    return "LEFT " + ", ".join(left) if left else "refused"


def outcome(bench, command, done, out, folder, before):
    if done.returncode == 0:
        why = whole(bench, command, out) if out.exists() else "no result"
        return f"NOT WHOLE: {why}" if why else "whole"
    return refusal(done, folder, before)


class Mount:
    """A file system of `size` bytes, or None without the right to make one."""

    def __init__(self, folder, size):
        self.folder, self.size = folder, size

    def __enter__(self):
        self.folder.mkdir(exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.size}", "tmpfs", self.folder], capture_output=True)
        self.mounted = done.returncode == 0
        return self if self.mounted else None

    def __exit__(self, *_):
        if self.mounted:
            subprocess.run(["umount", "-l", self.folder], check=True)


def size_of(path):
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(p.stat().st_size for p in files)


def full_disk(bench, command, folder, share):
    def fault():
        plain = folder / "plain"
        plain.mkdir()
        out = plain / name_of(command)
        if bench.run(COMMANDS[command](bench, out)).returncode:
            return "FAILS WITHOUT FAULT"
        need = max(size_of(plain), 4096)
        place = folder / "full"
        with Mount(place, max(int(need * share) // 4096, 1) * 4096) as mounted:
            if mounted is None:
                return "skipped"
            done = bench.run(COMMANDS[command](bench, place / name_of(command)))
            found = outcome(bench, command, done, place / name_of(command), place, [])
            if command != "train" or not found.startswith("LEFT "):
                return found
            # What a run saved before there was no more room stays; with room --resume goes on from it.
            subprocess.run(["mount", "-o", f"remount,size={4 * need}", place], check=True)
            done = bench.run([*COMMANDS[command](bench, place / name_of(command)), "--resume"])
            after = outcome(bench, command, done, place / name_of(command), place, [])
            return "stopped" if after == "whole" else f"THEN {after}"
    return fault()


def read_only(bench, command, folder):
    place = folder / "ro"
    with Mount(place, 1 << 20) as mounted:
        if mounted is None:
            return "skipped"
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        done = bench.run(COMMANDS[command](bench, place / name_of(command)))
        return refusal(done, place, [])


def other_file_system(bench, command, folder):
    place = folder / "other"
    with Mount(place, 1 << 28) as mounted:
        if mounted is None:
            return "skipped"
        done = bench.run(COMMANDS[command](bench, place / name_of(command)))
        return outcome(bench, command, done, place / name_of(command), place, [])


def no_parent(bench, command, folder):
    out = folder / "missing" / "deeper" / name_of(command)
    return outcome(bench, command, bench.run(COMMANDS[command](bench, out)), out, folder, [])


def odd_names(bench, command, folder):
    odd = os.fsencode(folder) + b"/\xff\xfe odd \n name"
    os.mkdir(odd)
    out = odd + b"/" + name_of(command).encode()
    done = bench.run(COMMANDS[command](bench, out))
    return outcome(bench, command, done, Path(os.fsdecode(out)), Path(os.fsdecode(odd)), [])


def odd_result(bench, command, folder):
    out = os.fsencode(folder) + b"/\xff" + name_of(command).encode()
    done = bench.run(COMMANDS[command](bench, out))
    return outcome(bench, command, done, Path(os.fsdecode(out)), folder, [])


def odd_surroundings(bench, command, folder):
    """Umask, locale, a terminal of no width, no home, no standard error to write to."""
    out = folder / name_of(command)
    env = {"PATH": os.environ["PATH"], "LC_ALL": "tr_TR.UTF-8", "COLUMNS": "0", "TZ": "Pacific/Apia", "HOME": "/nowhere"}
    done = bench.run(COMMANDS[command](bench, out), env=env, umask=0o777 & ~0o600)
    return outcome(bench, command, done, out, folder, [])


def by_signal(bench, command, folder, sent, tries):
    """Sent at random moments; afterwards the same command runs through."""
    first = folder / "timed"
    first.mkdir()
    start = time.monotonic()
    bench.run(COMMANDS[command](bench, first / name_of(command)))
    span = time.monotonic() - start
    place = folder / "signaled"
    place.mkdir()
    out = place / name_of(command)
    seen = set()
    for n in range(tries):
        child = bench.start(COMMANDS[command](bench, out))
        time.sleep(random.uniform(0, span))
        child.send_signal(sent)
        _, stderr = child.communicate(timeout=60)
        if child.returncode == 0:
            seen.add("whole" if out.exists() and whole(bench, command, out) is None else "NOT WHOLE AT 0")
        elif child.returncode not in (130, -sent):
            seen.add(f"STATUS {child.returncode}: {stderr[-200:]!r}")
        elif command == "train":
            # A run that was stopped leaves its saved state, which --resume goes on with.
            seen.add("stopped")
        elif out.exists() and (why := whole(bench, command, out)):
            seen.add(f"HALF: {why}")
        elif not out.exists() and sent != signal.SIGKILL and listing(place):
            seen.add("LEFT " + ", ".join(listing(place)))
        else:
            seen.add("stopped")
        if out.is_dir():
            shutil.rmtree(out)
        elif out.exists():
            out.unlink()
    # What was left is swept once it is so old that whoever works in it has locked it.
    for name in listing(place):
        if Path(name).name.startswith("."):
            os.utime(place / name, (time.time() - 120,) * 2)
    done = bench.run(COMMANDS[command](bench, out))
    after = outcome(bench, command, done, out, place, listing(place))
    if after != "whole":
        seen.add("THEN " + after)
    hidden = [n for n in listing(place) if Path(n).name.startswith(".") and Path(n).parts[0] != "out"]
    if hidden:
        seen.add("STALE " + ", ".join(hidden))
    return ", ".join(sorted(seen))


def changed_under(bench, command, folder, what):
    """The model's weights or the text are removed or cut while the command runs."""
    model, text = folder / "model", folder / "text.txt"
    seen = set()
    for n in range(4):
        shutil.copytree(bench.model, model)
        shutil.copy(bench.text, text)
        class Moved:
            pass
        moved = Moved()
        moved.__dict__.update(bench.__dict__, model=model, text=text)
        out = folder / name_of(command)
        child = bench.start(COMMANDS[command](moved, out))
        time.sleep(0.01 + 0.05 * n)
        weights = model / "model.safetensors"
        if what == "removed":
            weights.unlink(), text.unlink()
        elif what == "cut":
            for path in (weights, text):
                os.truncate(path, path.stat().st_size // 3)
        stdout, stderr = child.communicate(timeout=120)
        done = subprocess.CompletedProcess([], child.returncode, stdout, stderr)
        found = outcome(bench, command, done, out, folder, listing(model.parent) if not out.exists() else [])
        seen.add("whole" if found.startswith("LEFT model") else found)
        shutil.rmtree(model)
        for path in (text, out):
            if path.is_dir():
                shutil.rmtree(path)
            elif path.exists():
                path.unlink()
        for stray in folder.glob("out*"):
            stray.unlink() if stray.is_file() else shutil.rmtree(stray)
    return ", ".join(sorted(seen))


def two_at_once(bench, command, folder):
    out = folder / name_of(command)
    children = [bench.start(COMMANDS[command](bench, out)) for _ in range(2)]
    codes = []
    for child in children:
        _, stderr = child.communicate(timeout=600)
        codes.append(child.returncode)
        if child.returncode not in (0, 1):
            return f"STATUS {child.returncode}: {stderr[-200:]!r}"
    if 0 not in codes:
        return f"NONE WON {codes}: {stderr[-200:]!r}"
    why = whole(bench, command, out)
    hidden = [n for n in listing(folder) if Path(n).name.startswith(".") and Path(n).parts[0] != "out"]
    return f"NOT WHOLE: {why}" if why else "LEFT " + ", ".join(hidden) if hidden else "whole"


def little_memory(bench, command, folder):
    """An address space that ends during the work."""
    seen = set()
    for megabytes in (80, 160, 320):
        out = folder / f"{megabytes}{name_of(command)}"
        limit = megabytes << 20
        import resource
        done = bench.run(COMMANDS[command](bench, out),
                         preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
                         env={**os.environ, "RAYON_NUM_THREADS": "2"})
        if done.returncode == 0:
            seen.add("whole" if whole(bench, command, out) is None else "NOT WHOLE")
        elif command != "train" and out.exists() and whole(bench, command, out):
            seen.add("HALF")
        elif command == "train" and out.exists():
            # What it saved stays; with memory --resume goes on from it.
            done = bench.run([*COMMANDS[command](bench, out), "--resume"])
            after = outcome(bench, command, done, out, folder, listing(folder))
            seen.add("stopped" if after == "whole" else f"THEN {after}")
        else:
            # The allocator ends the process where the system gives no memory: nothing may be there then.
            seen.add("stopped" if done.returncode < 0 else refusal(done, folder, listing(folder)))
    return ", ".join(sorted(seen))


def closed_streams(bench, command, folder):
    out = folder / name_of(command)
    program = " ".join(["exec", "\"$@\"", ">&-", "2>&-"])
    done = subprocess.run(["sh", "-c", program, "sh", *bench.argv(COMMANDS[command](bench, out))],
                          stdin=subprocess.DEVNULL, timeout=600)
    done.stderr = CLOSED_STDERR
    return outcome(bench, command, done, out, folder, [])


FAULTS = {
    "disk full at once": lambda b, c, f: full_disk(b, c, f, 0.0),
    "disk full at half": lambda b, c, f: full_disk(b, c, f, 0.5),
    "disk full at 95 %": lambda b, c, f: full_disk(b, c, f, 0.95),
    "read-only folder": read_only,
    "another file system": other_file_system,
    "no such folder": no_parent,
    "folder whose name is no UTF-8": odd_names,
    "result whose name is no UTF-8": odd_result,
    "umask, locale, no home": odd_surroundings,
    "SIGINT": lambda b, c, f: by_signal(b, c, f, signal.SIGINT, 6),
    "SIGTERM": lambda b, c, f: by_signal(b, c, f, signal.SIGTERM, 6),
    "SIGKILL": lambda b, c, f: by_signal(b, c, f, signal.SIGKILL, 12),
    "model and text removed": lambda b, c, f: changed_under(b, c, f, "removed"),
    "model and text cut": lambda b, c, f: changed_under(b, c, f, "cut"),
    "two at once": two_at_once,
    "little memory": little_memory,
    "closed output": closed_streams,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("--only", help="a fault or a command")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    random.seed(asked.seed)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="pillars-faults-") as home:
        bench = Bench(asked.program.resolve(), Path(home))
        commands = [c for c in COMMANDS if asked.only in (None, c) or asked.only in FAULTS]
        faults = {k: v for k, v in FAULTS.items() if asked.only in (None, k) or asked.only in COMMANDS}
        print("| fault | " + " | ".join(commands) + " |\n|" + " --- |" * (len(commands) + 1))
        for fault, make in faults.items():
            cells = []
            for command in commands:
                folder = Path(tempfile.mkdtemp(dir=home))
                try:
                    cell = make(bench, command, folder)
                except subprocess.TimeoutExpired:
                    cell = "HANGS"
                failed += any(word.isupper() and len(word) > 2 for word in cell.replace(":", " ").split())
                cells.append(cell.replace("|", "/").replace("\n", " "))
                shutil.rmtree(folder, ignore_errors=True)
            print(f"| {fault} | " + " | ".join(cells) + " |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

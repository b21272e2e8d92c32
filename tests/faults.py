"""Faults of the machine against every command: full disks, read-only folders, signals, odd paths, files that change or stall
while they are read. Opt-in, for Linux; what needs a file system of its own needs root, and is skipped without.

    python3 tests/faults.py target/debug/pillars [--only NAME ..] > faults.md

Each cell of the table it prints is an outcome: "refused" is status 1 with one line, nothing new on the disk; "whole" is a
finished result that reads back; "stopped" is status 130, or the signal's own death, with nothing that looks like a result;
"-" is a fault that the command cannot meet. Results of commands that only print are what they print into a file.
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


class Printed:
    """At the end of arguments: where what the command prints goes."""

    def __init__(self, path):
        self.path = path


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
        child = self.start(args, **more)
        try:
            stdout, stderr = child.communicate(timeout=600)
        finally:
            child.kill()
        if child.returncode and isinstance(args[-1], Printed):
            args[-1].path.unlink(missing_ok=True)
        return subprocess.CompletedProcess(args, child.returncode, stdout, stderr)

    def start(self, args, **more):
        into = subprocess.PIPE
        if isinstance(args[-1], Printed):
            into = open(args[-1].path, "wb")
            args = args[:-1]
        child = subprocess.Popen(self.argv(args), stdin=subprocess.DEVNULL, stdout=into, stderr=subprocess.PIPE, **more)
        if into is not subprocess.PIPE:
            into.close()
        return child


TINY = ["--layers", "1", "--width", "16", "--heads", "4", "--inner", "16", "--vocabulary", "300", "--steps", "3", "--finetune-steps",
        "1", "--batch-size", "2", "--seq-len", "16", "--seeds", "1", "--arms", "vanilla,ght", "--vote-batches", "2",
        "--held-out-batches", "1", "--keep", "2", "--device", "cpu", "--quiet"]


def pruned(format):
    return lambda b, out: ["prune", b.model, "--plan", b.plan, "--format", format, "--out", out]


def converted(engine):
    return lambda b, out: ["convert", b.model, "--to", engine, "--out", out]


# The arguments of each command that writes or prints `out`.
COMMANDS = {
    "features": lambda b, out: ["features", b.model, "--text", b.text, *FEW, "--out", out],
    "analyze": lambda b, out: ["analyze", b.model, "--text", b.text, *FEW, "--moments", "--out", out],
    "merge": lambda b, out: ["merge", *b.parts, "--out", out],
    "plan": lambda b, out: ["plan", b.analysis, "--layer-ratio", "0.5", "--out", out],
    "plan by search": lambda b, out: ["plan", b.analysis, b.model, "--text", b.text, *FEW, "--max-loss-increase", "5%", "--out", out],
    "repair": lambda b, out: ["repair", b.model, "--plan", b.plan, "--text", b.text, *FEW, "--mode", "refit", "--out", out],
    "curve": lambda b, out: ["curve", b.model, "--text", b.text, *FEW, "--analysis", b.analysis, "--layer-ratio", "0.5",
                             "--seeds", "1", "--out", out],
    "figure": lambda b, out: ["figure", b.analysis, "--view", "overview", "--out", out],
    "prune": pruned("compact"),
    "prune native": pruned("native"),
    "prune gqa": pruned("gqa"),
    "prune masked": pruned("masked"),
    "prune onnx": pruned("onnx"),
    "convert gguf": converted("gguf"),
    "convert onnx": converted("onnx"),
    "convert ct2": converted("ct2"),
    "train": lambda b, out: ["train", b.model, "--text", b.text, *READ, "--batches", "12", "--held-out-every", "4",
                             "--held-out-batches", "1", "--vote-batches", "2", "--steps", "3", "--finetune-steps", "1",
                             "--keep", "4", "--save-every", "1", "--out", out],
    "experiment": lambda b, out: ["experiment", "--text", b.text, *TINY, "--out", out],
    "inspect": lambda b, out: ["inspect", b.model, "--json", Printed(out)],
    "evaluate": lambda b, out: ["evaluate", b.model, "--text", b.text, *FEW, "--plan", b.plan, "--json", Printed(out)],
    "compare": lambda b, out: ["compare", *b.parts, "--quiet", "--json", Printed(out)],
}
# What a process with no standard error has said.
CLOSED_STDERR = b"closed"
# Commands whose results are what they print.
PRINTS = {"inspect", "evaluate", "compare"}
# Commands that go on with --resume from what they saved.
RESUMES = {"train", "experiment"}
FILES = {"prune onnx": "*.onnx", "convert onnx": "*.onnx", "convert gguf": "*.gguf", "convert ct2": "model.bin",
         "experiment": "table.md"}
FOLDERS = {"prune", "prune native", "prune gqa", "prune masked", "train", *FILES}
ENDINGS = {"features": ".safetensors", "repair": ".safetensors", "figure": ".svg"}


def name_of(command):
    return "out" if command in FOLDERS else "out" + ENDINGS.get(command, ".json")


def whole(bench, command, out):
    """Why the result at `out` is not whole, or None."""
    if command in FOLDERS:
        if wanted := FILES.get(command):
            return None if any(out.rglob(wanted)) else f"no {wanted}"
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
    # Libraries panic where the system has nothing more to give, which the last line then says.
    panics = "panicked" in " ".join(lines) and not lines[-1].startswith("pillars: the system gave no more")
    if done.returncode != 1 or not said or panics:
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
            if command not in RESUMES or not found.startswith("LEFT "):
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
        if child.returncode and command in PRINTS:
            out.unlink(missing_ok=True)
        if child.returncode == 0:
            seen.add("whole" if out.exists() and whole(bench, command, out) is None else "NOT WHOLE AT 0")
        elif child.returncode not in (130, -sent):
            seen.add(f"STATUS {child.returncode}: {stderr[-200:]!r}")
        elif command in RESUMES:
            # A run that was stopped leaves its saved state, which --resume goes on with.
            seen.add("stopped")
        elif out.exists() and (why := whole(bench, command, out)):
            seen.add(f"HALF: {why}")
        elif not out.exists() and sent != signal.SIGKILL and listing(place):
            seen.add("LEFT " + ", ".join(listing(place)))
        else:
            seen.add("stopped")
        for stray in place.glob("out*"):
            shutil.rmtree(stray) if stray.is_dir() else stray.unlink()
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


class Moved:
    """A bench some of whose files lie elsewhere."""

    def __init__(self, bench, **elsewhere):
        self.__dict__.update(bench.__dict__, **elsewhere)


def changed_under(bench, command, folder, what):
    """The model's weights or the text are removed or cut while the command runs."""
    model, text = folder / "model", folder / "text.txt"
    seen = set()
    for n in range(4):
        shutil.copytree(bench.model, model)
        shutil.copy(bench.text, text)
        moved = Moved(bench, model=model, text=text)
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
        if child.returncode and command in PRINTS:
            out.unlink(missing_ok=True)
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


def stalled_input(bench, command, folder):
    """The text is a pipe whose writer says half and then nothing."""
    if bench.text not in COMMANDS[command](bench, folder / "out"):
        return "-"
    pipe, place = folder / "pipe", folder / "place"
    os.mkfifo(pipe)
    place.mkdir()
    moved = Moved(bench, text=pipe)
    out = place / name_of(command)
    child = bench.start(COMMANDS[command](moved, out))
    try:
        # Opens without waiting for a reader that may never come.
        writer = os.open(pipe, os.O_RDWR)
        os.write(writer, bench.text.read_bytes()[:30_000])
        time.sleep(1)
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
        _, stderr = child.communicate(timeout=20)
        os.close(writer)
    except subprocess.TimeoutExpired:
        child.kill()
        return "HANGS"
    done = subprocess.CompletedProcess([], child.returncode, b"", stderr)
    if command in PRINTS:
        out.unlink(missing_ok=True)
    if child.returncode != 130:
        return refusal(done, place, [])
    return "LEFT " + ", ".join(listing(place)) if listing(place) else "stopped"


def ignored_hang_up(bench, command, folder):
    """As under nohup: a signal that is ignored from the start stays so."""
    out = folder / name_of(command)
    child = bench.start(COMMANDS[command](bench, out), preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    time.sleep(0.05)
    child.send_signal(signal.SIGHUP)
    stdout, stderr = child.communicate(timeout=600)
    return outcome(bench, command, subprocess.CompletedProcess([], child.returncode, stdout, stderr), out, folder, [])


def clock_went_back(bench, command, folder):
    """What a killed process left, what it read and the folders are of years to come, or of 1970."""
    out, seen = folder / name_of(command), set()
    for moment in (time.time() + 10 * 365 * 86_400, 1.0):
        for _ in range(3):
            child = bench.start(COMMANDS[command](bench, out))
            time.sleep(random.uniform(0, 0.4))
            child.kill()
            child.communicate(timeout=60)
            if out.exists() and command not in RESUMES:
                shutil.rmtree(out) if out.is_dir() else out.unlink()
        for path in [bench.model, bench.text, bench.plan, bench.analysis, folder, *folder.rglob("*")]:
            os.utime(path, (moment, moment))
        resume = ["--resume"] if command in RESUMES and out.exists() else []
        done = bench.run([*COMMANDS[command](bench, out), *resume])
        seen.add(outcome(bench, command, done, out, folder, listing(folder)))
        # Of years to come: whoever works there may have begun at that moment, by a clock that goes right.
        hidden = [name for name in listing(folder) if Path(name).name.startswith(".") and Path(name).parts[0] != "out"]
        seen.update(["STALE " + ", ".join(hidden)] if hidden and moment == 1.0 else [])
        shutil.rmtree(out) if out.is_dir() else out.unlink(missing_ok=True)
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
        elif command not in RESUMES and out.exists() and whole(bench, command, out):
            seen.add("HALF")
        elif command in RESUMES and out.exists():
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


def placed(make):
    """A fault of where results go, which commands that print do not meet."""
    return lambda bench, command, folder: "-" if command in PRINTS else make(bench, command, folder)


FAULTS = {
    "disk full at once": lambda b, c, f: full_disk(b, c, f, 0.0),
    "disk full at half": lambda b, c, f: full_disk(b, c, f, 0.5),
    "disk full at 95 %": lambda b, c, f: full_disk(b, c, f, 0.95),
    "read-only folder": placed(read_only),
    "another file system": placed(other_file_system),
    "no such folder": placed(no_parent),
    "folder whose name is no UTF-8": placed(odd_names),
    "result whose name is no UTF-8": placed(odd_result),
    "umask, locale, no home": odd_surroundings,
    "SIGINT": lambda b, c, f: by_signal(b, c, f, signal.SIGINT, 6),
    "SIGTERM": lambda b, c, f: by_signal(b, c, f, signal.SIGTERM, 6),
    "SIGHUP": lambda b, c, f: by_signal(b, c, f, signal.SIGHUP, 4),
    "SIGHUP under nohup": ignored_hang_up,
    "SIGKILL": lambda b, c, f: by_signal(b, c, f, signal.SIGKILL, 12),
    "model and text removed": lambda b, c, f: changed_under(b, c, f, "removed"),
    "model and text cut": lambda b, c, f: changed_under(b, c, f, "cut"),
    "input that stalls": stalled_input,
    "clock that went back": clock_went_back,
    "two at once": placed(two_at_once),
    "little memory": little_memory,
    "closed output": placed(closed_streams),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("--only", nargs="+", default=[], help="faults and commands")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    random.seed(asked.seed)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="pillars-faults-") as home:
        bench = Bench(asked.program.resolve(), Path(home))
        commands = [c for c in COMMANDS if c in asked.only or not COMMANDS.keys() & set(asked.only)]
        faults = {k: v for k, v in FAULTS.items() if k in asked.only or not FAULTS.keys() & set(asked.only)}
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

"""Loss of power at every write of every command that writes. Opt-in, for Linux with strace.

    python3 tests/power.py target/debug/pillars [--only NAME] [--store TESTS] > power.md

The system calls of one run are recorded, and what a disk may hold is asked after each of them: names as far as they had
come, and of every file no more than was synced by then, which is the worst that journaled file systems leave. At each of
these moments the result is absent, the old one or the new one (of work that is saved on its way: whole files only);
anything else is printed in capitals and makes the script fail. TESTS is the program of the library's unit tests
(`cargo test --lib --no-run` names it), which saves what the window saves by itself. A command that has said that it is done has also synced the folder that names its result.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from faults import COMMANDS, FOLDERS, PRINTS, RESUMES, Bench, name_of

CALLS = ("openat,open,creat,write,pwrite64,writev,pwritev,copy_file_range,sendfile,ftruncate,fallocate,fsync,fdatasync,"
         "rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,ioctl")
LINE = re.compile(r"^(\d+) +(?:(\w+)\((.*)\) += (-?\d+)(?:<(.*)>)?(?: .*)?|(\w+)\((.*) <unfinished \.\.\.>|<\.\.\. (\w+) resumed>(.*)\) += (-?\d+)(?:<(.*)>)?(?: .*)?)$")
PATH = re.compile(r'"((?:[^"\\]|\\.)*)"')
FD = re.compile(r"(\d+)<([^<>]*)>")
# Results that are saved again and again while the work goes on.
GOES_ON = {"curve", "store", *RESUMES}
WRITES = {"write", "pwrite64", "writev", "pwritev", "ftruncate", "fallocate"}


def calls(trace):
    """Name, arguments and named result of every call that succeeded, in the order in which they ended."""
    begun = {}
    for line in trace.read_text(errors="replace").splitlines():
        found = LINE.match(line)
        if not found:
            continue
        pid, name, args, result, named, started, part, resumed, rest, late, late_named = found.groups()
        if started:
            begun[pid] = part
            continue
        if resumed:
            name, args, result, named = resumed, begun.pop(pid, "") + rest, late, late_named
        if int(result) >= 0:
            yield name, args, named


class Disk:
    """Names, the file behind each, and which files hold what is not synced."""

    def __init__(self, home):
        self.home, self.next = str(home), 0
        self.tree, self.folders = {}, set()
        self.dirty, self.writes = set(), {}
        # Folders in which a rename changed a name that is not hidden, and that were not synced since.
        self.unsynced = set()
        for root, folders, files in os.walk(home):
            self.folders.update(os.path.join(root, f) for f in folders)
            for file in files:
                self.create(os.path.join(root, file))
        self.writes = dict.fromkeys(self.writes, 0)

    def create(self, path):
        self.tree[path] = self.next
        self.writes[self.next] = 0
        self.next += 1

    def change(self, path):
        file = self.tree.get(path)
        if file is not None:
            self.dirty.add(file)
            self.writes[file] += 1

    def under(self, path):
        return {p: f for p, f in self.tree.items() if p == path or p.startswith(path + "/")}

    def take(self, path):
        taken = {p[len(path):]: self.tree.pop(p) for p in self.under(path)}
        folders = {p[len(path):] for p in self.folders if p == path or p.startswith(path + "/")}
        self.folders -= {path + f for f in folders}
        return taken, folders

    def put(self, path, taken):
        files, folders = taken
        self.tree.update({path + p: f for p, f in files.items()})
        self.folders |= {path + f for f in folders}
        if not os.path.basename(path).startswith("."):
            self.unsynced.add(os.path.dirname(path))

    def apply(self, name, args, named):
        """What a call does; None where it changes nothing below the home."""
        names = [m.group(1) for m in PATH.finditer(args)]
        fds = [m.group(2) for m in FD.finditer(args)]
        full = lambda path: path if path.startswith("/") else os.path.join(next((f for f in fds), self.home), path)
        if name in ("openat", "open", "creat"):
            path = named or ""
            if not path.startswith(self.home) or os.path.basename(path).startswith("#"):
                return None
            if "O_CREAT" in args and path not in self.tree and "O_TMPFILE" not in args:
                self.create(path)
            elif "O_TRUNC" in args:
                self.change(path)
            else:
                return None
        elif name in WRITES and fds:
            path = fds[0]
            self.change(path)
        elif name in ("copy_file_range", "sendfile", "ioctl"):
            if name == "ioctl" and "FICLONE" not in args:
                return None
            path = fds[1] if name == "copy_file_range" else fds[0]
            self.change(path)
        elif name in ("fsync", "fdatasync"):
            path = fds[0]
            self.dirty.discard(self.tree.get(path))
            self.unsynced.discard(path)
        elif name.startswith("rename"):
            source, path = map(full, names[:2])
            taken = self.take(source)
            other = self.take(path)
            self.put(path, taken)
            if "RENAME_EXCHANGE" in args:
                self.put(source, other)
        elif name.startswith("link"):
            source, path = map(full, names[:2])
            if source in self.tree:
                self.tree[path] = self.tree[source]
        elif name.startswith(("unlink", "rmdir")):
            path = full(names[0])
            self.take(path)
        elif name.startswith("mkdir"):
            path = full(names[0])
            self.folders.add(path)
        else:
            return None
        return path if path.startswith(self.home) else None


def states(before, trace, target, final, kind):
    """Every moment at which `target` is neither absent nor old nor new."""
    old, new = before.under(target), final.under(target)
    for name, args, named in calls(trace):
        path = before.apply(name, args, named)
        if path is None:
            continue
        now = before.under(target)
        lost = {p for p, f in now.items() if f in before.dirty or before.writes[f] != final.writes.get(f, 0)}
        if kind in GOES_ON:
            # What a later run goes on from: a log that grows; every other file has its name once it is whole.
            lost = {p for p in now if now[p] in before.dirty}
            lost = {p for p in lost if not p.endswith(("metrics.csv", "metrics.jsonl", ".lock")) and "/." not in p[len(target):]}
            # Made anew by the stage that is under way, unless the state says that it is over.
            lost = {p for p in lost if not re.search("/training/(full|weights)/", p) or now.get(f"{target}/training/state.json") in before.dirty}
            # A first model is made anew until its configuration, the last of its files, is there.
            made = lambda p: re.match("(.*/origin)/", p)
            lost = {p for p in lost if not made(p) or f"{made(p)[1]}/config.json" in now}
            if lost:
                yield f"{name} {path}: NOT SYNCED {sorted(lost)[:2]}"
            # The store names the work to open once that work lies there.
            if f"{target}/last" in now and not any(p.endswith(".pillars") for p in now):
                yield f"{name} {path}: NAMED TOO EARLY"
            continue
        if now == {} or now == old and not any(f in before.dirty for f in old.values()):
            continue
        if now != new or lost:
            missing = sorted(set(new) - set(now))[:2]
            yield f"{name} {os.path.basename(path)}: MIXED, missing {missing}, lost {sorted(lost)[:2]}"


def recorded(argv, trace, **more):
    command = ["strace", "-f", "-qq", "-y", "-s", "4096", "-e", "write=none", "-e", f"trace={CALLS}", "-o", str(trace)]
    return subprocess.run([*command, *map(os.fsdecode, argv)], stdin=subprocess.DEVNULL, capture_output=True, timeout=900, **more)


def judged(bench, command, place, forced):
    out = place / name_of(command)
    args = COMMANDS[command](bench, out)
    if forced:
        done = bench.run(args)
        if done.returncode:
            return f"FAILED: {done.stderr.decode(errors='replace')[-200:]}"
        args = [*args, *(["--force"] if command in FOLDERS else [])]
    trace = place.parent / "trace"
    before, final = Disk(place), Disk(place)
    done = recorded(bench.argv(args), trace)
    if done.returncode:
        return f"FAILED: {done.stderr.decode(errors='replace')[-200:]}"
    count = sum(final.apply(*call) is not None for call in calls(trace))
    if not final.under(str(out)):
        return "NOTHING RECORDED"
    real = {str(p) for p in ([out] if out.is_file() else out.rglob("*")) if p.is_file()}
    if real != set(final.under(str(out))):
        return f"RECORDING DIFFERS: {sorted(real ^ set(final.under(str(out))))[:3]}"
    faults = list(states(before, trace, str(out), final, command))
    if str(place) in final.unsynced:
        faults.append("NOT DURABLE: the folder that names the result is not synced")
    shown = "; ".join(dict.fromkeys(faults[:2]))
    return f"{len(faults)} of {count} moments: {shown}" if faults else f"{count} moments"


def judged_store(tests, place):
    """The workspace and the settings of the window, saved twice."""
    home, trace = place / "home", place.parent / "trace"
    before, final = Disk(place), Disk(place)
    test = ["--ignored", "--exact", "workspace::store::tests::saved_while_recorded"]
    done = recorded([tests, *test], trace, env={**os.environ, "PILLARS_POWER": str(home)})
    if done.returncode or b"1 passed" not in done.stdout:
        return f"FAILED: {(done.stdout + done.stderr).decode(errors='replace')[-200:]}"
    count = sum(final.apply(*call) is not None for call in calls(trace))
    real = {str(p) for p in home.rglob("*") if p.is_file()}
    if real != set(final.under(str(home))):
        return f"RECORDING DIFFERS: {sorted(real ^ set(final.under(str(home))))[:3]}"
    faults = list(states(before, trace, str(home), final, "store"))
    faults += [f"NOT DURABLE: {folder}" for folder in final.unsynced]
    return f"{len(faults)} of {count} moments: {'; '.join(dict.fromkeys(faults[:2]))}" if faults else f"{count} moments"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=Path)
    parser.add_argument("--only")
    parser.add_argument("--store", type=Path)
    asked = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="power-"))
    bench = Bench(asked.program.resolve(), home)
    bad = 0
    print("| command | nothing there | over an older result |\n| --- | --- | --- |")
    for command in COMMANDS:
        if command in PRINTS or asked.only and asked.only != command:
            continue
        cells = []
        for forced in (False, True):
            if forced and command in RESUMES:
                cells.append("goes on instead")
                continue
            place = home / "disk" / ("over" if forced else "new") / command.replace(" ", "-")
            place.mkdir(parents=True)
            cells.append(judged(bench, command, place.resolve(), forced))
        bad += sum(any(word.isupper() and len(word) > 2 for word in re.findall(r"[A-Z]+", cell)) for cell in cells)
        print(f"| {command} | {' | '.join(cells)} |", flush=True)
    if asked.store:
        place = home / "disk" / "store"
        place.mkdir(parents=True)
        cell = judged_store(asked.store.resolve(), place.resolve())
        bad += any(len(word) > 2 for word in re.findall(r"[A-Z]+", cell))
        print(f"| workspace store | {cell} | saved twice |", flush=True)
    shutil.rmtree(home)
    sys.exit(bad > 0)


main() if __name__ == "__main__" else None

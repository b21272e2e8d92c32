#!/usr/bin/env python3
"""Writes the licenses of the crates that the program is linked with into one file, from their sources in cargo's registry.

    python3 assets/packaging/licenses.py target/THIRD-PARTY-LICENSES.txt [options of cargo metadata, such as --features hub]

The same sources give the same bytes. Crates that only build, test or write code while compiling are left out. What cargo tells
counts what tests turn on in the others, so that a few crates are named that no package holds.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Texts lie at the top of a package, or beside sources and fonts that it brings along.
NAMED = re.compile(r"(.*[-._])?(licen[cs]es?|copying|copyright|notice|unlicense|[ou]fl)([-._].*)?", re.IGNORECASE)
CODE = {".rs", ".py", ".toml", ".json", ".yml", ".yaml", ".sh", ".c", ".h", ".cc", ".html"}
HEAD = """The program is made with the crates below, each under its own license. The numbers behind a crate are those of the texts that
its package holds, which follow. Where a package holds none, its license is the one of that name among the texts.
"""


def metadata(options):
    """What cargo knows of the crates for one platform, this machine's where none is named."""
    if "--filter-platform" not in options:
        told = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
        options = ["--filter-platform", re.search(r"^host: (.*)$", told, re.MULTILINE)[1], *options]
    command = [os.environ.get("CARGO", "cargo"), "metadata", "--format-version", "1", "--locked", *options]
    return json.loads(subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE).stdout)


def linked(known):
    """The packages that are linked, by name and version: what is only reached through macros is not."""
    packages = {package["id"]: package for package in known["packages"]}
    nodes = {node["id"]: node for node in known["resolve"]["nodes"]}
    is_macro = {id for id, package in packages.items() if any("proc-macro" in t["kind"] for t in package["targets"])}
    root = known["resolve"]["root"]
    seen, left = {root}, [root]
    while left:
        for dependency in nodes[left.pop()]["deps"]:
            id = dependency["pkg"]
            is_normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if is_normal and id not in seen and id not in is_macro:
                seen.add(id)
                left.append(id)
    return sorted((packages[id] for id in seen - {root}), key=lambda package: (package["name"], package["version"]))


def is_text(path, inside):
    """Whether a file is the text of a license, by its name and its place in the package."""
    if "tests" in inside.parts or path.suffix in CODE or not path.is_file():
        return False
    is_of_font = path.suffix == ".txt" and path.with_suffix(".ttf").is_file()
    return bool(NAMED.fullmatch(path.name)) or path.parent.name.upper() == "LICENSES" or is_of_font


def texts(package):
    """The license texts in a package, in the order of their paths."""
    folder = Path(package["manifest_path"]).parent
    files = {path for path in folder.rglob("*") if is_text(path, path.relative_to(folder))}
    if package["license_file"]:
        files.add(folder / package["license_file"])
    read = (path.read_bytes().decode("utf-8", errors="replace") for path in sorted(files))
    return [text.replace("\r\n", "\n").strip() for text in read]


def main(out, *options):
    packages = linked(metadata(list(options)))
    numbers, bodies, lines, without = {}, [], [], []
    for package in packages:
        found = []
        for text in texts(package):
            # Copies that differ in blanks alone are one.
            key = " ".join(text.split())
            if key not in numbers:
                numbers[key] = len(bodies) + 1
                bodies.append(text)
            if numbers[key] not in found:
                found.append(numbers[key])
        if not found:
            without.append(package["name"])
        where = package["repository"] or f"https://crates.io/crates/{package['name']}"
        by = "" if found else f"; by {', '.join(package['authors']) or 'its contributors'}"
        told = ", ".join(map(str, found)) or "no text"
        lines.append(f"{package['name']} {package['version']}: {package['license'] or 'see the text'} [{told}]{by}; {where}")
    rule = "=" * 100
    parts = [HEAD, "\n".join(lines)]
    parts += [f"{rule}\n[{number}]\n\n{text}" for number, text in enumerate(bodies, 1)]
    path = Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(("\n\n".join(parts) + "\n").encode())
    # A package that holds no text is no fault, and one that lost it would be seen here.
    print(f"{path}: {len(packages)} crates, {len(bodies)} texts, {len(without)} crates without one", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])

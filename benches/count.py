#!/usr/bin/env python3
"""Instructions of every kernel and of candle's operations in its place, counted by valgrind: unlike seconds, they do
not depend on what else a machine does.

    cargo bench --bench kernels --no-run     # prints the path of the executable
    python3 benches/count.py target/release/deps/kernels-...

One sequence is counted where seconds are those of eight. Each side runs once and four times; a third of the difference
is one run without start and random inputs. valgrind knows no AVX-512, so what is counted is what a processor without it
runs.
"""

import os
import re
import subprocess
import sys


def instructions(executable, side, times, name):
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", executable, "--bench"]
    env = dict(os.environ, PILLARS_COUNT=f"{side}:{times}:{name}", RAYON_NUM_THREADS="1")
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    # Programs that it starts, as criterion does, end before it.
    found = re.findall(r"Collected : (\d+)", done.stderr)
    if done.returncode or not found:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    return int(found[-1])


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    executable = sys.argv[1]
    env = dict(os.environ, PILLARS_COUNT="ours:0:")
    listed = subprocess.run([executable, "--bench"], env=env, capture_output=True, text=True, check=True)
    print("| kernel | candle, million instructions | ours | fewer by |")
    print("| --- | ---: | ---: | ---: |")
    for name in filter(None, listed.stdout.splitlines()):
        counts = {}
        for side in ("candle", "ours"):
            once, often = (instructions(executable, side, times, name) for times in (1, 4))
            counts[side] = (often - once) / 3e6
        ratio = counts["candle"] / counts["ours"]
        print(f"| {name} | {counts['candle']:.1f} | {counts['ours']:.1f} | {ratio:.1f} times |", flush=True)


if __name__ == "__main__":
    main()

#!/bin/sh
# Builds the wheel that gives the program with `pip install`, its samples and licenses under the environment's `share`.
# Needs maturin; options behind the folder go to it.
#
#     sh assets/packaging/wheel.sh target/packages
set -eu
out=${1:?name the folder for the wheel}
shift
mkdir -p "$out"
out=$(cd "$out" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

# What lies in `data` of a wheel's data folder is unpacked into the prefix of the environment.
data=$here/wheel/data
trap 'rm -rf "$data"' EXIT
rm -rf "$data"
mkdir -p "$data/data/share/pillars" "$data/data/share/doc/pillars"
cp -R "$root/sample_models" "$data/data/share/pillars/sample_models"
for license in LICENSE-MIT LICENSE-APACHE assets/fonts/OFL-Inter.txt assets/fonts/LICENSE-DejaVu.txt; do
  cp "$root/$license" "$data/data/share/doc/pillars/"
done

cd "$here/wheel"
maturin build --release --locked --out "$out" "$@"

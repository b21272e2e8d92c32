#!/bin/sh
# Builds the wheel that gives the program with `pip install`, its samples under the environment's `share`, its licenses and
# those of the crates inside beside its record (`dist-info/licenses`). Needs maturin; options behind the folder go to it.
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
licenses=$here/wheel/licenses
trap 'rm -rf "$data" "$licenses"' EXIT
rm -rf "$data" "$licenses"
mkdir -p "$data/data/share/pillars" "$licenses"
cp -R "$root/sample_models" "$data/data/share/pillars/sample_models"
for license in LICENSE-MIT LICENSE-APACHE assets/fonts/OFL-Inter.txt assets/fonts/LICENSE-DejaVu.txt; do
  cp "$root/$license" "$licenses/"
done
# Those of another platform are asked for as maturin is.
platform=
before=
for option; do
  case $before in --target) platform=$option ;; esac
  case $option in --target=*) platform=${option#--target=} ;; esac
  before=$option
done
python=$(command -v python3 || command -v python)
"$python" "$here/licenses.py" "$licenses/THIRD-PARTY-LICENSES.txt" ${platform:+--filter-platform "$platform"}

cd "$here/wheel"
maturin build --release --locked --out "$out" "$@"

#!/bin/sh
# Packs a built program for Linux: a folder tree, a portable .tar.gz of it, and a .deb where dpkg-deb is there.
#
#     cargo build --release
#     sh assets/packaging/linux.sh target/release/pillars target/packages
set -eu
program=${1:?name the built program}
out=${2:?name the folder for the packages}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
version=$("$program" --version | cut -d ' ' -f 2)
machine=$(uname -m)
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

tree=$work/pillars-$version
install -D -s -m 755 "$program" "$tree/bin/pillars" 2>/dev/null || install -D -m 755 "$program" "$tree/bin/pillars"
install -D -m 644 "$here/pillars.desktop" "$tree/share/applications/pillars.desktop"
install -D -m 644 "$here/pillars-mime.xml" "$tree/share/mime/packages/pillars.xml"
install -D -m 644 "$here/icons/pillars.svg" "$tree/share/icons/hicolor/scalable/apps/pillars.svg"
install -D -m 644 "$here/icons/pillars.png" "$tree/share/icons/hicolor/256x256/apps/pillars.png"
for licence in LICENSE-MIT LICENSE-APACHE assets/fonts/OFL-Inter.txt assets/fonts/LICENSE-DejaVu.txt; do
  install -D -m 644 "$root/$licence" "$tree/share/doc/pillars/$(basename "$licence")"
done
install -D -m 644 "$root/README.md" "$tree/share/doc/pillars/README.md"
mkdir -p "$tree/share/pillars"
cp -R "$root/sample_models" "$tree/share/pillars/sample_models"
# What a shell completes, and the manual, are printed by the program itself.
mkdir -p "$tree/share/bash-completion/completions" "$tree/share/zsh/site-functions" "$tree/share/fish/vendor_completions.d"
"$program" completions bash > "$tree/share/bash-completion/completions/pillars"
"$program" completions zsh > "$tree/share/zsh/site-functions/_pillars"
"$program" completions fish > "$tree/share/fish/vendor_completions.d/pillars.fish"
mkdir -p "$tree/share/man/man1"
"$program" man --out "$tree/share/man/man1"

tar -C "$work" --owner 0 --group 0 -czf "$out/pillars-$version-linux-$machine.tar.gz" "pillars-$version"
echo "$out/pillars-$version-linux-$machine.tar.gz"

if command -v dpkg-deb >/dev/null; then
  deb=$work/deb
  mkdir -p "$deb/DEBIAN"
  cp -R "$tree" "$deb/usr"
  gzip -9n "$deb"/usr/share/man/man1/*.1
  # The oldest C library that has every symbol which the program asks for.
  glibc=$(grep -ao 'GLIBC_2\.[0-9]*' "$program" | sort -Vu | tail -n 1 | cut -d _ -f 2)
  cat > "$deb/DEBIAN/control" <<CONTROL
Package: pillars
Version: $version
Architecture: $(dpkg --print-architecture)
Section: science
Priority: optional
Maintainer: The Pillars developers <pillars@localhost>
Installed-Size: $(du -sk "$deb/usr" | cut -f 1)
Depends: libc6 (>= ${glibc:-2.17}), libgcc-s1
Recommends: libgl1, libxkbcommon-x11-0 | libwayland-client0, xdg-desktop-portal
Description: see which attention heads carry a transformer, and prune the rest
 Groups the attention heads of transformer checkpoints by what they compute,
 lets a text vote which of them stay, repairs what is left and writes smaller
 checkpoints that other software opens. A window and a command line.
CONTROL
  dpkg-deb --root-owner-group --build "$deb" "$out/pillars_${version}_$(dpkg --print-architecture).deb" >/dev/null
  echo "$out/pillars_${version}_$(dpkg --print-architecture).deb"
fi

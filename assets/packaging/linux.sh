#!/bin/sh
# Packs a built program for Linux: a folder tree, a portable .tar.gz of it, and a .deb where dpkg-deb is there.
#
# The licenses of the crates inside are gathered from cargo's registry, which needs Python.
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
install -D -m 755 "$program" "$tree/bin/pillars"
install -D -m 644 "$here/pillars.desktop" "$tree/share/applications/pillars.desktop"
install -D -m 644 "$here/pillars-mime.xml" "$tree/share/mime/packages/pillars.xml"
install -D -m 644 "$here/icons/pillars.svg" "$tree/share/icons/hicolor/scalable/apps/pillars.svg"
install -D -m 644 "$here/icons/pillars.png" "$tree/share/icons/hicolor/256x256/apps/pillars.png"
for license in LICENSE-MIT LICENSE-APACHE assets/fonts/OFL-Inter.txt assets/fonts/LICENSE-DejaVu.txt; do
  install -D -m 644 "$root/$license" "$tree/share/doc/pillars/$(basename "$license")"
done
python3 "$here/licenses.py" "$tree/share/doc/pillars/THIRD-PARTY-LICENSES.txt"
install -D -m 644 "$root/README.md" "$tree/share/doc/pillars/README.md"
mkdir -p "$tree/share/pillars"
cp -R "$root/sample_models" "$tree/share/pillars/sample_models"
# The tree is everybody's to read, whatever the umask of the checkout was.
chmod -R u=rwX,go=rX "$tree"
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
  doc=$deb/usr/share/doc/pillars
  # Debian has the text of the Apache license in a place of its own, and asks for these two files in forms of its own.
  rm "$doc/LICENSE-APACHE"
  maintainer='The Pillars maintainers <pillars@localhost>'
  released=$(sed -n "s/^## $version, //p" "$root/CHANGELOG.md")
  gzip -9n > "$doc/changelog.gz" <<CHANGES
pillars ($version) unstable; urgency=medium

  * See CHANGELOG.md.gz beside this file.

 -- $maintainer  $(LC_ALL=C date -R -d "${released:-today}")
CHANGES
  gzip -9nc "$root/CHANGELOG.md" > "$doc/CHANGELOG.md.gz"
  gzip -9n "$doc/THIRD-PARTY-LICENSES.txt"
  cat > "$doc/copyright" <<COPYRIGHT
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: $(sed -n 's/^Copyright (c) //p' "$root/LICENSE-MIT" | head -n 1)
License: Expat or Apache-2.0
 LICENSE-MIT in this folder, or /usr/share/common-licenses/Apache-2.0.

Files: usr/share/pillars/sample_models/*
Copyright: see /usr/share/pillars/sample_models/README.md
License: as-named-there
 Each sample's own license is named in that file.

Files: usr/bin/pillars
Copyright: of the crates and fonts inside, see the three files
License: as-named-there
 THIRD-PARTY-LICENSES.txt.gz, OFL-Inter.txt and LICENSE-DejaVu.txt in this folder.
COPYRIGHT
  # The oldest C library that has every symbol which the program asks for.
  glibc=$(grep -ao 'GLIBC_2\.[0-9]*' "$program" | sort -Vu | tail -n 1 | cut -d _ -f 2)
  cat > "$deb/DEBIAN/control" <<CONTROL
Package: pillars
Version: $version
Architecture: $(dpkg --print-architecture)
Section: science
Priority: optional
Maintainer: $maintainer
Installed-Size: $(du -sk "$deb/usr" | cut -f 1)
Depends: libc6 (>= ${glibc:-2.17}), libgcc-s1
Recommends: libgl1, libegl1, libwayland-client0, libxkbcommon-x11-0, libxcursor1, libxi6, libx11-xcb1, xdg-desktop-portal
Description: see which attention heads carry a transformer, and prune the rest
 Groups the attention heads of transformer checkpoints by what they compute,
 lets a text vote which of them stay, repairs what is left and writes smaller
 checkpoints that other software opens. A window and a command line.
CONTROL
  dpkg-deb --root-owner-group --build "$deb" "$out/pillars_${version}_$(dpkg --print-architecture).deb" >/dev/null
  echo "$out/pillars_${version}_$(dpkg --print-architecture).deb"
fi

#!/bin/sh
# Installs the program of this archive: into /usr/local as root, into ~/.local as a plain user, or into $PREFIX.
# Then, as the user who shall own the containers: bryo setup check, bryo setup install.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ "$(id -u)" = 0 ]; then prefix=${PREFIX:-/usr/local}; else prefix=${PREFIX:-$HOME/.local}; fi
mkdir -p "$prefix/bin" "$prefix/lib/bryo/bin"
# Moved into its place: a program that runs cannot be written over, and an upgrade replaces the file as a whole.
cp "$here/bryo" "$prefix/bin/.bryo.new"
chmod 755 "$prefix/bin/.bryo.new"
mv -f "$prefix/bin/.bryo.new" "$prefix/bin/bryo"
for name in docker dockerd-rootless-setuptool.sh; do ln -sf ../../../bin/bryo "$prefix/lib/bryo/bin/$name"; done
echo "installed $prefix/bin/bryo"
echo "as docker and dockerd-rootless-setuptool.sh, if you want those names: export PATH=$prefix/lib/bryo/bin:\$PATH"
case :$PATH: in *:"$prefix/bin":*) ;; *) echo "export PATH=$prefix/bin:\$PATH" ;; esac
[ "$(id -u)" = 0 ] || exec "$prefix/bin/bryo" setup check

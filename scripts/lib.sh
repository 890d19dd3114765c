# Shared by scripts/try, scripts/test and .ci/run (bash): finds or makes what they need and says what was done.
# Nothing here starts a service.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
umask 022

say() { printf '==> %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }
have() { PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null 2>&1; }

# Runs a command as root: directly, or by sudo.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif have sudo; then sudo "$@"
  else die "'$*' needs root and there is no sudo: run this script as root, or that command by hand"; fi
}

# packages PROGRAM=PACKAGE... installs the packages whose program is missing. A first letter / means a file.
packages() {
  local pair program package missing=()
  for pair in "$@"; do
    program=${pair%%=*} package=${pair#*=}
    case $program in
      /*) compgen -G "$program" >/dev/null || missing+=("$package") ;;
      *) have "$program" || missing+=("$package") ;;
    esac
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  have apt-get || die "missing: ${missing[*]} (no apt-get here: install them with your own package manager)"
  say "installing from Debian: ${missing[*]}"
  without_services apt_install "${missing[@]}"
}

apt_install() {
  local log try
  log=$(mktemp)
  for try in 1 2 3; do
    if as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >"$log" 2>&1 &&
      as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 "$@" >>"$log" 2>&1 </dev/null; then
      rm -f "$log"
      return 0
    fi
    [ "$try" = 3 ] || sleep 5
  done
  tail -20 "$log" >&2
  die "apt-get could not install: $*"
}

# Debian starts the services of a package on installation; the tests start their own, as a plain user.
without_services() {
  local policy=/usr/sbin/policy-rc.d ours=
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
    as_root chmod 755 $policy
    ours=1
  fi
  "$@"
  local code=$?
  [ -z "$ours" ] || as_root rm -f $policy
  return $code
}

# The unprivileged user everything runs as: $BRYO_USER, else whoever calls, else (for root) `bryo`, which is made.
# Sets user, uid, home, runtime.
unprivileged_user() {
  if [ "$(id -u)" = 0 ]; then
    user=${BRYO_USER:-bryo}
    if ! id "$user" >/dev/null 2>&1; then
      say "making the user '$user' (Bryo refuses to run as root)"
      as_root useradd --create-home --shell /bin/bash "$user"
    fi
  else
    user=$(id -un)
  fi
  uid=$(id -u "$user")
  [ "$uid" != 0 ] || die "BRYO_USER is root; name an ordinary user"
  home=$(getent passwd "$user" | cut -d: -f6)
  subordinate_ids subuid --add-subuids
  subordinate_ids subgid --add-subgids
  runtime_dir
  device_modes
}

# Gives the user 65536 subordinate ids behind all ranges that are in use, if it has none.
subordinate_ids() {
  local file=/etc/$1 option=$2 first
  if awk -F: -v u="$user" -v i="$uid" '($1 == u || $1 == i) && $3 >= 65536 { found = 1 } END { exit !found }' \
    "$file" 2>/dev/null; then return 0; fi
  first=$(awk -F: 'BEGIN { n = 100000 } $2 + $3 > n { n = $2 + $3 } END { print n }' "$file" 2>/dev/null || echo 100000)
  say "giving '$user' the ids $first-$((first + 65535)) in $file"
  as_root usermod "$option" "$first-$((first + 65535))" "$user"
}

# XDG_RUNTIME_DIR: logind's, else /run/user/UID is made, else a private folder.
runtime_dir() {
  if [ "$(id -u)" = "$uid" ] && [ -n "${XDG_RUNTIME_DIR:-}" ] && [ -w "$XDG_RUNTIME_DIR" ]; then
    runtime=$XDG_RUNTIME_DIR
    return 0
  fi
  runtime=/run/user/$uid
  if [ -d "$runtime" ] && [ "$(stat -c %u "$runtime")" = "$uid" ]; then return 0; fi
  if [ "$(id -u)" = 0 ] || have sudo; then
    say "making $runtime (no login session made it)"
    as_root mkdir -p /run/user
    as_root install -d -m 700 -o "$uid" -g "$(id -g "$user")" "$runtime"
  else
    runtime=${TMPDIR:-/tmp}/bryo-runtime-$uid
    say "using $runtime as XDG_RUNTIME_DIR (there is none, and no root to make /run/user/$uid)"
    install -d -m 700 "$runtime"
  fi
}

# Device nodes that everybody may open on Debian (udev's rules say so) but that a machine without udev keeps to root.
# Bryo works without them, by slower ways.
device_modes() {
  local node
  for node in /dev/net/tun /dev/fuse; do
    if [ -c $node ] && [ "$(stat -c %a $node)" != 666 ] && { [ "$(id -u)" = 0 ] || have sudo; }; then
      say "giving $node the mode that Debian's udev gives it (0666)"
      as_root chmod 666 $node
    fi
  done
}

# as_user [VAR=VALUE...] COMMAND... in a clean environment, as the unprivileged user.
as_user() {
  local base=(env -i HOME="$home" USER="$user" LOGNAME="$user" LANG=C.UTF-8 XDG_RUNTIME_DIR="$runtime"
    PATH="$home/.local/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
  if [ "$(id -u)" = "$uid" ]; then "${base[@]}" "$@"
  else setpriv --reuid "$uid" --regid "$(id -g "$user")" --init-groups --inh-caps=-all "${base[@]}" "$@"; fi
}

find_cargo() {
  have cargo || [ ! -x "$HOME/.cargo/bin/cargo" ] || PATH=$HOME/.cargo/bin:$PATH
  have cargo || die "there is no cargo: install Rust 1.85 or newer first (rustup, or Debian's cargo from Debian 13 on)"
}

# Builds the release program, static where the musl target can be had. Sets binary.
build_bryo() {
  local machine target folder
  find_cargo
  machine=$(uname -m)
  target=$machine-unknown-linux-musl
  if have rustup && ! rustup target list --installed 2>/dev/null | grep -qx "$target"; then
    say "adding the Rust target $target"
    rustup target add "$target" || say "it could not be had; building for the host's C library instead"
  fi
  folder=${CARGO_TARGET_DIR:-$root/target}
  if [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
    say "building bryo (release, static)"
    (cd "$root" && cargo build --release --locked --quiet -p bryo --target "$target") || return 1
    binary=$folder/$target/release/bryo
  else
    say "building bryo (release, with the host's C library: no $target here)"
    (cd "$root" && cargo build --release --locked --quiet -p bryo) || return 1
    binary=$folder/release/bryo
  fi
  say "built $binary ($(($(stat -c %s "$binary") / 1048576)) MiB)"
}

# Adds up the "N passed", "N failed", "N skipped" lines of a file into passed, failed and skipped.
sum_counts() {
  local n word
  while read -r n word; do
    case $word in
      passed) passed=$((passed + n)) ;;
      failed) failed=$((failed + n)) ;;
      skipped) skipped=$((skipped + n)) ;;
    esac
  done <"$1"
}

# python_env FOLDER TEST REQUIREMENT... makes a virtual environment unless `import TEST` works in the one that is there.
python_env() {
  local folder=$1 test=$2
  shift 2
  if "$folder/bin/python" -c "import $test" 2>/dev/null; then return 0; fi
  say "installing $* from PyPI into $folder"
  rm -rf "$folder"
  /usr/bin/python3 -m venv "$folder" && "$folder/bin/pip" install --quiet --disable-pip-version-check "$@"
}

# Everything a virtual machine needs (tests/vm): programs, pytest, the base image. Sets vm_cache; where a machine cannot
# be had, sets vm_reason and fails.
vm_ready() {
  vm_cache=${BRYO_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/bryo-vm}
  vm_reason='' log=$(mktemp)
  if [ "$(uname -m)" != x86_64 ]; then
    vm_reason="the harness knows x86_64 only, this is $(uname -m)"
  elif ! (packages qemu-system-x86_64=qemu-system-x86 qemu-img=qemu-utils debootstrap=debootstrap ssh=openssh-client \
    mke2fs=e2fsprogs busybox=busybox-static docker=docker.io /usr/lib/python3*/ensurepip=python3-venv) 2>"$log"; then
    vm_reason=$(tail -n 1 "$log")
  elif ! python_env "$vm_cache/venv" pytest 'pytest>=8,<10' 2>"$log"; then
    vm_reason="no pytest: $(tail -n 1 "$log")"
  elif ! vm_image 2>"$log"; then
    vm_reason="no base image: $(tail -n 3 "$log" | paste -sd' ')"
  fi
  rm -f "$log"
  [ -z "$vm_reason" ]
}

# The base image, made by root and then the caller's.
vm_image() {
  local python=(env BRYO_VM_CACHE="$vm_cache" PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$root/tests/vm" /usr/bin/python3)
  "${python[@]}" -m machine check || as_root "${python[@]}" -m machine build
}

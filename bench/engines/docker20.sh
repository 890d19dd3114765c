#!/bin/sh
# Debian's docker.io 20.10, rootless, in the foreground: docker20.sh FOLDER REGISTRY
# rootlesskit with slirp4netns and the builtin port driver, overlay2; socket at $XDG_RUNTIME_DIR/bench-docker.sock.
set -e
folder=$1 registry=$2
export folder registry PATH=/usr/sbin:/usr/bin:/sbin:/bin
mkdir -p "$folder"
exec rootlesskit --state-dir="$folder/rootlesskit" --net=slirp4netns --mtu=65520 --slirp4netns-sandbox=auto \
  --slirp4netns-seccomp=auto --disable-host-loopback --port-driver=builtin --copy-up=/etc --copy-up=/run \
  --propagation=rslave sh -c 'rm -f /run/docker /run/containerd /run/xtables.lock
    exec dockerd --host "unix://$XDG_RUNTIME_DIR/bench-docker.sock" --data-root "$folder/data" \
      --exec-root "$XDG_RUNTIME_DIR/bench-docker" --pidfile "$XDG_RUNTIME_DIR/bench-docker.pid" \
      --storage-driver overlay2 --insecure-registry "$registry"'

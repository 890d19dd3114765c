#!/bin/sh
# Debian's podman as its API service or as its CLI: podman.sh FOLDER REGISTRY service|ARGS...
# Own storage, native overlay, runc; socket at $XDG_RUNTIME_DIR/bench-podman.sock.
folder=$1 registry=$2
shift 2
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
conf=$folder/conf
if [ ! -e "$conf/containers.conf" ]; then
  mkdir -p "$conf" "$folder/storage" "$folder/tmp"
  printf '[storage]\ndriver = "overlay"\ngraphroot = "%s"\nrunroot = "%s"\nrootless_storage_path = "%s"\n' \
    "$folder/storage" "$XDG_RUNTIME_DIR/bench-podman" "$folder/storage" > "$conf/storage.conf"
  printf '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n' > "$conf/containers.conf"
  printf 'tmp_dir = "%s"\nstatic_dir = "%s"\nvolume_path = "%s"\n' "$XDG_RUNTIME_DIR/bench-podman-tmp" \
    "$folder/storage/libpod" "$folder/storage/volumes" >> "$conf/containers.conf"
  printf '[containers]\nlog_driver = "k8s-file"\n[network]\nnetwork_backend = "netavark"\nnetwork_config_dir = "%s"\n' \
    "$folder/networks" >> "$conf/containers.conf"
fi
printf 'unqualified-search-registries = ["localhost"]\n[[registry]]\nlocation = "%s"\ninsecure = true\n' "$registry" > "$conf/registries.conf"
unset DOCKER_CONFIG DOCKER_HOST  # podman refuses a DOCKER_CONFIG that is not there
export CONTAINERS_CONF="$conf/containers.conf" CONTAINERS_STORAGE_CONF="$conf/storage.conf"
export CONTAINERS_REGISTRIES_CONF="$conf/registries.conf" TMPDIR="$folder/tmp"
[ "$1" != service ] || exec podman system service --time=0 "unix://$XDG_RUNTIME_DIR/bench-podman.sock"
exec podman "$@"

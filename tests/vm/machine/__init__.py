"""Debian 12 machines that are thrown away: what the host's own kernel and init cannot show is tried in them.

`recipe` says what a machine consists of, `image` builds it once into the user's cache, `initrd` makes the few files
between kernel and systemd, `cargo` packs what a run brings along (bryo, docker, busybox), `qemu` finds the best way to
run a machine here, and `Machine` is one of them, running.
"""
from .machine import Machine
from .shell import Result

__all__ = ['Machine', 'Result']

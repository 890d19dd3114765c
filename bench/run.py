#!/usr/bin/env python3
"""Bryo beside Debian's rootless Docker and Podman, in one run: medians, p95 and ratios.

    bench/run.py --user anna --bryo target/x86_64-unknown-linux-musl/release/bryo [--engines bryo,docker20,podman]
                 [--only run,memory] [--quick] [--json out.json] [--floor PROGRAM]

As root (memory and CPU of the engines can be read then) or as the user itself. Needs from Debian: docker.io rootlesskit
slirp4netns uidmap podman iperf3 docker-registry busybox-static nginx redis-server nodejs, and a docker CLI.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engines import User, known  # noqa: E402  (makes `support` importable)
from items import HIGHER_IS_BETTER, ITEMS  # noqa: E402
from support import oci  # noqa: E402
from support.recipes import PATH, Images  # noqa: E402
from support.registry import Registry  # noqa: E402


class Bench:
    """Settings and samples."""

    def __init__(self, args, user, engines):
        self.user, self.engines, self.quick = user, engines, args.quick
        self.floor, self.alias, self.seconds = args.floor, args.alias, 1 if args.quick else 4
        self.samples, self.units = {}, {}

    def rounds(self, n):
        return max(2, n // 6) if self.quick else n

    def add(self, engine, metric, unit, value):
        self.units[metric] = unit
        self.samples.setdefault(metric, {}).setdefault(engine.name, []).append(value)

    def table(self):
        """Markdown: median (p95) per engine, and the median of the pair-by-pair ratios to bryo."""
        names = [e.name for e in self.engines]
        rows = ['| metric | ' + ' | '.join(names) + ' | ' + ' | '.join('%s / %s' % (n, names[0]) for n in names[1:]) + ' |',
                '|' + '---|' * (2 * len(names))]
        for metric, by in self.samples.items():
            unit = self.units[metric]
            cells = [metric + (' (%s)' % unit if unit else '')]
            cells += ['%.3g (%.3g)' % (statistics.median(by[n]), percentile(by[n])) if n in by else '–' for n in names]
            for n in names[1:]:
                pairs = [b / a for a, b in zip(by.get(names[0], ()), by.get(n, ())) if a]
                cells.append('%.2f%s' % (statistics.median(pairs), ' ↑' if unit in HIGHER_IS_BETTER else '') if pairs else '–')
            rows.append('| ' + ' | '.join(cells) + ' |')
        return '\n'.join(rows)


def percentile(values, part=0.95):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def tools(images):
    """busybox and iperf3, for the network items."""
    layer = images.layer('iperf3', lambda tar: tar.program('/usr/bin/iperf3'))
    return oci.Image([images.base(), layer], {'Cmd': ['sh'], 'Env': [PATH]})


def prepare(args, user, state):
    """Registry and images; returns the registry."""
    images = Images(os.path.join(state, 'images'))
    registry = Registry(os.path.join(state, 'registry'), args.registry_port, '0.0.0.0').start()
    for name in ('busybox', 'big'):
        if name != 'big' or 'pull' in args.only:
            registry.push(images.get(name), name)
    registry.push(tools(images), 'tools')
    if os.getuid() == 0:
        addresses = subprocess.run(['ip', '-4', 'addr', 'show', 'lo'], capture_output=True, text=True, check=True).stdout
        if args.alias not in addresses:
            subprocess.run(['ip', 'addr', 'add', args.alias + '/32', 'dev', 'lo'], check=True)
            print('added %s to lo: engines with a network namespace of their own reach the host there' % args.alias)
    return registry


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--user', default=os.environ.get('USER', 'bryo'))
    p.add_argument('--bryo', default='bryo')
    p.add_argument('--engines', default='bryo,docker20,podman')
    p.add_argument('--only', default=','.join(ITEMS))
    p.add_argument('--quick', action='store_true', help='few rounds, for a first look')
    p.add_argument('--json')
    p.add_argument('--floor', help='a program that prints what the kernel needs for a run')
    p.add_argument('--alias', default='198.18.0.1', help="an address of the host's own beside 127.0.0.1")
    p.add_argument('--registry-port', type=int, default=15060)
    args = p.parse_args()
    args.only = args.only.split(',')
    user = User(args.user)
    state = os.path.join(user.home, '.cache', 'bryo-bench')
    subprocess.run(user.prefix() + ['mkdir', '-p', state], check=True)
    registry = prepare(args, user, state)
    all_engines = known(user, os.path.abspath(args.bryo), state, args.registry_port, args.alias)
    bench = Bench(args, user, [all_engines[n] for n in args.engines.split(',')])
    try:
        for engine in bench.engines:
            engine.start()
            for name in ('busybox', 'tools'):
                engine.pull(name)
        for name in args.only:
            begin = time.monotonic()
            try:
                ITEMS[name](bench)
            except Exception as problem:  # one item that fails must not cost the others
                print('%s failed: %r' % (name, problem), file=sys.stderr)
            for engine in bench.engines:
                engine.clear()
            print('%s: %.0f s' % (name, time.monotonic() - begin), file=sys.stderr)
    finally:
        for engine in bench.engines:
            engine.stop()
        registry.stop()
    print('%s, %d cores, load %.1f' % (platform.release(), os.cpu_count(), os.getloadavg()[0]))
    print(bench.table())
    if args.json:
        with open(args.json, 'w') as f:
            json.dump({'samples': bench.samples, 'units': bench.units, 'kernel': platform.release()}, f, indent=1)


if __name__ == '__main__':
    main()

#!/usr/bin/env python3
"""Holds many idle connections to a published port and says what they cost the gate.

    linux/net/bench/idle.py [CONNECTIONS]

Run it as a plain user after `cargo build --release -p bryo-net --example playground`. The clients come from many loopback
addresses, since one has 28,000 ports; all connections carry a byte each way before and after they have idled. The
gate needs two descriptors for each: where the hard limit (ulimit -Hn) is lower, as many are made as it allows.
"""

import json, os, resource, socket, subprocess, sys, time

from compare import PLAYGROUND, PORT, Contender, enter

SERVER = """
import resource, select, socket, sys
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
l = socket.socket(); l.setsockopt(1, 2, 1); l.bind(("0.0.0.0", int(sys.argv[1]))); l.listen(4096)
e = select.epoll(); e.register(l.fileno(), 1); all = {}
while True:
    for fd, _ in e.poll():
        if fd == l.fileno():
            s, _ = l.accept(); all[s.fileno()] = s; e.register(s.fileno(), 1)
        else:
            d = all[fd].recv(100)
            if d: all[fd].sendall(d)
            else: e.unregister(fd); all.pop(fd).close()
"""


def memory(pid):
    fields = {}
    for line in open(f"/proc/{pid}/smaps_rollup"):
        words = line.split()
        if words[0] in ("Rss:", "Pss:", "Anonymous:"):
            fields[words[0][:-1]] = int(words[1])
    return fields


def slab():
    return next(int(l.split()[1]) for l in open("/proc/meminfo") if l.startswith("Slab:"))


def ping(clients):
    for c in clients:
        c.sendall(b"x")
    for c in clients:
        if c.recv(1) != b"x":
            raise SystemExit("a connection was lost")


def main():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    # One container may have eight ninths of what the gate has beyond its reserve.
    count = min(wanted, (hard - 600) * 8 // 9 // 2, hard - 100)
    c = Contender()
    try:
        p = c.start([PLAYGROUND, str(PORT)], stdout=subprocess.PIPE)
        pids = json.loads(p.stdout.readline())
        c.start(enter(pids["container"]) + ["python3", "-c", SERVER, str(PORT)])
        time.sleep(0.7)
        empty, kernel, clients = memory(pids["gate"]), slab(), []
        start = time.time()
        for n in range(count):
            s = socket.socket()
            s.bind((f"127.0.1.{n % 200 + 1}", 0))
            s.settimeout(20)
            s.connect(("127.0.0.1", PORT))
            clients.append(s)
        ping(clients)
        took = time.time() - start
        time.sleep(5)
        full = memory(pids["gate"])
        ping(clients)
        flows = len(os.listdir(f"/proc/{pids['gate']}/fd"))
        print(f"{count} connections (asked: {wanted}, hard limit of descriptors {hard}) in {took:.1f} s; all hold after 5 s")
        print(f"gate: PSS {full['Pss']} kB (empty {empty['Pss']}), anonymous {full['Anonymous']} kB, {flows} descriptors, "
              f"{(full['Pss'] - empty['Pss']) * 1024 / count:.0f} B a connection")
        print(f"kernel slab, all four sockets of each: {(slab() - kernel) * 1024 / count / 1024:.1f} KiB a connection")
    finally:
        c.stop()


if __name__ == "__main__":
    if os.geteuid() == 0:
        sys.exit("run this as a plain user")
    main()

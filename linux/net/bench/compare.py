#!/usr/bin/env python3
"""Compares the gate with what rootless engines use today: rootlesskit's builtin port driver, pasta, slirp4netns.

Run it as a plain user after `cargo build --release -p bryo-net --example playground`:

    linux/net/bench/compare.py [published|outbound|connections|all] [SECONDS] [ROUNDS]

All contenders take part in every round, host loopback too, and the table shows medians of ratios to host loopback within
a round: a loaded machine disturbs those least. "s/GB" is CPU seconds for each gigabyte, of client, server and relay
together (iperf3's own figures, and the relay's scheduler statistics; kernel threads are not in it). Traffic stays on
loopback, the machine's own address and namespaces that this script makes.
"""

import glob, json, os, signal, socket, statistics, subprocess, sys, time

# Each run has a port of its own: the last one's connections are in TIME_WAIT and would be in the way.
PORTS = range(5201, 5401)
PORT = PORTS[os.getpid() % len(PORTS)]
HERE = os.path.dirname(os.path.abspath(__file__))
PLAYGROUND = os.environ.get("PLAYGROUND", os.path.join(HERE, "../../../target/release/examples/playground"))
SHAPES = [("up1", []), ("dn1", ["-R"]), ("up4", ["-P4"]), ("dn4", ["-P4", "-R"])]


def own_address():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(("198.51.100.1", 9))
    return s.getsockname()[0]


def cpu_of(pids):
    total = 0
    for pid in pids:
        for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
            try:
                total += int(open(path).read().split()[0])
            except OSError:
                pass
    return total / 1e9


def descendants(pid):
    found, todo = [pid], [pid]
    while todo:
        parent = todo.pop()
        for path in glob.glob(f"/proc/{parent}/task/*/children"):
            try:
                children = [int(c) for c in open(path).read().split()]
            except OSError:
                continue
            found += children
            todo += children
    return found


def named(pids, names):
    def comm(pid):
        try:
            return open(f"/proc/{pid}/comm").read().strip()
        except OSError:
            return ""
    return [p for p in pids if comm(p) in names]


def wait_for(check, what, seconds=10):
    end = time.time() + seconds
    while time.time() < end:
        if check():
            return
        time.sleep(0.05)
    raise RuntimeError(f"timeout: {what}")


def listens(address, port):
    try:
        socket.create_connection((address, port), 1).close()
        return True
    except OSError:
        return False


class Contender:
    """A way from client to server. `client` is the prefix of the client's command, `relay` the pids to account for."""

    def __init__(self):
        self.processes, self.client, self.relay, self.address = [], [], [], "127.0.0.1"

    def start(self, command, **how):
        p = subprocess.Popen(command, stdout=how.get("stdout", subprocess.DEVNULL), stderr=subprocess.DEVNULL,
                             stdin=subprocess.PIPE, start_new_session=True, text=True)
        self.processes.append(p)
        return p

    def stop(self):
        for p in reversed(self.processes):
            for pid in reversed(descendants(p.pid)):
                try:
                    os.kill(pid, signal.SIGTERM if pid == p.pid else signal.SIGKILL)
                except OSError:
                    pass
            try:
                p.wait(3)
            except subprocess.TimeoutExpired:
                p.kill()
        time.sleep(0.2)


def enter(pid):
    return ["nsenter", "-t", str(pid), "-U", "--preserve-credentials", "-n"]


def host(direction):
    c = Contender()
    c.address = "127.0.0.1" if direction == "published" else own_address()
    c.start(["iperf3", "-s", "-p", str(PORT)])
    return c


def gate(direction):
    c = Contender()
    ports = [str(PORT)] if direction == "published" else []
    p = c.start([PLAYGROUND] + ports, stdout=subprocess.PIPE)
    pids = json.loads(p.stdout.readline())
    c.relay = [pids["gate"]]
    if direction == "published":
        c.start(enter(pids["container"]) + ["iperf3", "-s", "-p", str(PORT)])
    else:
        c.address = own_address()
        c.client = enter(pids["container"])
        c.start(["iperf3", "-s", "-p", str(PORT)])
    return c


def rootlesskit(direction):
    c = Contender()
    p = c.start(["rootlesskit", "--net=slirp4netns", "--port-driver=builtin", "-p", f"127.0.0.1:{PORT}:{PORT}/tcp",
                 "iperf3", "-s", "-p", str(PORT)])
    wait_for(lambda: named(descendants(p.pid), ["iperf3"]), "rootlesskit")
    time.sleep(0.5)
    c.relay = named(descendants(p.pid), ["rootlesskit", "exe"])
    return c


def pasta(direction):
    c = Contender()
    if direction == "published":
        p = c.start(["pasta", "--config-net", "-f", "-t", str(PORT), "-T", "none", "-u", "none", "-U", "none", "--",
                     "iperf3", "-s", "-p", str(PORT)])
        wait_for(lambda: named(descendants(p.pid), ["iperf3"]), "pasta")
        time.sleep(0.5)
    else:
        c.start(["iperf3", "-s", "-p", str(PORT)])
        p = c.start(["pasta", "--config-net", "-f", "-m", "65520", "-t", "none", "-T", "none", "-u", "none", "-U", "none", "--",
                     "sleep", "1000"])
        wait_for(lambda: named(descendants(p.pid), ["sleep"]), "pasta")
        time.sleep(0.5)
        c.client = enter(named(descendants(p.pid), ["sleep"])[0])
        route = subprocess.run(c.client + ["ip", "-4", "route", "show", "default"], capture_output=True, text=True)
        c.address = route.stdout.split()[2]
    c.relay = named(descendants(p.pid), ["pasta", "pasta.avx2", "passt", "passt.avx2"])
    return c


def slirp4netns(direction):
    c = Contender()
    c.start(["iperf3", "-s", "-p", str(PORT)])
    ns = c.start(["unshare", "-Urn", "--", "sleep", "1000"])
    wait_for(lambda: named(descendants(ns.pid), ["sleep"]), "namespace")
    time.sleep(0.2)
    inside = named(descendants(ns.pid), ["sleep"])[0]
    p = c.start(["slirp4netns", "--configure", "--mtu=65520", str(inside), "tap0"])
    time.sleep(0.7)
    c.client, c.address, c.relay = enter(inside), "10.0.2.2", [p.pid]
    return c


WAYS = {"published": [host, gate, rootlesskit, pasta], "outbound": [host, gate, pasta, slirp4netns]}


def measure(c, shape, seconds):
    before = cpu_of(c.relay)
    command = c.client + ["iperf3", "-J", "-c", c.address, "-p", str(PORT), "-t", str(seconds), "-i", "0"] + shape
    run = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 20)
    relay = cpu_of(c.relay) - before
    end = json.loads(run.stdout)["end"]
    usage, received = end["cpu_utilization_percent"], end["sum_received"]
    ends = (usage["host_total"] + usage["remote_total"]) / 100 * end["sum_received"]["seconds"]
    gigabytes = received["bytes"] / 1e9
    return received["bits_per_second"] / 1e9, (ends + relay) / gigabytes, relay / gigabytes


CONNECT = """
import socket, sys, time
address, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
n, times, end = 0, [], time.perf_counter() + seconds
while time.perf_counter() < end:
    t = time.perf_counter()
    s = socket.create_connection((address, port)); s.sendall(b"x"); s.recv(1); s.close()
    times.append(time.perf_counter() - t); n += 1
times.sort()
s = socket.create_connection((address, port)); s.setsockopt(6, 1, 1)
m, end = 0, time.perf_counter() + seconds
while time.perf_counter() < end:
    s.sendall(b"x"); s.recv(1); m += 1
print(n / seconds, times[len(times) // 2] * 1e6, m / seconds)
"""
ECHO = """
import socket, sys, select
l = socket.socket(); l.setsockopt(1, 2, 1); l.bind(("0.0.0.0", int(sys.argv[1]))); l.listen(1000)
e = select.epoll(); e.register(l.fileno(), 1); all = {}
while True:
    for fd, _ in e.poll():
        if fd == l.fileno():
            s, _ = l.accept(); s.setsockopt(6, 1, 1); all[s.fileno()] = s; e.register(s.fileno(), 1)
        else:
            d = all[fd].recv(100)
            if d: all[fd].sendall(d)
            else: all.pop(fd).close()
"""


def connections(seconds, rounds):
    """New connections and ping-pong: the same ways, an echo server instead of iperf3."""
    print(f"{'way':24} {'conn/s':>8} {'p50 us':>8} {'pingpong/s':>10} {'relay CPU us/conn':>18}")
    for direction, ways in WAYS.items():
        for way in ways:
            rows = []
            for _ in range(rounds):
                c = substitute(way, direction)
                try:
                    before = cpu_of(c.relay)
                    run = subprocess.run(c.client + ["python3", "-c", CONNECT, c.address, str(PORT), str(seconds)],
                                         capture_output=True, text=True, timeout=60)
                    n, p50, m = (float(x) for x in run.stdout.split())
                    rows.append((n, p50, m, (cpu_of(c.relay) - before) / (n * seconds + m * seconds) * 1e6))
                except (ValueError, subprocess.TimeoutExpired):
                    rows.append((0, 0, 0, 0))
                finally:
                    c.stop()
            n, p50, m, cpu = (statistics.median(r[i] for r in rows) for i in range(4))
            print(f"{direction + ' ' + way.__name__:24} {n:8.0f} {p50:8.0f} {m:10.0f} {cpu:18.1f}", flush=True)


def substitute(way, direction):
    """Starts a way with the echo server in iperf3's place: a small program of that name first in PATH."""
    global PORT
    PORT = PORTS[(PORT + 1) % len(PORTS)]
    folder = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"echo-{os.getuid()}")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "iperf3")
    with open(path, "w") as f:
        f.write("#!/usr/bin/python3\n" + ECHO.replace("sys.argv[1]", str(f'"{PORT}"')))
    os.chmod(path, 0o755)
    old = os.environ["PATH"]
    os.environ["PATH"] = folder + ":" + old
    try:
        c = way(direction)
        time.sleep(0.5)
        return c
    finally:
        os.environ["PATH"] = old


def throughput(direction, seconds, rounds):
    results = {}
    for _ in range(rounds):
        for name, shape in SHAPES:
            for way in WAYS[direction]:
                c = way(direction)
                try:
                    wait_for(lambda: True, "")
                    time.sleep(0.5)
                    results.setdefault((way.__name__, name), []).append(measure(c, shape, seconds))
                except (KeyError, ValueError, subprocess.TimeoutExpired) as e:
                    results.setdefault((way.__name__, name), []).append((0.0, float("nan"), float("nan")))
                    print(f"# {way.__name__} {name}: {e!r}", file=sys.stderr)
                finally:
                    c.stop()
    print(f"{direction}: Gbit/s (part of host) | CPU s/GB (x host) | relay s/GB")
    for way in WAYS[direction]:
        cells = []
        for name, _ in SHAPES:
            mine, floor = results[(way.__name__, name)], results[("host", name)]
            rate = statistics.median(m[0] for m in mine)
            part = statistics.median(m[0] / h[0] for m, h in zip(mine, floor))
            cpu = statistics.median(m[1] for m in mine)
            times = statistics.median(m[1] / h[1] for m, h in zip(mine, floor))
            relay = statistics.median(m[2] for m in mine)
            cells.append(f"{name} {rate:5.1f} ({part:4.2f}) | {cpu:5.2f} ({times:4.2f}) | {relay:4.2f}")
        print(f"  {way.__name__:12} " + "   ".join(cells), flush=True)


def main():
    what = sys.argv[1] if len(sys.argv) > 1 else "all"
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    for direction in ("published", "outbound"):
        if what in (direction, "all"):
            throughput(direction, seconds, rounds)
    if what in ("connections", "all"):
        connections(seconds, rounds)


if __name__ == "__main__":
    if os.geteuid() == 0:
        sys.exit("run this as a plain user")
    main()

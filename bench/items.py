"""What is measured. Each item is a function `item(bench)` that takes all engines in turn, round by round (A B A B …), so
that the machine's moods hit all of them alike, and gives its samples to `bench.add(engine, metric, unit, value)`."""
import json
import subprocess
import threading
import time

from support.raw import Connection

SLEEP = ['sleep', '600']


def timed(work):
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


class Api:
    """One kept connection, as a library would hold it."""

    def __init__(self, engine):
        self.connection = Connection(engine.socket, 300)

    def call(self, method, path, body=None, ok=(200, 201, 204)):
        reply = self.connection.request(method, '/v1.41' + path, body)
        data = reply.body
        if reply.status not in ok:
            raise RuntimeError('%s %s: %d %r' % (method, path, reply.status, data[:200]))
        return json.loads(data) if data.strip() else None

    def create(self, command, **more):
        return self.call('POST', '/containers/create', {'Image': 'busybox', 'Cmd': command, **more})['Id']

    def whole_run(self):
        """create, start, wait, remove of `true`; without a CLI and without attach."""
        ident = self.create(['true'])
        self.call('POST', '/containers/%s/start' % ident)
        self.call('POST', '/containers/%s/wait' % ident)
        self.call('DELETE', '/containers/%s' % ident)


def run(bench):
    """`run --rm busybox true`: the CLI's wall time, and by the API alone; `floor` is what the kernel needs for it."""
    for _ in range(bench.rounds(30)):
        for engine in bench.engines:
            bench.add(engine, 'run_cli', 'ms', 1000 * timed(lambda: engine.run('run', '--rm', 'busybox', 'true')))
    apis = {engine: Api(engine) for engine in bench.engines}
    for _ in range(bench.rounds(50)):
        for engine in bench.engines:
            bench.add(engine, 'run_api', 'ms', 1000 * timed(apis[engine].whole_run))
    if bench.floor:
        out = subprocess.run(bench.user.prefix() + [bench.floor], capture_output=True, text=True, check=False)
        print('kernel floor (%s):\n%s%s' % (bench.floor, out.stdout, out.stderr))


def exec_(bench):
    """`exec true` in a running container, by the CLI."""
    for engine in bench.engines:
        engine.run('run', '-d', '--name', 'bench-exec', 'busybox', *SLEEP)
    for _ in range(bench.rounds(20)):
        for engine in bench.engines:
            bench.add(engine, 'exec_cli', 'ms', 1000 * timed(lambda: engine.run('exec', 'bench-exec', 'true')))


def memory(bench):
    """PSS of engine and helpers with no container, and what each detached container adds."""
    count = 10
    payload = (' '.join(SLEEP),)
    for engine in bench.engines:
        engine.clear()
        time.sleep(2)
        idle, processes = engine.pss()
        bench.add(engine, 'idle_pss', 'MiB', idle / 1024)
        bench.add(engine, 'idle_processes', '', processes)
        before = engine.user.processes()
        api = Api(engine)
        for _ in range(count):
            api.call('POST', '/containers/%s/start' % api.create(SLEEP))
        time.sleep(2)
        engine.claim(before)
        bench.add(engine, 'pss_per_container', 'MiB', (engine.pss(payload)[0] - idle) / 1024 / count)
        engine.clear()


def burst(bench):
    """50 detached containers by 4 clients, and their removal."""
    count, clients = 50, 4
    for _ in range(bench.rounds(3)):
        for engine in bench.engines:
            todo, lock = list(range(count)), threading.Lock()

            def client():
                api = Api(engine)
                while True:
                    with lock:
                        if not todo:
                            return
                        todo.pop()
                    api.call('POST', '/containers/%s/start' % api.create(SLEEP))

            def all_clients():
                threads = [threading.Thread(target=client) for _ in range(clients)]
                for t in threads:
                    t.start()
                for t in threads:
                    t.join()
            before = engine.user.processes()
            bench.add(engine, 'burst_50', 's', timed(all_clients))
            engine.claim(before)
            bench.add(engine, 'remove_50', 's', timed(engine.clear))


def logs(bench):
    """200 MB in lines of 100 bytes: written by a container, then read back through the API."""
    script = 'yes %s | head -n 2000000' % ('x' * 99)
    for _ in range(bench.rounds(2)):
        for engine in bench.engines:
            api = Api(engine)
            ident = api.create(['sh', '-c', script])

            def write():
                api.call('POST', '/containers/%s/start' % ident)
                api.call('POST', '/containers/%s/wait' % ident)

            def read():
                size = 0
                connection = Connection(engine.socket, 600)
                reply = connection.request('GET', '/v1.41/containers/%s/logs?stdout=1' % ident)
                for piece in connection.body_pieces(reply):
                    size += len(piece)
                assert size >= 200000000, size
            bench.add(engine, 'logs_write', 's', timed(write))
            bench.add(engine, 'logs_read', 's', timed(read))
            api.call('DELETE', '/containers/%s?v=1' % ident)


def pull(bench):
    """A 12-layer image of 400 MB from the local registry, into an engine that has nothing of it."""
    for _ in range(bench.rounds(3)):
        for engine in bench.engines:
            full = '%s/big' % engine.registry
            before = engine.cpu()
            bench.add(engine, 'pull', 's', timed(lambda: engine.run('pull', '-q', full)))
            bench.add(engine, 'pull_cpu', 's', engine.cpu() - before)
            engine.run('rmi', full)


def start(bench):
    """The daemon's start to its first answer, with 200 stopped containers in its store."""
    for engine in bench.engines:
        api = Api(engine)
        have = len(api.call('GET', '/containers/json?all=1'))
        for _ in range(200 - have):
            api.create(['true'])
    for _ in range(bench.rounds(5)):
        for engine in bench.engines:
            engine.stop()
            bench.add(engine, 'start_200', 'ms', 1000 * engine.start())
    for engine in bench.engines:
        engine.clear()


def iperf(address, port, seconds, *flags):
    """(Gbit/s, CPU seconds of client and server)"""
    out = subprocess.run(['iperf3', '-J', '-c', address, '-p', str(port), '-t', str(seconds), *flags], capture_output=True,
                         check=False, timeout=60)
    data = json.loads(out.stdout)
    if 'error' in data:
        raise RuntimeError(data['error'])
    return data['end']['sum_received']['bits_per_second'] / 1e9, data['end']['sum_received']['bytes'] / 1e9


def port(bench):
    """TCP through a published port of the host, both directions; CPU of the engine's own processes per gigabyte."""
    numbers = {}
    for i, engine in enumerate(bench.engines):
        numbers[engine] = 24300 + i
        before = engine.user.processes()
        engine.run('run', '-d', '--name', 'bench-port', '-p', '%d:5201' % numbers[engine], 'tools', 'iperf3', '-s')
        engine.claim(before)
    time.sleep(1)
    for _ in range(bench.rounds(3)):
        for engine in bench.engines:
            for name, flags in (('up', ()), ('down', ('-R',))):
                cpu = engine.cpu()
                rate, gigabytes = iperf('127.0.0.1', numbers[engine], bench.seconds, *flags)
                bench.add(engine, 'port_' + name, 'Gbit/s', rate)
                bench.add(engine, 'port_%s_cpu' % name, 's/GB', (engine.cpu() - cpu) / gigabytes)


def outbound(bench):
    """TCP from a container to a server on the host's own address."""
    own = bench.alias
    server = subprocess.Popen(['iperf3', '-s', '-B', own, '-p', '24399'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for engine in bench.engines:
            before = engine.user.processes()
            engine.run('run', '-d', '--name', 'bench-out', 'tools', *SLEEP)
            engine.claim(before)
        for _ in range(bench.rounds(3)):
            for engine in bench.engines:
                for name, flags in (('up', []), ('down', ['-R'])):
                    cpu = engine.cpu()
                    out = engine.run('exec', 'bench-out', 'iperf3', '-J', '-c', own, '-p', '24399', '-t', str(bench.seconds), *flags)
                    end = json.loads(out)['end']['sum_received']
                    bench.add(engine, 'out_' + name, 'Gbit/s', end['bits_per_second'] / 1e9)
                    bench.add(engine, 'out_%s_cpu' % name, 's/GB', (engine.cpu() - cpu) / (end['bytes'] / 1e9))
    finally:
        server.terminate()
        server.wait()


ITEMS = {'run': run, 'exec': exec_, 'memory': memory, 'burst': burst, 'logs': logs, 'pull': pull, 'start': start, 'port': port,
         'outbound': outbound}
HIGHER_IS_BETTER = ('Gbit/s',)

"""The engines side by side: how each is started as the bench's user, spoken to, watched and stopped.

An engine's processes are those of the user (or its subordinate ids) that appeared while the engine was started or worked;
see `Engine.claim`. PSS needs root or a user who may read smaps_rollup of them.
"""
import os
import pwd
import shlex
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'tests', 'e2e'))
from support import host  # noqa: E402
from support.raw import Client  # noqa: E402

TICK = os.sysconf('SC_CLK_TCK')


class User:
    """The unprivileged user whose engines these are."""

    def __init__(self, name):
        entry = pwd.getpwnam(name)
        self.name, self.uid, self.gid, self.home = name, entry.pw_uid, entry.pw_gid, entry.pw_dir
        self.runtime = os.environ.get('XDG_RUNTIME_DIR') if os.getuid() == self.uid else '/run/user/%d' % self.uid
        self.ranges = [(self.uid, 1)]
        for line in host.read('/etc/subuid').decode().splitlines():
            parts = line.split(':')
            if parts[0] in (name, str(self.uid)):
                self.ranges.append((int(parts[1]), int(parts[2])))

    def prefix(self):
        """Words before a command that make it the user's, in a clean environment."""
        env = ['env', '-i', 'HOME=' + self.home, 'USER=' + self.name, 'XDG_RUNTIME_DIR=' + self.runtime,
               'PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'LANG=C.UTF-8']
        if os.getuid() == self.uid:
            return env
        return ['setpriv', '--reuid', str(self.uid), '--regid', str(self.gid), '--init-groups', '--inh-caps=-all'] + env

    def owns(self, pid):
        uid = host.uid_of(pid)
        return uid is not None and any(a <= uid < a + n for a, n in self.ranges)

    def processes(self):
        """{pid: start time} of everything that is the user's."""
        found = {}
        for pid in host.pids():
            if self.owns(pid):
                text = host.read('/proc/%d/stat' % pid)
                if text:
                    found[pid] = int(text.rsplit(b')', 1)[1].split()[19])
        return found


class Engine:
    """One engine: `name`, its daemon's command, its socket, its CLI."""

    def __init__(self, user, name, start, socket, cli, registry, env=()):
        self.user, self.name, self.start_command, self.socket = user, name, start, socket
        self.cli, self.registry, self.env = cli, registry, list(env)
        self.process, self.pids, self.failed = None, {}, {}
        self.log = os.path.join(user.home, '.cache', 'bryo-bench', name + '.log')

    def api(self, timeout=300):
        return Client(self.socket, '1.41', timeout)

    def command(self, *args):
        return self.user.prefix() + ['DOCKER_HOST=unix://' + self.socket, 'DOCKER_CONFIG=/nonexistent'] + self.env + self.cli + list(args)

    def run(self, *args, check=True, timeout=600):
        p = subprocess.run(self.command(*args), stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False)
        if check and p.returncode != 0:
            raise RuntimeError('%s: %s: %s' % (self.name, ' '.join(args), p.stderr.decode()[-400:]))
        return p.stdout

    def start(self, timeout=60):
        """Seconds from the start of the process to the first answer."""
        before = self.user.processes()
        log = open(self.log, 'ab')
        begin = time.perf_counter()
        self.process = subprocess.Popen(self.user.prefix() + self.start_command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                        start_new_session=True)
        log.close()
        while True:
            try:
                if Client(self.socket, None, 5).get('/_ping').status == 200:
                    break
            except (OSError, ConnectionError, AssertionError):
                pass
            if self.process.poll() is not None or time.perf_counter() - begin > timeout:
                raise RuntimeError('%s did not start; see %s' % (self.name, self.log))
            time.sleep(0.002)
        took = time.perf_counter() - begin
        self.claim(before)
        return took

    def stop(self):
        if self.process:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
            for pid, started in self.pids.items():
                if self.user.processes().get(pid) == started:
                    host.kill_quietly(pid)
            self.process, self.pids = None, {}

    def claim(self, before):
        """Everything of the user's that is new since `before` is this engine's."""
        for pid, started in self.user.processes().items():
            if before.get(pid) != started:
                self.pids[pid] = started

    def living(self, payload=()):
        """Live processes of the engine without the containers' own (`payload`: their command lines)."""
        now = self.user.processes()
        return [p for p, s in self.pids.items() if now.get(p) == s and host.command_line(p) not in payload]

    def pss(self, payload=()):
        """(KiB, number of processes)"""
        total, count = 0, 0
        for pid in self.living(payload):
            for line in host.read('/proc/%d/smaps_rollup' % pid).decode().splitlines():
                if line.startswith('Pss:'):
                    total, count = total + int(line.split()[1]), count + 1
        return total, count

    def cpu(self):
        """CPU seconds of the living processes with what they have reaped."""
        total = 0
        for pid in self.living():
            text = host.read('/proc/%d/stat' % pid)
            if text:
                total += sum(int(x) for x in text.rsplit(b')', 1)[1].split()[11:15])
        return total / TICK

    def pull(self, name, short=None):
        full = '%s/%s' % (self.registry, name)
        self.run('pull', '-q', full)
        self.run('tag', full, short or name)

    def clear(self):
        api = self.api()
        for c in api.get('/containers/json?all=1').json():
            api.delete('/containers/%s?force=1&v=1' % c['Id'])


def known(user, bryo, state, registry_port, alias):
    """All engines that can be had here."""
    local, far = '127.0.0.1:%d' % registry_port, '%s:%d' % (alias, registry_port)
    podman = [os.path.join(HERE, 'engines', 'podman.sh'), state + '/podman', local]
    return {
        'bryo': Engine(user, 'bryo', [bryo, 'daemon', '-H', 'unix://%s/bench-bryo.sock' % user.runtime, '--data-root', state + '/bryo',
                                      '--exec-root', user.runtime + '/bench-bryo'], user.runtime + '/bench-bryo.sock', ['docker'], local),
        'docker20': Engine(user, 'docker20', [os.path.join(HERE, 'engines', 'docker20.sh'), state + '/docker20', far],
                           user.runtime + '/bench-docker.sock', ['docker'], far),
        'podman': Engine(user, 'podman', podman + ['service'], user.runtime + '/bench-podman.sock', podman, local),
    }


def shell(command):
    return subprocess.run(shlex.split(command), check=True, capture_output=True, text=True).stdout

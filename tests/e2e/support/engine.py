"""One `bryo daemon` with a data root, exec root and socket of its own, started as the user who runs the tests.

    engine = Engine(work_folder); engine.start(); engine.docker('run', '--rm', 'busybox', 'true'); engine.destroy()

`stop` is a clean stop (SIGTERM), `kill` is SIGKILL of the engine alone: holder, gate and monitors stay.
"""
import json
import os
import shutil
import signal
import subprocess
import time

from . import host
from .raw import Client

BRYO = os.environ.get('BRYO_BIN', 'bryo')


class Result:
    """What a command did: exit code and both streams as text (`raw_out` as bytes)."""

    def __init__(self, args, code, out, err):
        self.args, self.code, self.raw_out, self.raw_err = args, code, out, err
        self.out, self.err = out.decode('utf-8', 'replace'), err.decode('utf-8', 'replace')

    @property
    def text(self):
        return self.out.strip()

    def __repr__(self):
        return '$ %s\nexit %d\n--- stdout\n%s--- stderr\n%s' % (' '.join(self.args), self.code, self.out, self.err)


def run(args, env=None, input=None, timeout=60, check=True, cwd=None):
    """Runs a command to its end; with `check` a non-zero exit code fails the test and shows both streams."""
    if isinstance(input, str):
        input = input.encode()
    feed = {'input': input} if input is not None else {'stdin': subprocess.DEVNULL}
    try:
        p = subprocess.run(args, env=env, timeout=timeout, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **feed)
    except subprocess.TimeoutExpired as e:
        raise AssertionError('no end after %s s: %s\n%s%s' % (timeout, ' '.join(args), e.stdout or b'', e.stderr or b''))
    result = Result(args, p.returncode, p.stdout, p.stderr)
    assert not check or result.code == 0, result
    return result


class Engine:
    """See the module's text. `work` must be an existing folder on a disk; the socket lies in XDG_RUNTIME_DIR, whose
    paths are short enough."""

    count = 0

    def __init__(self, work, registry=None, flags=(), config=None, environment=None):
        Engine.count += 1
        self.name = 'bt%d-%d' % (os.getpid(), Engine.count)
        self.work = os.path.join(work, self.name)
        self.registry, self.flags, self.environment = registry, list(flags), environment or {}
        self.data = os.path.join(self.work, 'data')
        self.run = os.path.join(os.environ['XDG_RUNTIME_DIR'], self.name)
        self.socket = self.run + '.sock'
        self.log = os.path.join(self.work, 'daemon.log')
        self.config_file = os.path.join(self.work, 'daemon.json')
        self.cli_config = os.path.join(self.work, 'cli')
        os.makedirs(self.cli_config, exist_ok=True)
        self.write_config(config or {})
        self.process, self.others = None, None

    # ---- life ----
    def write_config(self, config):
        with open(self.config_file, 'w') as f:
            json.dump(config, f)

    def command(self):
        return [BRYO, 'daemon', '-H', 'unix://' + self.socket, '--data-root', self.data, '--exec-root', self.run,
                '--config-file', self.config_file] + self.flags

    def spawn(self):
        if self.others is None:
            self.others = set(host.bryo_processes())
        log = open(self.log, 'ab')
        env = dict(os.environ, **self.environment)
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env,
                                        start_new_session=True)
        log.close()

    def start(self, timeout=20):
        """Starts the engine and returns once it answers; its log is shown if it does not."""
        self.spawn()
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.answers():
                return self
            assert self.process.poll() is None, 'the engine ended with %s:\n%s' % (self.process.returncode, self.tail())
            time.sleep(0.01)
        raise AssertionError('no answer after %s s:\n%s' % (timeout, self.tail()))

    def answers(self):
        try:
            return self.api(timeout=5).get('/_ping').status == 200
        except (OSError, ValueError):
            return False

    def stop(self, timeout=40):
        """SIGTERM and wait; returns the exit code."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout)
        self.process = None
        return code

    def kill(self):
        """SIGKILL of the engine process alone."""
        self.process.kill()
        self.process.wait(10)
        self.process = None

    def restart(self):
        self.stop()
        return self.start()

    def destroy(self):
        """Stops everything and removes all traces, also after a failure."""
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.kill()
        for pid in self.helpers():
            host.kill_quietly(pid)
        host.remove_tree(self.work)
        host.remove_tree(self.run)
        for left in (self.socket, self.run):
            if os.path.lexists(left) and not os.path.isdir(left):
                os.unlink(left)

    def tail(self, lines=40):
        try:
            with open(self.log, errors='replace') as f:
                return ''.join(f.readlines()[-lines:])
        except OSError as e:
            return str(e)

    def helpers(self):
        """Pids of holder, gate and monitors: Bryo's processes of this user that were not there before this engine was first
        started. (Their environment cannot be read from outside their user namespace.)"""
        own = self.process.pid if self.process else None
        return [p for p in host.bryo_processes() if p != own and p not in (self.others or ())]

    # ---- clients ----
    @property
    def host(self):
        return 'unix://' + self.socket

    def environ(self, **more):
        env = {k: v for k, v in os.environ.items() if not k.startswith('DOCKER_')}
        env.update(DOCKER_HOST=self.host, DOCKER_CONFIG=self.cli_config, DOCKER_CLI_HINTS='false', **more)
        return env

    def docker(self, *args, input=None, check=True, timeout=60, env=None, cwd=None):
        return run(['docker', *map(str, args)], self.environ(**(env or {})), input, timeout, check, cwd)

    def fails(self, *args, code=None, **kw):
        """A docker command that must fail; returns its result."""
        result = self.docker(*args, check=False, **kw)
        assert result.code != 0, 'it went through: %r' % result
        assert code is None or result.code == code, result
        return result

    def popen(self, *args, **kw):
        kw.setdefault('stdin', subprocess.DEVNULL)
        kw.setdefault('stdout', subprocess.PIPE)
        kw.setdefault('stderr', subprocess.PIPE)
        return subprocess.Popen(['docker', *map(str, args)], env=self.environ(), **kw)

    def bryo(self, *args, input=None, check=True, timeout=60):
        return run([BRYO, *map(str, args)], self.environ(), input, timeout, check)

    def api(self, version=None, timeout=60):
        return Client(self.socket, version, timeout)

    def inspect(self, what, template=None):
        if template:
            return self.docker('inspect', '-f', template, what).text
        return json.loads(self.docker('inspect', what).out)[0]

    def pull(self, name, tag=None):
        """Pulls REGISTRY/name and gives it its short name, as if it came from Docker Hub."""
        full = '%s/%s' % (self.registry.address, name)
        self.docker('pull', '-q', full, timeout=180)
        self.docker('tag', full, tag or name)

    def clear(self):
        """Removes every container (and what hangs on it), user networks and volumes; images stay."""
        api = self.api()
        for c in api.get('/containers/json?all=1').json():
            api.delete('/containers/%s?force=1&v=1' % c['Id'], ok=(204, 404, 409))
        for v in api.get('/volumes').json().get('Volumes') or []:
            api.delete('/volumes/%s?force=1' % v['Name'], ok=(204, 404, 409))
        for n in api.get('/networks').json():
            if n['Name'] not in ('bridge', 'host', 'none'):
                api.delete('/networks/%s' % n['Id'], ok=(204, 403, 404))


def wait_until(condition, timeout=10, step=0.02, what=None):
    """Polls until `condition()` is true and returns its value; fails after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, 'not within %s s: %s' % (timeout, what or condition)
        time.sleep(step)


def have(program):
    return shutil.which(program, path=os.environ['PATH'] + ':/usr/sbin:/sbin') is not None

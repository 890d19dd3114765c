"""One machine: a throw-away overlay of the base image, QEMU, and commands over ssh.

    with Machine('v2', bryo='target/debug/bryo') as m:
        m.run('id -un').text                     'anna', in a login session with systemd and D-Bus
        m.run(['dmesg'], root=True)              a list is quoted; a string goes to the guest's shell as it is
        m.run('exit 3', check=False).code        3
        m.put('here', '/there'); m.get('/there')
        m.reboot()

The host's port for ssh is loopback's alone and needs the image's key. Everything of a run lies in one folder, which
`stop` removes; a machine also ends when the process that started it does.
"""
import http.client
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from . import cargo, image, qemu, recipe
from .shell import run


class Machine:
    """See the module's text. `bryo` and `docker` are programs of the host (None leaves one out); `files` maps paths in
    the guest to further files. `parameters` are for the guest's kernel. Times are in seconds, `memory` in MiB."""

    def __init__(self, cgroup='v2', bryo=None, docker=shutil.which('docker'), files=None, cpus=2, memory=2048,
                 parameters='', boot_timeout=240):
        self.cgroup, self.bryo, self.docker_cli, self.files = cgroup, bryo, docker, files
        self.cpus, self.memory, self.parameters = cpus, memory, parameters
        self.boot_timeout = boot_timeout
        self.folder, self.process, self.port = None, None, None

    # ---- life ----
    def start(self):
        """Boots it and returns once anna can log in."""
        base = image.folder()
        assert image.exists(), 'no base image: tests/vm/run makes it'
        os.makedirs(os.path.join(image.CACHE, 'runs'), exist_ok=True)
        self.folder = tempfile.mkdtemp(prefix='m', dir=os.path.join(image.CACHE, 'runs'))
        try:
            load = cargo.pack(self.path('cargo.tar'), self.folder, self.bryo, self.docker_cli, self.files)
            run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', base + '/disk.raw', self.path('disk')])
            for name in ('key', 'known_hosts'):
                shutil.copy(os.path.join(base, name), self.path(name))
            os.chmod(self.path('key'), 0o600)
            begin = time.monotonic()
            self.process = self.launch(base, load)
            self.port = self.ask_port()
            self.write_ssh_config()
            self.await_boot(1)
            self.boot_time = time.monotonic() - begin
        except BaseException:
            self.stop()
            raise
        return self

    def launch(self, base, load):
        arguments = qemu.command(base, self.path('disk'), load, self.path('console'), self.cgroup, self.cpus,
                                 self.memory, self.parameters)
        # stdin is QEMU's monitor. setpriv: should this process be killed, the machine ends too.
        with open(self.path('qemu.log'), 'ab') as log:
            return subprocess.Popen(['setpriv', '--pdeathsig', 'KILL', *arguments], stdin=subprocess.PIPE, stdout=log,
                                    stderr=log, start_new_session=True)

    def ask_port(self):
        self.process.stdin.write(b'info usernet\n')
        self.process.stdin.flush()
        for _ in range(600):
            with open(self.path('qemu.log'), errors='replace') as f:
                text = f.read()
            port = qemu.forwarded_port(text)
            if port:
                return port
            assert self.process.poll() is None, 'QEMU ended with %s:\n%s' % (self.process.returncode, text)
            time.sleep(0.05)
        raise AssertionError('QEMU does not tell its port:\n' + text)

    def await_boot(self, times):
        """Waits until the guest has said that often that it is up. (Asking its sshd meanwhile would slow it down.)"""
        end = time.monotonic() + self.boot_timeout
        while self.console().count(recipe.READY) < times:
            assert self.process.poll() is None, 'QEMU ended with %s:\n%s' % (self.process.returncode, self.console()[-3000:])
            assert time.monotonic() < end, 'no boot within %s s:\n%s' % (self.boot_timeout, self.console()[-3000:])
            time.sleep(0.1)

    def reboot(self):
        """An orderly reboot, as `systemctl reboot` does it; returns once anna can log in again."""
        boots = self.console().count(recipe.READY)
        self.run('systemctl --no-block reboot', root=True)
        self.hang_up()
        self.await_boot(boots + 1)

    def power_cycle(self):
        """A reset without warning, as after a power failure (what the guest had synced is there)."""
        boots = self.console().count(recipe.READY)
        self.process.stdin.write(b'system_reset\n')
        self.process.stdin.flush()
        self.hang_up()
        self.await_boot(boots + 1)

    def stop(self):
        """Ends it without ceremony and removes what it had."""
        if self.port:
            self.hang_up()
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        if self.process:
            self.process.wait()
            self.process.stdin.close()
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.process = self.folder = self.port = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def path(self, name):
        return os.path.join(self.folder, name)

    def console(self):
        """Everything the kernel and systemd have printed so far."""
        try:
            with open(self.path('console'), errors='replace') as f:
                return f.read()
        except FileNotFoundError:
            return ''

    # ---- ssh ----
    def write_ssh_config(self):
        """One connection for each user is kept open: under emulation a handshake costs half a second."""
        with open(self.path('ssh_config'), 'w') as f:
            f.write('Host guest\nHostName 127.0.0.1\nPort %d\nUser %s\nIdentityFile %s\nIdentitiesOnly yes\n'
                    'UserKnownHostsFile %s\nHostKeyAlias guest\nStrictHostKeyChecking yes\nLogLevel ERROR\n'
                    'ServerAliveInterval 20\nServerAliveCountMax 9\nControlMaster auto\nControlPersist 900\n'
                    'ControlPath %s\nSendEnv none\n' % (self.port, recipe.USER, self.path('key'),
                                                      self.path('known_hosts'), self.path('%r')))

    def ssh(self, user, *options):
        return ['ssh', '-F', self.path('ssh_config'), '-l', user, *options, 'guest']

    def hang_up(self):
        """Closes the kept connections: the guest forgets them when it reboots."""
        for user in ('root', recipe.USER, recipe.FRESH_USER):
            if os.path.exists(self.path(user)):
                subprocess.run(self.ssh(user, '-O', 'exit'), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               timeout=20, check=False)
        if os.path.lexists(self.path('api')):
            os.unlink(self.path('api'))

    def run(self, command, root=False, user=recipe.USER, input=None, timeout=120, check=True, env=None):
        """Runs a command in the guest, as anna in a login session or as root; returns a Result."""
        command = command if isinstance(command, str) else shlex.join(command)
        what = ('(root) ' if root else '') + command
        if env:
            command = 'export %s; %s' % (' '.join('%s=%s' % (k, shlex.quote(v)) for k, v in env.items()), command)
        # `exit $?`: without it a command that a signal ended would look as if ssh had failed.
        if input is not None and isinstance(input, str):
            input = input.encode()
        return run(self.ssh('root' if root else user) + [command + '\nexit $?'], what=what, timeout=timeout, check=check,
                   input=input)

    def spawn(self, command, root=False, user=recipe.USER, **more):
        """Starts a command in the guest and returns the Popen of its ssh; its streams are pipes unless told otherwise."""
        command = command if isinstance(command, str) else shlex.join(command)
        pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'stderr': subprocess.STDOUT, **more}
        return subprocess.Popen(self.ssh('root' if root else user) + [command], **pipes)

    def put(self, source, dest, root=False, mode=None):
        """Copies a file of the host into the guest."""
        mode = mode if mode is not None else os.stat(source).st_mode & 0o777
        with open(source, 'rb') as f:
            data = f.read()
        self.run('cat >%s && chmod %o %s' % (shlex.quote(dest), mode, shlex.quote(dest)), root=root, input=data)

    def get(self, path, root=False):
        """The bytes of a file of the guest."""
        return self.run(['cat', path], root=root).raw_out

    def wait_for(self, command, timeout=60, **more):
        """Repeats a command until it succeeds; its last Result."""
        end = time.monotonic() + timeout
        while True:
            result = self.run(command, check=False, **more)
            if result.code == 0:
                return result
            assert time.monotonic() < end, 'not within %s s: %r' % (timeout, result)
            time.sleep(0.2)

    # ---- Bryo ----
    def daemon(self, *flags, images=True):
        """Starts `bryo daemon` as if typed in a shell of anna's (it goes on when the shell is left) and waits until it
        answers; loads busybox. Its log is ~/daemon.log."""
        self.run('setsid bryo daemon %s >>~/daemon.log 2>&1 </dev/null &' % shlex.join(flags))
        try:
            self.wait_for('docker version', env=self.environment())
        except AssertionError as e:
            raise AssertionError('%s\n%s' % (e, self.run('cat ~/daemon.log').out)) from None
        if images:
            self.docker('load', '-q', '-i', cargo.IMAGE)

    def environment(self):
        return {'DOCKER_HOST': 'unix:///run/user/%d/docker.sock' % recipe.UID}

    def api(self, path):
        """What anna's engine answers to GET: status and JSON. Its socket is forwarded over the kept connection."""
        here = self.path('api')
        if not os.path.exists(here):
            self.run('true')  # the connection is there now
            there = '/run/user/%d/docker.sock' % recipe.UID
            run(self.ssh(recipe.USER, '-O', 'forward', '-L', '%s:%s' % (here, there)))
        connection = http.client.HTTPConnection('guest', timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(60)
        connection.sock.connect(here)
        connection.request('GET', path)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text) if text else None

    def docker(self, *arguments, **more):
        """The docker CLI as anna, on her engine."""
        return self.run(['docker', *arguments], env=self.environment(), **more)

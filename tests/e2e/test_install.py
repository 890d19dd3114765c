"""`bryo setup install`, `uninstall` and `nsenter` as a plain user without systemd, in a home and a runtime folder of the
test's own, so that the engine with its usual places is the test's and nobody else's. What systemd does is shown in tests/vm.
"""
import json
import os
import shutil
import signal
import subprocess
import time

import pytest

from support import host
from support.engine import BRYO, run
from support.raw import Client


class Home:
    """A user's surroundings; `bryo` is a copy of the program, which can be replaced by a newer one."""

    def __init__(self, folder):
        self.folder, self.bryo = folder, folder + '/bin/bryo'
        self.run = os.path.join(os.environ['XDG_RUNTIME_DIR'], 'bi%d' % os.getpid())
        os.mkdir(self.run, 0o700)
        os.mkdir(folder + '/bin')
        self.put_program()
        keep = {k: v for k, v in os.environ.items() if not k.startswith(('DOCKER_', 'XDG_'))}
        self.env = dict(keep, HOME=folder, XDG_RUNTIME_DIR=self.run, PATH='%s/bin:%s' % (folder, os.environ['PATH']))
        self.before, self.daemon = set(host.bryo_processes()), None

    def put_program(self):
        """A new file in the place of the old one, as an upgrade does it."""
        shutil.copy(BRYO, self.bryo + '.new')
        os.rename(self.bryo + '.new', self.bryo)

    def setup(self, *words, check=True, input=None):
        result = run([self.bryo, 'setup', *words], env=self.env, check=check, input=input, timeout=90)
        assert 'panicked' not in result.err, result
        return result

    def start(self, *flags):
        self.daemon = subprocess.Popen([self.bryo, 'daemon', *flags], env=self.env, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        self.wait(lambda: self.api().get('/_ping').status == 200)

    def wait(self, condition, timeout=20):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            try:
                if condition():
                    return
            except (OSError, ValueError):
                pass
            time.sleep(0.02)
        raise AssertionError('it did not come to that within %s s' % timeout)

    def api(self):
        return Client(self.run + '/docker.sock', None, 10)

    def own(self, *words, **kw):
        return run([self.bryo, *words], env=self.env, **kw)

    def processes(self):
        return set(host.bryo_processes()) - self.before | set(self.engines())

    def engines(self):
        return host.find(self.bryo + ' daemon*')

    def destroy(self):
        if self.daemon:
            self.daemon.poll()
        for pid in self.processes():
            host.kill_quietly(pid)
        host.remove_tree(self.run)


@pytest.fixture
def home(folder):
    home = Home(folder)
    yield home
    home.destroy()


@pytest.fixture
def running(home, push, registry):
    """The home with an engine of its usual places and a container that runs."""
    name = push('busybox')
    home.start()
    home.own('pull', '-q', name)
    home.own('run', '-d', '--stop-timeout', '1', '--name', 'long', name, 'sleep', '1000')
    return home


def context(home):
    return json.loads(run(['docker', 'context', 'inspect', 'rootless'], env=home.env).out)[0]


def in_profile(home):
    with open(home.folder + '/.profile') as f:
        return f.read()


# ---- install ----

def test_without_systemd_it_says_how_to_start(home):
    result = home.setup('install')
    assert 'systemd not detected, bryo daemon needs to be started manually:' in result.out
    assert '\nPATH=%s/bin:/sbin:/usr/sbin:$PATH %s daemon\n' % (home.folder, home.bryo) in result.out
    assert 'Creating CLI context "rootless"' in result.out and 'Using CLI context "rootless"' in result.out
    assert 'Make sure the following environment variable(s) are set (or add them to ~/.bashrc):' in result.out
    assert 'export PATH=%s/bin:$PATH' % home.folder in result.out
    assert 'Some applications may require the following environment variable too:' in result.out
    assert 'export DOCKER_HOST=unix://%s/docker.sock' % home.run in result.out
    assert not os.path.exists(home.folder + '/.config') and not os.path.exists(home.folder + '/.profile')
    found = context(home)
    assert found['Endpoints']['docker']['Host'] == 'unix://%s/docker.sock' % home.run
    assert found['Metadata']['Description'] == 'Rootless mode'
    assert run(['docker', 'context', 'show'], env=home.env).text == 'rootless'


def test_twice_is_the_same(home):
    home.setup('install', '--login-shell')
    before = in_profile(home), context(home)
    result = home.setup('install', '--login-shell')
    assert 'CLI context "rootless" already exists' in result.out
    assert (in_profile(home), context(home)) == before


def test_other_settings_of_the_cli_stay(home):
    os.mkdir(home.folder + '/.docker')
    path = home.folder + '/.docker/config.json'
    with open(path, 'w') as f:
        json.dump({'auths': {'r.example': {'auth': 'eA=='}}, 'psFormat': 'table {{.ID}}'}, f)
    home.setup('install')
    home.setup('uninstall')
    with open(path) as f:
        assert json.load(f) == {'auths': {'r.example': {'auth': 'eA=='}}, 'psFormat': 'table {{.ID}}'}


def test_the_login_shell_starts_the_engine(home):
    with open(home.folder + '/.profile', 'w') as f:
        f.write('export MINE=1')
    home.setup('install', '--login-shell')
    run(['sh', '-lc', 'true'], env=home.env)
    home.wait(lambda: home.api().get('/_ping').status == 200)
    first = home.engines()
    run(['sh', '-lc', 'true'], env=home.env)  # a second login starts no second one
    assert home.engines() == first and len(first) == 1
    home.setup('uninstall')
    assert in_profile(home) == 'export MINE=1\n'
    assert not home.processes()


def test_another_context_of_that_name_stays_unless_forced(home):
    run(['docker', 'context', 'create', 'rootless', '--docker', 'host=unix:///elsewhere.sock'], env=home.env)
    result = home.setup('install')
    assert 'unix:///elsewhere.sock' in result.err and '--force' in result.err
    assert context(home)['Endpoints']['docker']['Host'] == 'unix:///elsewhere.sock'
    home.setup('install', '--force')
    assert context(home)['Endpoints']['docker']['Host'] == 'unix://%s/docker.sock' % home.run


def test_what_is_missing_stops_it_and_force_means_single_id_mode(home):
    os.rename(home.folder + '/bin', home.folder + '/own')
    home.env['PATH'], home.bryo = host.path_without(home.folder, 'newuidmap', 'newgidmap'), home.folder + '/own/bryo'
    result = home.setup('install', check=False)
    assert result.code == 1 and '########## BEGIN ##########' in result.out
    assert not os.path.exists(home.folder + '/.docker')
    result = home.setup('install', '--force')
    assert 'single-id mode' in result.err and 'Using CLI context' in result.out


def test_a_read_only_home(home):
    os.chmod(home.folder, 0o500)
    try:
        result = home.setup('install', check=False)
        assert result.code == 1 and 'HOME needs to be writable' in result.err
    finally:
        os.chmod(home.folder, 0o700)


# ---- an engine is there ----

def test_an_upgrade_stops_no_container(running):
    started = running.own('inspect', '-f', '{{.State.Pid}}', 'long').text
    old = running.daemon.pid
    result = running.setup('install')
    assert 'The engine runs and is of this version' in result.out and running.daemon.poll() is None
    time.sleep(2.1)  # both the boot and the change of a file are known in whole seconds
    running.put_program()
    result = running.setup('install')
    assert 'The running engine is replaced; containers go on' in result.out
    assert 'The new engine took over; 1 of 1 containers run on' in result.out, result
    running.daemon.wait(5)
    assert not host.alive(old)
    assert running.own('inspect', '-f', '{{.State.Pid}}', 'long').text == started
    assert running.own('exec', 'long', 'echo', 'still here').text == 'still here'


def test_the_upgraded_engine_keeps_its_flags(home):
    home.start('--label', 'kept=yes')
    home.setup('install', '--force')
    home.daemon.wait(5)
    assert home.api().get('/info').json()['Labels'] == ['kept=yes']


def test_uninstall_ends_everything_and_keeps_the_data(running):
    running.setup('install')
    pids = running.processes()
    assert len(pids) >= 3
    result = running.setup('uninstall')
    running.daemon.wait(5)
    for text in ('Deleted CLI context "rootless"', 'Configured CLI to use the "default" context.',
                 'This uninstallation tool does NOT remove Docker binaries and data.', 'To remove data, run: `'):
        assert text in result.out, result
    assert not running.processes()
    assert os.listdir(running.run) == []
    assert os.path.isfile(running.folder + '/.local/share/bryo/version')
    assert run(['docker', 'context', 'show'], env=running.env).text == 'default'
    again = running.setup('uninstall')
    assert 'Deleted CLI context' not in again.out


def test_uninstall_ends_what_a_killed_engine_left(running):
    running.daemon.send_signal(signal.SIGKILL)
    running.daemon.wait(5)
    [holder] = [p for p in running.processes() if 'holder' in host.command_line(p)]
    os.kill(holder, signal.SIGKILL)
    assert running.processes()
    running.setup('uninstall')
    running.wait(lambda: not running.processes())
    assert os.listdir(running.run) == []


def test_purge_asks_and_removes_files_of_subordinate_ids(running):
    running.own('exec', 'long', 'sh', '-c', 'mkdir -m 700 /private; echo x > /private/f; chown -R 1234:1234 /private')
    data = running.folder + '/.local/share/bryo'
    result = running.setup('uninstall', '--purge', input='n\n')
    assert 'Are you sure you want to continue? [y/N]' in result.out and os.path.isdir(data)
    result = running.setup('uninstall', '--purge', input='y\n')
    assert not os.path.exists(data), result


def test_purge_takes_no_folder_that_is_not_an_engines(home):
    os.makedirs(home.folder + '/.local/share/bryo/photos')
    result = home.setup('uninstall', '--purge', '--yes', check=False)
    assert result.code == 1 and os.path.isdir(home.folder + '/.local/share/bryo/photos')
    assert 'no file `version`' in result.err


def test_uninstall_works_on_a_broken_host(running):
    """No newuidmap, no docker CLI, a daemon.json that cannot be read, a runtime folder that is not named."""
    os.makedirs(running.folder + '/.config/bryo')
    with open(running.folder + '/.config/bryo/daemon.json', 'w') as f:
        f.write('{')
    os.mkdir(running.folder + '/bare')
    running.env['PATH'] = running.folder + '/bare'
    result = running.setup('uninstall')
    assert 'going on with the default folders' in result.err, result
    running.daemon.wait(5)
    assert not running.processes()


def test_quit_stops_the_containers_in_spite_of_live_restore(home, push):
    name = push('busybox')
    home.start('--live-restore')
    home.own('pull', '-q', name)
    for policy in ('no', 'unless-stopped'):
        home.own('run', '-d', '--stop-timeout', '1', '--name', policy, '--restart', policy, name, 'sleep', '1000')
    home.daemon.send_signal(signal.SIGQUIT)
    home.daemon.wait(30)
    assert not home.processes() and os.listdir(home.run) == []
    home.start('--live-restore')
    home.wait(lambda: home.own('ps', '--format', '{{.Names}}').text == 'unless-stopped')


# ---- nsenter ----

def test_nsenter_is_root_among_the_engines_mounts(running):
    result = running.setup('nsenter', 'sh', '-c', 'id -u; pwd; readlink /proc/self/ns/mnt; cat /proc/self/uid_map')
    lines = result.out.splitlines()
    assert lines[:2] == ['0', os.getcwd()] and lines[2] != os.readlink('/proc/self/ns/mnt') and len(lines) > 3
    assert running.setup('nsenter', 'sh', '-c', 'exit 7', check=False).code == 7
    result = running.setup('nsenter', '/no/such/program', check=False)
    assert result.code == 1 and 'could not run /no/such/program' in result.err


def test_nsenter_needs_an_engine(home):
    result = home.setup('nsenter', check=False)
    assert result.code == 1 and 'no engine is running' in result.err and 'bryo daemon' in result.err


def test_root_is_refused():
    for words in (['install'], ['uninstall'], ['nsenter', 'id']):
        result = run(['unshare', '--map-root-user', BRYO, 'setup', *words], check=False)
        assert result.code == 1 and 'root user' in result.err, result

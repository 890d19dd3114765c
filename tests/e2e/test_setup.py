"""`bryo setup check` on this host as a plain user: the words of rootless Docker's tool, its order, its one block of commands.

What the host has is taken away for one command at a time: a PATH without a program, a folder, or a user and mount namespace in
which a file is another (and in which the command runs under its own uid again).
"""
import json
import os

import pytest

from support import host
from support.engine import BRYO, run

TOOL = 'dockerd-rootless-setuptool.sh'
ME, GROUP = os.getuid(), os.getgid()
BLOCK = '''
########## BEGIN ##########
sudo sh -eux <<EOF
%s
EOF
########## END ##########
'''


@pytest.fixture
def home(folder):
    """A home folder of the test's own; returns the environment with it."""
    return dict(os.environ, HOME=folder)


@pytest.fixture(scope='session')
def tool(work):
    """The program under the name of rootless Docker's tool."""
    path = os.path.join(work, TOOL)
    os.symlink(BRYO, path)
    return path


def check(env, *flags, command=None, code=None):
    result = run([*(command or [BRYO, 'setup']), *flags, 'check'], env=env, check=False, timeout=30)
    assert 'panicked' not in result.err, result
    assert code is None or result.code == code, result
    return result


def elsewhere(env, script, *command):
    """Runs a shell script as root of a user and mount namespace, then the command there under our own uid."""
    back = 'exec unshare --user --map-user=%d --map-group=%d -- "$@"' % (ME, GROUP)
    return run(['unshare', '--map-root-user', '--mount', 'sh', '-euc', script + '\n' + back, 'sh', *command],
               env=env, check=False, timeout=30)


def named(result, name):
    """The finding of that id in a JSON report."""
    [finding] = [f for f in json.loads(result.out)['checks'] if f['id'] == name]
    return finding


# ---- as it is ----

def test_a_host_that_has_all(home, folder):
    before = set(os.listdir(folder))
    result = check(home, code=0)
    assert result.out.rstrip().endswith('[INFO] Requirements are satisfied')
    for word in ('can be mapped', 'overlayfs', 'nf_tables', 'subordinate uids'):
        assert word in result.out, result
    assert set(os.listdir(folder)) == before, 'the check left something behind'


def test_json_for_scripts(home):
    found = json.loads(check(home, '--json', code=0).out)
    assert found['ok'] is True and found['commands'] is None
    ids = [f['id'] for f in found['checks']]
    order = ['user', 'systemd', 'home', 'rootful', 'runtime-dir', 'newuidmap', 'user-namespaces', 'subuid', 'subgid', 'cgroup']
    assert sorted(order, key=ids.index) == order
    assert {f['level'] for f in found['checks']} <= {'required', 'recommended', 'information'}
    for finding in found['checks']:
        assert finding['ok'] or finding['seen'], finding


def test_it_leaves_no_process(home):
    before = set(host.bryo_processes())
    check(home, code=0)
    assert set(host.bryo_processes()) <= before


# ---- the tool's words ----

def test_no_newuidmap_is_one_block_of_commands(home, folder, tool):
    env = dict(home, PATH=host.path_without(folder, 'newuidmap', 'newgidmap'))
    result = check(env, command=[tool], code=1)
    assert 'Missing system requirements. Run the following commands to' in result.err
    assert 'install the requirements and run this tool again.' in result.err
    assert BLOCK % '# Install newuidmap & newgidmap binaries\napt-get install -y uidmap' in result.out
    assert 'Requirements are satisfied' not in result.out
    found = json.loads(check(env, '--json', code=1).out)
    assert found['ok'] is False and 'apt-get install -y uidmap' in found['commands']


def test_no_subordinate_ids(home, folder):
    empty = folder + '/empty'
    open(empty, 'w').close()
    name = run(['id', '-un']).text
    result = elsewhere(home, 'mount --bind %s /etc/subuid; mount --bind %s /etc/subgid' % (empty, empty),
                       BRYO, 'setup', 'check')
    assert result.code == 1, result
    lines = ['# Add subuid entry for ' + name, 'echo "%s:100000:65536" >> /etc/subuid' % name,
             '# Add subgid entry for ' + name, 'echo "%s:100000:65536" >> /etc/subgid' % name]
    assert BLOCK % '\n'.join(lines) in result.out, result


def test_a_range_that_is_taken_is_not_given_twice(home, folder):
    with open(folder + '/sub', 'w') as f:
        f.write('somebody:100000:65536\n')
    result = elsewhere(home, 'mount --bind %s/sub /etc/subuid' % folder, BRYO, 'setup', 'check')
    assert ':165536:65536" >> /etc/subuid' in result.out, result


def test_few_ids_are_a_recommendation(home, folder):
    with open(folder + '/sub', 'w') as f:
        f.write('%d:100000:1000\n' % ME)
    result = elsewhere(home, 'mount --bind %s/sub /etc/subuid' % folder, BRYO, 'setup', 'check', '--json')
    finding = named(result, 'subuid')
    assert finding['level'] == 'recommended' and '1000 ids' in finding['seen'] and ':101000:64536' in str(finding['mend'])


def test_no_user_namespaces(home):
    """user.max_user_namespaces counts for the user namespace it is written in."""
    script = 'echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --ambient-caps=-all --inh-caps=-all "$@"'
    result = run(['unshare', '--user', '--map-user=%d' % ME, '--map-group=%d' % GROUP, '--keep-caps', 'sh', '-euc', script, 'sh',
                  BRYO, 'setup', 'check'], env=home, check=False)
    assert result.code == 1, result
    assert 'user.max_user_namespaces = 28633' in result.out and '/etc/sysctl.d/51-rootless.conf' in result.out
    assert 'sysctl --system' in result.out and 'user.max_user_namespaces = 0' in result.err


def test_root_is_refused(tool):
    for command in ([tool], [BRYO, 'setup']):
        result = run(['unshare', '--map-root-user', *command, 'check'], check=False)
        assert result.code == 1 and '[ERROR] Refusing to install rootless Docker as the root user' in result.err, result


def test_a_rootful_docker(home):
    script = 'mount -t tmpfs none /run; mkdir -p -m 700 /run/user/%d; touch /run/docker.sock; chmod 666 /run/docker.sock' % ME
    text = 'Aborting because rootful Docker (/var/run/docker.sock) is running and accessible. Set --force to ignore.'
    result = elsewhere(home, script, BRYO, 'setup', 'check')
    assert result.code == 1 and text in result.err, result
    assert text not in elsewhere(home, script, BRYO, 'setup', '--force', 'check').err


@pytest.mark.parametrize('value,text', [
    (None, 'HOME needs to be set'),
    ('/nonexistent/home', 'HOME needs to be set'),
    ('/proc', 'HOME needs to be writable'),
])
def test_home(value, text):
    env = {k: v for k, v in os.environ.items() if k != 'HOME'}
    result = check(dict(env, HOME=value) if value else env, code=1)
    assert text in result.err, result


def test_no_runtime_folder_and_no_systemd(home, folder):
    del home['XDG_RUNTIME_DIR']
    result = check(home, code=0)
    assert os.stat(folder + '/.docker/run').st_mode & 0o777 == 0o700
    assert 'must be removed on every logout' in result.err, result


def test_no_runtime_folder_but_systemd(home):
    del home['XDG_RUNTIME_DIR']
    result = elsewhere(home, 'mount -t tmpfs none /run; mkdir -p /run/systemd/system', BRYO, 'setup', 'check')
    assert result.code == 1, result
    assert 'Aborting because systemd was detected but XDG_RUNTIME_DIR' in result.err
    assert 'is not set, does not exist, or is not writable' in result.err
    assert 'loginctl enable-linger' in result.err and '`su` or `sudo`' in result.err


def test_systemd_without_the_users_bus(home):
    script = 'mount -t tmpfs none /run; mkdir -p /run/systemd/system; mkdir -p -m 700 /run/user/%d' % ME
    result = elsewhere(home, script, BRYO, 'setup', 'check', '--json')
    finding = named(result, 'systemd')
    assert not finding['ok'] and 'Failed to connect to bus' in finding['text'], result


def test_containerd_beside(home, folder):
    os.makedirs(folder + '/run/containerd-rootless')
    result = check(dict(home, XDG_RUNTIME_DIR=folder + '/run'), code=0)
    assert 'dockerd-rootless.sh conflicts with containerd-rootless.sh' in result.out


def test_no_iptables_matters_little(home, folder):
    """Beside PATH the two sbin folders are searched, as the tool does; they are hidden too."""
    env = dict(home, PATH=host.path_without(folder, 'iptables'))
    os.mkdir(folder + '/empty')
    result = elsewhere(env, 'mount --bind %s/empty /usr/sbin' % folder, BRYO, 'setup', '--json', 'check')
    finding = named(result, 'iptables')
    assert not finding['ok'] and finding['level'] == 'information' and 'iptables binary not found' in finding['text']


# ---- bad input ----

@pytest.mark.parametrize('words,text', [
    ([], 'No command was specified. Run with --help to see the usage. Maybe you want to run '),
    (['chekc'], 'Unknown command: chekc. Run with --help to see the usage.'),
    (['--nosuch', 'check'], '--nosuch'),
    (['check', 'me'], '"me"'),
])
def test_wrong_command_lines(tool, words, text):
    for command in ([tool], [BRYO, 'setup']):
        result = run([*command, *words], check=False)
        assert result.code == 1 and text in result.err and result.err.startswith('[ERROR] '), result


def test_help(tool):
    for words in (['--help'], ['-h'], ['check', '--help']):
        text = run([tool, *words]).out
        assert text.startswith('Usage: %s [OPTIONS] COMMAND' % TOOL)
        assert '--force' in text and '--skip-iptables' in text and 'check' in text

"""What the daemon refuses, and whether the text names the cause, the value seen and the command that mends it."""
import json
import os
import shutil
import socket
import stat

import pytest

from support import host
from support.engine import BRYO, run


def refused(args, env=None, timeout=20):
    """Runs a daemon that must not start; returns what it said on stderr."""
    before = set(host.bryo_processes())
    result = run([BRYO, 'daemon', *args], env=dict(os.environ, **(env or {})), timeout=timeout, check=False)
    assert result.code != 0, 'it started: %r' % result
    assert 'panicked' not in result.err, result
    assert set(host.bryo_processes()) <= before, 'it left a helper behind: %r' % result
    return result.err


@pytest.fixture
def args(folder):
    """Flags of a daemon of the test's own."""
    with open(folder + '/daemon.json', 'w') as f:
        f.write('{}')
    short = os.path.join(os.environ['XDG_RUNTIME_DIR'], 'bt-refused-%d' % os.getpid())
    yield ['-H', 'unix://%s.sock' % short, '--data-root', folder + '/data', '--exec-root', short, '--config-file', folder + '/daemon.json']
    shutil.rmtree(short, ignore_errors=True)


def test_root(args):
    """Root is refused; a user namespace of one's own shows uid 0 without being root of the host."""
    result = run(['unshare', '--map-root-user', BRYO, 'daemon', *args], check=False, timeout=20)
    assert result.code != 0
    assert 'root' in result.err and ('uid 0' in result.err or 'as root' in result.err)
    assert 'privileged user' in result.err and 'useradd' in result.err


def test_no_runtime_folder(folder):
    env = {k: v for k, v in os.environ.items() if k != 'XDG_RUNTIME_DIR'}
    result = run([BRYO, 'daemon', '--data-root', folder + '/data'], env=env, check=False, timeout=20)
    assert result.code != 0 and 'XDG_RUNTIME_DIR' in result.err
    assert 'loginctl' in result.err or '/run/user' in result.err or 'export' in result.err


def test_a_runtime_folder_that_is_not_writable(folder):
    os.mkdir(folder + '/ro', 0o500)
    text = refused(['--data-root', folder + '/data'], {'XDG_RUNTIME_DIR': folder + '/ro'})
    assert 'XDG_RUNTIME_DIR' in text and folder + '/ro' in text


def test_a_socket_that_is_served(engine, folder):
    text = refused(['-H', engine.host, '--data-root', folder + '/d', '--exec-root', engine.run + 'x'])
    assert engine.socket in text and ('in use' in text or 'already' in text)
    assert engine.answers(), 'the running engine lost its socket'


def test_a_stale_socket_is_replaced(own_engine):
    engine = own_engine(start=False)
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(engine.socket)
    engine.start()


def test_a_data_root_in_use(engine, args):
    args[args.index('--data-root') + 1] = engine.data
    text = refused(args)
    assert engine.data in text and ('in use' in text or 'another' in text)
    assert engine.answers()


def test_a_data_root_of_a_newer_format(own_engine, args):
    engine = own_engine()
    engine.docker('create', 'busybox', 'true')
    engine.stop()
    raise_format(engine.data)
    args[args.index('--data-root') + 1] = engine.data
    text = refused(args)
    assert 'newer' in text and engine.data in text


def raise_format(data):
    """Finds the file that holds the format's version and makes it 9999."""
    for folder, _, files in os.walk(data):
        for name in files:
            path = os.path.join(folder, name)
            if name in ('format', 'version', 'FORMAT', 'VERSION', 'format.json', 'version.json', 'layout.json', 'store.json'):
                with open(path) as f:
                    text = f.read()
                digits = ''.join(c for c in text if c.isdigit())
                if digits:
                    with open(path, 'w') as f:
                        f.write(text.replace(digits, '9999', 1))
                    return
    raise AssertionError('no file with the format of the data root below ' + data)


def test_a_data_root_that_is_read_only(args, folder):
    os.mkdir(folder + '/data', 0o500)
    text = refused(args)
    assert folder + '/data' in text and ('ermission denied' in text or 'not writable' in text or 'read-only' in text.lower())


def test_a_data_root_without_exec_or_device(args):
    """/dev/shm-like places are fine, /proc is none; what cannot hold a data root is named."""
    args[args.index('--data-root') + 1] = '/proc/self/nowhere'
    assert '/proc/self/nowhere' in refused(args)


# ---- id maps ----

def test_missing_newuidmap_means_single_id_mode(own_engine, folder):
    """Without the helper the engine starts in single-id mode and says so; see test_single_id."""
    engine = own_engine(start=False, environment={'PATH': host.path_without(folder, 'newuidmap', 'newgidmap')})
    engine.start()
    text = engine.tail()
    assert 'newuidmap' in text and 'uidmap' in text and 'single' in text


# ---- configuration ----

@pytest.mark.parametrize('text,words', [
    ('{"debug": tru}', ['line 1']),
    ('{\n  "debug": true,\n  "no-such-key": 1\n}', ['no-such-key']),
    ('{"debug": "yes"}', ['debug']),
    ('{"hosts": "unix:///x"}', ['hosts']),
    ('{"log-driver": "nosuch"}', ['nosuch']),
    ('[]', []),
])
def test_a_bad_daemon_json(args, folder, text, words):
    path = folder + '/daemon.json'
    with open(path, 'w') as f:
        f.write(text)
    said = refused(args)
    assert 'daemon.json' in said and all(w in said for w in words), said
    result = run([BRYO, 'daemon', '--validate', '--config-file', path], check=False)
    assert result.code != 0 and 'daemon.json' in result.err


def test_validate_a_good_one(folder):
    path = folder + '/daemon.json'
    with open(path, 'w') as f:
        json.dump({'debug': True, 'log-driver': 'json-file', 'log-opts': {'max-size': '1m'}, 'insecure-registries': ['10.0.0.1:5000'],
                   'registry-mirrors': ['https://mirror.test'], 'default-ulimits': {'nofile': {'Name': 'nofile', 'Soft': 1000, 'Hard': 2000}},
                   'runtimes': {'runc': {'path': '/usr/sbin/runc'}}}, f)
    result = run([BRYO, 'daemon', '--validate', '--config-file', path])
    assert 'configuration OK' in result.out + result.err


def test_flag_and_file_that_disagree(args, folder):
    with open(folder + '/daemon.json', 'w') as f:
        json.dump({'data-root': folder + '/other'}, f)
    text = refused(args)
    assert 'data-root' in text and folder + '/other' in text


def test_a_config_file_that_is_missing(args, folder):
    args[args.index('--config-file') + 1] = folder + '/nowhere.json'
    assert folder + '/nowhere.json' in refused(args)


def test_unknown_flags_and_hosts(args):
    assert '--no-such-flag' in refused(args + ['--no-such-flag'])
    assert 'ftp://x' in refused(['-H', 'ftp://x'] + args[2:])


def test_tcp_without_tls_only_on_loopback(args, own_engine):
    text = refused(['-H', 'tcp://0.0.0.0:0'] + args[2:])
    assert 'tls' in text.lower() and '0.0.0.0' in text
    port = host.free_port()
    engine = own_engine('-H', 'tcp://127.0.0.1:%d' % port)
    assert host.http_get(port, '/_ping')[1] == b'OK'
    assert 'tls' in engine.tail().lower() or 'unencrypted' in engine.tail()


def test_the_socket_of_a_stopped_engine_is_gone(own_engine):
    engine = own_engine()
    assert stat.S_ISSOCK(os.stat(engine.socket).st_mode)
    engine.stop()
    assert not os.path.exists(engine.socket)

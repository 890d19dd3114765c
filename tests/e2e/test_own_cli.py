"""Bryo's own command, and the same program called as `docker`."""
import os
import re

from support.engine import BRYO, run


def test_run_ps_logs_exec_stop_rm(engine):
    ident = engine.bryo('run', '-d', '--name', 'own', '-e', 'A=b', 'busybox', 'sh', '-c', 'echo up $A; sleep 600').text
    assert re.fullmatch('[0-9a-f]{64}', ident)
    table = engine.bryo('ps').out.splitlines()
    assert table[0].split() == ['CONTAINER', 'ID', 'IMAGE', 'COMMAND', 'CREATED', 'STATUS', 'PORTS', 'NAMES']
    assert ident[:12] in table[1] and 'own' in table[1] and 'busybox' in table[1]
    assert engine.bryo('logs', 'own').out == 'up b\n'
    result = engine.bryo('exec', 'own', 'sh', '-c', 'echo o; echo e >&2; exit 4', check=False)
    assert (result.code, result.out, result.err) == (4, 'o\n', 'e\n')
    assert engine.bryo('stop', '-t', '0', 'own').text == 'own'
    assert engine.bryo('rm', 'own').text == 'own'
    assert 'own' not in engine.bryo('ps', '-a').out


def test_run_foreground(engine):
    result = engine.bryo('run', '--rm', '-i', 'busybox', 'sh', '-c', 'cat; echo e >&2; exit 5', input='in\n', check=False)
    assert (result.code, result.out, result.err) == (5, 'in\n', 'e\n')
    assert engine.bryo('run', '--rm', 'busybox', 'nosuchcommand', check=False).code == 127
    assert engine.bryo('run', '--rm', '--pull', 'never', 'nosuch:1', check=False).code == 125


def test_images_pull_rmi(engine, push):
    full = push('plain')
    assert full in engine.bryo('pull', full).out
    table = engine.bryo('images').out.splitlines()
    assert table[0].split()[:2] == ['REPOSITORY', 'TAG'] and any('plain' in line for line in table)
    assert 'Untagged: ' + full in engine.bryo('rmi', full).out


def test_info_and_version(engine):
    assert 'Server Version' in engine.bryo('info').out or 'Server' in engine.bryo('info').out
    out = engine.bryo('version').out
    assert 'Client' in out and 'Server' in out and 'API version' in out


def test_help_and_errors(engine):
    out = run([BRYO, '--help']).out
    for word in ('daemon', 'run', 'exec', 'ps', 'logs', 'pull'):
        assert re.search(r'^\s+%s\s' % word, out, re.M), word
    result = run([BRYO, 'run'], env=engine.environ(), check=False)
    assert result.code in (1, 2, 125) and result.err
    result = run([BRYO, 'nosuch'], check=False)
    assert result.code != 0 and 'nosuch' in result.err
    result = run([BRYO, 'ps'], env=dict(engine.environ(), DOCKER_HOST='unix:///nowhere.sock'), check=False)
    assert result.code == 1 and '/nowhere.sock' in result.err


def test_called_as_docker(engine, folder):
    os.symlink(os.path.abspath(BRYO), folder + '/docker')
    assert run([folder + '/docker', 'run', '--rm', 'busybox', 'echo', 'hi'], env=engine.environ()).out == 'hi\n'

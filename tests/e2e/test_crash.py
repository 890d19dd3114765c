"""The engine dies, is killed, stops, comes back: what runs goes on, and nothing is left behind."""
import os
import signal
import time

import pytest

from support import host
from support.engine import wait_until

COUNT = 'i=0; while :; do echo $i; i=$((i+1)); sleep 0.05; done'


@pytest.fixture
def engine(own_engine):
    return own_engine()


def test_containers_survive_kill_9(engine):
    port = host.free_port()
    engine.docker('run', '-d', '--name', 'web', '-p', '%d:80' % port, 'busybox', 'sh', '-c',
                  'mkdir /w; echo alive > /w/index.html; exec httpd -f -p 80 -h /w')
    engine.docker('run', '-d', '--name', 'counter', 'busybox', 'sh', '-c', COUNT)
    wait_until(lambda: host.serves(port) == b'alive\n')
    pids = {n: int(engine.inspect(n, '{{.State.Pid}}')) for n in ('web', 'counter')}
    engine.kill()
    assert not engine.answers()
    assert all(host.alive(p) for p in pids.values())
    assert host.http_get(port)[1] == b'alive\n', 'the port is served without the engine'
    time.sleep(0.5)
    engine.start()
    assert {n: int(engine.inspect(n, '{{.State.Pid}}')) for n in pids} == pids
    assert host.http_get(port)[1] == b'alive\n'
    lines = [int(x) for x in engine.docker('logs', 'counter').out.split()]
    assert lines == list(range(len(lines))) and len(lines) > 8, 'no line is lost or doubled'
    assert engine.docker('exec', 'counter', 'echo', 'in').out == 'in\n'
    assert engine.docker('port', 'web').out.startswith('80/tcp -> 0.0.0.0:%d' % port)
    engine.docker('stop', '-t', '0', 'web')
    assert port not in host.ports()


def test_exit_codes_are_kept_while_nobody_looks(engine):
    engine.docker('run', '-d', '--name', 'short', 'busybox', 'sh', '-c', 'sleep 0.7; echo last words; exit 7')
    engine.kill()
    time.sleep(1.2)
    engine.start()
    assert engine.inspect('short', '{{.State.Status}} {{.State.ExitCode}}') == 'exited 7'
    assert engine.docker('wait', 'short').text == '7'
    assert engine.docker('logs', 'short').out == 'last words\n'


def test_wait_works_across_the_death(engine):
    engine.docker('run', '-d', '--name', 'w1', 'busybox', 'sh', '-c', 'sleep 2; exit 5')
    engine.kill()
    engine.start()
    assert engine.docker('wait', 'w1', timeout=20).text == '5'


def test_a_terminal_and_stdin_survive(engine):
    engine.docker('run', '-d', '-it', '--name', 'sh', 'busybox', 'sh')
    engine.kill()
    engine.start()
    api = engine.api()
    reply = api.upgrade('/containers/sh/attach?stream=1&stdin=1&stdout=1')
    assert reply.status == 101
    reply.connection.send(b'echo $((40+2))\n')
    data = b''
    while b'42\r\n' not in data:
        piece = reply.connection.receive()
        assert piece, data
        data += piece
    reply.connection.close()


def test_rm_and_restart_policy_are_still_obeyed(engine):
    engine.docker('run', '-d', '--rm', '--name', 'gone', 'busybox', 'sh', '-c', 'sleep 0.5')
    engine.docker('run', '-d', '--name', 'back', '--restart', 'always', 'busybox', 'sleep', '600')
    pid = int(engine.inspect('back', '{{.State.Pid}}'))
    engine.kill()
    host.kill_quietly(pid)
    time.sleep(0.8)
    engine.start()
    wait_until(lambda: engine.docker('ps', '-a', '--format', '{{.Names}}').text == 'back', what='--rm is obeyed')
    wait_until(lambda: engine.inspect('back', '{{.State.Running}}') == 'true', 15, what='the policy is obeyed')


def test_killed_again_and_again(engine):
    engine.docker('run', '-d', '--name', 'c1', 'busybox', 'sh', '-c', COUNT)
    for _ in range(3):
        engine.kill()
        engine.start()
    assert engine.inspect('c1', '{{.State.Running}}') == 'true'
    lines = [int(x) for x in engine.docker('logs', 'c1').out.split()]
    assert lines == list(range(len(lines)))


def test_killed_in_the_middle_of_work(engine):
    """Creates and starts are cut off at any moment; what is left can be listed and removed, and new work goes through."""
    api = engine.api(timeout=10)
    for round in range(4):
        running = [engine.popen('run', '-d', '--name', 'r%dn%d' % (round, i), 'busybox', 'sleep', '600') for i in range(4)]
        time.sleep(0.05 + 0.07 * round)
        engine.kill()
        for p in running:
            p.communicate(timeout=30)
        engine.start()
    engine.clear()
    assert api.get('/containers/json?all=1').json() == []
    assert engine.docker('run', '--rm', 'busybox', 'echo', 'fine').out == 'fine\n'
    assert not [p for p in host.find('sleep 600') if host.uid_of(p) == os.getuid()]


def test_a_clean_stop_leaves_nothing(engine):
    port = host.free_port()
    engine.docker('run', '-d', '-p', '%d:80' % port, '-v', 'vol:/v', '--tmpfs', '/t', 'busybox', 'sleep', '600')
    engine.docker('run', '-d', '--restart', 'always', 'busybox', 'sleep', '601')
    mounts = set(host.mounts_below('/'))
    assert engine.stop() == 0
    wait_until(lambda: not engine.helpers(), 5, what='holder, gate and monitors end: %s'
               % [host.command_line(p) for p in engine.helpers()])
    assert port not in host.ports() and not os.path.exists(engine.socket)
    assert set(host.mounts_below('/')) <= mounts and not host.mounts_below(engine.data)
    assert not host.find('sleep 601')


def test_containers_stay_when_asked(own_engine):
    engine = own_engine(config={'live-restore': True})
    engine.docker('run', '-d', '--name', 'stays', 'busybox', 'sleep', '602')
    pid = int(engine.inspect('stays', '{{.State.Pid}}'))
    engine.stop()
    assert host.alive(pid)
    engine.start()
    assert int(engine.inspect('stays', '{{.State.Pid}}')) == pid


def test_the_holder_dies_too(engine):
    """Even the holder can be replaced while a container runs."""
    engine.docker('run', '-d', '--name', 'c1', 'busybox', 'sleep', '603')
    pid = int(engine.inspect('c1', '{{.State.Pid}}'))
    holders = [p for p in engine.helpers() if 'holder' in host.command_line(p)]
    assert holders, [host.command_line(p) for p in engine.helpers()]
    engine.kill()
    for p in holders:
        os.kill(p, signal.SIGKILL)
    engine.start()
    assert host.alive(pid) and engine.inspect('c1', '{{.State.Running}}') == 'true'
    assert engine.docker('run', '--rm', 'busybox', 'echo', 'new').out == 'new\n'


def test_sighup_reloads(engine):
    engine.write_config({'labels': ['fresh=1']})
    engine.process.send_signal(signal.SIGHUP)
    wait_until(lambda: 'fresh=1' in engine.docker('info', '-f', '{{.Labels}}').out, what='the new label')


def test_sd_notify(own_engine, folder):
    import socket
    path = folder + '/notify'
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(path)
        s.settimeout(15)
        engine = own_engine(start=False, environment={'NOTIFY_SOCKET': path})
        engine.start()
        assert b'READY=1' in s.recv(4096)

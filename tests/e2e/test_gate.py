"""The gate: published ports by the container's own namespace, and what happens when the gate or everything dies."""
import os
import re
import signal
import socket
import time

import pytest

from support import host
from support.engine import wait_until

SERVE = 'mkdir /w; echo served > /w/index.html; exec httpd -f -p 80 -h /w'
BIG = 'mkdir /w; dd if=/dev/zero of=/w/big bs=1M count=8 2>/dev/null; exec httpd -f -p %s -h /w'


@pytest.fixture
def fresh(own_engine):
    return own_engine()


def gates(engine):
    return [p for p in engine.helpers() if 'gate' in host.command_line(p)]


def bytes_in(engine, name, interface):
    """Bytes that came by an interface of a container."""
    text = engine.docker('exec', name, 'cat', '/proc/net/dev').out
    return int(re.search(r'^\s*%s:\s*(\d+)' % interface, text, re.M).group(1))


def served_big(port):
    try:
        return host.http_get(port, '/big')[0] == 200
    except OSError:
        return False


def fetch(port, address='127.0.0.1'):
    code, body = host.http_get(port, '/big', host=address)
    assert code == 200 and len(body) == 8 << 20


@pytest.mark.parametrize('listen', ['80', '$(hostname -i):80'])
def test_published_bytes_cross_no_bridge(engine, listen):
    port = host.free_port()
    engine.docker('run', '-d', '--name', 'big', '-p', '%d:80' % port, 'busybox', 'sh', '-c', BIG % listen)
    wait_until(lambda: served_big(port))
    before = {i: bytes_in(engine, 'big', i) for i in ('lo', 'eth0')}
    fetch(port)
    if host.own_address():
        fetch(port, host.own_address())
    assert bytes_in(engine, 'big', 'lo') - before['lo'] > 8 << 20
    assert bytes_in(engine, 'big', 'eth0') - before['eth0'] < 100_000


def test_after_a_restart_of_the_container_too(engine):
    port = host.free_port()
    engine.docker('run', '-d', '--name', 'big', '-p', '%d:80' % port, 'busybox', 'sh', '-c', BIG % '80')
    wait_until(lambda: served_big(port))
    engine.docker('restart', '-t', '0', 'big')
    wait_until(lambda: served_big(port))
    before = bytes_in(engine, 'big', 'eth0')
    fetch(port)
    assert bytes_in(engine, 'big', 'eth0') - before < 100_000


def test_a_program_on_the_containers_loopback_stays_private(engine):
    port = host.free_port()
    engine.docker('run', '-d', '--name', 'web', '-p', '%d:80' % port, 'busybox', 'sh', '-c',
                  SERVE.replace('-p 80', '-p 127.0.0.1:80'))
    wait_until(lambda: engine.docker('exec', 'web', 'wget', '-qO-', 'http://127.0.0.1/', check=False).out == 'served\n')
    assert host.serves(port) is None
    own = host.own_address()
    assert not own or host.serves(port, host=own) is None


def test_a_shared_namespace_is_published_by_its_owner(engine):
    port = host.free_port()
    engine.docker('run', '-d', '--name', 'owner', '-p', '%d:80' % port, 'busybox', 'sleep', '600')
    engine.docker('run', '-d', '--network', 'container:owner', 'busybox', 'sh', '-c', SERVE)
    wait_until(lambda: host.serves(port) == b'served\n')


def test_user_sysctls_and_netadmin(engine):
    port = host.free_port()
    engine.docker('run', '-d', '--name', 'web', '--cap-add', 'NET_ADMIN', '--sysctl', 'net.ipv4.ip_forward=1',
                  '--sysctl', 'net.ipv4.conf.all.rp_filter=1', '-p', '%d:80' % port, 'busybox', 'sh', '-c', SERVE)
    wait_until(lambda: host.serves(port) == b'served\n')
    other = host.free_port()
    engine.docker('run', '-d', '--name', 'other', '-p', '%d:80' % other, 'busybox', 'sh', '-c', SERVE)
    wait_until(lambda: host.serves(other) == b'served\n')
    engine.docker('exec', 'web', 'ip', 'rule', 'del', 'pref', '1')
    with socket.create_connection(('127.0.0.1', port), 5):
        assert all(host.serves(other) == b'served\n' for _ in range(20))


def test_a_stop_ends_connections_and_gives_the_address_back(engine):
    port = host.free_port()
    engine.docker('run', '-d', '--name', 'cat', '-p', '%d:80' % port, 'busybox', 'nc', '-l', '-p', '80', '-e', 'cat')
    def talk():
        s = socket.create_connection(('127.0.0.1', port), 5)
        s.settimeout(1)
        s.sendall(b'x')
        try:
            return s if s.recv(1) == b'x' else None
        except OSError:
            return None
    client = wait_until(talk)
    engine.docker('stop', '-t', '0', 'cat')
    client.settimeout(2)
    try:
        assert client.recv(1) == b''
    except ConnectionResetError:
        pass
    engine.docker('start', 'cat')
    second = wait_until(talk)
    second.close()
    client.close()


def test_a_gate_that_dies_is_replaced_within_a_second(fresh):
    port, udp = host.free_port(), host.free_port(socket.SOCK_DGRAM)
    fresh.docker('run', '-d', '--name', 'big', '-p', '%d:80' % port, '-p', '%d:9/udp' % udp, 'busybox', 'sh', '-c',
                 BIG % '80')
    wait_until(lambda: served_big(port))
    pid = fresh.inspect('big', '{{.State.Pid}}')
    for _ in range(2):
        for gate in gates(fresh):
            os.kill(gate, signal.SIGKILL)
        died = time.time()
        wait_until(lambda: port in host.ports() and udp in host.ports('udp'))
        assert time.time() - died < 1
        wait_until(lambda: served_big(port))
        before = bytes_in(fresh, 'big', 'eth0')
        fetch(port)
        assert bytes_in(fresh, 'big', 'eth0') - before < 100_000
        assert fresh.docker('exec', 'big', 'wget', '-qO-', 'http://%s:%d/' % (host.own_address(), port),
                            check=False).code in (0, 1)
    assert fresh.inspect('big', '{{.State.Pid}}') == pid


def test_engine_and_gate_die_together(fresh):
    port = host.free_port()
    fresh.docker('run', '-d', '--name', 'web', '-p', '%d:80' % port, 'busybox', 'sh', '-c', SERVE)
    wait_until(lambda: host.serves(port) == b'served\n')
    mine = gates(fresh)
    assert mine
    fresh.kill()
    for gate in mine:
        os.kill(gate, signal.SIGKILL)
    wait_until(lambda: port not in host.ports(), what='the end of the gate')
    fresh.start()
    end = time.time() + 10
    while host.serves(port) != b'served\n':
        assert time.time() < end, fresh.tail()
        time.sleep(0.02)
    fresh.docker('rm', '-f', 'web')
    assert port not in host.ports()


def listen_once(address='127.0.0.1'):
    """A TCP server of the host's that greets."""
    import threading
    server = socket.create_server((address, 0))

    def serve():
        while True:
            try:
                s, _ = server.accept()
            except OSError:
                return
            with s:
                s.sendall(b'private\n')
    threading.Thread(target=serve, daemon=True).start()
    return server


def test_the_hosts_loopback_opens_for_a_network_that_asks(own_engine):
    api = host.free_port()
    engine = own_engine('-H', 'tcp://127.0.0.1:%d' % api)
    server = listen_once()
    port = server.getsockname()[1]
    ask = 'gw=$(ip route | sed -n "s/^default via \\([^ ]*\\).*/\\1/p"); nc -w 2 $gw %d </dev/null'
    engine.docker('network', 'create', '-o', 'bryo.host-loopback=true', 'opened')
    opened = engine.docker('run', '--rm', '--network', 'opened', 'busybox', 'sh', '-c', ask % port, check=False)
    assert opened.out == 'private\n', opened
    closed = engine.docker('run', '--rm', 'busybox', 'sh', '-c', ask % port, check=False)
    assert closed.code != 0 and 'private' not in closed.out
    # The engine's own door stays shut, even there.
    for network in ('opened', 'bridge'):
        door = engine.docker('run', '--rm', '--network', network, 'busybox', 'sh', '-c', ask % api, check=False)
        assert door.code != 0, door
    server.close()

"""The default bridge, published ports, the way out, what stays closed."""
import json
import re
import socket
import threading
import time

import pytest

from support import host
from support.engine import wait_until

ECHO = 'while :; do nc -l -p 7 -e cat; done'
LOCAL = (b'127.0.0.1 ping', b'172.17.0.1 ping')  # how a client on the host's loopback may be seen
SERVE = 'mkdir /w; echo served > /w/index.html; exec httpd -f -p 80 -h /w'
# The server may need a moment yet.
SOON = 'for i in 1 2 3 4 5 6 7 8 9; do wget -qO- http://%s/ 2>/dev/null && break; sleep 0.2; done'


class Echo:
    """A TCP and a UDP echo server of the host's, which notes who came."""

    def __init__(self, address='0.0.0.0'):
        self.seen = []
        self.tcp = socket.create_server((address, 0))
        self.port = self.tcp.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((address, self.port))
        for work in (self.serve_tcp, self.serve_udp):
            threading.Thread(target=work, daemon=True).start()

    def serve_tcp(self):
        while True:
            try:
                s, peer = self.tcp.accept()
            except OSError:
                return
            self.seen.append(peer[0])
            with s:
                s.sendall(b'hello from the host\n')

    def serve_udp(self):
        while True:
            try:
                data, peer = self.udp.recvfrom(65536)
            except OSError:
                return
            self.udp.sendto(data.upper(), peer)

    def close(self):
        self.tcp.close()
        self.udp.close()


def sh(engine, script, *flags, **kw):
    return engine.docker('run', '--rm', *flags, 'busybox', 'sh', '-c', script, **kw)


def serving(engine, *flags, name='web'):
    engine.docker('run', '-d', '--name', name, *flags, 'busybox', 'sh', '-c', SERVE)


def udp_echo(port, data=b'ping', tries=20, address='127.0.0.1'):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(0.3)
        for _ in range(tries):
            s.sendto(data, (address, port))
            try:
                return s.recv(65536)
            except (TimeoutError, socket.timeout):
                pass
    return None


# ---- published ports ----

def test_tcp(engine):
    port = host.free_port()
    serving(engine, '-p', '%d:80' % port)
    wait_until(lambda: host.serves(port) == b'served\n')
    engine.docker('stop', '-t', '0', 'web')
    assert port not in host.ports()
    engine.docker('start', 'web')
    wait_until(lambda: host.serves(port) == b'served\n')


def test_both_families_and_one_address(engine):
    one, two = host.free_port(), host.free_port()
    serving(engine, '-p', '%d:80' % one, '-p', '127.0.0.1:%d:80' % two)
    assert ('127.0.0.1', two) in host.listening() and ('0.0.0.0', two) not in host.listening()
    wait_until(lambda: host.serves(two) == b'served\n')
    if socket.has_ipv6 and ('::', one) in host.listening():
        with socket.create_connection(('::1', one), 5) as s:
            s.sendall(b'GET / HTTP/1.0\r\n\r\n')
            assert b'200 OK' in s.recv(1000)


def test_the_clients_address_is_kept(engine):
    port = host.free_port()
    engine.docker('run', '-d', '--name', 'who', '-p', '%d:80' % port, 'busybox', 'sh', '-c',
                  'mkdir /w; exec httpd -f -v -p 80 -h /w')
    wait_until(lambda: host.serves(port) is None and '404' in engine.docker('logs', 'who').err)
    own = host.own_address()
    if own:
        host.http_get(port, host=own)
        wait_until(lambda: own in engine.docker('logs', 'who').err, what='the other address in the log')


def test_udp(engine):
    port = host.free_port(socket.SOCK_DGRAM)
    engine.docker('run', '-d', '-p', '%d:9999/udp' % port, 'busybox', 'probe', 'udp-echo', '9999')
    wait_until(lambda: port in host.ports('udp'))
    assert udp_echo(port) in LOCAL
    own = host.own_address()
    if own:
        assert udp_echo(port, address=own) == own.encode() + b' ping', 'the client keeps its address'


def test_ranges_and_both_protocols(engine):
    first = host.free_range(3)
    engine.docker('run', '-d', '--name', 'r1', '-p', '%d-%d:8000-8002' % (first, first + 2), '-p', '%d:53/udp' % first,
                  'busybox', 'sleep', '600')
    assert {first, first + 1, first + 2} <= host.ports() and first in host.ports('udp')
    lines = engine.docker('port', 'r1').out.splitlines()
    assert '8001/tcp -> 0.0.0.0:%d' % (first + 1) in lines and '53/udp -> 0.0.0.0:%d' % first in lines
    assert engine.docker('port', 'r1', '8002').out.splitlines()[0] == '0.0.0.0:%d' % (first + 2)


def test_a_range_on_the_host_gives_a_free_one(engine):
    first = host.free_range(3)
    for name in ('a1', 'b1'):
        engine.docker('run', '-d', '--name', name, '-p', '%d-%d:80' % (first, first + 2), 'busybox', 'sleep', '600')
    chosen = {engine.docker('port', n, '80').out.splitlines()[0].split(':')[-1] for n in ('a1', 'b1')}
    assert len(chosen) == 2 and all(first <= int(p) <= first + 2 for p in chosen)


def test_random_ports(engine):
    engine.docker('run', '-d', '--name', 'p1', '-P', '--expose', '81', 'configured', 'sleep', '600')
    ports = engine.inspect('p1')['NetworkSettings']['Ports']
    assert set(ports) == {'8000/tcp', '8001/udp', '81/tcp'}
    numbers = [int(b[0]['HostPort']) for b in ports.values()]
    assert all(n >= 1024 for n in numbers)
    assert numbers[list(ports).index('8000/tcp')] in host.ports()
    engine.docker('run', '-d', '--name', 'one', '-p', '80', 'busybox', 'sleep', '600')
    assert int(engine.docker('port', 'one', '80').out.splitlines()[0].split(':')[-1]) in host.ports()


def test_a_port_that_is_taken(engine):
    port = host.free_port()
    engine.docker('run', '-d', '--name', 'first', '-p', '%d:80' % port, 'busybox', 'sleep', '600')
    error = engine.fails('run', '-d', '--name', 'second', '-p', '%d:80' % port, 'busybox', 'sleep', '600').err
    assert 'port is already allocated' in error and str(port) in error
    with socket.create_server(('0.0.0.0', 0)) as s:
        taken = s.getsockname()[1]
        error = engine.fails('run', '-d', '-p', '%d:80' % taken, 'busybox', 'sleep', '600').err
        assert 'already' in error and str(taken) in error
    engine.docker('rm', '-f', 'first')
    engine.docker('start', 'second')
    assert port in host.ports()


def test_ps_and_inspect_show_them(engine):
    port = host.free_port()
    engine.docker('run', '-d', '--name', 'x1', '-p', '127.0.0.1:%d:80' % port, '--expose', '90', 'busybox', 'sleep', '600')
    shown = engine.docker('ps', '--format', '{{.Ports}}').text
    assert '127.0.0.1:%d->80/tcp' % port in shown and '90/tcp' in shown
    assert engine.inspect('x1')['NetworkSettings']['Ports']['80/tcp'] == [{'HostIp': '127.0.0.1', 'HostPort': str(port)}]
    assert engine.inspect('x1')['HostConfig']['PortBindings'] == {'80/tcp': [{'HostIp': '127.0.0.1', 'HostPort': str(port)}]}


def test_many_connections_and_big_bodies(engine):
    port = host.free_port()
    engine.docker('run', '-d', '-p', '%d:80' % port, 'busybox', 'sh', '-c',
                  'mkdir /w; head -c 20000000 /dev/zero > /w/big; echo s > /w/index.html; exec httpd -f -p 80 -h /w')
    wait_until(lambda: host.serves(port, '/index.html'))
    assert len(host.http_get(port, '/big')[1]) == 20000000
    for _ in range(200):
        assert host.http_get(port)[1] == b's\n'


# ---- between containers and out ----

def test_containers_reach_each_other_and_have_addresses(engine):
    serving(engine)
    address = engine.inspect('web', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}')
    assert re.fullmatch(r'172\.17\.0\.\d+', address)
    assert sh(engine, SOON % address).out == 'served\n'
    assert '0% packet loss' in sh(engine, 'ping -c 1 -W 2 ' + address).out
    network = engine.inspect('web')['NetworkSettings']['Networks']['bridge']
    assert network['Gateway'] == '172.17.0.1' and network['IPPrefixLen'] == 16 and network['MacAddress'].count(':') == 5
    out = sh(engine, 'ip route; ip -4 addr show eth0').out
    assert 'default via 172.17.0.1 dev eth0' in out and '/16' in out


def test_the_way_out(engine):
    own = host.own_address()
    if not own:
        pytest.skip('this host has no address but its loopback')
    echo = Echo()
    try:
        assert sh(engine, 'nc -w 3 %s %d' % (own, echo.port)).out == 'hello from the host\n'
        assert engine.docker('run', '--rm', 'busybox', 'probe', 'udp', own, echo.port, 'shout').out == 'SHOUT\n'
    finally:
        echo.close()


def test_a_closed_port_is_refused_not_swallowed(engine):
    own = host.own_address()
    if not own:
        pytest.skip('this host has no address but its loopback')
    begin = time.monotonic()
    result = engine.docker('run', '--rm', 'busybox', 'probe', 'connect', own, host.free_port(), check=False)
    assert result.out == 'refused\n' and time.monotonic() - begin < 4


def test_the_hosts_loopback_is_closed(engine):
    echo = Echo('127.0.0.1')
    try:
        for target in ('127.0.0.1', '172.17.0.1'):
            result = sh(engine, 'nc -w 2 %s %d </dev/null' % (target, echo.port), check=False)
            assert result.out == '' and result.code != 0, target
        own = host.own_address()
        if own:
            assert sh(engine, 'nc -w 2 %s %d </dev/null' % (own, echo.port), check=False).out == ''
        assert echo.seen == []
    finally:
        echo.close()


def test_links(engine):
    serving(engine, '-e', 'SECRET=s')
    out = sh(engine, SOON % 'alias' + '; cat /etc/hosts; env', '--link', 'web:alias').out
    assert out.startswith('served\n') and 'alias' in out
    assert engine.fails('run', '--rm', '--link', 'nosuch:x', 'busybox', 'true').code == 125


def test_add_host_gateway(engine):
    out = sh(engine, 'cat /etc/hosts', '--add-host', 'host.docker.internal:host-gateway').out
    assert re.search(r'^\d+\.\d+\.\d+\.\d+\s+host\.docker\.internal', out, re.M)


# ---- modes ----

def test_host_mode(engine):
    echo = Echo('127.0.0.1')
    try:
        assert sh(engine, 'nc -w 3 127.0.0.1 %d' % echo.port, '--network', 'host').out == 'hello from the host\n'
    finally:
        echo.close()
    import os
    assert sh(engine, 'readlink /proc/self/ns/net', '--network', 'host').text == os.readlink('/proc/self/ns/net')
    assert sh(engine, 'hostname', '--network', 'host').text == os.uname().nodename


def test_none_mode(engine):
    out = sh(engine, 'ip addr; ip route; nc -w 1 172.17.0.1 1 2>&1', '--network', 'none', check=False).out
    assert 'eth0' not in out and '127.0.0.1' in out and 'default' not in out


def test_container_mode(engine):
    serving(engine)
    assert sh(engine, 'wget -qO- http://127.0.0.1/; hostname', '--network', 'container:web').out.startswith('served\n')
    assert 'onflicting options' in engine.fails('run', '--rm', '--network', 'container:web', '-p', '81:81', 'busybox', 'true').err
    engine.docker('create', '--name', 'idle', 'busybox', 'true')
    error = engine.fails('run', '--rm', '--network', 'container:idle', 'busybox', 'true').err
    assert 'cannot join network' in error and 'non running container' in error


def test_an_unknown_network(engine):
    assert 'network nosuch not found' in engine.fails('run', '--rm', '--network', 'nosuch', 'busybox', 'true').err


def test_network_list_and_inspect(engine):
    names = engine.docker('network', 'ls', '--format', '{{.Name}} {{.Driver}} {{.Scope}}').out.splitlines()
    assert {'bridge bridge local', 'host host local', 'none null local'} <= set(names)
    serving(engine)
    data = json.loads(engine.docker('network', 'inspect', 'bridge').out)[0]
    assert data['IPAM']['Config'][0] == {'Subnet': '172.17.0.0/16', 'Gateway': '172.17.0.1'}
    assert [c['Name'] for c in data['Containers'].values()] == ['web']
    assert 'not found' in engine.fails('network', 'inspect', 'nosuch').err
    assert 'pre-defined network' in engine.fails('network', 'rm', 'bridge').err


def test_a_network_of_ones_own_or_an_honest_no(engine):
    result = engine.docker('network', 'create', 'mine', check=False)
    if result.code != 0:
        assert 'rror response from daemon' in result.err and len(result.err.split()) > 6, result
        return
    engine.docker('run', '-d', '--name', 'srv', '--network', 'mine', 'busybox', 'sh', '-c', SERVE)
    assert engine.inspect('srv', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}').startswith('172.')
    engine.docker('rm', '-f', 'srv')
    engine.docker('network', 'rm', 'mine')


def test_dns_goes_where_the_host_asks(engine):
    out = sh(engine, 'cat /etc/resolv.conf').out
    assert 'nameserver' in out and not re.search(r'nameserver 127\.0\.0\.1$', out, re.M)

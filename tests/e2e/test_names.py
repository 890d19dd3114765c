"""The resolver of user-defined networks, as containers see it."""
import json
import os
import re
import signal
import socket
import struct
import threading

import pytest

from support.engine import wait_until


@pytest.fixture
def net(engine):
    engine.docker('network', 'create', 'back')
    return 'back'


def sleeper(engine, name, *flags, network='back'):
    engine.docker('run', '-d', '--name', name, '--network', network, *flags, 'busybox', 'sleep', '600')
    return engine.inspect(name, '{{(index .NetworkSettings.Networks "%s").IPAddress}}' % network)


def ask(engine, where, name, *, kind='A', check=False, server='127.0.0.11'):
    """The addresses (or names) that a question inside a container gets."""
    out = engine.docker('exec', where, 'nslookup', '-type=' + kind, name, server, check=check)
    answers = out.out.split('\n\n', 1)[-1]
    return re.findall(r'^(?:Address(?: \d+)?:|.*name = )\s*(\S+)', answers, re.M)


def question(name, kind=1, number=7, edns=None):
    labels = b''.join(bytes([len(l)]) + l.encode() for l in name.split('.')) + b'\0'
    extra = b'' if edns is None else b'\0' + struct.pack('>HHIH', 41, edns, 0, 0)
    return struct.pack('>HHHHHH', number, 0x100, 1, 0, 0, 1 if extra else 0) + labels + struct.pack('>HH', kind, 1) + extra


class Server:
    """A name server on the host's loopback or another address of its own; answers every A with one address."""

    def __init__(self, host, address='192.0.2.80', port=53):
        self.asked = []
        self.address = socket.inet_aton(address)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((host, port))
        self.tcp = socket.create_server((host, port))
        for work in (self.serve_udp, self.serve_tcp):
            threading.Thread(target=work, daemon=True).start()

    def answer(self, packet):
        at, labels = 12, []
        while packet[at]:
            labels.append(packet[at + 1:at + 1 + packet[at]].decode())
            at += 1 + packet[at]
        self.asked.append('.'.join(labels))
        body = packet[12:at + 5]
        kind = struct.unpack('>H', packet[at + 1:at + 3])[0]
        record = b'\xc0\x0c' + struct.pack('>HHIH', 1, 1, 60, 4) + self.address if kind == 1 else b''
        return packet[:2] + struct.pack('>HHHHH', 0x8180, 1, 1 if record else 0, 0, 0) + body + record

    def serve_udp(self):
        while True:
            try:
                packet, peer = self.udp.recvfrom(4096)
            except OSError:
                return
            self.udp.sendto(self.answer(packet), peer)

    def serve_tcp(self):
        while True:
            try:
                s, _ = self.tcp.accept()
            except OSError:
                return
            with s:
                length = struct.unpack('>H', s.recv(2))[0]
                answer = self.answer(s.recv(length))
                s.sendall(struct.pack('>H', len(answer)) + answer)

    def close(self):
        self.udp.close()
        self.tcp.close()


# ---- names of the network ----

def test_names_aliases_ids_and_reverse(engine, net):
    db = sleeper(engine, 'db', '--network-alias', 'store', '-h', 'dbhost')
    web = sleeper(engine, 'web')
    short = engine.inspect('db', '{{.Id}}')[:12]
    for name in ('db', 'store', short, 'dbhost', 'DB', 'db.back'):
        assert ask(engine, 'web', name) == [db], name
    assert ask(engine, 'web', 'web') == [web]
    assert ask(engine, 'web', '.'.join(reversed(db.split('.'))) + '.in-addr.arpa', kind='PTR') == ['db.back']
    assert ask(engine, 'web', 'db', kind='AAAA') == []
    resolv = engine.docker('exec', 'web', 'cat', '/etc/resolv.conf').out
    assert re.search(r'^nameserver 127\.0\.0\.11$', resolv, re.M) and 'ndots:0' in resolv
    assert 'db' not in engine.docker('exec', 'web', 'cat', '/etc/hosts').out.split()


def test_a_program_resolves_the_moment_it_runs(engine, net):
    db = sleeper(engine, 'db')
    for _ in range(5):
        out = engine.docker('run', '--rm', '--network', net, 'busybox', 'nslookup', '-type=A', 'db', '127.0.0.11').out
        assert db in out


def test_names_end_at_the_network(engine, net):
    engine.docker('network', 'create', 'front')
    db = sleeper(engine, 'db')
    sleeper(engine, 'web', network='front')
    assert ask(engine, 'web', 'db') == []
    engine.docker('network', 'connect', 'back', 'web')
    assert ask(engine, 'web', 'db') == [db]
    engine.docker('network', 'disconnect', 'back', 'web')
    assert ask(engine, 'web', 'db') == []


def test_rename_stop_and_start(engine, net):
    sleeper(engine, 'web')
    db = sleeper(engine, 'db')
    engine.docker('rename', 'db', 'data')
    assert ask(engine, 'web', 'data') == [db] and ask(engine, 'web', 'db') == []
    engine.docker('stop', '-t', '0', 'data')
    assert ask(engine, 'web', 'data') == []
    engine.docker('start', 'data')
    assert len(ask(engine, 'web', 'data')) == 1


def test_round_robin_and_links(engine, net):
    all_ = {sleeper(engine, 'n%d' % n, '--network-alias', 'pool') for n in range(3)}
    sleeper(engine, 'web', '--link', 'n1:one')
    firsts = set()
    for _ in range(6):
        answer = ask(engine, 'web', 'pool')
        assert set(answer) == all_
        firsts.add(answer[0])
    assert firsts == all_
    assert ask(engine, 'web', 'one') == ask(engine, 'web', 'n1') and ask(engine, 'n0', 'one') == []


def test_a_container_of_the_default_bridge_gets_names_with_its_first_network(engine, net):
    db = sleeper(engine, 'db')
    engine.docker('run', '-d', '--name', 'web', 'busybox', 'sleep', '600')
    assert '127.0.0.11' not in engine.docker('exec', 'web', 'cat', '/etc/resolv.conf').out
    engine.docker('network', 'connect', 'back', 'web')
    assert '127.0.0.11' in engine.docker('exec', 'web', 'cat', '/etc/resolv.conf').out
    assert ask(engine, 'web', 'db') == [db]


def test_a_taken_port_is_said_and_fails_nothing(engine, net):
    engine.docker('run', '-d', '--name', 'web', 'busybox', 'sh', '-c', 'exec httpd -f -p 127.0.0.11:53')
    wait_until(lambda: '0B00007F:0035' in engine.docker('exec', 'web', 'cat', '/proc/net/tcp').out)
    engine.docker('network', 'connect', 'back', 'web')
    assert '127.0.0.11:53' in engine.tail(200)


# ---- names of the world ----

def test_internal_networks_ask_nobody_outside(engine):
    engine.docker('network', 'create', '--internal', 'deep')
    sleeper(engine, 'web', network='deep')
    out = engine.docker('exec', 'web', 'nslookup', '-type=A', 'example.test', '127.0.0.11', check=False)
    assert out.code != 0 and 'SERVFAIL' in out.out + out.err


# ---- what goes wrong ----

def test_names_outlive_the_engine_and_the_gate(engine, net):
    db = sleeper(engine, 'db')
    sleeper(engine, 'web')
    engine.kill()
    engine.start()
    assert ask(engine, 'web', 'db') == [db]
    engine.docker('rm', '-f', 'db')
    assert ask(engine, 'web', 'db') == []


def test_hostile_packets_harm_nothing(engine, net):
    db = sleeper(engine, 'db')
    sleeper(engine, 'web')
    circle = question('x')[:12] + b'\xc0\x0c' + b'\0\1\0\1'
    evil = [b'', b'\0', question('db')[:15], circle, b'\xff' * 512, question('a' * 63 + '.' + 'b' * 63) * 20]
    for packet in evil:
        text = ''.join('\\x%02x' % b for b in packet)
        engine.docker('exec', 'web', 'sh', '-c', "printf '%s' | nc -u -w 1 127.0.0.11 53 >/dev/null" % text, check=False)
        engine.docker('exec', 'web', 'sh', '-c', "printf '%s' | nc -w 1 127.0.0.11 53 >/dev/null" % text, check=False)
    assert ask(engine, 'web', 'db') == [db]

"""The figures for Prometheus: Docker's names, true values, off unless asked for, loopback unless asked for more."""
import re
import socket
import time
import urllib.error
import urllib.request

import pytest


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


@pytest.fixture
def measured(own_engine):
    port = free_port()
    engine = own_engine('--metrics-addr', ':%d' % port)
    engine.metrics_port = port
    return engine


def read(engine, path='/metrics'):
    with urllib.request.urlopen('http://127.0.0.1:%d%s' % (engine.metrics_port, path), timeout=10) as answer:
        return answer.headers['Content-Type'], answer.read().decode()


def values(engine):
    """Every sample by its name and labels, as it is written."""
    lines = [line for line in read(engine)[1].splitlines() if not line.startswith('#')]
    return {line.rpartition(' ')[0]: float(line.rpartition(' ')[2]) for line in lines}


def test_containers_actions_and_events_are_counted(measured):
    docker = measured.docker
    docker('run', '--rm', 'busybox', 'true')
    docker('run', '-d', '--name', 'one', '--stop-signal', 'KILL', 'busybox', 'sleep', '1000')
    docker('run', '-d', '--name', 'still', '--stop-signal', 'KILL', 'busybox', 'sleep', '1000')
    docker('pause', 'still')
    docker('create', '--name', 'off', 'busybox')
    docker('diff', 'off')
    now = values(measured)
    state = 'engine_daemon_container_states_containers{state="%s"}'
    assert [now[state % s] for s in ('running', 'paused', 'stopped')] == [1, 1, 1]
    action = 'engine_daemon_container_actions_seconds_count{action="%s"}'
    assert [now[action % a] for a in ('create', 'start', 'changes')] == [4, 3, 1]
    took = now['engine_daemon_container_actions_seconds_sum{action="start"}']
    assert 0.001 < took < 30
    assert now['engine_daemon_container_actions_seconds_bucket{le="+Inf",action="start"}'] == 3
    before = now['engine_daemon_events_total']
    docker('rename', 'off', 'out')
    assert values(measured)['engine_daemon_events_total'] == before + 1
    cpus = open('/proc/stat').read().count('\ncpu')
    assert now['engine_daemon_engine_cpus_cpus'] == cpus
    memory = re.search(r'MemTotal: +(\d+)', open('/proc/meminfo').read()).group(1)
    assert now['engine_daemon_engine_memory_bytes'] == int(memory) * 1024
    assert any(name.startswith('engine_daemon_engine_info{') and 'version="' in name for name in now)


def test_health_checks_are_counted(measured):
    measured.docker('run', '-d', '--stop-signal', 'KILL', '--health-cmd', 'false', '--health-interval', '200ms', 'busybox', 'sleep', '1000')
    end = time.monotonic() + 15
    while True:
        now = values(measured)
        done, failed = now['engine_daemon_health_checks_total'], now['engine_daemon_health_checks_failed_total']
        assert done == failed
        if done >= 2:
            break
        assert time.monotonic() < end, now
        time.sleep(0.1)


def test_flows_and_ports_of_the_gate_show(measured):
    measured.docker('run', '-d', '--name', 'web', '--stop-signal', 'KILL', '-p', '127.0.0.1::80', 'busybox', 'httpd', '-f')
    port = int(measured.docker('port', 'web', '80').text.rpartition(':')[2])
    idle = values(measured)
    assert idle['bryo_gate_published_ports'] == 1
    with socket.create_connection(('127.0.0.1', port)):
        end = time.monotonic() + 10
        while values(measured)['bryo_gate_flows'] != idle['bryo_gate_flows'] + 1:
            assert time.monotonic() < end, values(measured)
            time.sleep(0.05)


def test_it_is_the_open_format_and_nothing_else_is_served(measured):
    kind, text = read(measured)
    assert kind.startswith('application/openmetrics-text')
    assert text.endswith('# EOF\n')
    for path in ('/', '/containers/json', '/v1.44/info'):
        with pytest.raises(urllib.error.HTTPError) as refused:
            read(measured, path)
        assert refused.value.code == 404


def test_an_empty_host_means_loopback(measured):
    with open('/proc/net/tcp') as f:
        port = '%04X' % measured.metrics_port
        listening = [line.split()[1] for line in f if line.split()[1].endswith(':' + port) and line.split()[3] == '0A']
    assert listening == ['0100007F:' + port]


def test_a_bad_or_taken_address_is_refused(own_engine):
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        for address, words in (('nonsense', 'metrics-addr'), ('127.0.0.1:%d' % taken.getsockname()[1], 'in use')):
            engine = own_engine('--metrics-addr', address, start=False)
            engine.spawn()
            assert engine.process.wait(20) != 0
            assert words in engine.tail(), engine.tail()

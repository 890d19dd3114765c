"""What a container uses, as the docker CLI, docker-py and the API show it: its own numbers and nobody else's."""
import json
import time

import pytest

MB = 1 << 20


@pytest.fixture
def sample(api):
    """sample(name, …query) is one answer of the API."""
    def sample(name, query='stream=false&one-shot=true'):
        answer = api.get('/containers/%s/stats?%s' % (name, query))
        assert answer.status == 200, answer
        return answer.json()
    return sample


@pytest.fixture
def until(sample):
    """until(name, condition) takes samples until one fits."""
    def until(name, condition, timeout=10):
        end = time.monotonic() + timeout
        while True:
            stats = sample(name)
            if condition(stats):
                return stats
            assert time.monotonic() < end, stats
            time.sleep(0.05)
    return until


def total(stats, op):
    return sum(e['value'] for e in stats['blkio_stats']['io_service_bytes_recursive'] or () if e['op'] == op)


def test_the_busy_one_is_busy_and_the_idle_one_idle(docker):
    docker('run', '-d', '--name', 'busy', 'busybox', 'sh', '-c', 'while :; do :; done')
    docker('run', '-d', '--name', 'idle', 'busybox', 'sleep', '1000')
    out = docker('stats', '--no-stream', '--format', '{{.Name}} {{.CPUPerc}} {{.PIDs}} {{.MemUsage}}').out
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines()}
    assert set(rows) == {'busy', 'idle'}
    # The machine may be busy with other things, so only the order of magnitude is sure.
    assert 10 < float(rows['busy'][0].rstrip('%')) < 130
    assert float(rows['idle'][0].rstrip('%')) < 5
    assert rows['busy'][1] == rows['idle'][1] == '1'
    memory = int(next(x for x in open('/proc/meminfo') if x.startswith('MemTotal')).split()[1]) / MB
    assert float(rows['idle'][4].replace('GiB', '')) == pytest.approx(memory, rel=0.01)


def test_the_usual_table_and_json(docker):
    docker('run', '-d', '--name', 'one', 'busybox', 'sleep', '1000')
    lines = docker('stats', '--no-stream', 'one').out.splitlines()
    assert lines[0].split() == ['CONTAINER', 'ID', 'NAME', 'CPU', '%', 'MEM', 'USAGE', '/', 'LIMIT', 'MEM', '%', 'NET', 'I/O',
                                'BLOCK', 'I/O', 'PIDS']
    assert lines[1].split()[1] == 'one'
    row = json.loads(docker('stats', '--no-stream', '--no-trunc', '--format', 'json', 'one').out)
    assert len(row['ID']) == 64 and row['Name'] == 'one' and row['PIDs'] == '1'


def test_memory_is_what_was_touched_and_not_what_was_read(docker, until, sample):
    # dd holds its block while nobody reads from it.
    docker('run', '-d', '--name', 'fat', 'busybox', 'sh', '-c', 'dd if=/dev/zero bs=40M count=1 2>/dev/null | sleep 1000')
    stats = until('fat', lambda s: s['memory_stats']['usage'] > 40 * MB)
    used = stats['memory_stats']['usage'] - stats['memory_stats']['stats'].get('inactive_file', 0)
    assert used < 48 * MB
    docker('run', '-d', '--name', 'reader', 'busybox', 'sh', '-c',
           'dd if=/dev/zero of=/file bs=1M count=60 2>/dev/null; cat /file >/dev/null; touch /done; sleep 1000')
    until('reader', lambda _: docker('exec', 'reader', 'test', '-e', '/done', check=False).code == 0)
    memory = sample('reader')['memory_stats']
    cache = memory['stats'].get('inactive_file', 0) + memory['stats'].get('active_file', 0)
    assert memory['usage'] - cache < 10 * MB


def test_processes_and_threads_are_counted(docker, until):
    docker('run', '-d', '--name', 'three', 'busybox', 'sh', '-c', 'sleep 1000 & sleep 1000 & wait')
    until('three', lambda s: s['pids_stats']['current'] == 3)


def test_work_of_processes_that_have_ended_counts(docker, until, sample):
    docker('run', '-d', '--name', 'parent', 'busybox', 'sh', '-c',
           'timeout 1 sh -c "while :; do :; done"; touch /done; sleep 1000')
    until('parent', lambda _: docker('exec', 'parent', 'test', '-e', '/done', check=False).code == 0)
    first = sample('parent')['cpu_stats']['cpu_usage']
    assert first['total_usage'] > 200e6
    assert first['total_usage'] >= first['usage_in_usermode']
    docker('exec', 'parent', 'timeout', '1', 'sh', '-c', 'while :; do :; done', check=False)
    assert sample('parent')['cpu_stats']['cpu_usage']['total_usage'] > first['total_usage'] + 200e6


def test_traffic_is_the_containers_own(docker, sample):
    docker('network', 'create', 'n')
    docker('run', '-d', '--name', 'server', '--network', 'n', 'busybox', 'sh', '-c',
           'mkdir /www; dd if=/dev/zero of=/www/f bs=1M count=3 2>/dev/null; exec httpd -f -h /www')
    docker('run', '-d', '--name', 'client', '--network', 'n', 'busybox', 'sleep', '1000')
    docker('run', '-d', '--name', 'bystander', '--network', 'n', 'busybox', 'sleep', '1000')
    docker('exec', 'client', 'sh', '-c', 'until wget -qO /dev/null http://server/f; do sleep 0.1; done')
    networks = sample('client')['networks']
    assert list(networks) == ['eth0']
    assert networks['eth0']['rx_bytes'] > 3 * MB and networks['eth0']['tx_bytes'] > 0
    assert networks['eth0']['rx_packets'] > 10
    assert sample('server')['networks']['eth0']['tx_bytes'] > 3 * MB
    assert sample('bystander')['networks']['eth0']['rx_bytes'] < MB


def test_hosts_traffic_is_not_shown_as_the_containers(docker, sample):
    docker('run', '-d', '--name', 'host', '--network', 'host', 'busybox', 'sleep', '1000')
    docker('run', '-d', '--name', 'none', '--network', 'none', 'busybox', 'sleep', '1000')
    assert not sample('host').get('networks') and not sample('none').get('networks')


def test_bytes_written_to_the_disk_are_counted(docker, until, sample):
    docker('run', '-d', '--name', 'idle', 'busybox', 'sleep', '1000')
    docker('run', '-d', '--name', 'writer', 'busybox', 'sh', '-c',
           'dd if=/dev/zero of=/f bs=1M count=8 conv=fsync 2>/dev/null; sleep 1000')
    until('writer', lambda s: 8 * MB <= total(s, 'write') < 24 * MB)
    assert total(sample('idle'), 'write') < MB


def test_a_stopped_container_has_dockers_empty_answer(docker, sample, api):
    docker('create', '--name', 'off', 'busybox', 'true')
    stats = sample('off', 'stream=false')
    assert stats['name'] == '/off' and stats['read'] == stats['preread'] == '0001-01-01T00:00:00Z'
    assert stats['memory_stats'] == {} and stats['pids_stats'] == {} and 'networks' not in stats
    assert stats['cpu_stats']['cpu_usage']['total_usage'] == 0
    row = docker('stats', '--no-stream', '--format', '{{.CPUPerc}} {{.MemUsage}} {{.PIDs}}', 'off').text
    assert row == '0.00% 0B / 0B 0'
    missing = api.get('/containers/nosuch/stats?stream=false')
    assert (missing.status, missing.json()['message']) == (404, 'No such container: nosuch')
    refused = docker('stats', '--no-stream', 'nosuch', check=False)
    assert refused.code == 1 and 'No such container: nosuch' in refused.err


def test_all_shows_the_stopped_ones_too(docker):
    docker('run', '-d', '--name', 'on', 'busybox', 'sleep', '1000')
    docker('create', '--name', 'off', 'busybox', 'true')
    names = docker('stats', '--no-stream', '--format', '{{.Name}}').out.split()
    assert names == ['on']
    names = docker('stats', '--no-stream', '--all', '--format', '{{.Name}}').out.split()
    assert sorted(names) == ['off', 'on']


def test_a_single_answer_has_the_times_of_a_second_before(docker, sample):
    docker('run', '-d', '--name', 'one', 'busybox', 'sleep', '1000')
    begin = time.monotonic()
    stats = sample('one', 'stream=0')
    assert 0.9 < time.monotonic() - begin < 3
    grown = stats['cpu_stats']['system_cpu_usage'] - stats['precpu_stats']['system_cpu_usage']
    cpus = stats['cpu_stats']['online_cpus']
    assert 0.8e9 * cpus < grown < 3e9 * cpus
    assert stats['preread'] < stats['read']
    begin = time.monotonic()
    assert sample('one')['precpu_stats']['cpu_usage']['total_usage'] == 0
    assert time.monotonic() - begin < 0.5


def test_a_stream_goes_on_over_a_restart_and_ends_with_the_container(docker, py):
    docker('run', '-d', '--name', 'one', 'busybox', 'sleep', '1000')
    stream = py.containers.get('one').stats(decode=True)
    first, second = next(stream), next(stream)
    assert first['read'] < second['read'] and second['preread'] == first['read']
    assert second['precpu_stats'] == first['cpu_stats']
    docker('kill', 'one')
    empty = [next(stream) for _ in range(2)][-1]
    assert empty['memory_stats'] == {}
    docker('start', 'one')
    assert any(s['pids_stats'].get('current') == 1 for s in (next(stream) for _ in range(3)))
    docker('rm', '-f', 'one')
    assert len(list(stream)) <= 2


def test_a_paused_container_is_measured_too(docker, sample):
    docker('run', '-d', '--name', 'still', 'busybox', 'sleep', '1000')
    docker('pause', 'still')
    assert sample('still')['pids_stats']['current'] == 1
    docker('unpause', 'still')

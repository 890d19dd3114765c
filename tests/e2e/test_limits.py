"""Limits without a delegated cgroup v2: held by Bryo itself and said so, or discarded in Docker's words.

What needs a cgroup is tested in the virtual machines (tests/vm). On a host that delegates one, these containers are limited by
the kernel, so the tests of the watcher ask for an engine without cgroups.
"""
import json
import time

import pytest

from support import host
from support.engine import Engine, wait_until

# Rows of a large array, 4 MiB each, one every 0.1 s.
FILLER = ('BEGIN { while (i++ < %d) { a[i] = sprintf("%%4194304s", i); print i; fflush(); system("sleep 0.1") } print "end" }')
MIB = 1 << 20


@pytest.fixture(scope='module')
def bare(registry, push, work):
    """An engine that uses no cgroups, whatever the host has."""
    engine = Engine(work, registry, ('--exec-opt', 'native.cgroupdriver=none'))
    try:
        engine.start()
        push('busybox')
        engine.pull('busybox')
        yield engine
    finally:
        engine.destroy()


@pytest.fixture
def engine(bare):
    yield bare
    if bare.answers():
        bare.clear()


def fill(engine, rows, *args, name='filler'):
    return engine.docker('run', '--name', name, *args, 'busybox', 'awk', FILLER % rows, check=False)


def state(engine, name):
    return engine.inspect(name, '{{.State.OOMKilled}} {{.State.ExitCode}}')


def test_a_filler_is_killed_by_the_watcher(engine):
    began = time.time()
    result = fill(engine, 60, '--memory', '32m')
    rows = result.out.split()
    assert result.code == 137 and 'end' not in rows
    # 32 MiB are eight rows; the program's own memory is some, and one row more may be made before the watcher looks.
    assert 6 <= int(rows[-1]) <= 9, rows
    assert state(engine, 'filler') == 'true 137'
    assert 'Memory limit is held by Bryo' in result.err
    events = engine.docker('events', '--since', '%f' % began, '--until', '%f' % (time.time() + 1), '--format', '{{.Action}}').out
    assert 'oom' in events.split() and events.split().index('oom') < events.split().index('die')


def test_what_a_sudden_burst_can_exceed_is_bounded(engine):
    """`tail` of endless zeros takes memory as fast as it can; what it had at most is its peak, seen from outside."""
    engine.docker('run', '-d', '--name', 'burst', '--memory', '32m', 'busybox', 'sh', '-c', 'sleep 1; tail /dev/zero; echo $? > /code; sleep 60')
    peak = 0
    deadline = time.time() + 20
    while time.time() < deadline and engine.inspect('burst', '{{.State.OOMKilled}}') != 'true':
        for pid in host.descendants(int(engine.inspect('burst', '{{.State.Pid}}'))):
            peak = max(peak, host.resident(pid))
    assert engine.inspect('burst', '{{.State.OOMKilled}} {{.State.Running}}') == 'true true', 'only the largest process is killed'
    wait_until(lambda: engine.docker('exec', 'burst', 'cat', '/code', check=False).text == '137')
    assert peak < 400 * MIB, peak // MIB


def test_a_container_within_its_limit_is_left_alone(engine):
    result = fill(engine, 4, '--memory', '64m')
    assert result.code == 0 and result.out.split()[-1] == 'end'
    assert state(engine, 'filler') == 'false 0'


def test_shared_pages_count_once(engine):
    """Ten children that inherit 16 MiB are not 160 MiB."""
    script = 'x=$(head -c 16000000 /dev/zero | tr "\\0" x); for i in 1 2 3 4 5 6 7 8 9 10; do sleep 2 & done; wait; echo ${#x}'
    result = engine.docker('run', '--name', 'shared', '--memory', '64m', 'busybox', 'sh', '-c',
                           script.replace('sleep 2 &', '(sleep 2; :) &'))
    assert result.text == '16000000'


def test_the_containers_tmpfs_counts(engine):
    result = engine.docker('run', '--name', 'shm', '--memory', '32m', 'busybox', 'sh', '-c',
                           'dd if=/dev/zero of=/dev/shm/x bs=1M count=60; sleep 5; echo survived', check=False)
    assert 'survived' not in result.out and state(engine, 'shm') == 'true 137'


def test_without_the_watcher_it_runs_to_its_end(own_engine):
    engine = own_engine('--exec-opt', 'native.cgroupdriver=none', '--emulate-limits=false')
    result = fill(engine, 12, '--memory', '32m', '--pids-limit', '20', '--cpuset-cpus', '0')
    assert result.code == 0 and result.out.split()[-1] == 'end'
    assert state(engine, 'filler') == 'false 0'
    assert result.err.splitlines() == [
        'WARNING: Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.',
        'WARNING: Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.',
        'WARNING: Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.']
    info = json.loads(engine.docker('info', '-f', '{{json .}}').out)
    assert not info['MemoryLimit'] and not info['PidsLimit'] and info['CgroupDriver'] == 'none'
    assert any('without cgroups' in w for w in info['Warnings'])


BOMB = 'i=1; while [ $i -lt 60 ]; do sleep 100 & echo $i; i=$((i+1)); done; echo end'


def test_a_fork_bomb_stops_at_the_limit(engine):
    result = engine.docker('run', '--rm', '--pids-limit', '20', 'busybox', 'sh', '-c', BOMB, check=False)
    assert result.out.split()[-1] == '19' and result.code != 0, 'the shell is the twentieth'
    assert 'PIDs limit is held by RLIMIT_NPROC' in result.err
    # It is this container's own limit: the user's other processes and containers are not counted.
    result = engine.docker('run', '--rm', '--pids-limit', '20', '--privileged', 'busybox', 'sh', '-c', BOMB, check=False)
    assert result.out.split()[-1] == '19', 'all capabilities do not lift it'


def test_an_exec_is_under_the_limits_too(engine):
    engine.docker('run', '-d', '--name', 'limited', '--pids-limit', '20', '--cpuset-cpus', '0', '--memory', '32m', 'busybox', 'sleep', '100')
    assert engine.docker('exec', 'limited', 'sh', '-c', BOMB, check=False).out.split()[-1] == '18'
    wait_until(lambda: len(engine.docker('top', 'limited').out.splitlines()) > 10)
    allowed = engine.docker('run', '--rm', '--cpuset-cpus', '0', 'busybox', 'grep', 'Cpus_allowed_list', '/proc/self/status').out
    assert allowed.split() == ['Cpus_allowed_list:', '0']
    engine.docker('rm', '-f', 'limited')
    engine.docker('run', '-d', '--name', 'limited', '--memory', '32m', 'busybox', 'sleep', '100')
    assert engine.docker('exec', 'limited', 'tail', '/dev/zero', check=False).code == 137
    assert engine.inspect('limited', '{{.State.OOMKilled}} {{.State.Running}}') == 'true true'


def test_update_changes_what_runs(engine):
    engine.docker('run', '-d', '--name', 'grown', 'busybox', 'awk', FILLER % 100)
    engine.docker('update', '--memory', '40m', '--memory-swap', '-1', 'grown')
    assert engine.docker('wait', 'grown').text == '137'
    assert state(engine, 'grown') == 'true 137'
    engine.docker('run', '-d', '--name', 'spared', '--memory', '16m', 'busybox', 'awk', FILLER % 8)
    engine.docker('update', '--memory', '256m', '--memory-swap', '512m', 'spared')
    assert engine.docker('wait', 'spared').text == '0'
    engine.docker('run', '-d', '--name', 'bomb', 'busybox', 'sh', '-c', 'sleep 2; ' + BOMB)
    engine.docker('update', '--pids-limit', '10', '--cpuset-cpus', '0', 'bomb')
    pid = int(engine.inspect('bomb', '{{.State.Pid}}'))
    assert 'Cpus_allowed_list:\t0\n' in open('/proc/%d/status' % pid).read()
    assert engine.docker('wait', 'bomb').text != '0'
    assert engine.docker('logs', 'bomb').out.split()[-1] == '9'
    assert engine.inspect('bomb', '{{.HostConfig.PidsLimit}} {{.HostConfig.CpusetCpus}}') == '10 0'


def test_the_limits_live_without_the_engine(engine):
    engine.docker('run', '-d', '--name', 'lonely', '--memory', '32m', 'busybox', 'sh', '-c', 'sleep 2; exec awk \'%s\'' % (FILLER % 60))
    engine.kill()
    time.sleep(5)
    engine.start()
    wait_until(lambda: state(engine, 'lonely') == 'true 137')


def test_pause_top_and_update_of_a_paused_container(engine):
    engine.docker('run', '-d', '--name', 'paused', '--memory', '32m', 'busybox', 'sh', '-c', 'sleep 100 & sleep 100')
    engine.docker('pause', 'paused')
    assert 'sleep 100' in engine.docker('top', 'paused').out
    pid = int(engine.inspect('paused', '{{.State.Pid}}'))
    assert all(host.process_state(p) == 'T' for p in host.descendants(pid))
    engine.docker('update', '--memory', '64m', '--memory-swap', '128m', 'paused')
    engine.docker('unpause', 'paused')
    assert engine.inspect('paused', '{{.State.Status}} {{.HostConfig.Memory}}') == 'running %d' % (64 * MIB)


def test_how_limits_are_held_is_told(engine):
    info = json.loads(engine.docker('info', '-f', '{{json .}}').out)
    assert info['CgroupDriver'] == 'none' and info['MemoryLimit'] and info['PidsLimit'] and info['CPUSet']
    assert not info['CpuCfsQuota'] and not info['SwapLimit']
    assert any('Bryo itself does' in w for w in info['Warnings'])
    result = engine.docker('create', '--name', 'told', '--memory', '32m', '--pids-limit', '9', '--cpus', '0.5', 'busybox', 'true')
    assert 'CPU period/quota discarded' in result.err
    held = engine.api().get('/containers/told/json').json()['LimitsHeldBy']
    assert held['Memory'].startswith('watcher') and held['PidsLimit'].startswith('RLIMIT_NPROC') and held['CpuQuota'] == 'discarded'


def test_watching_an_idle_container_costs_next_to_nothing(engine):
    """Below 0.2 % of a CPU; the monitor's whole CPU time is measured."""
    engine.docker('run', '-d', '--name', 'idle', '--memory', '32m', 'busybox', 'sleep', '100')
    monitor = host.parent(int(engine.inspect('idle', '{{.State.Pid}}')))
    time.sleep(1)
    before, began = host.cpu_seconds(monitor), time.time()
    time.sleep(8)
    share = (host.cpu_seconds(monitor) - before) / (time.time() - began)
    assert share < 0.002, share


REFUSED = [
    ({'Memory': 1 << 20}, 'Minimum memory limit allowed is 6MB'),
    ({'Memory': -2}, 'Minimum memory limit allowed is 6MB'),
    ({'Memory': 32 * MIB, 'MemorySwap': 16 * MIB}, 'Minimum memoryswap limit should be larger than memory limit, see usage'),
    ({'MemorySwap': 64 * MIB}, 'You should always set the Memory limit when using Memoryswap limit, see usage'),
    ({'Memory': 32 * MIB, 'MemoryReservation': 64 * MIB},
     'Minimum memory limit can not be less than memory reservation limit, see usage'),
    ({'MemoryReservation': 1}, 'Minimum memory reservation allowed is 6MB'),
    ({'MemorySwappiness': 101}, 'Invalid value: 101, valid memory swappiness range is 0-100'),
    ({'NanoCpus': 10 ** 12}, 'CPUs is from 0.01 to'),
    ({'NanoCpus': -1}, 'CPUs is from 0.01 to'),
    ({'NanoCpus': 10 ** 9, 'CpuPeriod': 1000}, 'Conflicting options: Nano CPUs and CPU Period cannot both be set'),
    ({'CpuPeriod': 10}, 'CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)'),
    ({'CpuQuota': 10}, 'CPU cfs quota can not be less than 1ms (i.e. 1000)'),
    ({'CpusetCpus': '0-999'}, 'Requested CPUs are not available - requested 0-999, available: 0'),
    ({'CpusetCpus': 'nonsense'}, 'Invalid value nonsense for cpuset cpus'),
    ({'CpusetMems': '77'}, 'Requested memory nodes are not available - requested 77, available: 0'),
    ({'BlkioWeight': 1}, 'Range of blkio weight is from 10 to 1000'),
    ({'OomScoreAdj': 5000}, 'Invalid value 5000, range for oom score adj is [-1000, 1000]'),
]


@pytest.mark.parametrize('limits, text', REFUSED, ids=['%s' % list(l)[-1] + str(i) for i, (l, _) in enumerate(REFUSED)])
def test_bad_limits_are_refused_in_dockers_words(shared, limits, text):
    answer = shared.api().call('POST', '/containers/create', {'Image': 'busybox', 'HostConfig': limits})
    assert answer.status == 400 and text in answer.message, answer.body


@pytest.mark.parametrize('size', ['-5m', '12x', 'lots'])
def test_nonsense_sizes_are_refused_by_both_clients(shared, size):
    for client in (shared.docker, shared.bryo):
        result = client('run', '--rm', '--memory', size, 'busybox', 'true', check=False)
        assert result.code == 125 and 'invalid' in result.err, result

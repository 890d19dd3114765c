"""Limits by the kernel, in a cgroup that the user's systemd delegates; and without one."""
import json
import time

import pytest

v2 = pytest.mark.cgroup('v2')
v1 = pytest.mark.cgroup('v1')

# Rows of a large array, 4 MiB each, one every 0.2 s.
FILLER = ('BEGIN { while (i++ < %d) { a[i] = sprintf("%%4194304s", i); print i; fflush(); system("sleep 0.2") } print "end" }')
BOMB = 'i=1; while [ $i -lt 60 ]; do sleep 100 & echo $i; i=$((i+1)); done; echo end'
MIB = 1 << 20


def group(vm, name):
    """The container's cgroup as the guest's root sees it."""
    pid = vm.docker('inspect', '-f', '{{.State.Pid}}', name).text
    return '/sys/fs/cgroup' + vm.run(['cat', '/proc/%s/cgroup' % pid], root=True).text.split('::', 1)[1].split('\n')[0]


def value(vm, folder, name):
    return vm.run(['cat', folder + '/' + name], root=True).text


def state(vm, name):
    return vm.docker('inspect', '-f', '{{.State.OOMKilled}} {{.State.ExitCode}}', name).text


def info(vm):
    return json.loads(vm.docker('info', '-f', '{{json .}}').out)


@v2
def test_an_engine_typed_into_a_shell_has_systemds_cgroups(vm):
    facts = info(vm)
    assert (facts['CgroupDriver'], facts['CgroupVersion']) == ('systemd', '2')
    assert facts['MemoryLimit'] and facts['PidsLimit'] and facts['SwapLimit']
    assert not any('without cgroups' in w for w in facts['Warnings'])
    vm.docker('run', '-d', '--name', 'where', 'busybox', 'sleep', '1000')
    folder = group(vm, 'where')
    assert '/user@1000.service/' in folder and '.scope/' in folder and folder.endswith(vm.docker('inspect', '-f', '{{.Id}}', 'where').text)
    assert vm.docker('exec', 'where', 'cat', '/proc/self/cgroup').text == '0::/', 'an exec is in it too, and it is the root inside'
    vm.docker('rm', '-f', 'where')
    assert vm.run(['test', '-e', folder], root=True, check=False).code != 0, 'the cgroup is removed'


@v2
def test_memory_is_the_kernels_matter(vm):
    began = time.time()
    result = vm.docker('run', '--name', 'filler', '--memory', '32m', '--memory-swap', '32m', 'busybox', 'awk', FILLER % 60, check=False)
    rows = result.out.split()
    assert result.code == 137 and 5 <= int(rows[-1]) <= 9, (rows, result.err)
    assert state(vm, 'filler') == 'true 137' and 'WARNING' not in result.err
    events = vm.docker('events', '--since', '%ds' % (time.time() - began + 60), '--until', '0s', '--filter', 'container=filler', '--format', '{{.Action}}').out.split()
    assert events.index('oom') < events.index('die')


@v2
def test_a_child_that_is_killed_counts(vm):
    vm.docker('run', '-d', '--name', 'parent', '--memory', '32m', '--memory-swap', '32m', 'busybox', 'sh', '-c', 'tail /dev/zero; echo $?; sleep 1000')
    vm.wait_for('docker logs parent | grep -q 137', env=vm.environment())
    assert vm.docker('inspect', '-f', '{{.State.OOMKilled}} {{.State.Running}}', 'parent').text == 'true true'


@v2
def test_processes_stop_at_the_limit(vm):
    result = vm.docker('run', '--rm', '--pids-limit', '20', 'busybox', 'sh', '-c', BOMB, check=False)
    assert result.out.split()[-1] == '19' and result.code != 0


@v2
def test_half_a_cpu_is_half_a_cpu(vm):
    if 'cpu' not in vm.run('cat /sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/cgroup.controllers').text.split():
        pytest.skip('the cpu controller is not delegated in this guest')
    vm.docker('run', '-d', '--name', 'half', '--cpus', '0.5', 'busybox', 'sh', '-c', 'while :; do :; done')
    folder = group(vm, 'half')
    script = 'a=$(grep usage_usec %s/cpu.stat); s=$(date +%%s%%N); sleep 5; b=$(grep usage_usec %s/cpu.stat); e=$(date +%%s%%N); echo $a $b $s $e'
    fields = vm.run(script % (folder, folder), root=True).text.split()
    share = (int(fields[3]) - int(fields[1])) * 1000 / (int(fields[5]) - int(fields[4]))
    assert 0.45 < share < 0.55, share


@v2
def test_every_limit_reaches_its_file_and_update_changes_it(vm):
    vm.docker('run', '-d', '--name', 'all', '--memory', '64m', '--memory-swap', '96m', '--memory-reservation', '32m', '--pids-limit', '50',
              '--cpu-shares', '512', '--cpus', '0.5', 'busybox', 'sleep', '1000')
    folder = group(vm, 'all')
    controllers = value(vm, folder, 'cgroup.controllers').split()
    expected = {'memory.max': 64 * MIB, 'memory.swap.max': 32 * MIB, 'memory.low': 32 * MIB, 'pids.max': 50}
    if 'cpu' in controllers:
        expected.update({'cpu.max': '50000 100000', 'cpu.weight': '59'})
    assert {f: value(vm, folder, f) for f in expected} == {f: str(v) for f, v in expected.items()}
    vm.docker('update', '--memory', '128m', '--memory-swap', '128m', '--memory-reservation', '16m', '--pids-limit', '30', '--cpus', '0.25', 'all')
    expected = {'memory.max': 128 * MIB, 'memory.swap.max': 0, 'memory.low': 16 * MIB, 'pids.max': 30}
    if 'cpu' in controllers:
        expected['cpu.max'] = '25000 100000'
    assert {f: value(vm, folder, f) for f in expected} == {f: str(v) for f, v in expected.items()}
    vm.docker('update', '--pids-limit', '-1', 'all')
    assert value(vm, folder, 'pids.max') == 'max'


@v2
def test_what_is_not_delegated_is_said_with_the_drop_in(vm):
    facts = info(vm)
    if 'io' in vm.run('cat /sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/cgroup.controllers').text.split():
        pytest.skip('this guest delegates everything')
    assert any('No io.max (rbps) support' in w for w in facts['Warnings'])
    result = vm.docker('create', '--blkio-weight', '100', '--cpuset-cpus', '0', 'busybox', 'true')
    assert 'Block I/O weight or the cgroup is not mounted. Weight discarded.' in result.err
    assert 'Delegate=cpu cpuset io memory pids' in result.err and 'user@.service.d' in result.err


@v2
def test_pause_freezes(vm):
    vm.docker('run', '-d', '--name', 'ice', 'busybox', 'sleep', '1000')
    folder = group(vm, 'ice')
    vm.docker('pause', 'ice')
    assert 'frozen 1' in value(vm, folder, 'cgroup.events')
    vm.docker('unpause', 'ice')
    assert 'frozen 0' in value(vm, folder, 'cgroup.events')


@v2
def test_limits_outlive_the_engine(vm):
    vm.docker('run', '-d', '--name', 'steady', '--memory', '32m', '--memory-swap', '32m', 'busybox', 'sh', '-c',
              'while [ ! -e /go ]; do sleep 0.2; done; tail /dev/zero')
    folder = group(vm, 'steady')
    vm.run('kill -9 $(pgrep -of "bryo [d]aemon")')
    vm.daemon(images=False)
    assert group(vm, 'steady') == folder and value(vm, folder, 'memory.max') == str(32 * MIB)
    assert info(vm)['CgroupDriver'] == 'systemd'
    vm.docker('exec', 'steady', 'touch', '/go')
    vm.docker('wait', 'steady')
    assert state(vm, 'steady') == 'true 137'


@v1
def test_without_v2_the_watcher_kills(vm):
    facts = info(vm)
    assert (facts['CgroupDriver'], facts['CgroupVersion']) == ('none', '1') and facts['MemoryLimit']
    assert any('you need to boot the system in cgroup v2 mode' in w for w in facts['Warnings'])
    result = vm.docker('run', '--name', 'filler', '--memory', '32m', 'busybox', 'awk', FILLER % 60, check=False)
    assert result.code == 137 and 5 <= int(result.out.split()[-1]) <= 9, result
    assert state(vm, 'filler') == 'true 137'
    result = vm.docker('run', '--rm', '--pids-limit', '20', 'busybox', 'sh', '-c', BOMB, check=False)
    assert result.out.split()[-1] == '19'


@v2
def test_a_restart_of_the_user_manager_is_answered_by_restart_policies(vm):
    """systemd ends everything of the user then, scopes too; the next engine starts again what is to run always, limits and all."""
    vm.docker('run', '-d', '--name', 'always', '--restart', 'always', '--memory', '48m', 'busybox', 'sleep', '1000')
    vm.run('kill -9 $(pgrep -of "bryo [d]aemon")')
    vm.run('systemctl restart user@1000.service', root=True)
    vm.daemon(images=False)
    vm.wait_for('docker inspect -f "{{.State.Running}}" always | grep true', env=vm.environment())
    assert value(vm, group(vm, 'always'), 'memory.max') == str(48 * MIB)
    assert info(vm)['CgroupDriver'] == 'systemd'

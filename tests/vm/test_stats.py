"""The numbers of `docker stats` against what the guest's own kernel says of the same processes."""
MB = 1 << 20


def sample(vm, name):
    status, stats = vm.api('/containers/%s/stats?stream=false&one-shot=1' % name)
    assert status == 200, stats
    return stats


def cgroup(vm, name):
    """The folder of the container's own cgroup, or None where it has none."""
    pid, id = vm.docker('inspect', '-f', '{{.State.Pid}} {{.Id}}', name).text.split()
    for line in vm.run(['cat', '/proc/%s/cgroup' % pid], root=True).out.splitlines():
        number, _, path = line.split(':', 2)
        if number == '0' and id[:12] in path:
            return '/sys/fs/cgroup' + path
    return None


def touched(vm, name):
    """Bytes of anonymous memory of the container's processes, by the guest's /proc."""
    pids = [row[0] for row in (line.split() for line in vm.docker('top', name, '-eo', 'pid').out.splitlines()[1:])]
    text = vm.run('cat ' + ' '.join('/proc/%s/smaps_rollup' % pid for pid in pids), root=True).out
    return sum(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith('Pss_Anon:'))


def test_memory_is_what_the_kernel_says(vm):
    vm.docker('run', '-d', '--name', 'fat', 'busybox', 'sh', '-c', 'dd if=/dev/zero bs=24M count=1 2>/dev/null | sleep 1000')
    vm.wait_for('test $(docker stats --no-stream --format "{{.MemUsage}}" fat | cut -d. -f1) -ge 24', env=vm.environment())
    memory = sample(vm, 'fat')['memory_stats']
    folder = cgroup(vm, 'fat')
    if folder:
        current = int(vm.run(['cat', folder + '/memory.current'], root=True).text)
        assert abs(memory['usage'] - current) < MB
        stat = dict(line.split() for line in vm.run(['cat', folder + '/memory.stat'], root=True).out.splitlines())
        assert memory['stats'].keys() == stat.keys()
        assert abs(memory['stats']['anon'] - int(stat['anon'])) < MB
    else:
        assert abs(memory['usage'] - touched(vm, 'fat')) < MB
    assert 24 * MB < memory['usage'] - memory['stats'].get('inactive_file', 0) < 32 * MB
    total = int(vm.run("awk '/MemTotal/ { print $2 }' /proc/meminfo").text) << 10
    assert memory['limit'] == total


def test_processor_time_is_what_the_kernel_says(vm):
    vm.docker('run', '-d', '--name', 'busy', 'busybox', 'sh', '-c', 'while :; do :; done')
    vm.docker('run', '-d', '--name', 'idle', 'busybox', 'sleep', '1000')
    folder = cgroup(vm, 'busy')
    pid = vm.docker('inspect', '-f', '{{.State.Pid}}', 'busy').text
    if folder:
        read, unit = "awk '/usage_usec/ { print $2 }' %s/cpu.stat" % folder, 1000
    else:
        read, unit = "awk '{ print $14 + $15 }' /proc/%s/stat" % pid, 10 ** 7
    before = int(vm.run(read, root=True).text) * unit
    usage = sample(vm, 'busy')['cpu_stats']['cpu_usage']['total_usage']
    after = int(vm.run(read, root=True).text) * unit
    assert before <= usage <= after and after > before
    rows = dict(line.split() for line in vm.docker('stats', '--no-stream', '--format', '{{.Name}} {{.CPUPerc}}').out.splitlines())
    # No upper bound: an emulator that gets too little time loses ticks of the machine's clock, which the percentage is of.
    assert float(rows['busy'].rstrip('%')) > 40
    assert float(rows['idle'].rstrip('%')) < 10


def test_processes_and_traffic_are_the_containers_own(vm):
    vm.docker('run', '-d', '--name', 'web', 'busybox', 'sh', '-c', 'sleep 1000 & exec httpd -f')
    stats = sample(vm, 'web')
    pid = vm.docker('inspect', '-f', '{{.State.Pid}}', 'web').text
    assert stats['pids_stats']['current'] == 2
    words = vm.run("grep eth0 /proc/%s/net/dev" % pid, root=True).text.replace(':', ' ').split()
    assert list(stats['networks']) == ['eth0']
    assert abs(stats['networks']['eth0']['rx_bytes'] - int(words[1])) < 10000

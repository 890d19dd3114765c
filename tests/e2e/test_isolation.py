"""What separates a container from the host and from others: namespaces, capabilities, seccomp, hidden paths, limits."""
import os
import re

import pytest

from support import host


def sh(engine, script, *flags, **kw):
    return engine.docker('run', '--rm', *flags, 'busybox', 'sh', '-c', script, **kw)


def status(engine, field, *flags):
    return sh(engine, 'grep "^%s:" /proc/self/status' % field, *flags).out.split()[1]


DEFAULT = 0xa80425fb  # Docker's fourteen
ALL = (1 << int(host.read('/proc/sys/kernel/cap_last_cap')) + 1) - 1


# ---- namespaces ----

def test_each_namespace_is_the_containers_own(engine):
    kinds = ('cgroup', 'ipc', 'mnt', 'net', 'pid', 'user', 'uts')
    out = sh(engine, 'for k in %s; do readlink /proc/self/ns/$k; done' % ' '.join(kinds), '--cgroupns', 'private').out.split()
    for kind, inside in zip(kinds, out):
        assert inside != os.readlink('/proc/self/ns/' + kind), kind
    engine.docker('run', '-d', '--name', 'other', 'busybox', 'sleep', '600')
    assert sh(engine, 'readlink /proc/self/ns/user').text != engine.docker('exec', 'other', 'readlink', '/proc/self/ns/user').text


def test_pid_1_and_nothing_of_the_host(engine):
    out = sh(engine, 'echo $$; ls -d /proc/[0-9]* | wc -l').out.split()
    assert out[0] == '1' and int(out[1]) <= 4


def test_pid_modes(engine):
    engine.docker('run', '-d', '--name', 'other', 'busybox', 'sleep', '777')
    assert 'sleep 777' in sh(engine, 'ps', '--pid', 'container:other').out
    result = sh(engine, 'ps | wc -l', '--pid', 'host', check=False)
    assert result.code != 0 or int(result.text) > 5


def test_ipc_modes(engine):
    engine.docker('run', '-d', '--name', 'other', '--ipc', 'shareable', 'busybox', 'sh', '-c', 'echo x > /dev/shm/mark; sleep 600')
    assert sh(engine, 'sleep 0.3; cat /dev/shm/mark', '--ipc', 'container:other').out == 'x\n'
    engine.docker('run', '-d', '--name', 'closed', 'busybox', 'sleep', '600')
    assert 'non-shareable IPC' in engine.fails('run', '--rm', '--ipc', 'container:closed', 'busybox', 'true').err
    assert sh(engine, 'readlink /proc/self/ns/ipc', '--ipc', 'host').text == os.readlink('/proc/self/ns/ipc')


def test_uts_and_cgroup_modes(engine):
    assert sh(engine, 'hostname', '--uts', 'host').text == os.uname().nodename
    assert 'onflicting' in engine.fails('run', '--rm', '--uts', 'host', '-h', 'x', 'busybox', 'true').err
    assert sh(engine, 'readlink /proc/self/ns/cgroup', '--cgroupns', 'host').text == os.readlink('/proc/self/ns/cgroup')


def test_ids_inside_are_the_engines(engine):
    assert sh(engine, 'id -u; id -g').out == '0\n0\n'
    rows = [r.split() for r in sh(engine, 'cat /proc/self/uid_map').out.splitlines()]
    assert rows[0][0] == '0' and sum(int(r[2]) for r in rows) >= 65536


# ---- capabilities ----

def test_default_capabilities(engine):
    for field in ('CapPrm', 'CapEff', 'CapBnd'):
        assert int(status(engine, field), 16) == DEFAULT, field
    assert int(status(engine, 'CapInh'), 16) == 0 and int(status(engine, 'CapAmb'), 16) == 0


def test_add_and_drop(engine):
    assert int(status(engine, 'CapEff', '--cap-drop', 'ALL'), 16) == 0
    assert int(status(engine, 'CapEff', '--cap-drop', 'ALL', '--cap-add', 'CHOWN'), 16) == 1
    assert int(status(engine, 'CapEff', '--cap-add', 'cap_sys_ptrace'), 16) == DEFAULT | 1 << 19
    assert int(status(engine, 'CapEff', '--cap-add', 'ALL', '--cap-drop', 'NET_RAW'), 16) & (1 << 13) == 0
    assert 'invalid CapAdd' in engine.fails('run', '--rm', '--cap-add', 'NOSUCH', 'busybox', 'true').err


def test_other_users_have_none(engine):
    assert int(status(engine, 'CapEff', '-u', '1000'), 16) == 0
    assert int(status(engine, 'CapBnd', '-u', '1000'), 16) == DEFAULT


def test_privileged(engine):
    assert int(status(engine, 'CapEff', '--privileged'), 16) & ALL == ALL
    assert status(engine, 'Seccomp', '--privileged') == '0'
    out = sh(engine, 'mount -t tmpfs none /mnt 2>&1 || (mkdir /m; mount -t tmpfs none /m) && echo mounted; touch /proc/sys/kernel/x 2>&1',
             '--privileged', check=False).out
    assert 'mounted' in out and 'Read-only' not in out


def test_chown_and_low_ports_work_as_root_expects(engine):
    assert sh(engine, 'touch /f; chown 1234:4321 /f; stat -c %u:%g /f').text == '1234:4321'
    assert sh(engine, 'timeout 0.3 nc -l -p 80; test $? != 1 && echo bound').text == 'bound'


# ---- seccomp and no-new-privileges ----

def test_seccomp_filters_by_default(engine):
    assert status(engine, 'Seccomp') == '2'
    assert status(engine, 'Seccomp', '--security-opt', 'seccomp=unconfined') == '0'
    result = sh(engine, 'unshare -U true', check=False)
    assert result.code != 0 and 'not permitted' in result.err
    assert sh(engine, 'unshare -U echo free', '--security-opt', 'seccomp=unconfined').out == 'free\n'
    result = sh(engine, 'mount -t tmpfs none /tmp', check=False)
    assert result.code != 0


def test_a_profile_of_ones_own(engine, folder):
    with open(folder + '/p.json', 'w') as f:
        f.write('{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}')
    result = sh(engine, 'mkdir /x', '--security-opt', 'seccomp=%s/p.json' % folder, check=False)
    assert 'No space left on device' in result.err
    with open(folder + '/bad.json', 'w') as f:
        f.write('{"defaultAction": 3}')
    engine.fails('run', '--rm', '--security-opt', 'seccomp=%s/bad.json' % folder, 'busybox', 'true', code=125)


def test_no_new_privileges(engine):
    assert status(engine, 'NoNewPrivs') == '0'
    assert status(engine, 'NoNewPrivs', '--security-opt', 'no-new-privileges') == '1'


def test_an_unknown_security_option(engine):
    engine.fails('run', '--rm', '--security-opt', 'nosuch=1', 'busybox', 'true', code=125)


# ---- hidden and read-only paths ----

def test_masked_and_read_only_paths(engine):
    out = sh(engine, 'cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | wc -c; '
             'find /proc/scsi /sys/firmware -mindepth 1 2>/dev/null | wc -l').out
    assert out.split() == ['0', '0']
    for path in ('/proc/sys/kernel/hostname', '/proc/sysrq-trigger', '/proc/irq/x', '/sys/x'):
        result = sh(engine, 'echo x > ' + path, check=False)
        assert result.code != 0, path
    assert sh(engine, 'cat /proc/1/mountinfo', '--security-opt', 'systempaths=unconfined').out.count('/proc/kcore') == 0


def test_read_only_root(engine):
    assert 'Read-only file system' in sh(engine, 'touch /x', '--read-only', check=False).err
    assert sh(engine, 'touch /t/x /dev/shm/y && echo ok', '--read-only', '--tmpfs', '/t').out == 'ok\n'
    assert sh(engine, 'cat /etc/hosts >/dev/null && echo ok', '--read-only').out == 'ok\n'


def test_dev(engine):
    out = sh(engine, 'ls /dev; echo x > /dev/null; head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c; readlink /dev/fd; readlink /dev/ptmx').out
    names = set(out.split())
    assert {'null', 'zero', 'full', 'random', 'urandom', 'tty', 'shm', 'mqueue', 'pts', 'ptmx', 'stdin', 'stdout', 'stderr', 'fd'} <= names
    assert not names & {'sda', 'vda', 'mem', 'kmsg', 'loop0'}
    assert '/proc/self/fd' in out


def test_device(engine):
    if not os.path.exists('/dev/fuse'):
        pytest.skip('this host has no /dev/fuse')
    assert re.match(r'c\S+ .* 10, +229 .*/dev/fuse', sh(engine, 'ls -l /dev/fuse', '--device', '/dev/fuse').out)
    assert '/dev/renamed' in sh(engine, 'ls /dev/renamed', '--device', '/dev/fuse:/dev/renamed').out
    error = engine.fails('run', '--rm', '--device', '/dev/nosuch', 'busybox', 'true', code=None).err
    assert '/dev/nosuch' in error
    assert 'not permitted' in sh(engine, 'mknod /n c 1 3', '--cap-add', 'ALL', check=False).err


# ---- sysctls, ulimits, limits ----

def test_sysctl(engine):
    assert sh(engine, 'cat /proc/sys/net/ipv4/ip_unprivileged_port_start').text == '0'
    assert sh(engine, 'cat /proc/sys/net/core/somaxconn', '--sysctl', 'net.core.somaxconn=77').text == '77'
    assert sh(engine, 'cat /proc/sys/kernel/msgmax', '--sysctl', 'kernel.msgmax=9000').text == '9000'
    error = engine.fails('run', '--rm', '--sysctl', 'vm.swappiness=1', 'busybox', 'true').err
    assert 'vm.swappiness' in error and ('namespace' in error or 'not allowed' in error)


def test_ulimits(engine):
    assert sh(engine, 'ulimit -n; ulimit -Hn', '--ulimit', 'nofile=100:200').out.split() == ['100', '200']
    assert sh(engine, 'ulimit -c', '--ulimit', 'core=0').text == '0'
    error = engine.fails('run', '--rm', '--ulimit', 'nofile=100000000:200000000', 'busybox', 'true').err
    assert 'nofile' in error or 'rlimit' in error.lower()


def test_limits_without_cgroups_are_said_not_silent(engine):
    """Here a limit is either enforced or there is a warning; it is never quietly dropped."""
    if engine.docker('info', '-f', '{{.CgroupDriver}}').text != 'none':
        assert int(sh(engine, 'cat /sys/fs/cgroup/memory.max', '-m', '32m').text) == 32 << 20
    else:
        result = sh(engine, 'true', '-m', '32m', check=False)
        info = engine.docker('info')
        assert 'imit' in result.err + info.out + info.err


# ---- other containers ----

def test_the_engines_data_is_out_of_reach(engine, folder):
    assert os.stat(engine.data).st_mode & 0o007 == 0
    pid = int(engine.inspect(engine.docker('run', '-d', 'busybox', 'sleep', '600').text, '{{.State.Pid}}'))
    root = '/proc/%d/root' % pid
    text = host.read('/proc/%d/mountinfo' % pid).decode()
    assert ' / / ' in text and engine.data not in ''.join(line.split(' - ')[0] for line in text.splitlines() if ' /etc/' not in line), root


def test_oom_score_and_userns_settings_are_accepted(engine):
    assert sh(engine, 'cat /proc/self/oom_score_adj', '--oom-score-adj', '500').text == '500'
    assert sh(engine, 'id -u', '--userns', 'host').text == '0'

"""What `docker run` says and returns: exit codes, messages, the process's surroundings."""
import os
import re

import pytest

from support.engine import wait_until


def sh(engine, script, *flags, image='busybox', **kw):
    """Output of a shell script in a fresh container."""
    return engine.docker('run', '--rm', *flags, image, 'sh', '-c', script, **kw).out


# ---- exit codes and messages ----

def test_output_and_exit_code_come_back(engine):
    result = engine.docker('run', '--rm', 'busybox', 'sh', '-c', 'echo out; echo err >&2; exit 3', check=False)
    assert (result.code, result.out, result.err) == (3, 'out\n', 'err\n')


def test_death_by_signal_is_128_plus_its_number(engine):
    result = engine.fails('run', '--rm', '--init', 'busybox', 'sh', '-c', 'kill -TERM $$')
    assert result.code == 143


def test_a_missing_command_is_127(engine):
    result = engine.fails('run', '--rm', 'busybox', 'nosuchcommand', code=127)
    assert 'exec: "nosuchcommand": executable file not found in $PATH' in result.err
    result = engine.fails('run', '--rm', 'busybox', '/no/such/file', code=127)
    assert 'exec: "/no/such/file"' in result.err and 'no such file or directory' in result.err


def test_a_directory_is_126(engine):
    result = engine.fails('run', '--rm', 'busybox', '/etc', code=126)
    assert 'exec: "/etc": is a directory' in result.err


def test_a_file_without_the_x_bit_is_126(engine):
    result = engine.fails('run', '--rm', 'busybox', '/etc/passwd', code=126)
    assert 'exec: "/etc/passwd": permission denied' in result.err


def test_the_failed_container_stays_as_created(engine):
    engine.fails('run', '--name', 'never', 'busybox', 'nosuchcommand', code=127)
    assert engine.inspect('never', '{{.State.Status}} {{.State.ExitCode}}') == 'created 127'
    assert 'nosuchcommand' in engine.inspect('never', '{{.State.Error}}')


def test_an_unknown_image_is_125(engine):
    result = engine.fails('run', '--rm', '--pull', 'never', 'nosuchimage:1', 'true', code=125)
    assert 'No such image: nosuchimage:1' in result.err


def test_no_command_at_all(engine, folder):
    engine.docker('import', '-', 'naked:1', input=b'\0' * 1024)
    result = engine.fails('run', '--rm', 'naked:1', code=125)
    assert 'no command specified' in result.err.lower()


def test_names(engine):
    engine.docker('create', '--name', 'taken', 'busybox', 'true')
    result = engine.fails('run', '--name', 'taken', 'busybox', 'true', code=125)
    ident = engine.inspect('taken', '{{.Id}}')
    assert ('Conflict. The container name "/taken" is already in use by container "%s". You have to remove '
            '(or rename) that container to be able to reuse that name.' % ident) in result.err
    result = engine.fails('create', '--name', 'w', 'busybox', 'true')
    assert 'Invalid container name (w), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed' in result.err


def test_a_bad_reference(engine):
    result = engine.fails('run', '--rm', 'Upper:Case:twice', 'true', code=125)
    assert 'invalid reference format' in result.err


def test_an_unknown_flag_is_125(engine):
    engine.fails('run', '--nosuchflag', 'busybox', 'true', code=125)


def test_a_missing_user_is_named(engine):
    result = engine.fails('run', '--rm', '--user', 'nobodyatall', 'busybox', 'true', code=125)
    assert 'unable to find user nobodyatall: no matching entries in passwd file' in result.err


# ---- the process ----

def test_environment(engine, folder):
    with open(folder + '/env', 'w') as f:
        f.write('# comment\nFROM_FILE=1\nHOST_ONE\n')
    out = sh(engine, 'env', '-e', 'A=b c', '-e', 'EMPTY=', '--env-file', folder + '/env', '-h', 'boxname',
             env={'HOST_ONE': 'h'})
    env = dict(line.split('=', 1) for line in out.splitlines())
    assert env['A'] == 'b c' and env['EMPTY'] == '' and env['FROM_FILE'] == '1' and env['HOST_ONE'] == 'h'
    assert env['HOSTNAME'] == 'boxname' and env['HOME'] == '/root'
    assert env['PATH'].startswith('/usr/local/sbin:')
    assert 'TERM' not in env
    assert 'xterm' in engine.docker('run', '--rm', '-t', 'busybox', 'env').out


def test_what_the_image_says_is_the_default(engine):
    out = engine.docker('run', '--rm', 'configured').out
    assert out == 'entry: echo default\ndefault\n'
    out = engine.docker('run', '--rm', 'configured', 'sh', '-c', 'id -un; id -gn; pwd; echo $COLOR $SHAPE').out
    assert out.splitlines()[1:] == ['anna', 'staff', '/made/here', 'blue round']


def test_what_the_command_line_says_goes_first(engine):
    out = engine.docker('run', '--rm', '--entrypoint', 'sh', '-w', '/new/dir', '-u', '0', '-e', 'COLOR=red', 'configured',
                        '-c', 'id -u; pwd; echo $COLOR').out
    assert out.splitlines() == ['0', '/new/dir', 'red']
    assert engine.docker('run', '--rm', '--entrypoint', '', 'configured', 'echo', 'bare').out == 'bare\n'


@pytest.mark.parametrize('user,expected', [
    ('anna', 'uid=1000(anna) gid=1000(anna) groups=29(audio),50(staff),1000(anna)'),
    ('1000', 'uid=1000(anna) gid=1000(anna) groups=29(audio),50(staff),1000(anna)'),
    ('anna:audio', 'uid=1000(anna) gid=29(audio) groups=29(audio)'),
    ('4321', 'uid=4321 gid=0(root) groups=0(root)'),
    ('4321:1234', 'uid=4321 gid=1234 groups=1234'),
    ('daemon:0', 'uid=1(daemon) gid=0(root) groups=0(root)'),
])
def test_users_and_groups(engine, user, expected):
    def parts(text):
        uid, gid, groups = (w.split('=')[1] for w in text.split())
        return uid, gid, set(groups.split(','))
    assert parts(engine.docker('run', '--rm', '-u', user, 'busybox', 'id').text) == parts(expected)


def test_group_add(engine):
    out = engine.docker('run', '--rm', '-u', '4321:1234', '--group-add', 'audio', '--group-add', '777', 'busybox', 'id', '-G')
    assert set(out.text.split()) == {'1234', '29', '777'}


def test_hostname_hosts_and_resolv(engine):
    out = sh(engine, 'hostname; cat /etc/hostname /etc/hosts', '-h', 'alpha', '--add-host', 'beta:10.1.2.3')
    assert out.splitlines()[:2] == ['alpha', 'alpha']
    assert re.search(r'^127\.0\.0\.1\s+localhost', out, re.M) and re.search(r'^10\.1\.2\.3\s+beta', out, re.M)
    assert re.search(r'^172\.17\.0\.\d+\s+alpha', out, re.M)
    out = sh(engine, 'cat /etc/resolv.conf', '--dns', '192.0.2.53', '--dns-search', 'corp.test', '--dns-option', 'ndots:2')
    assert 'nameserver 192.0.2.53' in out and 'search corp.test' in out and 'ndots:2' in out
    assert sh(engine, 'hostname; cat /proc/sys/kernel/domainname', '-h', 'a.b.test').splitlines()[0].startswith('a')


def test_a_container_knows_it_is_one(engine):
    assert sh(engine, 'test -e /.dockerenv && echo yes') == 'yes\n'
    assert len(engine.docker('run', '--rm', 'busybox', 'hostname').text) == 12


def test_cidfile(engine, folder):
    path = folder + '/cid'
    engine.docker('run', '--name', 'noted', '--cidfile', path, 'busybox', 'true')
    with open(path) as f:
        assert f.read() == engine.inspect('noted', '{{.Id}}')
    assert 'ontainer ID file found' in engine.fails('run', '--cidfile', path, 'busybox', 'true').err


def test_rm_takes_the_container_and_its_volumes_along(engine):
    engine.docker('run', '--rm', '--name', 'brief', '-v', '/scratch', 'busybox', 'true')
    wait_until(lambda: not engine.docker('ps', '-aq').text, what='the container is gone')
    assert engine.docker('volume', 'ls', '-q').text == ''


def test_detached_prints_the_full_id(engine):
    ident = engine.docker('run', '-d', 'busybox', 'sleep', '600').text
    assert re.fullmatch('[0-9a-f]{64}', ident)
    assert engine.docker('ps', '-q', '--no-trunc').text == ident


def test_init_reaps_and_forwards(engine):
    out = sh(engine, 'ps | head -3; (sleep 0.1 &) ; sleep 0.4; ps | grep -c "\\[sleep\\]"', '--init', check=False)
    assert 'init' in out.splitlines()[1] and out.splitlines()[-1] == '0'
    engine.docker('run', '-d', '--init', '--name', 'polite', 'busybox', 'sh', '-c', 'trap "exit 9" TERM; while :; do sleep 0.1; done')
    engine.docker('stop', '-t', '5', 'polite')
    assert engine.inspect('polite', '{{.State.ExitCode}}') == '9'


def test_pull_policies(engine, push, registry):
    full = push('busybox', 'policy')
    engine.docker('run', '--rm', full, 'true')
    assert full in engine.docker('images', '--format', '{{.Repository}}:{{.Tag}}').out
    engine.docker('run', '--rm', '--pull', 'always', full, 'true')
    engine.docker('rmi', full)
    assert 'No such image' in engine.fails('run', '--rm', '--pull', 'never', full, 'true', code=125).err


def test_run_announces_a_pull(engine, push):
    full = push('busybox', 'announced')
    result = engine.docker('run', '--rm', full, 'echo', 'hi')
    assert "Unable to find image '%s' locally" % full in result.err and result.out == 'hi\n'
    assert 'Status: Downloaded newer image' in result.err
    engine.docker('rmi', full)


def test_labels_and_stop_settings_are_kept(engine, folder):
    with open(folder + '/labels', 'w') as f:
        f.write('from=file\n')
    engine.docker('create', '--name', 'kept', '-l', 'a=b', '--label-file', folder + '/labels', '--stop-signal', 'SIGINT',
                  '--stop-timeout', '3', '--restart', 'on-failure:4', '--shm-size', '8m', 'busybox', 'true')
    data = engine.inspect('kept')
    assert data['Config']['Labels'] == {'a': 'b', 'from': 'file'}
    assert data['Config']['StopSignal'] == 'SIGINT' and data['Config']['StopTimeout'] == 3
    assert data['HostConfig']['RestartPolicy'] == {'Name': 'on-failure', 'MaximumRetryCount': 4}
    assert data['HostConfig']['ShmSize'] == 8 << 20
    assert data['Name'] == '/kept' and data['Path'] == 'true' and data['Args'] == []


def test_twenty_runs_leave_nothing_behind(engine):
    before = len(os.listdir('/proc'))
    for _ in range(20):
        assert engine.docker('run', '--rm', 'busybox', 'echo', 'x').out == 'x\n'
    wait_until(lambda: not engine.docker('ps', '-aq').text, what='all removed')
    wait_until(lambda: len(os.listdir('/proc')) < before + 25, what='no process is left')

"""Further processes in a running container."""
import pytest

from support.engine import wait_until


@pytest.fixture
def box(engine):
    engine.docker('run', '-d', '--name', 'box', '-e', 'BASE=1', '-w', '/tmp', '-u', 'anna', 'busybox', 'sleep', '600')
    return engine


def test_output_exit_code_and_stdin(box):
    result = box.docker('exec', 'box', 'sh', '-c', 'echo o; echo e >&2; exit 7', check=False)
    assert (result.code, result.out, result.err) == (7, 'o\n', 'e\n')
    assert box.docker('exec', '-i', 'box', 'cat', input='through\n').out == 'through\n'


def test_it_starts_from_the_containers_settings(box):
    assert box.docker('exec', 'box', 'sh', '-c', 'id -un; pwd; echo $BASE').out == 'anna\n/tmp\n1\n'


def test_user_workdir_and_environment_can_be_changed(box):
    out = box.docker('exec', '-u', '1:2', '-w', '/etc', '-e', 'A=b', 'box', 'sh', '-c', 'id -u; id -g; pwd; echo $A').out
    assert out == '1\n2\n/etc\nb\n'
    assert box.docker('exec', '-u', 'root', 'box', 'id', '-u').text == '0'


def test_a_missing_command_is_127_and_a_directory_126(box):
    result = box.fails('exec', 'box', 'nosuchcommand', code=127)
    assert 'exec: "nosuchcommand": executable file not found in $PATH' in result.out + result.err
    box.fails('exec', 'box', '/etc', code=126)


def test_a_missing_workdir_is_refused(box):
    assert 'no such file or directory' in (lambda r: r.out + r.err)(box.fails('exec', '-w', '/not/there', 'box', 'true'))


def test_detached(box):
    box.docker('exec', '-d', 'box', 'sh', '-c', 'echo done > /tmp/mark; sleep 600')
    for _ in range(50):
        if box.docker('exec', 'box', 'cat', '/tmp/mark', check=False).out == 'done\n':
            break
    else:
        raise AssertionError('the detached command did not run')
    assert 'sleep 600' in box.docker('exec', 'box', 'ps').out


def test_only_in_running_containers(engine):
    engine.docker('create', '--name', 'idle', 'busybox', 'true')
    assert 'is not running' in engine.fails('exec', 'idle', 'true').err
    assert 'No such container: nosuch' in engine.fails('exec', 'nosuch', 'true').err


def test_its_life_seen_by_the_api(box, api):
    ident = api.post('/containers/box/exec', {'Cmd': ['sh', '-c', 'read x; exit 5'], 'AttachStdin': True,
                                              'AttachStdout': True}, ok=(201,)).json()['Id']
    before = api.get('/exec/%s/json' % ident, ok=(200,)).json()
    assert before['Running'] is False and before['ExitCode'] is None
    assert before['ProcessConfig']['entrypoint'] == 'sh' and before['ProcessConfig']['arguments'] == ['-c', 'read x; exit 5']
    reply = api.upgrade('/exec/%s/start' % ident, {'Detach': False, 'Tty': False})
    assert reply.status == 101 and reply.reason == 'UPGRADED'
    during = wait_until(lambda: (lambda d: d if d['Pid'] else None)(api.get('/exec/%s/json' % ident, ok=(200,)).json()), what='a pid')
    assert during['Running'] is True
    assert ident in api.get('/containers/box/json').json()['ExecIDs']
    reply.connection.send(b'go\n')
    assert list(reply.frames()) == []
    after = api.get('/exec/%s/json' % ident, ok=(200,)).json()
    assert after['Running'] is False and after['ExitCode'] == 5
    assert api.post('/exec/%s/start' % ident, {'Detach': True}).status == 409
    assert 'No such exec instance' in api.get('/exec/%064d/json' % 0, ok=(404,)).message


def test_privileged_has_more_capabilities(box):
    def capabilities(*flags):
        out = box.docker('exec', *flags, '-u', '0', 'box', 'grep', 'CapEff', '/proc/self/status').out
        return int(out.split()[1], 16)
    assert capabilities() == 0xa80425fb
    assert capabilities('--privileged') > capabilities()


def test_many_at_once(box):
    running = [box.popen('exec', 'box', 'sh', '-c', 'sleep 0.2; echo %d' % i) for i in range(12)]
    assert [p.communicate(timeout=30)[0] for p in running] == [b'%d\n' % i for i in range(12)]


def test_output_that_ends_at_once_is_not_lost(box):
    for i in range(20):
        assert box.docker('exec', 'box', 'echo', i).out == '%d\n' % i

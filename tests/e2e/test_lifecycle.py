"""Create, start, stop, kill, restart, pause, rename, update, wait, remove; restart policies."""
import threading
import time

import pytest

from support import host
from support.engine import wait_until

TRAP = 'trap "echo bye; exit 0" TERM; echo up; while :; do sleep 0.05; done'


def state(engine, name, template='{{.State.Status}}'):
    return engine.inspect(name, template)


def test_the_states_in_turn(engine):
    engine.docker('create', '--name', 's1', 'busybox', 'sh', '-c', TRAP)
    assert state(engine, 's1') == 'created'
    engine.docker('start', 's1')
    wait_until(lambda: engine.docker('logs', 's1').out, what='it runs')
    data = engine.inspect('s1')['State']
    assert data['Status'] == 'running' and data['Running'] and data['Pid'] > 0 and data['FinishedAt'] == '0001-01-01T00:00:00Z'
    engine.docker('stop', 's1')
    data = engine.inspect('s1')['State']
    assert data['Status'] == 'exited' and not data['Running'] and data['Pid'] == 0 and data['ExitCode'] == 0
    assert data['FinishedAt'] > data['StartedAt']
    engine.docker('start', 's1')
    assert state(engine, 's1') == 'running'
    engine.docker('rm', '-f', 's1')
    assert 'No such' in engine.fails('inspect', 's1').err


def test_no_ops_answer_304(engine, api):
    ident = api.create('busybox', ['sleep', '600'])
    assert api.post('/containers/%s/stop' % ident).status == 304
    assert api.post('/containers/%s/start' % ident).status == 204
    assert api.post('/containers/%s/start' % ident).status == 304
    assert api.post('/containers/%s/stop?t=0' % ident).status == 204
    assert api.post('/containers/%s/stop?t=0' % ident).status == 304


def test_stop_waits_then_kills(engine):
    engine.docker('run', '-d', '--name', 'deaf', 'busybox', 'sh', '-c', 'trap "" TERM; while :; do sleep 0.1; done')
    begin = time.monotonic()
    engine.docker('stop', '-t', '1', 'deaf')
    assert 0.9 < time.monotonic() - begin < 6
    assert state(engine, 'deaf', '{{.State.ExitCode}}') == '137'


def test_the_stop_signal_is_the_containers(engine):
    engine.docker('run', '-d', '--name', 'own', '--stop-signal', 'USR2', 'busybox', 'sh', '-c',
                  'trap "exit 12" USR2; echo up; while :; do sleep 0.05; done')
    wait_until(lambda: engine.docker('logs', 'own').out, what='it runs')
    engine.docker('stop', 'own')
    assert state(engine, 'own', '{{.State.ExitCode}}') == '12'


@pytest.mark.parametrize('signal', ['HUP', 'SIGHUP', '1'])
def test_kill_sends_what_is_asked(engine, signal):
    engine.docker('run', '-d', '--name', 'k1', 'busybox', 'sh', '-c',
                  'trap "echo hup" HUP; echo up; while :; do sleep 0.05; done')
    wait_until(lambda: engine.docker('logs', 'k1').out, what='it runs')
    engine.docker('kill', '-s', signal, 'k1')
    wait_until(lambda: 'hup' in engine.docker('logs', 'k1').out, what='the signal arrived')
    assert state(engine, 'k1') == 'running'
    engine.docker('kill', 'k1')
    wait_until(lambda: state(engine, 'k1') == 'exited')
    assert state(engine, 'k1', '{{.State.ExitCode}}') == '137'


def test_kill_of_what_does_not_run(engine):
    engine.docker('create', '--name', 'idle', 'busybox', 'true')
    assert 'is not running' in engine.fails('kill', 'idle').err
    assert 'No such container: nosuch' in engine.fails('kill', 'nosuch').err
    engine.docker('start', 'idle')
    assert 'nvalid signal' in engine.fails('kill', '-s', 'NOSUCH', 'idle').err


def test_restart(engine):
    port = host.free_port()
    engine.docker('run', '-d', '--name', 'r1', '-p', '%d:1' % port, 'busybox', 'sh', '-c', TRAP)
    wait_until(lambda: engine.docker('logs', 'r1').out, what='it runs')
    first = state(engine, 'r1', '{{.State.Pid}} {{.State.StartedAt}}')
    engine.docker('restart', '-t', '2', 'r1')
    assert state(engine, 'r1') == 'running' and state(engine, 'r1', '{{.State.Pid}} {{.State.StartedAt}}') != first
    assert port in host.ports()
    wait_until(lambda: engine.docker('logs', 'r1').out == 'up\nbye\nup\n', what='log of both lives')


def test_pause_holds_and_unpause_lets_go(engine):
    engine.docker('run', '-d', '--name', 'p1', 'busybox', 'sh', '-c', 'while :; do echo x; sleep 0.02; done')
    result = engine.docker('pause', 'p1', check=False)
    if result.code != 0:
        assert 'cgroup' in result.err, result  # an honest refusal
        return
    assert state(engine, 'p1', '{{.State.Status}} {{.State.Paused}}') == 'paused true'
    before = len(engine.docker('logs', 'p1').out)
    time.sleep(0.3)
    assert len(engine.docker('logs', 'p1').out) == before
    assert '(Paused)' in engine.docker('ps').out
    assert 'is paused' in engine.fails('exec', 'p1', 'true').err
    engine.docker('unpause', 'p1')
    wait_until(lambda: len(engine.docker('logs', 'p1').out) > before, what='it goes on')
    assert 'is not paused' in engine.fails('unpause', 'p1').err
    engine.docker('pause', 'p1')
    engine.docker('rm', '-f', 'p1')


def test_rename(engine):
    engine.docker('run', '-d', '--name', 'old', 'busybox', 'sleep', '600')
    engine.docker('rename', 'old', 'new')
    assert engine.inspect('new', '{{.Name}}') == '/new'
    assert 'No such' in engine.fails('inspect', 'old').err
    engine.docker('create', '--name', 'third', 'busybox', 'true')
    assert 'already in use' in engine.fails('rename', 'new', 'third').err
    engine.docker('exec', 'new', 'true')


def test_update_of_the_restart_policy(engine):
    engine.docker('run', '-d', '--name', 'u1', 'busybox', 'sleep', '600')
    engine.docker('update', '--restart', 'always', 'u1')
    assert engine.inspect('u1', '{{.HostConfig.RestartPolicy.Name}}') == 'always'


# ---- wait ----

def test_wait_prints_exit_codes_in_order(engine):
    engine.docker('run', '-d', '--name', 'a1', 'busybox', 'sh', '-c', 'sleep 0.3; exit 3')
    engine.docker('run', '-d', '--name', 'b1', 'busybox', 'sh', '-c', 'exit 4')
    assert engine.docker('wait', 'a1', 'b1').out == '3\n4\n'


def test_wait_conditions(engine, api):
    ident = api.create('busybox', ['sh', '-c', 'exit 6'])
    # not-running of a container that never ran answers at once
    assert api.post('/containers/%s/wait?condition=not-running' % ident, ok=(200,)).json()['StatusCode'] == 0
    waiting = {c: api.open('POST', '/containers/%s/wait?condition=%s' % (ident, c)) for c in ('next-exit', 'removed')}
    for reply in waiting.values():
        assert reply.status == 200  # the head is here before the container has even started
    api.start(ident)
    assert waiting['next-exit'].json()['StatusCode'] == 6
    api.delete('/containers/%s' % ident, ok=(204,))
    assert waiting['removed'].json()['StatusCode'] == 6
    assert 'nvalid condition' in api.post('/containers/%s/wait?condition=never' % api.create('busybox', ['true']), ok=(400,)).message


def test_waiting_clients_are_many(engine, api):
    ident = api.create('busybox', ['sh', '-c', 'sleep 0.5; exit 2'])
    codes = []
    threads = [threading.Thread(target=lambda: codes.append(
        api.post('/containers/%s/wait?condition=next-exit' % ident).json()['StatusCode'])) for _ in range(20)]
    for t in threads:
        t.start()
    time.sleep(0.2)
    api.start(ident)
    for t in threads:
        t.join(15)
    assert codes == [2] * 20


# ---- remove ----

def test_remove(engine):
    engine.docker('run', '-d', '--name', 'busy', 'busybox', 'sleep', '600')
    error = engine.fails('rm', 'busy').err
    assert 'running' in error and 'force' in error
    engine.docker('rm', '-f', 'busy')
    assert 'No such container: busy' in engine.fails('rm', 'busy').err
    result = engine.docker('rm', '-f', 'busy', check=False)
    assert result.code == 0 or 'No such container' in result.err


def test_prune(engine):
    engine.docker('run', '--name', 'done', '-l', 'kind=old', 'busybox', 'true')
    engine.docker('run', '--name', 'keep', 'busybox', 'true')
    engine.docker('run', '-d', '--name', 'runs', 'busybox', 'sleep', '600')
    ident = engine.inspect('done', '{{.Id}}')
    out = engine.docker('container', 'prune', '-f', '--filter', 'label=kind=old').out
    assert ident in out and 'Total reclaimed space' in out
    assert set(engine.docker('ps', '-a', '--format', '{{.Names}}').out.split()) == {'keep', 'runs'}
    engine.docker('container', 'prune', '-f')
    assert engine.docker('ps', '-a', '--format', '{{.Names}}').text == 'runs'


# ---- restart policies ----

def test_on_failure_counts(engine):
    engine.docker('run', '-d', '--name', 'f1', '--restart', 'on-failure:2', 'busybox', 'sh', '-c', 'echo x; exit 3')
    wait_until(lambda: state(engine, 'f1', '{{.RestartCount}} {{.State.Status}}') == '2 exited', 15, what='two restarts')
    assert engine.docker('logs', 'f1').out == 'x\nx\nx\n'
    engine.docker('run', '-d', '--name', 'ok', '--restart', 'on-failure', 'busybox', 'true')
    wait_until(lambda: state(engine, 'ok') == 'exited')
    time.sleep(0.3)
    assert state(engine, 'ok', '{{.RestartCount}}') == '0'


def test_always_comes_back_until_stopped(engine):
    engine.docker('run', '-d', '--name', 'a1', '--restart', 'always', 'busybox', 'sleep', '600')
    pid = int(state(engine, 'a1', '{{.State.Pid}}'))
    host.kill_quietly(pid)
    wait_until(lambda: state(engine, 'a1', '{{.State.Running}} {{.RestartCount}}') == 'true 1', what='it is back')
    engine.docker('stop', '-t', '0', 'a1')
    time.sleep(0.4)
    assert state(engine, 'a1') == 'exited'


def test_after_an_engine_restart(own_engine):
    engine = own_engine()
    for policy in ('always', 'unless-stopped', 'no'):
        engine.docker('run', '-d', '--name', policy, '--restart', policy, 'busybox', 'sleep', '600')
    engine.docker('run', '-d', '--name', 'stopped', '--restart', 'unless-stopped', 'busybox', 'sleep', '600')
    engine.docker('stop', '-t', '0', 'stopped')
    engine.restart()
    wait_until(lambda: state(engine, 'always') == 'running' and state(engine, 'unless-stopped') == 'running', 15,
               what='they come back')
    assert state(engine, 'no') == 'exited' and state(engine, 'stopped') == 'exited'


def test_removing_while_it_restarts(engine):
    engine.docker('run', '-d', '--name', 'loop', '--restart', 'always', 'busybox', 'false')
    wait_until(lambda: int(state(engine, 'loop', '{{.RestartCount}}')) >= 2, 15, what='a few restarts')
    engine.docker('rm', '-f', 'loop')
    assert engine.docker('ps', '-aq').text == ''

"""Healthchecks: states, events, what inspect and ps say."""
import json

from support.engine import wait_until


def health(engine, name):
    return engine.inspect(name, '{{.State.Health.Status}}')


def test_healthy_and_back(engine):
    engine.docker('run', '-d', '--name', 'hc', '--health-cmd', 'test ! -e /ill', '--health-interval', '300ms',
                  '--health-retries', '2', 'busybox', 'sleep', '600')
    wait_until(lambda: health(engine, 'hc') == 'healthy', what='healthy')
    assert '(healthy)' in engine.docker('ps').out
    engine.docker('exec', 'hc', 'touch', '/ill')
    wait_until(lambda: health(engine, 'hc') == 'unhealthy', what='unhealthy')
    data = engine.inspect('hc')['State']['Health']
    assert data['FailingStreak'] >= 2 and data['Log'][-1]['ExitCode'] == 1
    assert '(unhealthy)' in engine.docker('ps', '--filter', 'health=unhealthy').out
    engine.docker('exec', 'hc', 'rm', '/ill')
    wait_until(lambda: health(engine, 'hc') == 'healthy', what='healthy again')


def test_starting_first(engine):
    engine.docker('run', '-d', '--name', 'hc', '--health-cmd', 'echo not yet; false', '--health-interval', '200ms',
                  '--health-start-period', '30s', 'busybox', 'sleep', '600')
    wait_until(lambda: engine.inspect('hc')['State']['Health']['Log'], what='a first probe')
    assert health(engine, 'hc') == 'starting'
    assert '(health: starting)' in engine.docker('ps').out
    assert engine.inspect('hc')['State']['Health']['Log'][-1]['Output'] == 'not yet\n'


def test_a_probe_that_hangs_fails(engine):
    engine.docker('run', '-d', '--name', 'hc', '--health-cmd', 'sleep 100', '--health-interval', '200ms', '--health-timeout',
                  '500ms', '--health-retries', '1', 'busybox', 'sleep', '600')
    wait_until(lambda: health(engine, 'hc') == 'unhealthy', 15, what='unhealthy')
    log = engine.inspect('hc')['State']['Health']['Log'][-1]
    assert log['ExitCode'] == -1 and 'exceeded timeout' in log['Output']
    wait_until(lambda: engine.docker('exec', 'hc', 'ps').out.count('sleep 100') <= 1, what='the probe is killed')


def test_the_images_check_and_switching_it_off(engine):
    engine.docker('run', '-d', '--name', 'hc', 'configured', 'sh', '-c', 'touch /tmp/well; sleep 600')
    wait_until(lambda: health(engine, 'hc') == 'healthy', what='healthy')
    engine.docker('run', '-d', '--name', 'off', '--no-healthcheck', 'configured', 'sleep', '600')
    assert engine.inspect('off')['State'].get('Health') is None


def test_events_tell_of_changes(engine):
    p = engine.popen('events', '--format', '{{json .}}', '--filter', 'event=health_status')
    engine.docker('run', '-d', '--name', 'hc', '--health-cmd', 'true', '--health-interval', '200ms', 'busybox', 'sleep', '600')
    event = json.loads(p.stdout.readline())
    p.terminate()
    p.wait()
    assert event['Action'] == 'health_status: healthy' and event['Actor']['Attributes']['name'] == 'hc'

"""External OCI runtimes and Bryo's own socket inside a container."""
import json
import os

import pytest

from support.engine import have, wait_until

RUNC = next((p for p in ('/usr/sbin/runc', '/usr/bin/runc') if os.path.exists(p)), None)


@pytest.fixture
def engine(own_engine):
    if not RUNC:
        pytest.skip('runc is not installed')
    return own_engine(config={'runtimes': {'debian-runc': {'path': RUNC}}})


def test_runc_runs_the_same_container(engine):
    out = engine.docker('run', '--rm', '--runtime', 'debian-runc', '-h', 'byrunc', '-e', 'A=b', 'busybox', 'sh', '-c',
                        'id -u; hostname; echo $A; grep CapEff /proc/self/status').out.split()
    assert out[:3] == ['0', 'byrunc', 'b'] and int(out[4], 16) == 0xa80425fb
    result = engine.docker('run', '--rm', '--runtime', 'debian-runc', 'busybox', 'sh', '-c', 'exit 3', check=False)
    assert result.code == 3


def test_runc_detached_exec_stop(engine):
    engine.docker('run', '-d', '--name', 'r1', '--runtime', 'debian-runc', 'busybox', 'sh', '-c', 'echo up; sleep 600')
    wait_until(lambda: engine.docker('logs', 'r1').out == 'up\n')
    assert engine.docker('exec', 'r1', 'echo', 'in').out == 'in\n'
    assert engine.inspect('r1', '{{.HostConfig.Runtime}}') == 'debian-runc'
    engine.docker('stop', '-t', '0', 'r1')
    assert engine.inspect('r1', '{{.State.ExitCode}}') == '137'


def test_info_lists_runtimes_and_unknown_ones_are_refused(engine):
    info = json.loads(engine.docker('info', '-f', '{{json .Runtimes}}').out)
    assert info['debian-runc']['path'] == RUNC and len(info) >= 2
    error = engine.fails('run', '--rm', '--runtime', 'nosuch', 'busybox', 'true').err
    assert 'nosuch' in error and 'untime' in error


@pytest.mark.parametrize('path', ['/var/run/docker.sock', '/run/docker.sock'])
def test_docker_sock_means_our_own(own_engine, path):
    """What a container finds under Docker's well-known path is the engine that runs it."""
    engine = own_engine()
    engine.docker('run', '-d', '--name', 'outer', '-v', path + ':/var/run/docker.sock', 'busybox', 'sleep', '600')
    request = 'GET /containers/json HTTP/1.0\r\nHost: d\r\n\r\n'
    assert '"/outer"' in engine.docker('exec', 'outer', 'probe', 'unix', '/var/run/docker.sock', request).out


def test_a_client_inside_drives_the_engine(own_engine, push):
    """A real client (Node's http) on the socket."""
    if not have('node'):
        pytest.skip('nodejs is not installed')
    engine = own_engine(images=('web',))
    script = ("setTimeout(()=>require('http').get({socketPath:'/var/run/docker.sock',path:'/containers/json'},r=>{let b='';"
              "r.on('data',d=>b+=d);r.on('end',()=>console.log(JSON.parse(b)[0].Names[0]))}),300)")
    out = engine.docker('run', '--rm', '--name', 'inner', '-v', '/var/run/docker.sock:/var/run/docker.sock', 'web', 'node', '-e', script)
    assert out.text == '/inner'

"""The whole story as a user lives it: real programs from a real registry, reached from the host; what is refused, and
why; who one is inside and outside."""
import getpass
import os
import socket

import pytest

from support import host
from support.engine import wait_until


@pytest.fixture
def real(engine, push):
    for name in ('nginx', 'redis', 'web'):
        push(name)
        engine.pull(name)
    return engine


def redis(port, *words):
    """One command in redis' own protocol."""
    text = '*%d\r\n' % len(words) + ''.join('$%d\r\n%s\r\n' % (len(w), w) for w in words)
    with socket.create_connection(('127.0.0.1', port), 5) as s:
        s.sendall(text.encode())
        return s.recv(4096).decode()


def test_a_web_application_answers_on_2368(real):
    real.docker('run', '-d', '--name', 'blog', '-p', '2368:2368', 'web')
    wait_until(lambda: 'listening on 2368' in real.docker('logs', 'blog').out, what='the application listens')
    assert b'Bryo says hello' in host.serves(2368)
    assert 'blog' in real.docker('ps').out
    real.docker('stop', 'blog')
    assert real.docker('logs', 'blog').out.endswith('bye\n')
    assert real.inspect('blog', '{{.State.ExitCode}}') == '0'
    assert 2368 not in host.ports()


def test_a_database_answers_on_27017_and_keeps_its_data(real):
    real.docker('run', '-d', '--name', 'db', '-p', '27017:6379', '-v', 'store:/data', 'redis')
    wait_until(lambda: 'Ready to accept connections' in real.docker('logs', 'db').out, what='the database is ready')
    assert redis(27017, 'SET', 'key', 'value') == '+OK\r\n'
    assert redis(27017, 'SAVE') == '+OK\r\n'
    real.docker('rm', '-f', 'db')
    real.docker('run', '-d', '--name', 'db2', '-p', '27017:6379', '-v', 'store:/data', 'redis')
    wait_until(lambda: 'Ready to accept connections' in real.docker('logs', 'db2').out, what='the database is ready')
    assert redis(27017, 'GET', 'key') == '$5\r\nvalue\r\n'


def test_nginx_serves_and_sees_its_client(real):
    real.docker('run', '-d', '--name', 'web', '-p', '8088:80', 'nginx')
    wait_until(lambda: 'start worker process' in real.docker('logs', 'web').err, what='nginx is ready')
    assert host.http_get(8088) == (200, b'<h1>Welcome to nginx on Bryo</h1>\n')
    assert host.http_get(8088, '/whoami')[1] in (b'127.0.0.1\n', b'172.17.0.1\n')
    own = host.own_address()
    if own:
        assert host.http_get(8088, '/whoami', host=own)[1].decode() == own + '\n'
    assert 'GET /whoami' in real.docker('logs', 'web').out
    # workers are www-data inside and a subordinate id outside; the master is root inside and we ourselves outside
    worker = next(p for p in host.find('nginx: worker process'))
    assert host.uid_of(worker) not in (0, os.getuid())
    real.docker('stop', 'web')  # SIGQUIT, as the image says
    assert real.inspect('web', '{{.State.ExitCode}}') == '0'


def test_port_80_is_refused_with_the_remedy(real):
    if int(host.read('/proc/sys/net/ipv4/ip_unprivileged_port_start')) <= 80:
        pytest.skip('this host lets everybody listen on port 80')
    result = real.fails('run', '-d', '--name', 'low', '-p', '80:80', 'nginx')
    assert result.code in (125, 126)
    assert "cannot expose privileged port 80" in result.err
    assert "net.ipv4.ip_unprivileged_port_start=80" in result.err and "(currently 1024)" in result.err
    # No file capability helps: the gate runs in a child of the user namespace that the port belongs to.
    assert 'CAP_NET_BIND_SERVICE' not in result.err and 'rootlesskit' not in result.err
    assert 'choose a larger port number (>= 1024)' in result.err
    assert real.inspect('low', '{{.State.Status}} {{.State.Running}}') == 'created false'


def test_root_inside_is_nobody_special_outside(engine):
    """The host's / is mounted, whoami says root, and still a file of the host's root cannot be deleted."""
    engine.docker('run', '-d', '--name', 'box', '-v', '/:/host', 'busybox', 'sleep', '600')
    assert engine.docker('exec', 'box', 'whoami').text == 'root'
    victim = '/usr/share/common-licenses/BSD'
    assert os.stat(victim).st_uid == 0
    result = engine.fails('exec', 'box', 'rm', '-f', '/host' + victim, code=1)
    assert 'Permission denied' in result.err or 'Read-only' in result.err
    assert os.path.exists(victim)
    result = engine.fails('exec', 'box', 'sh', '-c', 'cat /host/etc/shadow')
    assert 'Permission denied' in result.err
    result = engine.fails('exec', 'box', 'sh', '-c', 'echo x > /host/etc/bryo-was-here')
    assert not os.path.exists('/etc/bryo-was-here')


def test_ps_shows_root_inside_and_the_user_outside(engine):
    engine.docker('run', '-d', '--name', 'two-sides', 'busybox', 'sleep', '4711')
    inside = engine.docker('exec', 'two-sides', 'ps').out.splitlines()
    line = next(x for x in inside if 'sleep 4711' in x)
    assert line.split()[:2] == ['1', 'root']
    outside = [p for p in host.find('sleep 4711')]
    assert len(outside) == 1, outside
    assert host.uid_of(outside[0]) == os.getuid()
    assert int(engine.inspect('two-sides', '{{.State.Pid}}')) == outside[0]
    top = engine.docker('top', 'two-sides').out
    assert 'sleep 4711' in top and (getpass.getuser() in top or str(os.getuid()) in top or 'root' in top)


def test_what_a_user_writes_outside_is_the_users(engine, folder):
    engine.docker('run', '--rm', '-v', folder + ':/m', 'busybox', 'sh', '-c', 'echo hi > /m/mine; ls -ln /m')
    assert os.stat(folder + '/mine').st_uid == os.getuid()
    engine.docker('run', '--rm', '-v', folder + ':/m', '--user', '1000', 'busybox', 'true')


def test_info_and_inspect_speak_in_templates(engine):
    port = host.free_port()
    engine.docker('run', '-d', '--name', 'seen', '-p', '%d:8000' % port, '--label', 'a=b', 'busybox', 'sleep', '600')
    assert 'name=rootless' in engine.docker('info', '-f', '{{.SecurityOptions}}').out
    assert engine.docker('info', '-f', '{{.DockerRootDir}}').text == engine.data
    assert engine.docker('info', '-f', '{{.ContainersRunning}}').text == '1'
    template = ('{{.State.Status}} {{.State.Running}} {{json .NetworkSettings.Ports}} {{.HostConfig.NetworkMode}} '
                '{{.Config.Image}} {{index .Config.Labels "a"}}')
    words = engine.inspect('seen', template).split(' ')
    assert words[:2] == ['running', 'true'] and '"HostPort":"%d"' % port in words[2]
    assert words[4:] == ['busybox', 'b'] and words[3] in ('bridge', 'default')
    address = engine.inspect('seen', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}')
    assert address.startswith('172.17.0.')
    assert engine.docker('port', 'seen').text.splitlines()[0] == '8000/tcp -> 0.0.0.0:%d' % port


def test_the_embedded_image_says_who_it_is(engine):
    out = engine.docker('run', '--rm', 'bryo/hello').out
    assert 'root' in out and str(os.getuid()) in out, out

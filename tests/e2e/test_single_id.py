"""Single-id mode: no subordinate ids, one owner for everything, and honest about it."""
import os

import pytest

from support import host
from support.engine import wait_until


@pytest.fixture
def engine(own_engine, folder):
    """An engine that finds no newuidmap."""
    bin = folder + '/bin'
    os.mkdir(bin)
    for d in ('/usr/bin', '/usr/sbin', '/usr/local/bin'):
        for name in os.listdir(d):
            if name not in ('newuidmap', 'newgidmap') and not os.path.lexists(bin + '/' + name):
                os.symlink(os.path.join(d, name), os.path.join(bin, name))
    return own_engine(environment={'PATH': bin})


def test_it_starts_warns_and_runs(engine):
    assert 'single' in engine.tail() and 'newuidmap' in engine.tail()
    assert engine.docker('run', '--rm', 'busybox', 'sh', '-c', 'id -u; cat /proc/self/uid_map').out.split()[:2] == ['0', '0']
    assert 'single' in engine.docker('info').out + engine.docker('info').err


def test_several_owners_become_one(engine, push):
    engine.docker('pull', '-q', push('odd'))
    out = engine.docker('run', '--rm', push('odd'), 'stat', '-c', '%u:%g', '/odd/owned').text
    assert out == '0:0'


def test_another_user_is_refused_with_the_reason(engine):
    error = engine.fails('run', '--rm', '-u', '1000', 'busybox', 'true').err
    assert 'single' in error or 'subordinate' in error or 'subuid' in error


def test_the_usual_things_work(engine):
    port = host.free_port()
    engine.docker('run', '-d', '--name', 'w1', '-p', '%d:80' % port, '-v', 'vol:/v', 'busybox', 'sh', '-c',
                  'echo v > /v/f; exec httpd -f -p 80 -h /v')
    wait_until(lambda: host.serves(port, '/f') == b'v\n')
    assert engine.docker('exec', 'w1', 'cat', '/v/f').out == 'v\n'
    engine.docker('stop', '-t', '0', 'w1')

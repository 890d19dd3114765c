"""docker-py, as it comes from PyPI."""
import io
import tarfile
import threading

import pytest


def test_ping_version_info(py):
    assert py.ping() is True
    assert py.version()['Os'] == 'linux' and py.info()['OSType'] == 'linux'


def test_run_returns_the_output(py):
    assert py.containers.run('busybox', ['echo', 'hi'], remove=True) == b'hi\n'
    with pytest.raises(Exception, match='returned non-zero exit status 3') as caught:
        py.containers.run('busybox', ['sh', '-c', 'echo bad >&2; exit 3'], remove=True)
    assert caught.value.exit_status == 3 and b'bad' in caught.value.stderr


def test_a_container_from_start_to_end(py):
    c = py.containers.run('busybox', ['sh', '-c', 'echo up; sleep 600'], name='sdk', detach=True, labels={'k': 'v'},
                          environment={'A': 'b'}, ports={'80/tcp': None})
    c.reload()
    assert c.status == 'running' and c.labels == {'k': 'v'} and c.ports['80/tcp'][0]['HostPort']
    assert py.containers.list(filters={'label': 'k=v'}) == [c]
    code, output = c.exec_run(['sh', '-c', 'echo $A; exit 4'])
    assert (code, output) == (4, b'b\n')
    code, (out, err) = c.exec_run(['sh', '-c', 'echo o; echo e >&2'], demux=True)
    assert (code, out, err) == (0, b'o\n', b'e\n')
    assert c.logs() == b'up\n' and b'Z up' in c.logs(timestamps=True, tail=1)
    assert 'PID' in c.top()['Titles']
    c.rename('sdk2')
    c.stop(timeout=0)
    assert c.wait()['StatusCode'] == 137
    c.start()
    c.kill()
    c.remove(force=True)
    assert py.containers.list(all=True) == []


def test_streams(py):
    c = py.containers.run('busybox', ['sh', '-c', 'for i in 1 2 3; do echo $i; sleep 0.1; done'], detach=True)
    assert b''.join(c.logs(stream=True, follow=True)) == b'1\n2\n3\n'
    c = py.containers.create('busybox', ['cat'], stdin_open=True)
    s = c.attach_socket(params={'stdin': 1, 'stdout': 1, 'stream': 1})
    c.start()
    s._sock.sendall(b'ping\n')
    assert s._sock.recv(100)[8:] == b'ping\n'
    s.close()


def test_archives(py):
    c = py.containers.create('busybox', ['cat', '/tmp/f'])
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w') as tar:
        info = tarfile.TarInfo('f')
        info.size = 4
        tar.addfile(info, io.BytesIO(b'data'))
    assert c.put_archive('/tmp', buffer.getvalue())
    c.start()
    c.wait()
    assert c.logs() == b'data'
    pieces, info = c.get_archive('/tmp/f')
    assert info['name'] == 'f' and info['size'] == 4
    with tarfile.open(fileobj=io.BytesIO(b''.join(pieces))) as tar:
        assert tar.extractfile('f').read() == b'data'
    assert {'Path': '/tmp/f', 'Kind': 1} in c.diff()
    assert b'busybox' in b''.join(c.export())


def test_images(py, push):
    full = push('busybox', 'sdk')
    name, tag = full.rsplit(':', 1)
    image = py.images.pull(name, tag=tag)
    assert full in image.tags and image.attrs['Os'] == 'linux'
    assert image.tag('sdk', '1')
    saved = b''.join(py.images.get('sdk:1').save(named='sdk:1'))
    py.images.remove('sdk:1')
    loaded = py.images.load(saved)
    assert loaded[0].id == image.id and 'sdk:1' in loaded[0].tags
    py.images.remove('sdk:1')
    py.images.remove(full)
    with pytest.raises(Exception, match='o such image'):
        py.images.get('sdk:1')


def test_volumes_networks_events(py):
    seen = []
    events = py.events(decode=True, filters={'type': 'volume'})
    reader = threading.Thread(target=lambda: seen.append(next(events)), daemon=True)
    reader.start()
    v = py.volumes.create('sdkv', labels={'a': 'b'})
    reader.join(10)
    events.close()
    assert seen and seen[0]['Action'] == 'create' and v in py.volumes.list(filters={'label': 'a=b'})
    assert py.containers.run('busybox', ['sh', '-c', 'echo x > /v/f; cat /v/f'], remove=True, volumes={'sdkv': {'bind': '/v'}}) == b'x\n'
    v.remove()
    assert {'bridge', 'host', 'none'} <= {n.name for n in py.networks.list()}


def test_errors_have_their_types(py):
    import docker.errors as errors
    with pytest.raises(errors.NotFound):
        py.containers.get('nosuch')
    with pytest.raises(errors.ImageNotFound):
        py.images.get('nosuch:1')
    py.containers.create('busybox', ['true'], name='dup')
    with pytest.raises(errors.APIError) as caught:
        py.containers.create('busybox', ['true'], name='dup')
    assert caught.value.status_code == 409

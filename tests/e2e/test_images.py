"""Images: pulled in every form registries serve, listed, tagged, saved, loaded, removed."""
import http.server
import io
import json
import os
import tarfile
import threading
import time
import urllib.request

import pytest

from support.engine import wait_until


@pytest.fixture(autouse=True)
def only_the_usual_stay(engine):
    yield
    keep = {'busybox:latest', 'configured:latest'}
    for name in set(engine.docker('images', '--format', '{{.Repository}}:{{.Tag}}').out.split()) - keep:
        if '<none>' not in name and not name.endswith(('/busybox:latest', '/configured:latest')):
            engine.docker('rmi', '-f', name, check=False)
    engine.docker('image', 'prune', '-f')


# ---- pull ----

def test_pull_tells_its_progress(engine, push):
    full = push('layers')
    out = engine.docker('pull', full).out
    assert 'latest: Pulling from layers' in out and 'Pull complete' in out and 'Digest: sha256:' in out
    assert 'Status: Downloaded newer image for ' + full in out and out.splitlines()[-1] == full
    again = engine.docker('pull', full).out
    assert 'Status: Image is up to date for ' + full in again


def test_whiteouts_and_opaque_folders(engine, push):
    full = push('layers')
    result = engine.docker('run', '--rm', full, 'sh', '-c', 'cat /l/last /l/kept /l/of03; ls /hidden; ls -d /gone /l/removed', check=False)
    assert result.out == 'layer 10\nkept\nlayer 3\nnew\n'
    assert result.err.count('No such file') == 2


def test_odd_entries(engine, push):
    full = push('odd')
    script = ('stat -c "%a %u %g" /odd/owned /odd/setuid; stat -c %h /odd/a; cat /odd/long-*; readlink /odd/dangling; '
              'cat /odd/umlaut-ü中; ls /odd; stat -c %s /odd/big; test -p /odd/pipe && echo pipe; du -k /odd/big | cut -f1')
    out = engine.docker('run', '--rm', full, 'sh', '-c', script).out
    lines = out.splitlines()
    assert lines[:4] == ['600 1000 50', '4755 33 0', '2', 'long']
    assert '/nowhere' in lines and 'name' in lines and '4194304' in lines and 'pipe' in lines
    assert 'device' not in lines


@pytest.mark.parametrize('name,mark', [('zstd', 'zstd'), ('plain', 'plain'), ('platforms', 'amd64')])
def test_other_forms(engine, push, name, mark):
    assert engine.docker('run', '--rm', push(name)).out == mark + '\n'


def test_by_platform(engine, push):
    full = push('platforms')
    engine.docker('pull', '--platform', 'linux/arm64', full)
    assert engine.inspect(full, '{{.Architecture}}') == 'arm64'
    error = engine.fails('pull', '--platform', 'linux/s390x', full).err
    assert 'linux/s390x' in error and 'manifest' in error


def test_by_digest(engine, push, registry, images):
    push('zstd')
    name = '%s/zstd@%s' % (registry.address, images.get('zstd').digest)
    engine.docker('pull', name)
    assert engine.docker('run', '--rm', name).out == 'zstd\n'
    assert name in engine.inspect(name, '{{.RepoDigests}}')
    wrong = '%s/zstd@sha256:%s' % (registry.address, '0' * 64)
    assert 'not found' in engine.fails('pull', wrong).err or 'manifest unknown' in engine.fails('pull', wrong).err


def test_what_is_not_there(engine, registry):
    error = engine.fails('pull', registry.address + '/nosuch:1').err
    assert 'not found' in error or 'manifest unknown' in error
    assert 'nvalid reference format' in engine.fails('pull', 'busybox/UPPER').err
    error = engine.fails('pull', '127.0.0.1:1/x', timeout=30).err
    assert 'connection refused' in error.lower()


def test_owners_outside_the_map_are_refused_with_the_remedy(engine, push):
    result = engine.fails('pull', push('outside'))
    said = result.err + result.out
    assert '4000000' in said and 'subuid' in said and 'far' in said, said


def test_two_pulls_share_the_work(engine, push):
    full = push('layers')
    running = [engine.popen('pull', '-q', full) for _ in range(3)]
    assert [p.wait(60) for p in running] == [0, 0, 0]


def test_a_killed_pull_leaves_nothing_half_visible(own_engine, push):
    engine = own_engine()
    full = push('web')
    p = engine.popen('pull', full)
    time.sleep(0.15)
    engine.kill()
    p.communicate()
    engine.start()
    if engine.docker('image', 'inspect', full, check=False).code != 0:
        assert full not in engine.docker('images', '--format', '{{.Repository}}:{{.Tag}}').out
    engine.docker('pull', full, timeout=120)
    assert engine.docker('run', '--rm', full, 'node', '-e', 'console.log(1+1)').out == '2\n'


class Flaky(http.server.BaseHTTPRequestHandler):
    """Between engine and registry: cuts each first answer for a layer in the middle, or changes a byte of it."""
    protocol_version = 'HTTP/1.1'
    registry, mode, cut, ranges = None, 'cut', set(), []

    def do_HEAD(self):
        self.forward(body=False)

    def do_GET(self):
        self.forward()

    def forward(self, body=True):
        request = urllib.request.Request('http://%s%s' % (self.registry, self.path), method=self.command, headers={
            k: v for k, v in self.headers.items() if k.lower() in ('accept', 'range')})
        try:
            with urllib.request.urlopen(request) as r:
                status, headers, data = r.status, r.headers, r.read()
        except urllib.error.HTTPError as e:
            status, headers, data = e.code, e.headers, e.read()
        if 'Range' in self.headers:
            type(self).ranges.append(self.headers['Range'])
        self.send_response(status)
        for k, v in headers.items():
            if k.lower() in ('content-type', 'docker-content-digest', 'content-range', 'accept-ranges', 'docker-distribution-api-version'):
                self.send_header(k, v)
        self.send_header('Content-Length', headers.get('Content-Length', str(len(data))))
        self.end_headers()
        if not body:
            return
        if '/blobs/' in self.path and len(data) > 10000 and self.path not in self.cut:
            type(self).cut.add(self.path)
            if self.mode == 'cut':
                self.wfile.write(data[:len(data) // 2])
                self.wfile.flush()
                self.close_connection = True
                self.connection.close()
                return
        if self.mode == 'corrupt' and '/blobs/' in self.path and len(data) > 10000:
            data = data[:5000] + bytes([data[5000] ^ 1]) + data[5001:]
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def flaky(registry):
    def make(mode):
        handler = type('Handler', (Flaky,), {'registry': registry.address, 'mode': mode, 'cut': set(), 'ranges': []})
        server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return '127.0.0.1:%d' % server.server_port, handler
    servers = []
    yield make
    for server in servers:
        server.shutdown()


def test_a_broken_download_is_resumed(own_engine, push, flaky):
    push('nginx')
    address, handler = flaky('cut')
    engine = own_engine(images=())
    engine.docker('pull', address + '/nginx', timeout=120)
    assert handler.cut and handler.ranges, 'resumed by range'
    assert engine.docker('run', '--rm', address + '/nginx', 'nginx', '-v').code == 0


def test_a_changed_byte_is_noticed(own_engine, push, flaky):
    push('nginx')
    address, _ = flaky('corrupt')
    engine = own_engine(images=())
    result = engine.fails('pull', address + '/nginx', timeout=120)
    assert 'digest' in (result.err + result.out).lower() or 'verif' in (result.err + result.out).lower()
    assert engine.docker('images', '-q').text == ''


# ---- list, tag, remove ----

def test_list_and_inspect(engine):
    row = engine.docker('images', '--format', '{{.Repository}} {{.Tag}} {{.ID}} {{.Size}}', 'busybox').text.split()
    assert row[:2] == ['busybox', 'latest'] and len(row[2]) == 12
    data = engine.inspect('busybox')
    assert data['Id'].startswith('sha256:' + row[2]) and 'busybox:latest' in data['RepoTags'] and data['Os'] == 'linux'
    assert data['RootFS']['Type'] == 'layers' and len(data['RootFS']['Layers']) == 1 and data['Config']['Cmd'] == ['sh']
    assert data['Size'] > 1000000 and any('busybox@sha256:' in d for d in data['RepoDigests'])
    config = engine.inspect('configured')['Config']
    assert config['User'] == 'anna:staff' and config['Healthcheck']['Retries'] == 2 and config['Volumes'] == {'/seed': {}}


def test_filters(engine):
    engine.docker('tag', 'busybox', 'filtered:1')
    assert 'filtered:1' in engine.docker('images', '--filter', 'reference=filter*', '--format', '{{.Repository}}:{{.Tag}}').out
    assert engine.docker('images', '-q', '--filter', 'reference=nosuch').text == ''
    out = engine.docker('images', '--filter', 'label=tier=test', '--format', '{{.Repository}}').out.split()
    assert 'configured' in out and 'busybox' not in out
    assert engine.docker('images', '-q', '--filter', 'dangling=true').text == ''
    out = engine.docker('images', '--filter', 'before=configured', '--format', '{{.Repository}}', check=False)
    assert out.code == 0


def test_tags_come_and_go(engine):
    engine.docker('tag', 'busybox', 'mine:1')
    engine.docker('tag', 'mine:1', 'host.test:5000/deep/er:2')
    out = engine.docker('rmi', 'mine:1').out
    assert out == 'Untagged: mine:1\n'
    assert 'host.test:5000/deep/er:2' in engine.docker('images', '--format', '{{.Repository}}:{{.Tag}}').out
    assert 'o such image' in engine.fails('tag', 'nosuch:1', 'x:1').err
    assert 'nvalid' in engine.fails('tag', 'busybox', 'BAD').err
    assert 'o such image' in engine.fails('rmi', 'nosuch:1').err


def test_an_image_in_use(engine, push):
    full = push('plain')
    engine.docker('pull', '-q', full)
    engine.docker('run', '-d', '--name', 'user', full, 'sleep', '600')
    error = engine.fails('rmi', full).err
    assert 'conflict' in error and 'container' in error
    engine.docker('rm', '-f', 'user')
    out = engine.docker('rmi', full).out
    assert 'Untagged: ' + full in out and 'Deleted: sha256:' in out


def test_removed_layers_free_their_space(engine, push):
    def used():
        total = 0
        for folder, _, files in os.walk(engine.data, onerror=lambda e: None):
            for f in files:
                try:
                    total += os.lstat(os.path.join(folder, f)).st_size
                except OSError:
                    pass
        return total
    before = used()
    full = push('nginx')
    engine.docker('pull', '-q', full)
    assert used() > before + (1 << 20)
    engine.docker('rmi', full)
    wait_until(lambda: used() < before + (1 << 18), what='space is free again')


def test_history(engine):
    out = engine.docker('history', '--no-trunc', '--format', '{{.CreatedBy}} {{.Size}}', 'busybox').out
    assert out.startswith('layer 0 ') and 'MB' in out


def test_prune(engine, push, folder):
    engine.docker('import', '-', input=tar_of({'x': b'x'}))
    assert engine.docker('images', '-q', '--filter', 'dangling=true').text
    out = engine.docker('image', 'prune', '-f').out
    assert 'Deleted: sha256:' in out or 'deleted: sha256:' in out
    assert engine.docker('images', '-q', '--filter', 'dangling=true').text == ''


# ---- archives ----

def tar_of(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w') as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def test_save_and_load(own_engine, push, folder):
    engine = own_engine(images=('busybox', 'layers'))
    engine.docker('tag', 'layers', 'layers:too')
    before = engine.inspect('layers')
    engine.docker('save', '-o', folder + '/s.tar', 'layers:latest', 'layers:too', 'busybox')
    with tarfile.open(folder + '/s.tar') as tar:
        names = tar.getnames()
        manifest = json.load(tar.extractfile('manifest.json'))
    assert any(sorted(m['RepoTags'] or []) == ['layers:latest', 'layers:too'] for m in manifest) and 'manifest.json' in names
    engine.docker('rmi', '-f', *engine.docker('images', '-q').out.split())
    out = engine.docker('load', '-i', folder + '/s.tar').out
    assert 'Loaded image: layers:latest' in out and 'Loaded image: busybox:latest' in out
    after = engine.inspect('layers')
    assert after['Id'] == before['Id'] and after['RootFS'] == before['RootFS']
    result = engine.docker('run', '--rm', 'layers', 'sh', '-c', 'cat /l/last; ls /hidden')
    assert result.out == 'layer 10\nnew\n'


def test_load_of_a_hand_made_archive_and_by_stdin(engine, images, folder):
    path = images.get('zstd').archive(folder + '/z.tar', ['hand:made'])
    with open(path, 'rb') as f:
        out = engine.docker('load', input=f.read()).out
    assert 'Loaded image: hand:made' in out and engine.docker('run', '--rm', 'hand:made').out == 'zstd\n'


def test_load_of_an_oci_layout(engine, images, folder):
    image = images.get('zstd')
    with tarfile.open(folder + '/oci.tar', 'w') as tar:
        def add(name, data):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        add('oci-layout', b'{"imageLayoutVersion":"1.0.0"}')
        add('blobs/sha256/' + image.id[7:], image.config)
        add('blobs/sha256/' + image.digest[7:], image.manifest)
        for layer in image.layers:
            tar.add(layer['path'], 'blobs/sha256/' + layer['digest'][7:])
        add('index.json', json.dumps({'schemaVersion': 2, 'manifests': [{
            'mediaType': image.media_type, 'digest': image.digest, 'size': len(image.manifest),
            'annotations': {'io.containerd.image.name': 'docker.io/library/laid:out', 'org.opencontainers.image.ref.name': 'out'}}]}).encode())
    assert 'Loaded image: laid:out' in engine.docker('load', '-i', folder + '/oci.tar').out
    assert engine.docker('run', '--rm', 'laid:out').out == 'zstd\n'


def test_import_with_changes(engine):
    data = tar_of({'hello': b'h\n'})
    ident = engine.docker('import', '-c', 'ENV A=b', '-c', 'CMD ["/hello"]', '-', 'imp:1', input=data).text
    assert ident.startswith('sha256:')
    config = engine.inspect('imp:1')['Config']
    assert config['Env'] == ['A=b'] and config['Cmd'] == ['/hello']


def test_search_answers(engine):
    result = engine.docker('search', 'busybox', check=False, timeout=30)
    assert result.code == 0 or len(result.err.split()) > 3

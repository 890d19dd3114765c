"""Archives that want out of their root: by pull, load, import and cp. They harm nothing, and the engine lives on."""
import glob
import io
import os
import tarfile

import pytest

from support import hostile, oci
from support.engine import wait_until
from support.hostile import MARK


@pytest.fixture(autouse=True)
def nothing_escapes(engine):
    before = os.stat('/etc/passwd')
    yield
    assert not os.path.lexists('/tmp/' + MARK)
    for found in glob.glob('/tmp/*/' + MARK) + glob.glob(engine.work + '/' + MARK) + glob.glob(engine.data + '/' + MARK):
        raise AssertionError('escaped to ' + found)
    after = os.stat('/etc/passwd')
    assert (before.st_mtime_ns, before.st_nlink, before.st_size) == (after.st_mtime_ns, after.st_nlink, after.st_size)
    assert engine.answers(), engine.tail()
    assert engine.docker('run', '--rm', 'busybox', 'echo', 'fine').out == 'fine\n'


def evil_image(images, folder, fill, **kw):
    tar = oci.Tar(os.path.join(folder, fill.__name__ + '.tar'), **kw)
    fill(tar)
    return oci.Image([images.base(), oci.Blob(tar.close()).describe()], {'Cmd': ['true']})


def judge(engine, result, name, fill):
    """Refused with the entry's name, or taken in without effect outside; then it must at least run."""
    if result.code == 0:
        engine.docker('run', '--rm', name, 'true', check=False)
        engine.docker('rmi', '-f', name)
    else:
        said = result.err + result.out
        assert len(said.split()) > 4 and 'panicked' not in said, result


@pytest.mark.parametrize('fill', hostile.FILLERS, ids=lambda f: f.__name__)
def test_load(engine, images, folder, fill):
    image = evil_image(images, folder, fill)
    path = image.archive(folder + '/image.tar', ['evil:' + fill.__name__])
    judge(engine, engine.docker('load', '-i', path, check=False), 'evil:' + fill.__name__, fill)


@pytest.mark.parametrize('fill', [hostile.dotdot, hostile.symlinked_parent, hostile.hard_link_out], ids=lambda f: f.__name__)
def test_pull(engine, images, registry, folder, fill):
    full = registry.push(evil_image(images, folder, fill), 'evil', fill.__name__.replace('_', '-'))
    judge(engine, engine.docker('pull', full, check=False), full, fill)


@pytest.mark.parametrize('fill', hostile.FILLERS, ids=lambda f: f.__name__)
def test_cp(engine, folder, fill):
    engine.docker('create', '--name', 'victim', 'busybox', 'true')
    tar = oci.Tar(folder + '/x.tar')
    fill(tar)
    with open(tar.close(), 'rb') as f:
        reply = engine.api().put('/containers/victim/archive?path=/tmp', f.read())
    assert reply.status in (200, 400, 403, 404, 500), reply


def test_refusals_name_the_entry(engine, images, folder):
    path = evil_image(images, folder, hostile.dotdot).archive(folder + '/image.tar', ['evil:1'])
    result = engine.docker('load', '-i', path, check=False)
    if result.code != 0:
        assert MARK in result.err + result.out


@pytest.mark.parametrize('make', hostile.BROKEN, ids=lambda f: f.__name__)
def test_broken_archives(engine, make):
    engine.docker('create', '--name', 'victim', 'busybox', 'true')
    data = make()
    reply = engine.api().put('/containers/victim/archive?path=/tmp', data)
    assert reply.status in (400, 413, 500) or make is hostile.bad_checksum, reply
    engine.fails('load', input=data)
    engine.docker('import', '-', 'broken:1', input=data, check=False)
    engine.docker('rmi', '-f', 'broken:1', check=False)


def test_paths_in_a_docker_archive_itself(engine, folder):
    """manifest.json that names layers outside the archive."""
    for layers in (['../../../../etc/passwd'], ['/etc/passwd'], ['link/layer.tar']):
        with tarfile.open(folder + '/a.tar', 'w') as tar:
            link = tarfile.TarInfo('link')
            link.type, link.linkname = tarfile.SYMTYPE, '/etc'
            tar.addfile(link)
            config = b'{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' % (b'0' * 64)
            manifest = ('[{"Config":"c.json","RepoTags":["evil:2"],"Layers":%s}]' % str(layers).replace("'", '"')).encode()
            for name, data in (('c.json', config), ('manifest.json', manifest)):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        engine.fails('load', '-i', folder + '/a.tar')
        assert 'evil' not in engine.docker('images').out


def test_a_symlink_in_the_image_where_a_file_is_written(engine, images, folder):
    """/etc/hosts, /etc/resolv.conf and the mount points are links that point out."""
    def fill(tar):
        for name in ('etc/hosts', 'etc/resolv.conf', 'etc/hostname', '.dockerenv'):
            tar.link(name, '../../../../../../../../tmp/' + MARK)
        tar.link('data', '/tmp')
    path = evil_image(images, folder, fill).archive(folder + '/image.tar', ['links:1'])
    engine.docker('load', '-i', path)
    engine.docker('run', '--rm', '-v', 'vol:/data/' + MARK + '-dir', 'links:1', 'true', check=False)
    assert not os.path.lexists('/tmp/' + MARK + '-dir')
    engine.docker('rmi', '-f', 'links:1')


def test_cp_out_of_a_container_that_swaps_links(engine, folder):
    engine.docker('run', '-d', '--name', 'swap', 'busybox', 'sh', '-c',
                  'mkdir /d; echo in > /d/passwd; while :; do mv /d /e; ln -s /etc /d; rm /d; mv /e /d; done')
    wait_until(lambda: engine.docker('exec', 'swap', 'true', check=False).code == 0)
    for _ in range(20):
        result = engine.docker('cp', 'swap:/d/passwd', '-', check=False)
        assert b'in\n' in result.raw_out or b'anna' in result.raw_out or result.code != 0


def test_a_bomb_is_bounded(engine, folder):
    """A gzip of 300 MB zeros is taken in or refused, but does not take the engine's memory."""
    import gzip
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode='wb', compresslevel=9, mtime=0) as z:
        info = tarfile.TarInfo('zeros')
        info.size = 300 << 20
        z.write(info.tobuf())
        for _ in range(300):
            z.write(b'\0' * (1 << 20))
        z.write(b'\0' * 1024)
    engine.docker('import', '-', 'bomb:1', input=buffer.getvalue(), check=False, timeout=120)
    peak = [line for line in open('/proc/%d/status' % engine.process.pid) if line.startswith('VmHWM')][0]
    assert int(peak.split()[1]) < 300 << 10, peak
    engine.docker('rmi', '-f', 'bomb:1', check=False)

"""Volumes, binds and tmpfs."""
import json
import os

import pytest


def sh(engine, script, *flags, image='busybox', **kw):
    return engine.docker('run', '--rm', *flags, image, 'sh', '-c', script, **kw)


# ---- named and anonymous volumes ----

def test_a_named_volume_lives_on(engine):
    sh(engine, 'echo a > /v/a', '-v', 'data:/v')
    assert sh(engine, 'cat /v/a', '-v', 'data:/v').out == 'a\n'
    assert 'data' in engine.docker('volume', 'ls', '-q').out.split()
    info = json.loads(engine.docker('volume', 'inspect', 'data').out)[0]
    assert info['Driver'] == 'local' and info['Scope'] == 'local' and info['Mountpoint'].endswith('/data/_data')
    with open(info['Mountpoint'] + '/a') as f:
        assert f.read() == 'a\n'


def test_create_with_labels_and_remove(engine):
    assert engine.docker('volume', 'create', '--label', 'a=b', 'made').text == 'made'
    assert engine.docker('volume', 'ls', '-q', '--filter', 'label=a=b').text == 'made'
    assert engine.docker('volume', 'create', 'made').text == 'made'
    engine.docker('create', '--name', 'user', '-v', 'made:/x', 'busybox', 'true')
    assert 'volume is in use' in engine.fails('volume', 'rm', 'made').err
    engine.docker('rm', 'user')
    engine.docker('volume', 'rm', 'made')
    assert 'no such volume' in engine.fails('volume', 'rm', 'made').err.lower()
    assert 'no such volume' in engine.fails('volume', 'inspect', 'made').err.lower()
    assert 'includes invalid characters' in engine.fails('volume', 'create', 'a/b').err


def test_anonymous_ones_go_with_rm_v(engine):
    engine.docker('run', '--name', 'anon', '-v', '/scratch', 'busybox', 'true')
    assert len(engine.docker('volume', 'ls', '-q').out.split()) == 1
    engine.docker('rm', '-v', 'anon')
    assert engine.docker('volume', 'ls', '-q').text == ''


def test_prune(engine):
    engine.docker('volume', 'create', 'named')
    engine.docker('run', '--name', 'anon', '-v', '/scratch', 'busybox', 'true')
    engine.docker('rm', 'anon')
    out = engine.docker('volume', 'prune', '-f').out
    assert 'Total reclaimed space' in out
    left = engine.docker('volume', 'ls', '-q').out.split()
    assert left in (['named'], [])  # CLIs before 23 ask for all


def test_copy_up_keeps_content_owners_and_modes(engine):
    out = sh(engine, 'ls -ln /seed; cat /seed/first /seed/deep/second; readlink /seed/link', image='configured').out
    assert 'from the image\ntoo\nfirst\n' in out
    out = engine.docker('run', '--rm', '-v', 'seeded:/seed', '--entrypoint', 'stat', 'configured', '-c', '%a %u %g', '/seed',
                        '/seed/first').out
    assert out == '750 1000 50\n640 1000 50\n'
    # a second container does not copy again, and what is there is not overwritten
    engine.docker('run', '--rm', '-u', '0', '-v', 'seeded:/seed', '--entrypoint', 'sh', 'configured', '-c',
                  'echo changed > /seed/first')
    out = engine.docker('run', '--rm', '-v', 'seeded:/seed', '--entrypoint', 'cat', 'configured', '/seed/first').out
    assert out == 'changed\n'


def test_nocopy(engine):
    out = engine.docker('run', '--rm', '-u', '0', '-v', 'empty:/seed:nocopy', '--entrypoint', 'ls', 'configured', '/seed').out
    assert out == ''


def test_volumes_from(engine):
    engine.docker('create', '--name', 'source', '-v', 'one:/one', '-v', '/two', 'busybox', 'true')
    sh(engine, 'echo x > /one/f; echo y > /two/f', '--volumes-from', 'source')
    assert sh(engine, 'cat /one/f /two/f', '--volumes-from', 'source').out == 'x\ny\n'
    result = sh(engine, 'echo z > /one/f', '--volumes-from', 'source:ro', check=False)
    assert 'Read-only file system' in result.err


def test_mount_syntax(engine):
    sh(engine, 'echo m > /m/f', '--mount', 'type=volume,src=mv,dst=/m')
    assert sh(engine, 'cat /m/f', '--mount', 'type=volume,src=mv,dst=/m,readonly').out == 'm\n'
    mounts = engine.docker('create', '--name', 'seen', '--mount', 'type=volume,src=mv,dst=/m,readonly', 'busybox', 'true')
    mount = engine.inspect('seen')['Mounts'][0]
    assert (mount['Type'], mount['Name'], mount['Destination'], mount['RW']) == ('volume', 'mv', '/m', False), mounts


# ---- binds ----

def test_bind_read_write_and_read_only(engine, folder):
    with open(folder + '/f', 'w') as f:
        f.write('host\n')
    assert sh(engine, 'cat /m/f; echo more > /m/g', '-v', folder + ':/m').out == 'host\n'
    assert os.path.exists(folder + '/g')
    result = sh(engine, 'echo x > /m/f', '-v', folder + ':/m:ro', check=False)
    assert result.code != 0 and 'Read-only file system' in result.err
    assert sh(engine, 'cat /one', '-v', folder + '/f:/one').out == 'host\n'


def test_a_read_only_bind_is_so_all_the_way_down(engine, folder):
    os.mkdir(folder + '/sub')
    result = sh(engine, 'mount | grep " /m"; echo x > /m/sub/f', '--mount', 'type=bind,src=%s,dst=/m,readonly' % folder, check=False)
    assert 'Read-only file system' in result.err


def test_a_missing_source_is_made_by_v_and_refused_by_mount(engine, folder):
    sh(engine, 'true', '-v', folder + '/made:/m')
    assert os.path.isdir(folder + '/made')
    result = engine.fails('run', '--rm', '--mount', 'type=bind,src=%s/not,dst=/m' % folder, 'busybox', 'true', code=125)
    assert 'bind source path does not exist: %s/not' % folder in result.err
    assert not os.path.exists(folder + '/not')


def test_relative_and_bad_targets(engine, folder):
    assert 'mount path must be absolute' in engine.fails('run', '--rm', '-v', folder + ':relative', 'busybox', 'true').err
    assert 'destination' in engine.fails('run', '--rm', '-v', folder + ':/', 'busybox', 'true').err.lower()
    error = engine.fails('run', '--rm', '-v', folder + ':/a', '-v', '/usr:/a', 'busybox', 'true').err
    assert 'Duplicate mount point: /a' in error


@pytest.mark.parametrize('mode,word', [('rprivate', None), ('rslave', 'master:'), ('rshared', 'shared:')])
def test_propagation(engine, folder, mode, word):
    result = sh(engine, 'grep " /m " /proc/self/mountinfo', '-v', '%s:/m:%s' % (folder, mode), check=False)
    if result.code != 0:
        assert 'not a shared' in result.err or 'not a shared or slave' in result.err, result  # the host's mount decides
    elif word:
        assert word in result.out or mode == 'rslave'
    else:
        assert 'shared:' not in result.out and 'master:' not in result.out


def test_a_bind_over_a_file_of_the_image(engine, folder):
    with open(folder + '/passwd', 'w') as f:
        f.write('root:x:0:0::/root:/bin/sh\nzoe:x:7:7::/:/bin/sh\n')
    out = engine.docker('run', '--rm', '-v', folder + '/passwd:/etc/passwd:ro', 'busybox', 'sh', '-c', 'cat /etc/passwd; echo x >> /etc/passwd',
                        check=False)
    assert 'zoe' in out.out and 'Read-only' in out.err


def test_binds_through_symlinks_stay_inside(engine, folder):
    """A mount point that is a symlink in the image is resolved in the container's root, never on the host."""
    engine.docker('create', '--name', 'linked', 'busybox', 'true')
    engine.docker('run', '--name', 'maker', 'busybox', 'ln', '-s', '/etc', '/escape')
    engine.docker('export', '-o', folder + '/x.tar', 'maker')
    engine.docker('import', folder + '/x.tar', 'linked:1')
    out = engine.docker('run', '--rm', '-v', folder + ':/escape/deep', 'linked:1', 'ls', '/etc/deep').out
    assert 'x.tar' in out and not os.path.exists('/etc/deep')
    engine.docker('rmi', '-f', 'linked:1')


# ---- tmpfs ----

def test_tmpfs(engine):
    out = sh(engine, 'mount | grep " /t "; echo x > /t/f; stat -c %a /t', '--tmpfs', '/t:size=1m,mode=1770').out
    assert 'tmpfs' in out and 'size=1024k' in out and out.splitlines()[-1] == '1770'
    out = sh(engine, 'grep " /t " /proc/mounts', '--mount', 'type=tmpfs,dst=/t,tmpfs-size=2m').out
    assert 'size=2048k' in out and 'noexec' in out and 'nosuid' in out and 'nodev' in out


def test_shm_size(engine):
    assert '65536k' in sh(engine, 'grep " /dev/shm " /proc/mounts').out
    assert '8192k' in sh(engine, 'grep " /dev/shm " /proc/mounts', '--shm-size', '8m').out


def test_volume_subpath_or_an_honest_no(engine):
    sh(engine, 'mkdir /v/sub; echo s > /v/sub/f', '-v', 'tree:/v')
    result = sh(engine, 'cat /m/f', '--mount', 'type=volume,src=tree,dst=/m,volume-subpath=sub', check=False)
    assert result.out == 's\n' or result.code == 125

"""Builds the base image: Debian by debootstrap, a few files, an ext4 file system. Needs root; what runs it does not.

`build` works in two steps that are cached apart:

    CACHE/debs/                 packages, kept between builds
    CACHE/debian-KEY.tar        debootstrap's result; KEY is of the packages
    CACHE/image-KEY/            disk.raw, vmlinuz, initrd, key, known_hosts; KEY is of everything

The cache is $BRYO_VM_CACHE or ~/.cache/bryo-vm. A build that fails leaves nothing that looks finished.
"""
import fcntl
import glob
import hashlib
import os
import re
import shutil
import tempfile
import time

from . import initrd, recipe
from .shell import run

CACHE = os.environ.get('BRYO_VM_CACHE') or os.path.join(
    os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache'), 'bryo-vm')


def key(*parts):
    return hashlib.sha256('\0'.join(parts).encode()).hexdigest()[:16]


def debian_key():
    return key(recipe.SUITE, *recipe.PACKAGES)


def folder():
    """Where the current image is, or would be."""
    texts = []
    for module in (recipe, initrd):
        with open(module.__file__) as f:
            texts.append(f.read())
    with open(__file__) as f:
        texts.append(f.read())
    return os.path.join(CACHE, 'image-' + key(*texts))


def exists():
    return os.path.exists(os.path.join(folder(), 'disk.raw'))


def mirror():
    """The mirror this machine's own apt uses, if it is a Debian; else Debian's."""
    for path in ['/etc/apt/sources.list', *glob.glob('/etc/apt/sources.list.d/*')]:
        try:
            with open(path) as f:
                found = re.search(r'^(?:URIs:|deb(?: +\[[^]]*\])?) +(https?://\S+/debian)/?(?:\s|$)', f.read(), re.M)
        except OSError:
            continue
        if found:
            return found.group(1)
    return recipe.MIRROR


def debian(path):
    """debootstrap's result as a tar file at `path`."""
    debs = os.path.join(CACHE, 'debs')
    os.makedirs(debs, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix='debian-') as work:
        rootfs = os.path.join(work, 'rootfs')
        # A mount namespace of its own: whatever debootstrap leaves mounted ends with it.
        run(['unshare', '--mount', 'debootstrap', '--variant=minbase', '--cache-dir=' + debs,
             '--include=' + ','.join(recipe.PACKAGES), recipe.SUITE, rootfs, mirror()], timeout=1500)
        spare = os.path.join(rootfs, 'opt/debs')
        os.makedirs(spare)
        for name in recipe.SPARE:
            for deb in glob.glob('%s/%s_*.deb' % (debs, name)):
                shutil.copy(deb, spare)
        for old in glob.glob(rootfs + '/var/cache/apt/archives/*.deb') + glob.glob(rootfs + '/boot/initrd.img-*'):
            os.remove(old)
        run(['tar', '-C', rootfs, '--numeric-owner', '--xattrs', '-cf', path + '.new', '.'], timeout=300)
    os.rename(path + '.new', path)


def provision(rootfs, public_key):
    """Turns a fresh Debian into the guest that recipe.py describes."""
    for path, mode, text in recipe.FILES:
        path = os.path.join(rootfs, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.islink(path):
            os.remove(path)
        with open(path, 'w') as f:
            f.write(text)
        os.chmod(path, mode)
    inside = ['chroot', rootfs]
    for user, uid in ((recipe.USER, recipe.UID), (recipe.FRESH_USER, recipe.FRESH_UID)):
        run(inside + ['useradd', '-m', '-u', str(uid), '-s', '/bin/bash', user])
    for name in ('subuid', 'subgid'):  # useradd gives ranges to both
        with open(os.path.join(rootfs, 'etc', name), 'w') as f:
            f.write('%s:100000:65536\n' % recipe.USER)
    for home in ('root', 'home/' + recipe.USER, 'home/' + recipe.FRESH_USER):
        ssh = os.path.join(rootfs, home, '.ssh')
        os.makedirs(ssh, mode=0o700, exist_ok=True)
        shutil.copy(public_key, os.path.join(ssh, 'authorized_keys'))
    for user in (recipe.USER, recipe.FRESH_USER):
        run(inside + ['chown', '-R', user + ':', '/home/' + user])
    with open(os.path.join(rootfs, 'etc/machine-id'), 'w') as f:
        f.write(key('machine') * 2 + '\n')
    run(inside + ['systemctl', '--quiet', 'set-default', 'multi-user.target'])
    run(inside + ['systemctl', '--quiet', 'enable', 'ssh', 'machine-ready'])
    run(inside + ['systemctl', '--quiet', 'mask', *recipe.MASKED])


def assemble(tar, target):
    """The image folder `target` out of debootstrap's tar file."""
    with tempfile.TemporaryDirectory(dir=CACHE, prefix='build-') as work:
        rootfs, out = os.path.join(work, 'rootfs'), os.path.join(work, 'image')
        os.makedirs(rootfs)
        os.makedirs(out)
        run(['tar', '-C', rootfs, '--numeric-owner', '--xattrs', '-xpf', tar], timeout=300)
        run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'guest', '-f', out + '/key'])
        provision(rootfs, out + '/key.pub')
        with open(rootfs + '/etc/ssh/ssh_host_ed25519_key.pub') as f, open(out + '/known_hosts', 'w') as known:
            known.write('guest ' + ' '.join(f.read().split()[:2]) + '\n')
        with open(out + '/initrd', 'wb') as f:
            f.write(initrd.make(rootfs))
        shutil.copy(os.path.realpath(glob.glob(rootfs + '/boot/vmlinuz-*')[0]), out + '/vmlinuz')
        run(['mke2fs', '-q', '-t', 'ext4', '-d', rootfs, out + '/disk.raw', recipe.DISK], timeout=300)
        if 'SUDO_UID' in os.environ:
            run(['chown', '-R', '%s:%s' % (os.environ['SUDO_UID'], os.environ['SUDO_GID']), out])
        shutil.rmtree(target, ignore_errors=True)
        os.rename(out, target)


def build():
    """Makes the image if there is no current one; returns its folder."""
    os.makedirs(CACHE, exist_ok=True)
    target = folder()
    with open(os.path.join(CACHE, 'lock'), 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not exists():
            tar = os.path.join(CACHE, 'debian-%s.tar' % debian_key())
            if not os.path.exists(tar):
                print('==> debootstrap: Debian %s into %s' % (recipe.SUITE, tar), flush=True)
                debian(tar)
            print('==> making the base image %s' % target, flush=True)
            assemble(tar, target)
            remove_unused((target, tar))
    return target


def remove_unused(current, days=3):
    """Removes what other recipes made, unless it is so new that another checkout may be using it."""
    for old in glob.glob(CACHE + '/image-*') + glob.glob(CACHE + '/debian-*.tar'):
        if old not in current and time.time() - os.path.getmtime(old) > days * 86400:
            shutil.rmtree(old) if os.path.isdir(old) else os.remove(old)

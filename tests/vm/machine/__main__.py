"""What the scripts beside this folder call.

    python3 -m machine check           exit 0 if there is a current base image
    python3 -m machine build           makes it if need be, as root
    python3 -m machine shell [v2|v1|hybrid] [--root] [COMMAND…]
"""
import os
import subprocess
import sys

from . import Machine, image, qemu, recipe


def shell(words):
    """Boots a machine, opens a shell in it (or runs a command), ends it when the shell is left; the exit code."""
    version = words.pop(0) if words and words[0] in qemu.CGROUP else 'v2'
    root = bool(words) and words[0] == '--root'
    words = words[1:] if root else words
    print('booting (cgroup %s, %s) …' % (version, ' '.join(qemu.accelerator())), file=sys.stderr)
    with Machine(version, bryo=os.environ.get('BRYO_BIN')) as m:
        print('up after %.1f s' % m.boot_time, file=sys.stderr)
        prepare = ''
        if not root:
            m.daemon()
            prepare = ''.join('export %s=%s; ' % pair for pair in m.environment().items())
        tty = ['-t'] if sys.stdin.isatty() else []
        command = ' '.join(words) if words else 'exec bash -l'
        return subprocess.run(m.ssh('root' if root else recipe.USER, *tty) + [prepare + command], check=False).returncode


def main(words):
    if words == ['check']:
        return 0 if image.exists() else 1
    if words == ['build']:
        if os.getuid() != 0:
            return 'the base image is made by root (debootstrap and chroot need it)'
        image.build()
        return 0
    if words[:1] == ['shell']:
        return shell(words[1:])
    return __doc__


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))

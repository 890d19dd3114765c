"""What a run brings into its machine: a tar file that is the guest's second disk and is unpacked at its first boot.

Programs that are linked dynamically come with their loader and libraries, so that a host newer than the guest serves
too. Bryo itself must be static, or built against a C library no newer than the guest's: it starts itself anew by
/proc/self/exe, which a loader in between would break.
"""
import io
import os
import shutil
import subprocess
import sys
import tarfile

E2E = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), 'e2e')
sys.path.append(E2E)

from support import oci  # noqa: E402  (the end-to-end tests' image maker)

IMAGE = '/opt/images/busybox.tar'


def busybox_image(work):
    """busybox:latest as `docker load` takes it, made of this machine's static busybox."""
    applets = subprocess.run(['busybox', '--list'], capture_output=True, text=True, check=True).stdout.split()
    tar = oci.Tar(os.path.join(work, 'layer.tar'))
    for name in ('bin', 'dev', 'etc', 'proc', 'sys', 'root', 'usr', 'usr/bin'):
        tar.dir(name)
    tar.dir('tmp', 0o1777)
    tar.file('etc/passwd', 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n')
    tar.file('etc/group', 'root:x:0:\nnogroup:x:65534:\n')
    tar.copy(os.path.realpath(shutil.which('busybox')), 'bin/busybox')
    for name in sorted(set(applets) - {'busybox'}):
        tar.hard('bin/' + name, 'bin/busybox')
    layer = oci.Blob(tar.close(), 'plain')
    image = oci.Image([layer], {'Cmd': ['sh'], 'Env': ['PATH=/usr/bin:/bin']}, oci.OCI)
    return image.archive(os.path.join(work, 'busybox.tar'), ['busybox:latest'])


def stripped(program, work):
    """A copy without debugging information, where there is a `strip`: a debug build is ten times the size."""
    out = os.path.join(work, os.path.basename(program))
    if not shutil.which('strip') or subprocess.run(['strip', '-g', '-o', out, program], check=False).returncode:
        shutil.copy(program, out)
    return out


def libraries(program):
    """The shared libraries of a program as ldd lists them; none if it is static."""
    listing = subprocess.run(['ldd', program], capture_output=True, text=True, check=False).stdout
    return [word for line in listing.splitlines() for word in line.split() if word.startswith('/')]


class Cargo:
    """A tar file being filled: `file`, `text`, `program`, then `close`."""

    def __init__(self, path):
        self.tar = tarfile.open(path, 'w', format=tarfile.GNU_FORMAT)  # busybox's tar reads it

    def file(self, source, dest, mode=0o644):
        info = tarfile.TarInfo(dest.lstrip('/'))
        info.size, info.mode = os.path.getsize(source), mode
        with open(source, 'rb') as f:
            self.tar.addfile(info, f)

    def text(self, text, dest, mode=0o644):
        info = tarfile.TarInfo(dest.lstrip('/'))
        data = text.encode()
        info.size, info.mode = len(data), mode
        self.tar.addfile(info, io.BytesIO(data))

    def program(self, source, dest):
        """A program of this machine that works in the guest whatever its C library."""
        needed = libraries(source)
        if not needed:
            self.file(source, dest, 0o755)
            return
        home = '/opt/host-' + os.path.basename(dest)
        self.file(source, home + '/program', 0o755)
        for library in needed:
            self.file(os.path.realpath(library), home + '/' + os.path.basename(library), 0o755)
        loader = next(x for x in needed if os.path.basename(x).startswith('ld-'))
        self.text('#!/bin/sh\nexec %s/%s --library-path %s %s/program "$@"\n'
                  % (home, os.path.basename(loader), home, home), dest, 0o755)

    def close(self):
        self.tar.close()


def pack(path, work, bryo, docker, files):
    """The usual load: bryo, docker, an image of busybox, and `files` (path in the guest → path here; what may be executed
    here may be there)."""
    cargo = Cargo(path)
    if bryo:
        cargo.file(stripped(bryo, work), '/usr/local/bin/bryo', 0o755)
    if docker:
        cargo.program(os.path.realpath(docker), '/usr/local/bin/docker')
    cargo.file(busybox_image(work), IMAGE)
    for dest, source in (files or {}).items():
        cargo.file(source, dest, 0o755 if os.access(source, os.X_OK) else 0o644)
    cargo.close()
    return path

"""Layers and images made by hand: tar files with exactly the entries a test wants, and the JSON around them.

Everything is deterministic: fixed times, sorted entries, no names of this machine; the same input gives the same
digests. Layers are files (`Blob`), so that big ones do not fill the memory.
"""
import gzip
import hashlib
import io
import json
import os
import stat
import subprocess
import tarfile

TIME = 1700000000

DOCKER = {'manifest': 'application/vnd.docker.distribution.manifest.v2+json',
          'config': 'application/vnd.docker.container.image.v1+json',
          'gzip': 'application/vnd.docker.image.rootfs.diff.tar.gzip',
          'index': 'application/vnd.docker.distribution.manifest.list.v2+json'}
OCI = {'manifest': 'application/vnd.oci.image.manifest.v1+json',
       'config': 'application/vnd.oci.image.config.v1+json',
       'plain': 'application/vnd.oci.image.layer.v1.tar',
       'gzip': 'application/vnd.oci.image.layer.v1.tar+gzip',
       'zstd': 'application/vnd.oci.image.layer.v1.tar+zstd',
       'index': 'application/vnd.oci.image.index.v1+json'}


def digest(data):
    return 'sha256:' + hashlib.sha256(data).hexdigest()


def file_digest(path):
    with open(path, 'rb') as f:
        return 'sha256:' + hashlib.file_digest(f, 'sha256').hexdigest()


class Tar:
    """A tar file being written: `add` any entry, then `close`."""

    def __init__(self, path, format=tarfile.PAX_FORMAT):
        self.path = path
        self.tar = tarfile.open(path, 'w', format=format)
        self.seen = set()

    def add(self, name, type=tarfile.REGTYPE, data=b'', mode=None, uid=0, gid=0, link='', device=(0, 0), pax=None):
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.uid, info.gid, info.mtime = type, link, uid, gid, TIME
        info.mode = mode if mode is not None else (0o755 if type == tarfile.DIRTYPE else 0o644)
        info.devmajor, info.devminor = device
        info.pax_headers = pax or {}
        if type == tarfile.REGTYPE:
            info.size = len(data)
        self.tar.addfile(info, io.BytesIO(data) if type == tarfile.REGTYPE else None)
        self.seen.add(name.rstrip('/'))
        return self

    def dir(self, name, mode=0o755, **more):
        return self.add(name, tarfile.DIRTYPE, mode=mode, **more)

    def file(self, name, data, mode=0o644, **more):
        return self.add(name, data=data.encode() if isinstance(data, str) else data, mode=mode, **more)

    def link(self, name, target, **more):
        return self.add(name, tarfile.SYMTYPE, link=target, mode=0o777, **more)

    def hard(self, name, target):
        return self.add(name, tarfile.LNKTYPE, link=target)

    def parents(self, name):
        parts = name.split('/')
        for i in range(1, len(parts)):
            folder = '/'.join(parts[:i])
            if folder not in self.seen:
                self.dir(folder)

    def copy(self, source, name=None):
        """A file, link or folder of this machine (not its content), with its mode, owned by root."""
        name = name or source.lstrip('/')
        if name in self.seen:
            return self
        self.parents(name)
        st = os.lstat(source)
        if stat.S_ISLNK(st.st_mode):
            return self.link(name, os.readlink(source))
        if stat.S_ISDIR(st.st_mode):
            return self.dir(name, stat.S_IMODE(st.st_mode))
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = st.st_size, stat.S_IMODE(st.st_mode), TIME
        with open(source, 'rb') as f:
            self.tar.addfile(info, f)
        self.seen.add(name)
        return self

    def program(self, *paths):
        """Programs of this machine and every library ldd names, each under its own path."""
        for path in paths:
            self.copy(os.path.realpath(path), path.lstrip('/'))
            listing = subprocess.run(['ldd', path], capture_output=True, text=True, check=False).stdout
            for line in listing.splitlines():
                for word in line.split():
                    if word.startswith('/'):
                        self.copy(os.path.realpath(word), word.lstrip('/'))
        return self

    def close(self):
        self.tar.close()
        return self.path


class Blob:
    """One compressed layer on disk."""

    def __init__(self, tar_path, compression='gzip', level=6):
        self.compression, self.diff_id = compression, file_digest(tar_path)
        self.plain_size = os.path.getsize(tar_path)
        if compression == 'plain':
            self.path = tar_path
        elif compression == 'gzip':
            self.path = tar_path + '.gz'
            with open(tar_path, 'rb') as f, open(self.path, 'wb') as out:
                with gzip.GzipFile('', 'wb', level, out, mtime=0) as z:
                    while piece := f.read(1 << 20):
                        z.write(piece)
        else:
            self.path = tar_path + '.zst'
            subprocess.run(['zstd', '-q', '-f', '-3', tar_path, '-o', self.path], check=True)
        self.digest, self.size = file_digest(self.path), os.path.getsize(self.path)

    def describe(self):
        return {k: getattr(self, k) for k in ('path', 'compression', 'digest', 'size', 'diff_id', 'plain_size')}


class Image:
    """Layers and a configuration; `blobs()` and `manifest` are what a registry wants, `archive` what `load` wants."""

    def __init__(self, layers, config=None, formats=DOCKER, architecture='amd64', variant=None):
        self.layers, self.formats = [x if isinstance(x, dict) else x.describe() for x in layers], formats
        body = {'architecture': architecture, 'os': 'linux', 'created': '2023-11-14T22:13:20Z',
                'config': config or {}, 'rootfs': {'type': 'layers', 'diff_ids': [x['diff_id'] for x in self.layers]},
                'history': [{'created': '2023-11-14T22:13:20Z', 'created_by': 'layer %d' % i}
                            for i in range(len(self.layers))]}
        if variant:
            body['variant'] = variant
        self.config = json.dumps(body, sort_keys=True).encode()
        self.platform = {'architecture': architecture, 'os': 'linux', **({'variant': variant} if variant else {})}
        self.manifest = json.dumps({
            'schemaVersion': 2, 'mediaType': formats['manifest'],
            'config': {'mediaType': formats['config'], 'size': len(self.config), 'digest': digest(self.config)},
            'layers': [{'mediaType': formats[x['compression']], 'size': x['size'], 'digest': x['digest']}
                       for x in self.layers]}).encode()
        self.media_type = formats['manifest']

    @property
    def id(self):
        return digest(self.config)

    @property
    def digest(self):
        return digest(self.manifest)

    def archive(self, path, names):
        """A docker-archive as `docker save` writes it, layers uncompressed or as they are."""
        config_name = self.id[7:] + '.json'
        with tarfile.open(path, 'w') as tar:
            layers = []
            for i, layer in enumerate(self.layers):
                layers.append('%d/layer.tar' % i)
                tar.add(layer['path'], layers[-1])
            manifest = json.dumps([{'Config': config_name, 'RepoTags': names, 'Layers': layers}]).encode()
            for name, data in ((config_name, self.config), ('manifest.json', manifest)):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return path


class Index:
    """Several images under one name, one for each platform."""

    def __init__(self, images, formats=OCI):
        self.images, self.media_type = images, formats['index']
        self.manifest = json.dumps({'schemaVersion': 2, 'mediaType': self.media_type, 'manifests': [
            {'mediaType': i.media_type, 'size': len(i.manifest), 'digest': i.digest, 'platform': i.platform}
            for i in images]}).encode()

    @property
    def digest(self):
        return digest(self.manifest)

"""The test images: real programs of Debian's packages on a busybox base, and small odd ones for the corners.

    Images(cache_folder).get('nginx')        an oci.Image or oci.Index, made on first use

Layers are cached under a key of this file's content and the packages' versions, so a changed recipe or an upgraded
package makes new ones and nothing else does.
"""
import hashlib
import json
import os
import random
import shutil
import subprocess
import tarfile

from . import oci

BUSYBOX = shutil.which('busybox', path='/bin:/usr/bin')
PROBE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'probe.c')
PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
PASSWD = ('root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n'
          'www-data:x:33:33:www-data:/var/www:/bin/false\nredis:x:999:999:redis:/data:/bin/false\n'
          'anna:x:1000:1000:Anna:/home/anna:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n')
GROUP = ('root:x:0:\ndaemon:x:1:\nadm:x:4:\naudio:x:29:anna\nwww-data:x:33:\nredis:x:999:\nanna:x:1000:\n'
         'staff:x:50:anna\nnogroup:x:65534:\n')

NGINX_CONF = '''user www-data;
worker_processes 2;
error_log /dev/stderr notice;
pid /run/nginx.pid;
events { worker_connections 256; }
http {
    include /etc/nginx/mime.types;
    access_log /dev/stdout;
    server {
        listen 80;
        root /usr/share/nginx/html;
        location /whoami { default_type text/plain; return 200 "$remote_addr\\n"; }
    }
}
'''

WEB_APP = '''const http = require('http'), fs = require('fs'), net = require('net');
const port = Number(process.env.PORT || 2368);
http.createServer((request, response) => {
  response.setHeader('Content-Type', 'text/html');
  if (request.url === '/client') return response.end(request.socket.remoteAddress + '\\n');
  if (request.url === '/env') return response.end(JSON.stringify(process.env));
  response.end('<h1>Bryo says hello</h1>' + process.version + ' ' + fs.readFileSync('/etc/hostname', 'utf8'));
}).listen(port, () => console.log('listening on ' + port));
process.on('SIGTERM', () => { console.log('bye'); process.exit(0); });
'''


class Images:
    """All test images, made when asked for."""

    def __init__(self, cache):
        recipe = b''
        for path in (__file__, oci.__file__, PROBE):
            with open(path, 'rb') as f:
                recipe += f.read()
        packages = subprocess.run(['dpkg-query', '-W', 'busybox-static', 'nginx', 'redis-server', 'nodejs'],
                                  capture_output=True, check=False).stdout
        key = hashlib.sha256(recipe + packages).hexdigest()[:16]
        self.folder = os.path.join(cache, 'layers-' + key)
        for old in os.listdir(cache) if os.path.isdir(cache) else ():
            if old.startswith('layers-') and old != 'layers-' + key:
                shutil.rmtree(os.path.join(cache, old), ignore_errors=True)
        os.makedirs(self.folder, exist_ok=True)
        self.made = {}

    def get(self, name):
        if name not in self.made:
            self.made[name] = getattr(self, 'image_' + name)()
        return self.made[name]

    def layer(self, name, fill, compression='gzip', **kw):
        """The layer `name`, written by `fill(tar)` if it is not in the cache."""
        note = os.path.join(self.folder, '%s.%s.json' % (name, compression))
        if not os.path.exists(note):
            tar = oci.Tar(os.path.join(self.folder, name + '.tar'), **kw)
            fill(tar)
            blob = oci.Blob(tar.close(), compression)
            if compression != 'plain':
                os.unlink(tar.path)
            with open(note + '.new', 'w') as f:
                json.dump(blob.describe(), f)
            os.rename(note + '.new', note)
        with open(note) as f:
            return json.load(f)

    def probe(self):
        """probe.c, compiled statically."""
        out = os.path.join(self.folder, 'probe')
        compiler = shutil.which('musl-gcc') or shutil.which('gcc')
        subprocess.run([compiler, '-O2', '-static', '-s', '-o', out, PROBE], check=True)
        with open(out, 'rb') as f:
            return f.read()

    # ---- the base ----
    def base(self):
        def fill(tar):
            for d in ('bin', 'dev', 'etc', 'home', 'lib', 'lib64', 'proc', 'run', 'sbin', 'sys', 'usr', 'usr/bin',
                      'usr/lib', 'usr/sbin', 'var', 'var/log'):
                tar.dir(d)
            tar.dir('root', 0o700).dir('tmp', 0o1777).dir('home/anna', uid=1000, gid=1000)
            tar.copy(BUSYBOX, 'bin/busybox').file('bin/probe', self.probe(), 0o755)
            applets = subprocess.run([BUSYBOX, '--list'], capture_output=True, text=True, check=True).stdout.split()
            for applet in sorted(set(applets) - {'busybox'}):
                tar.link('bin/' + applet, 'busybox')
            tar.file('etc/passwd', PASSWD).file('etc/group', GROUP).file('etc/nsswitch.conf', 'hosts: files dns\n')
        return self.layer('base', fill)

    def image_busybox(self):
        return oci.Image([self.base()], {'Cmd': ['sh'], 'Env': [PATH]})

    # ---- real programs ----
    def image_nginx(self):
        def fill(tar):
            tar.program('/usr/sbin/nginx').copy('/etc/nginx/mime.types')
            tar.file('etc/nginx/nginx.conf', NGINX_CONF)
            tar.parents('usr/share/nginx/html/index.html')
            tar.file('usr/share/nginx/html/index.html', '<h1>Welcome to nginx on Bryo</h1>\n')
            tar.dir('var/log/nginx').dir('var/lib').dir('var/lib/nginx', uid=33, gid=33)
        return oci.Image([self.base(), self.layer('nginx', fill)], {
            'Cmd': ['nginx', '-g', 'daemon off;'], 'Env': [PATH], 'ExposedPorts': {'80/tcp': {}},
            'StopSignal': 'SIGQUIT', 'Labels': {'maintainer': 'Bryo'}})

    def image_redis(self):
        def fill(tar):
            tar.program('/usr/bin/redis-server', '/usr/bin/redis-cli')
            tar.dir('data', uid=999, gid=999)
        return oci.Image([self.base(), self.layer('redis', fill)], {
            'Entrypoint': ['redis-server'], 'Cmd': ['--bind', '0.0.0.0', '--protected-mode', 'no'], 'Env': [PATH],
            'ExposedPorts': {'6379/tcp': {}}, 'Volumes': {'/data': {}}, 'WorkingDir': '/data', 'User': 'redis'})

    def image_web(self):
        def fill(tar):
            tar.program('/usr/bin/node')
            tar.dir('app').file('app/server.js', WEB_APP)
        return oci.Image([self.base(), self.layer('web', fill)], {
            'Cmd': ['node', 'server.js'], 'Env': [PATH, 'NODE_ENV=production'], 'WorkingDir': '/app',
            'ExposedPorts': {'2368/tcp': {}}})

    # ---- configurations of every kind, on the base alone ----
    def image_configured(self):
        def fill(tar):
            tar.dir('seed', 0o750, uid=1000, gid=50).file('seed/first', 'from the image\n', 0o640, uid=1000, gid=50)
            tar.dir('seed/deep').file('seed/deep/second', 'too\n').link('seed/link', 'first')
            tar.file('bin/entry', '#!/bin/sh\necho "entry: $@"\nexec "$@"\n', 0o755)
        return oci.Image([self.base(), self.layer('configured', fill)], {
            'Entrypoint': ['/bin/entry'], 'Cmd': ['echo', 'default'], 'Env': [PATH, 'COLOR=blue', 'SHAPE=round'],
            'WorkingDir': '/made/here', 'User': 'anna:staff', 'Volumes': {'/seed': {}},
            'ExposedPorts': {'8000/tcp': {}, '8001/udp': {}}, 'Labels': {'tier': 'test', 'level': '2'},
            'StopSignal': 'SIGUSR1',
            'Healthcheck': {'Test': ['CMD-SHELL', 'test -e /tmp/well'], 'Interval': 200000000, 'Retries': 2}})

    # ---- layers of every kind ----
    def image_layers(self):
        """Twelve small layers that replace, remove and hide each other's files."""
        def filler(i):
            def fill(tar):
                if i == 0:
                    tar.dir('l').dir('gone').dir('hidden')
                    tar.file('gone/file', 'x').file('hidden/old', 'x').file('l/removed', 'x').file('l/kept', 'kept\n')
                tar.file('l/of%02d' % i, 'layer %d\n' % i).file('l/last', 'layer %d\n' % i)
                if i == 3:
                    tar.file('l/.wh.removed', '').file('.wh.gone', '')
                if i == 5:
                    tar.dir('hidden').file('hidden/.wh..wh..opq', '').file('hidden/new', 'new\n')
            return fill
        layers = [self.layer('layers%02d' % i, filler(i)) for i in range(11)]
        return oci.Image([self.base()] + layers, {'Cmd': ['sh'], 'Env': [PATH]})

    def image_odd(self):
        """Owners, modes, links, sparse and long names, attributes, a device node."""
        def fill(tar):
            tar.dir('odd').file('odd/owned', 'x', 0o600, uid=1000, gid=50).file('odd/setuid', 'x', 0o4755, uid=33)
            tar.file('odd/a', 'same\n').hard('odd/b', 'odd/a').link('odd/dangling', '/nowhere')
            tar.file('odd/' + 'long-' * 40, 'long\n')
            tar.file('odd/umlaut-\u00fc\u4e2d', 'name\n')
            tar.file('odd/xattr', 'x', pax={'SCHILY.xattr.user.color': 'blue'})
            tar.add('odd/device', tarfile.CHRTYPE, device=(1, 3), mode=0o666)
            tar.add('odd/pipe', tarfile.FIFOTYPE, mode=0o600)
            tar.file('odd/big', b'\0' * (4 << 20))
        return oci.Image([self.base(), self.layer('odd', fill)], {'Cmd': ['sh'], 'Env': [PATH]})

    def image_zstd(self):
        return self.with_compression('zstd')

    def image_plain(self):
        return self.with_compression('plain')

    def with_compression(self, compression):
        layer = self.layer('mark-' + compression, lambda tar: tar.file('mark', compression + '\n'), compression)
        return oci.Image([dict(self.base()), layer], {'Cmd': ['cat', '/mark'], 'Env': [PATH]}, oci.OCI)

    def image_platforms(self):
        def of(architecture, variant=None):
            name = 'arch-' + architecture
            layer = self.layer(name, lambda tar: tar.file('mark', architecture + '\n'))
            return oci.Image([self.base(), layer], {'Cmd': ['cat', '/mark'], 'Env': [PATH]}, oci.OCI, architecture, variant)
        return oci.Index([of('arm64', 'v8'), of('amd64')])

    def image_outside(self):
        """A file whose owner no 65536 subordinate ids can hold."""
        layer = self.layer('outside', lambda tar: tar.file('far', 'x', uid=4000000, gid=4000000))
        return oci.Image([self.base(), layer], {'Cmd': ['true'], 'Env': [PATH]})

    def image_big(self, total=400 << 20, count=12):
        """Twelve layers, 400 MB: half of it incompressible, half text, in files of up to 256 KiB."""
        def filler(i):
            def fill(tar):
                rnd, left, n = random.Random(i), total // count, 0
                tar.dir('big').dir('big/%02d' % i)
                while left > 0:
                    size = min(left, rnd.choice((700, 3000, 9000, 40000, 250000)))
                    data = rnd.randbytes(size // 2)
                    data += (b'%08d the quick brown fox\n' % n) * (size // 2 // 29 + 1)
                    tar.file('big/%02d/%06d' % (i, n), data[:size])
                    left -= size
                    n += 1
            return fill
        layers = [self.layer('big%02d' % i, filler(i)) for i in range(count)]
        return oci.Image([self.base()] + layers, {'Cmd': ['sh'], 'Env': [PATH]})

"""Debian's docker-registry on a loopback port, and pushing images into it over its HTTP API."""
import http.client
import os
import subprocess
import time
import urllib.parse

from . import host, oci


class Registry:
    """`start` returns when it answers; its content lies in `folder` and is kept from run to run."""

    def __init__(self, folder, port=None, listen='127.0.0.1'):
        self.folder, self.port, self.listen = folder, port or host.free_port(), listen
        self.process = None
        os.makedirs(folder, exist_ok=True)

    @property
    def address(self):
        return '127.0.0.1:%d' % self.port

    def start(self):
        config = os.path.join(self.folder, 'config-%d.yml' % self.port)
        with open(config, 'w') as f:
            f.write('version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\n'
                    'storage:\n  filesystem:\n    rootdirectory: %s\n  delete:\n    enabled: true\n'
                    'http:\n  addr: %s:%d\n' % (self.folder, self.listen, self.port))
        log = open(os.path.join(self.folder, 'log'), 'ab')
        self.process = subprocess.Popen(['docker-registry', 'serve', config], stdin=subprocess.DEVNULL, stdout=log,
                                        stderr=log)
        log.close()
        for _ in range(500):
            try:
                if self.request('GET', '/v2/')[0] == 200:
                    return self
            except OSError:
                pass
            assert self.process.poll() is None, 'docker-registry ended; its log is in %s' % self.folder
            time.sleep(0.02)
        raise AssertionError('docker-registry does not answer on ' + self.address)

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def request(self, method, path, body=None, headers=None):
        """(status, headers, body)"""
        c = http.client.HTTPConnection('127.0.0.1', self.port, timeout=60)
        c.request(method, path, body, headers or {})
        r = c.getresponse()
        data = r.read()
        c.close()
        return r.status, r.headers, data

    def push_blob(self, name, digest, body, size):
        if self.request('HEAD', '/v2/%s/blobs/%s' % (name, digest))[0] == 200:
            return
        status, headers, data = self.request('POST', '/v2/%s/blobs/uploads/' % name)
        assert status == 202, data
        where = urllib.parse.urlsplit(headers['Location'])
        query = (where.query + '&' if where.query else '') + urllib.parse.urlencode({'digest': digest})
        status, _, data = self.request('PUT', where.path + '?' + query, body,
                                       {'Content-Length': str(size), 'Content-Type': 'application/octet-stream'})
        assert status == 201, data

    def push(self, image, name, tag='latest'):
        """Pushes an oci.Image or oci.Index, skipping what is there; returns REGISTRY/name:tag."""
        full = '%s/%s:%s' % (self.address, name, tag)
        accept = {'Accept': image.media_type}
        status, headers, _ = self.request('HEAD', '/v2/%s/manifests/%s' % (name, tag), None, accept)
        if status == 200 and headers.get('Docker-Content-Digest') == image.digest:
            return full
        if isinstance(image, oci.Index):
            for each in image.images:
                self.push(each, name, each.digest)
        else:
            self.push_blob(name, image.id, image.config, len(image.config))
            for layer in image.layers:
                with open(layer['path'], 'rb') as f:
                    self.push_blob(name, layer['digest'], f, layer['size'])
        status, _, data = self.request('PUT', '/v2/%s/manifests/%s' % (name, tag), image.manifest,
                                       {'Content-Type': image.media_type})
        assert status == 201, data
        return full

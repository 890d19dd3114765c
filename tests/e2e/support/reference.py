"""Another engine in Bryo's place, to try the stories themselves: BRYO_TEST_REFERENCE=unix:///path/to/docker.sock.

Only tests of the shared engine run then; images come in by `load`, since such an engine may not see our registry.
"""
import os

from .engine import Engine


class Reference(Engine):
    """An engine that somebody else started; it is neither stopped nor removed."""

    def __init__(self, work, registry, images, url):
        super().__init__(work, registry)
        self.images, self.socket = images, url.removeprefix('unix://')
        self.data = self.docker('info', '-f', '{{.DockerRootDir}}').text

    def start(self, timeout=0):
        assert self.answers(), self.socket
        return self

    def stop(self, timeout=0):
        return 0

    def pull(self, name, tag=None):
        path = self.images.get(name).archive(os.path.join(self.work, name + '.tar'), [tag or name + ':latest'])
        self.docker('load', '-i', path, timeout=180)

    def destroy(self):
        self.clear()

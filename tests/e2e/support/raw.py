"""A client that speaks HTTP/1.1 over the engine's socket itself, so that a test sees each byte: status line, headers
in time, chunks, hijacked connections and frames. No HTTP library is between the test and the engine."""
import json
import socket
import struct
import time


class Reply:
    """Status, reason, headers (lower-case names) and the connection, from which the body can be read or hijacked."""

    def __init__(self, connection, status, reason, headers, ok=None):
        self.connection, self.status, self.reason, self.headers = connection, status, reason, headers
        self._body = None

    @property
    def body(self):
        if self._body is None:
            self._body = self.connection.read_body(self)
        return self._body

    def json(self):
        return json.loads(self.body)

    def lines(self):
        """The JSON values of a stream, as they arrive."""
        rest = b''
        for piece in self.connection.body_pieces(self):
            rest += piece
            while b'\n' in rest:
                line, rest = rest.split(b'\n', 1)
                if line.strip():
                    yield json.loads(line)
        if rest.strip():
            yield json.loads(rest)

    @property
    def message(self):
        return self.json()['message']

    def frames(self):
        """(stream, payload) of a body or of a hijacked connection, until its end."""
        pieces = self.connection.pieces() if self.status == 101 else self.connection.body_pieces(self)
        yield from split_frames(pieces)

    def __repr__(self):
        return '%d %s %r' % (self.status, self.reason, self.headers)


def split_frames(pieces):
    rest = b''
    for piece in pieces:
        rest += piece
        while len(rest) >= 8:
            assert rest[1:4] == b'\0\0\0', 'not a frame header: %r' % rest[:8]
            length = struct.unpack('>I', rest[4:8])[0]
            if len(rest) < 8 + length:
                break
            yield rest[0], rest[8:8 + length]
            rest = rest[8 + length:]
    assert not rest, 'the stream ended inside a frame: %r' % rest[:80]


class Connection:
    """One connection; requests one after another."""

    def __init__(self, path, timeout=60):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(path)
        self.buffer = b''

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        """Some bytes; b'' at the end."""
        if self.buffer:
            data, self.buffer = self.buffer, b''
            return data
        return self.socket.recv(65536)

    def pieces(self):
        while True:
            data = self.receive()
            if not data:
                return
            yield data

    def exactly(self, n):
        while len(self.buffer) < n:
            data = self.socket.recv(65536)
            assert data, 'the connection ended %d bytes early' % (n - len(self.buffer))
            self.buffer += data
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def line(self):
        while b'\n' not in self.buffer:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError('the connection ended inside a line: %r' % self.buffer)
            self.buffer += data
        line, self.buffer = self.buffer.split(b'\n', 1)
        return line.rstrip(b'\r').decode('latin-1')

    def request(self, method, path, body=None, headers=None):
        """Sends a request and reads the head of its answer."""
        head = {'Host': 'docker'}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            head['Content-Type'] = 'application/json'
        if body is not None or method in ('POST', 'PUT'):
            head['Content-Length'] = str(len(body or b''))
        head.update(headers or {})
        text = '%s %s HTTP/1.1\r\n' % (method, path)
        text += ''.join('%s: %s\r\n' % pair for pair in head.items() if pair[1] is not None)
        self.send(text.encode() + b'\r\n' + (body or b''))
        return self.answer()

    def answer(self):
        version, status, reason = (self.line().split(' ', 2) + [''])[:3]
        assert version == 'HTTP/1.1', version
        headers = {}
        while True:
            line = self.line()
            if not line:
                break
            name, value = line.split(':', 1)
            headers[name.strip().lower()] = value.strip()
        return Reply(self, int(status), reason, headers)

    def body_pieces(self, reply):
        if reply.status in (204, 304) or reply.headers.get('content-length') == '0':
            return
        if reply.headers.get('transfer-encoding', '').lower() == 'chunked':
            while True:
                size = int(self.line().split(';')[0], 16)
                data = self.exactly(size)
                self.line()
                if size == 0:
                    return
                yield data
        elif 'content-length' in reply.headers:
            yield self.exactly(int(reply.headers['content-length']))
        else:
            yield from self.pieces()

    def read_body(self, reply):
        return b''.join(self.body_pieces(reply))

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Client:
    """Requests with a version prefix (none: unversioned paths), a connection for each."""

    def __init__(self, path, version=None, timeout=60):
        self.path, self.timeout = path, timeout
        self.prefix = '/v' + version if version else ''

    def connect(self):
        return Connection(self.path, self.timeout)

    def open(self, method, path, body=None, headers=None):
        """The answer's head; the caller closes `reply.connection`."""
        return self.connect().request(method, self.prefix + path, body, headers)

    def call(self, method, path, body=None, headers=None, ok=None):
        connection = self.connect()
        reply = connection.request(method, self.prefix + path, body, headers)
        if method != 'HEAD':
            reply.body
        connection.close()
        if ok is not None:
            assert reply.status in ok, '%s %s: %r %r' % (method, path, reply, reply._body)
        return reply

    def get(self, path, **kw):
        return self.call('GET', path, **kw)

    def post(self, path, body=None, **kw):
        return self.call('POST', path, body, **kw)

    def delete(self, path, **kw):
        return self.call('DELETE', path, **kw)

    def head(self, path, **kw):
        return self.call('HEAD', path, **kw)

    def put(self, path, body, **kw):
        return self.call('PUT', path, body, **kw)

    def upgrade(self, path, body=None, **headers):
        """POST with `Upgrade: tcp`, as the docker CLI sends it."""
        return self.open('POST', path, body, {'Connection': 'Upgrade', 'Upgrade': 'tcp', **headers})

    # ---- short forms of what many stories do ----
    def create(self, image, command, name=None, **config):
        body = {'Image': image, 'Cmd': command, **config}
        path = '/containers/create' + ('?name=' + name if name else '')
        return self.post(path, body, ok=(201,)).json()['Id']

    def start(self, container):
        return self.post('/containers/%s/start' % container, ok=(204, 304))

    def wait(self, container):
        return self.post('/containers/%s/wait' % container, ok=(200,)).json()['StatusCode']


def read_for(connection, seconds):
    """Whatever arrives within `seconds`."""
    end, data = time.monotonic() + seconds, connection.buffer
    connection.buffer = b''
    while True:
        left = end - time.monotonic()
        if left <= 0:
            return data
        connection.socket.settimeout(left)
        try:
            piece = connection.socket.recv(65536)
        except (TimeoutError, socket.timeout):
            return data
        if not piece:
            return data
        data += piece

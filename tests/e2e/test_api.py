"""The protocol itself, seen by a client that is no library: versions, headers, errors, hijacking, frames."""
import json
import re
import struct
import time

import pytest

from support.raw import Connection, read_for

VERSIONS = ['1.24', '1.25', '1.30', '1.32', '1.35', '1.40', '1.41', '1.43', '1.44', '1.47', '1.50']


def newest(api):
    return api.get('/_ping').headers['api-version']


# ---- ping, versions, headers ----

@pytest.mark.parametrize('method', ['GET', 'HEAD'])
def test_ping(api, method):
    reply = api.call(method, '/_ping')
    assert (reply.status, reply.reason) == (200, 'OK')
    h = reply.headers
    assert re.fullmatch(r'1\.\d\d', h['api-version']) and h['ostype'] == 'linux' and h['docker-experimental'] in ('true', 'false')
    assert h['cache-control'] == 'no-cache, no-store, must-revalidate' and h['pragma'] == 'no-cache'
    assert h['builder-version'] in ('1', '2') and h['swarm'] == 'inactive' and h['content-type'] == 'text/plain; charset=utf-8'
    assert re.match(r'(Docker|Bryo|bryo)/', h['server'])
    assert (reply.body == b'OK') if method == 'GET' else (h['content-length'] == '0')


@pytest.mark.parametrize('version', VERSIONS)
def test_each_version_is_served(engine, version):
    api = engine.api(version)
    assert api.get('/version').status == 200 and api.get('/_ping').status == 200
    assert api.get('/info', ok=(200,)).json()['OSType'] == 'linux'
    ident = api.create('busybox', ['sh', '-c', 'exit 4'])
    api.start(ident)
    assert api.wait(ident) == 4
    assert api.get('/containers/%s/json' % ident).json()['State']['ExitCode'] == 4
    assert [c['Id'] for c in api.get('/containers/json?all=1').json()] == [ident]
    assert isinstance(api.get('/images/json').json(), list)


def test_the_newest_is_served_and_no_newer(engine, api):
    version = newest(api)
    assert float(version[2:]) >= 50
    assert engine.api(version).get('/info').status == 200
    reply = engine.api('1.%d' % (int(version[2:]) + 1)).get('/info')
    assert reply.status == 400
    assert 'client version 1.%d is too new. Maximum supported API version is %s' % (int(version[2:]) + 1, version) in reply.body.decode()
    reply = engine.api('1.23').get('/info')
    assert reply.status == 400 and 'client version 1.23 is too old. Minimum supported API version is 1.24' in reply.body.decode()


def test_headers_on_every_answer(api):
    for path in ('/version', '/containers/json', '/containers/nosuch/json', '/nosuch'):
        h = api.get(path).headers
        assert {'api-version', 'server', 'ostype', 'docker-experimental', 'date'} <= set(h), path


def test_unknown_paths_and_methods(api):
    for method, path in (('GET', '/nosuch'), ('DELETE', '/info'), ('PATCH', '/containers/json')):
        reply = api.call(method, path)
        assert reply.status == 404 and reply.json() == {'message': 'page not found'}, (method, path)
    assert api.call('OPTIONS', '/anything').status == 200


def test_errors_are_json_with_one_sentence(api):
    for path, status, text in (('/containers/nosuch/json', 404, 'No such container: nosuch'),
                               ('/images/nosuch:1/json', 404, 'No such image: nosuch:1'),
                               ('/volumes/nosuch', 404, 'nosuch'), ('/networks/nosuch', 404, 'network nosuch not found'),
                               ('/exec/nosuch/json', 404, 'No such exec instance')):
        reply = api.get(path)
        assert reply.status == status and text in reply.json()['message'], path
        assert reply.headers['content-type'].startswith('application/json')


@pytest.mark.parametrize('method,path', [('GET', '/swarm'), ('POST', '/swarm/init'), ('GET', '/services'), ('GET', '/nodes'),
                                         ('POST', '/plugins/pull?remote=x'), ('GET', '/secrets'), ('GET', '/tasks'),
                                         ('POST', '/build'), ('POST', '/images/busybox/push')])
def test_what_is_not_there_says_so(api, method, path):
    begin = time.monotonic()
    reply = api.call(method, path, headers={'X-Registry-Auth': 'e30='})
    assert reply.status in (400, 404, 406, 500, 501, 503) and len(reply.message.split()) >= 4, (path, reply.status, reply.body)
    assert time.monotonic() - begin < 2


def test_bad_json_is_400(api):
    assert api.call('POST', '/containers/create', b'{nonsense', {'Content-Type': 'application/json'}).status == 400
    assert api.call('POST', '/containers/create', b'', {'Content-Type': 'application/json'}).status == 400
    assert api.post('/containers/create', {'Image': 7}).status == 400
    assert api.call('POST', '/containers/create', b'{}', {'Content-Type': 'text/plain'}).status in (400, 415)


def test_a_connection_is_kept(engine):
    with Connection(engine.socket) as c:
        for _ in range(3):
            reply = c.request('GET', '/version')
            assert reply.status == 200 and reply.body
        assert c.request('GET', '/containers/nosuch/json').body


def test_pipelined_and_split_requests(engine):
    with Connection(engine.socket) as c:
        c.send(b'GET /_ping HTTP/1.1\r\nHost: d\r\n\r\nGET /_ping HTTP/1.1\r\nHost: d\r\n\r\n')
        for _ in range(2):
            assert c.answer().body == b'OK'
        for byte in b'GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n':
            c.send(bytes([byte]))
        assert c.answer().body == b'OK'


def test_http_1_0_and_nonsense(engine):
    with Connection(engine.socket) as c:
        c.send(b'GET /_ping HTTP/1.0\r\n\r\n')
        assert b'200 OK' in b''.join(c.pieces())
    with Connection(engine.socket) as c:
        c.send(b'\x16\x03\x01 this is no HTTP\r\n\r\n')
        data = b''.join(c.pieces())
        assert data == b'' or b' 400 ' in data
    assert engine.answers()


def test_chunked_request_bodies(engine):
    body = json.dumps({'Image': 'busybox', 'Cmd': ['true']}).encode()
    with Connection(engine.socket) as c:
        c.send(b'POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n')
        for i in range(0, len(body), 7):
            piece = body[i:i + 7]
            c.send(b'%x\r\n%s\r\n' % (len(piece), piece))
        c.send(b'0\r\n\r\n')
        assert c.answer().status == 201


def test_a_refused_upload_is_read_to_its_end(engine, api):
    """Else the client, still sending, would meet a broken pipe instead of the answer."""
    api.create('busybox', ['true'], name='refusing')
    for size in (1, 100000, 3000000):
        reply = api.put('/containers/refusing/archive?path=/not/there', b'x' * size)
        assert reply.status == 404 and '/not/there' in reply.message


# ---- heads that must not wait ----

def test_heads_come_before_the_first_byte_of_the_body(api):
    ident = api.create('busybox', ['sleep', '600'])
    paths = [('POST', '/containers/%s/wait?condition=next-exit' % ident), ('GET', '/events')]
    api.start(ident)
    paths += [('GET', '/containers/%s/logs?follow=1&stdout=1' % ident)]
    for method, path in paths:
        begin = time.monotonic()
        reply = api.open(method, path)
        assert reply.status == 200 and time.monotonic() - begin < 1, path
        assert read_for(reply.connection, 0.1) == b'', path
        reply.connection.close()


# ---- hijacking ----

def talking(api, tty=False):
    return api.create('busybox', ['sh', '-c', 'read x; echo out:$x; echo err:$x >&2'], OpenStdin=True, StdinOnce=True,
                      AttachStdin=True, AttachStdout=True, AttachStderr=True, Tty=tty)


def test_upgrade_answers_101_upgraded(api):
    ident = talking(api)
    reply = api.upgrade('/containers/%s/attach?stream=1&stdin=1&stdout=1&stderr=1' % ident)
    assert (reply.status, reply.reason) == (101, 'UPGRADED')
    assert reply.headers['connection'] == 'Upgrade' and reply.headers['upgrade'] == 'tcp'
    assert reply.headers['content-type'] == 'application/vnd.docker.multiplexed-stream'
    api.start(ident)
    reply.connection.send(b'word\n')
    frames = {}
    for stream, data in reply.frames():
        frames[stream] = frames.get(stream, b'') + data
    assert frames == {1: b'out:word\n', 2: b'err:word\n'}


def test_old_versions_call_every_stream_raw(engine):
    api = engine.api('1.41')
    reply = api.upgrade('/containers/%s/attach?stream=1&stdout=1' % talking(api))
    assert reply.status == 101 and reply.headers['content-type'] == 'application/vnd.docker.raw-stream'
    reply.connection.close()


def test_without_upgrade_the_connection_is_taken_all_the_same(api):
    ident = talking(api)
    reply = api.open('POST', '/containers/%s/attach?stream=1&stdin=1&stdout=1&stderr=1' % ident)
    assert (reply.status, reply.reason) == (200, 'OK')
    assert 'vnd.docker' in reply.headers['content-type'] and 'transfer-encoding' not in reply.headers
    api.start(ident)
    reply.connection.send(b'plain\n')
    assert b'out:plain\n' in b''.join(reply.connection.pieces())


def test_a_terminals_stream_is_raw(api):
    ident = talking(api, tty=True)
    reply = api.upgrade('/containers/%s/attach?stream=1&stdin=1&stdout=1' % ident)
    assert reply.headers['content-type'] == 'application/vnd.docker.raw-stream'
    api.start(ident)
    reply.connection.send(b'tty\n')
    data = b''.join(reply.connection.pieces())
    assert b'out:tty\r\n' in data and data[:1] != b'\x01'


def test_input_sent_with_the_request_is_not_lost(engine, api):
    ident = talking(api)
    c = Connection(engine.socket)
    c.send(('POST /containers/%s/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n'
            'Content-Length: 0\r\n\r\nearly\n' % ident).encode())
    assert c.answer().status == 101
    api.start(ident)
    assert b'out:early\n' in b''.join(c.pieces())


def test_attach_with_logs_replays(api):
    ident = api.create('busybox', ['sh', '-c', 'echo before; sleep 0.6; echo after'])
    api.start(ident)
    time.sleep(0.3)
    reply = api.upgrade('/containers/%s/attach?logs=1&stream=1&stdout=1' % ident)
    assert b''.join(d for _, d in reply.frames()) == b'before\nafter\n'


def test_frames_are_exact(api):
    ident = api.create('busybox', ['sh', '-c', 'head -c 70000 /dev/zero; printf e >&2'])
    reply = api.upgrade('/containers/%s/attach?stream=1&stdout=1&stderr=1' % ident)
    api.start(ident)
    data = b''.join(reply.connection.pieces())
    totals, at = {1: 0, 2: 0}, 0
    while at < len(data):
        kind, zero, length = data[at], data[at + 1:at + 4], struct.unpack('>I', data[at + 4:at + 8])[0]
        assert kind in (1, 2) and zero == b'\0\0\0' and length > 0
        totals[kind] += length
        at += 8 + length
    assert at == len(data) and totals == {1: 70000, 2: 1}


def test_logs_are_chunked_frames(api):
    ident = api.create('busybox', ['sh', '-c', 'echo o; echo e >&2'])
    api.start(ident)
    api.wait(ident)
    reply = api.open('GET', '/containers/%s/logs?stdout=1&stderr=1' % ident)
    assert reply.status == 200 and reply.headers['content-type'] == 'application/vnd.docker.multiplexed-stream'
    assert sorted(reply.frames()) == [(1, b'o\n'), (2, b'e\n')]


def test_attach_errors_come_before_the_upgrade(api):
    reply = api.upgrade('/containers/nosuch/attach?stream=1&stdout=1')
    assert reply.status == 404 and reply.message == 'No such container: nosuch'


# ---- shapes that changed with the versions ----

def test_fields_that_came_and_went(engine):
    api = engine.api()
    ident = api.create('busybox', ['sleep', '600'])
    api.start(ident)
    old, new = (engine.api(v).get('/containers/%s/json' % ident).json() for v in ('1.41', newest(api)))
    assert old['NetworkSettings']['IPAddress'].startswith('172.17.')
    if int(newest(api)[2:]) >= 52:
        assert 'IPAddress' not in new['NetworkSettings']
    assert 'VirtualSize' in engine.api('1.43').get('/images/busybox/json').json()
    assert 'VirtualSize' not in engine.api('1.44').get('/images/busybox/json').json()


def test_create_warns_and_names_what_it_made(api):
    reply = api.post('/containers/create?name=named', {'Image': 'busybox', 'Cmd': 'true'}, ok=(201,))
    assert set(reply.json()) == {'Id', 'Warnings'} and reply.json()['Warnings'] in ([], None) or isinstance(reply.json()['Warnings'], list)
    assert api.post('/containers/create?name=named', {'Image': 'busybox', 'Cmd': ['true']}).status == 409
    assert api.post('/containers/create', {'Image': 'nosuch:1', 'Cmd': ['true']}).status == 404
    assert api.post('/containers/create', {'Cmd': ['true']}).status in (201, 400, 404)


def test_the_socket_is_for_its_owner(engine):
    import os
    st = os.stat(engine.socket)
    assert st.st_mode & 0o777 == 0o660 and st.st_uid == os.getuid()

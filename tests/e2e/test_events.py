"""The stream of events: what is told, in which order, and how to choose from it."""
import json
import time


def names(events):
    return [(e['Type'], e['Action']) for e in events]


def collect(engine, since, until, **filters):
    """The events between two times, by the API."""
    path = '/events?since=%.6f&until=%.6f' % (since, until)
    if filters:
        path += '&filters=' + json.dumps(filters).replace(' ', '').replace('"', '%22')
    return list(engine.api().open('GET', path).lines())


def test_the_life_of_a_container_in_order(engine):
    begin = time.time()
    engine.docker('run', '--rm', '--name', 'ev', '-l', 'a=b', 'busybox', 'sh', '-c', 'exit 3', check=False)
    time.sleep(0.3)
    events = [e for e in collect(engine, begin, time.time()) if e['Type'] == 'container']
    actions = [e['Action'] for e in events]
    assert actions == ['create', 'attach', 'start', 'die', 'destroy'], actions
    die = events[3]
    assert die['Actor']['Attributes']['exitCode'] == '3' and die['Actor']['Attributes']['name'] == 'ev'
    assert die['Actor']['Attributes']['image'] == 'busybox' and die['Actor']['Attributes']['a'] == 'b'
    assert die['scope'] == 'local' and abs(die['timeNano'] / 1e9 - die['time']) < 1.1
    assert 'execDuration' in die['Actor']['Attributes']


def test_kill_stop_exec_rename_are_told(engine):
    begin = time.time()
    engine.docker('run', '-d', '--name', 'x1', 'busybox', 'sleep', '600')
    engine.docker('exec', 'x1', 'true')
    engine.docker('rename', 'x1', 'y1')
    engine.docker('kill', 'y1')
    engine.docker('wait', 'y1')
    engine.docker('restart', '-t', '0', 'y1')
    engine.docker('stop', '-t', '0', 'y1')
    time.sleep(0.2)
    actions = [e['Action'] for e in collect(engine, begin, time.time(), type=['container'])]
    actions = [a for i, a in enumerate(actions) if not (a == 'kill' and actions[i - 1] == 'kill')]  # TERM, then KILL
    assert [a for a in actions if not a.startswith('exec_')] == [
        'create', 'start', 'rename', 'kill', 'die', 'start', 'restart', 'kill', 'die', 'stop'], actions
    execs = [a.split(':')[0] for a in actions if a.startswith('exec_')]
    assert execs == ['exec_create', 'exec_start', 'exec_die']


def test_networks_volumes_and_images_too(engine):
    begin = time.time()
    engine.docker('run', '--rm', '-v', 'vol:/v', 'busybox', 'true')
    engine.docker('volume', 'rm', 'vol')
    engine.docker('tag', 'busybox', 'ev:1')
    engine.docker('rmi', 'ev:1')
    time.sleep(0.2)
    got = names(collect(engine, begin, time.time()))
    for expected in (('network', 'connect'), ('network', 'disconnect'), ('volume', 'create'), ('volume', 'mount'),
                     ('volume', 'unmount'), ('volume', 'destroy'), ('image', 'tag'), ('image', 'untag')):
        assert expected in got, expected


def test_filters(engine):
    begin = time.time()
    engine.docker('run', '--name', 'one', '-l', 'color=red', 'busybox', 'true')
    engine.docker('run', '--name', 'two', 'busybox', 'true')
    time.sleep(0.2)
    end = time.time()
    assert {e['Actor']['Attributes']['name'] for e in collect(engine, begin, end, container=['one'])} == {'one'}
    assert {e['Action'] for e in collect(engine, begin, end, event=['die'])} == {'die'}
    assert {e['Actor']['Attributes']['name'] for e in collect(engine, begin, end, label=['color=red'])} == {'one'}
    assert {e['Type'] for e in collect(engine, begin, end, type=['network'])} == {'network'}
    assert {e['Actor']['Attributes']['image'] for e in collect(engine, begin, end, image=['busybox'])} == {'busybox'}
    both = collect(engine, begin, end, event=['start', 'die'], container=['two'])
    assert [e['Action'] for e in both] == ['start', 'die']


def test_live_ones_arrive_at_once_and_headers_first(engine, api):
    begin = time.monotonic()
    reply = api.open('GET', '/events?filters=%7B%22type%22%3A%5B%22volume%22%5D%7D')
    assert reply.status == 200 and time.monotonic() - begin < 1
    assert reply.headers['content-type'].startswith('application/json')
    engine.docker('volume', 'create', 'live')
    event = next(reply.lines())
    assert (event['Action'], event['Actor']['ID']) == ('create', 'live')
    reply.connection.close()


def test_until_ends_the_stream(engine):
    begin = time.monotonic()
    engine.docker('events', '--until', '%d' % (time.time() + 2), timeout=20)
    assert 0.5 < time.monotonic() - begin < 6


def test_the_clis_line(engine):
    begin = time.time()
    engine.docker('run', '--name', 'cli', 'busybox', 'true')
    out = engine.docker('events', '--since', '%.9f' % begin, '--until', '%.9f' % time.time()).out
    assert ' container die ' in out and '(exitCode=0' in out.replace('execDuration=0, ', '') and 'name=cli' in out


def test_a_bad_time_is_refused(api):
    assert api.get('/events?since=yesterday').status in (400, 500)
    assert api.get('/events?filters=%7Bnonsense').status == 400


def test_old_clients_get_the_old_fields(engine):
    begin = time.time()
    engine.docker('run', '--name', 'old', 'busybox', 'true')
    reply = engine.api('1.24').open('GET', '/events?since=%.6f&until=%.6f' % (begin, time.time()))
    events = [e for e in reply.lines() if e['Type'] == 'container']
    assert events[0]['status'] == 'create' and events[0]['id'] == events[0]['Actor']['ID'] and events[0]['from'] == 'busybox'

"""What containers wrote, read later or while they write."""
import re
import time

import pytest

from support.engine import wait_until


def done(engine, name):
    wait_until(lambda: engine.inspect(name, '{{.State.Status}}') == 'exited', what=name + ' ends')


def test_both_streams(engine):
    engine.docker('run', '--name', 'log', 'busybox', 'sh', '-c', 'echo o; echo e >&2; printf tail')
    result = engine.docker('logs', 'log')
    assert (result.out, result.err) == ('o\ntail', 'e\n')


def test_tail_and_timestamps(engine):
    engine.docker('run', '--name', 'log', 'busybox', 'sh', '-c', 'for i in 1 2 3 4 5; do echo line $i; done')
    assert engine.docker('logs', '--tail', '2', 'log').out == 'line 4\nline 5\n'
    assert engine.docker('logs', '--tail', '0', 'log').out == ''
    lines = engine.docker('logs', '-t', 'log').out.splitlines()
    assert all(re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z line \d', x) for x in lines), lines
    assert len(lines) == 5


def test_since_and_until(engine):
    engine.docker('run', '-d', '--name', 'log', 'busybox', 'sh', '-c', 'echo one; sleep 1.2; echo two; sleep 1.2; echo three')
    done(engine, 'log')
    stamps = [x.split()[0] for x in engine.docker('logs', '-t', 'log').out.splitlines()]
    assert engine.docker('logs', '--since', stamps[1], 'log').out == 'two\nthree\n'
    assert engine.docker('logs', '--until', stamps[1][:19] + '.000000000Z', 'log').out in ('one\n', '')
    assert engine.docker('logs', '--since', stamps[0], '--until', stamps[1], 'log').out.startswith('one\n')
    assert engine.docker('logs', '--since', '1h', 'log').out == 'one\ntwo\nthree\n'
    assert engine.docker('logs', '--until', '1h', 'log').out == ''


def test_follow_ends_with_the_container(engine):
    engine.docker('run', '-d', '--name', 'log', 'busybox', 'sh', '-c', 'for i in 1 2 3; do echo $i; sleep 0.2; done')
    assert engine.docker('logs', '-f', 'log', timeout=20).out == '1\n2\n3\n'


def test_follow_shows_lines_at_once(engine):
    engine.docker('run', '-d', '-i', '--name', 'log', 'busybox', 'sh', '-c', 'while read x; do echo got $x; done')
    p = engine.popen('logs', '-f', 'log')
    attached = engine.popen('attach', 'log', stdin=-1)
    attached.stdin.write(b'one\n')
    attached.stdin.flush()
    begin = time.monotonic()
    assert p.stdout.readline() == b'got one\n' and time.monotonic() - begin < 5
    engine.docker('rm', '-f', 'log')
    assert p.wait(10) is not None
    attached.stdin.close()
    attached.wait(10)


def test_follow_with_tail_only_shows_the_end(engine):
    engine.docker('run', '-d', '--name', 'log', 'busybox', 'sh', '-c', 'echo a; echo b; echo c; sleep 1; echo d')
    wait_until(lambda: engine.docker('logs', 'log').out.count('\n') == 3)
    assert engine.docker('logs', '-f', '--tail', '1', 'log', timeout=15).out == 'c\nd\n'


def test_long_lines_and_much_output(engine):
    engine.docker('run', '--name', 'log', 'busybox', 'sh', '-c',
                  'head -c 100000 /dev/zero | tr "\\0" x; echo; yes 0123456789 | head -n 100000', timeout=60)
    out = engine.docker('logs', 'log', timeout=60).raw_out
    assert out == b'x' * 100000 + b'\n' + b'0123456789\n' * 100000


def test_bytes_that_are_no_text(engine):
    """json-file stores JSON, so what is not UTF-8 comes back as replacement characters, as with Docker; text survives."""
    engine.docker('run', '--name', 'log', 'busybox', 'printf', 'gr\\303\\274n \\342\\202\\254 "quoted" \\\\ \\t\\n')
    assert engine.docker('logs', 'log').out == 'gr\u00fcn \u20ac "quoted" \\ \t\n'


def test_a_terminals_log_is_raw(engine):
    engine.docker('run', '-t', '--name', 'log', 'busybox', 'echo', 'x')
    assert engine.docker('logs', 'log').raw_out == b'x\r\n'


def test_details_show_labels_and_environment(engine):
    engine.docker('run', '--name', 'log', '--log-opt', 'labels=tier', '--log-opt', 'env=COLOR', '-l', 'tier=front', '-e',
                  'COLOR=red', 'busybox', 'echo', 'x')
    out = engine.docker('logs', '--details', 'log').text
    assert out in ('COLOR=red,tier=front x', 'tier=front,COLOR=red x')


def test_the_log_file_is_where_inspect_says(engine):
    engine.docker('run', '--name', 'log', 'busybox', 'echo', 'x')
    path = engine.inspect('log', '{{.LogPath}}')
    assert path.endswith('-json.log') and path.startswith(engine.data)
    with open(path) as f:
        assert '"log":"x\\n"' in f.read()


def test_rotation_keeps_the_newest(engine):
    engine.docker('run', '--name', 'log', '--log-opt', 'max-size=50k', '--log-opt', 'max-file=3', 'busybox', 'sh', '-c',
                  'i=0; while [ $i -lt 4000 ]; do echo line $i; i=$((i+1)); done')
    lines = engine.docker('logs', 'log').out.splitlines()
    assert lines[-1] == 'line 3999' and 500 < len(lines) < 3999
    first = int(lines[0].split()[1])
    assert lines == ['line %d' % i for i in range(first, 4000)]


@pytest.mark.parametrize('driver', ['json-file', 'local'])
def test_drivers_that_can_be_read(engine, driver):
    engine.docker('run', '--name', 'log', '--log-driver', driver, 'busybox', 'sh', '-c', 'echo o; echo e >&2')
    result = engine.docker('logs', 'log')
    assert (result.out, result.err) == ('o\n', 'e\n')


def test_no_log_at_all(engine):
    assert engine.docker('run', '--name', 'log', '--log-driver', 'none', 'busybox', 'echo', 'x').out == 'x\n'
    assert 'configured logging driver does not support reading' in engine.fails('logs', 'log').err


def test_an_unknown_driver_or_option(engine):
    assert 'nosuch' in engine.fails('run', '--log-driver', 'nosuch', 'busybox', 'true').err
    assert 'no-such-opt' in engine.fails('run', '--log-opt', 'no-such-opt=1', 'busybox', 'true').err


def test_logs_of_nobody(engine):
    assert 'No such container: nosuch' in engine.fails('logs', 'nosuch').err


def test_the_api_wants_a_stream_chosen(api):
    ident = api.create('busybox', ['true'])
    reply = api.get('/containers/%s/logs' % ident, ok=(400,))
    assert 'you must choose at least one stream' in reply.message

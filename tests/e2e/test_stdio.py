"""Standard streams: pipes, terminals, attaching and detaching, half-closed inputs."""
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

from support.engine import wait_until
from support.raw import read_for


class Terminal:
    """A docker command on a pseudo-terminal of its own."""

    def __init__(self, engine, *args, rows=30, columns=100):
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.process = subprocess.Popen(['docker', *args], env=engine.environ(TERM='xterm'), stdin=slave, stdout=slave,
                                        stderr=slave, start_new_session=True, preexec_fn=controlling)
        os.close(slave)
        self.seen = b''

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))

    def type(self, data):
        os.write(self.master, data)

    def expect(self, text, timeout=15):
        end = time.monotonic() + timeout
        while text not in self.seen:
            left = end - time.monotonic()
            assert left > 0, 'never saw %r in %r' % (text, self.seen)
            if select.select([self.master], [], [], left)[0]:
                try:
                    piece = os.read(self.master, 65536)
                except OSError:  # EIO: the other side is gone
                    piece = b''
                assert piece, 'ended before %r: %r' % (text, self.seen)
                self.seen += piece
        self.seen = self.seen.split(text, 1)[1]

    def code(self, timeout=15):
        """Exit code; what is still printed is read, so that nobody waits for a reader."""
        end = time.monotonic() + timeout
        while self.process.poll() is None:
            assert time.monotonic() < end, 'still running; printed %r' % self.seen
            if select.select([self.master], [], [], 0.05)[0]:
                try:
                    self.seen += os.read(self.master, 65536)
                except OSError:
                    pass
        os.close(self.master)
        return self.process.returncode


def controlling():
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


# ---- pipes ----

def test_stdin_goes_in_and_its_end_too(engine):
    data = b'line\n' * 20000
    result = engine.docker('run', '--rm', '-i', 'busybox', 'sh', '-c', 'wc -c; echo end', input=data)
    assert result.out == '%d\nend\n' % len(data)


def test_binary_data_survives_both_ways(engine):
    data = os.urandom(3 << 20)
    assert engine.docker('run', '--rm', '-i', 'busybox', 'cat', input=data).raw_out == data


def test_without_i_stdin_is_empty(engine):
    assert engine.docker('run', '--rm', 'busybox', 'cat', input='never seen').out == ''


def test_streams_stay_apart_and_in_order(engine):
    result = engine.docker('run', '--rm', 'busybox', 'sh', '-c', 'for i in 1 2 3; do echo o$i; echo e$i >&2; done')
    assert result.out == 'o1\no2\no3\n' and result.err == 'e1\ne2\ne3\n'


def test_much_output_arrives_whole(engine):
    out = engine.docker('run', '--rm', 'busybox', 'sh', '-c', 'yes 0123456789 | head -n 400000', timeout=60).raw_out
    assert out == b'0123456789\n' * 400000


def test_attach_choices(engine):
    result = engine.docker('run', '--rm', '-a', 'stderr', 'busybox', 'sh', '-c', 'echo out; echo err >&2')
    assert 'out' not in result.out and 'err' in result.err


# ---- terminals ----

def test_a_terminal_is_one(engine):
    t = Terminal(engine, 'run', '--rm', '-it', 'busybox', 'sh')
    t.expect(b'# ')
    t.type(b'tty; stty size; echo $((6*7))$TERM\n')
    t.expect(b'/dev/pts/0')
    t.expect(b'30 100')
    t.expect(b'42xterm')
    t.type(b'exit 5\n')
    assert t.code() == 5


def test_a_resize_reaches_the_program(engine):
    t = Terminal(engine, 'run', '--rm', '-it', '--name', 'sized', 'busybox', 'sh')
    t.expect(b'# ')
    time.sleep(0.5)  # the CLI listens for SIGWINCH only once its start was answered, which may be after the prompt
    t.resize(44, 155)
    os.kill(t.process.pid, signal.SIGWINCH)
    t.type(b'while :; do stty size; sleep 0.2; done\n')
    t.expect(b'44 155')
    engine.docker('kill', 'sized')
    t.code()


def test_control_c_interrupts_and_control_d_ends(engine):
    t = Terminal(engine, 'run', '--rm', '-it', 'busybox', 'sh')
    t.expect(b'# ')
    t.type(b'sleep 100\n')
    time.sleep(0.3)
    t.type(b'\x03')
    t.expect(b'# ')
    t.type(b'echo alive\n')
    t.expect(b'alive\r\n')
    t.type(b'\x04')
    assert t.code() in (0, 130)


def test_t_without_i_prints_carriage_returns(engine):
    assert engine.docker('run', '--rm', '-t', 'busybox', 'echo', 'x').raw_out == b'x\r\n'


def test_detach_keys_leave_it_running(engine):
    t = Terminal(engine, 'run', '-it', '--name', 'left', 'busybox', 'sh')
    t.expect(b'# ')
    t.type(b'\x10\x11')
    assert t.code() == 0
    assert engine.inspect('left', '{{.State.Running}}') == 'true'
    t = Terminal(engine, 'attach', '--detach-keys', 'ctrl-x,x', 'left')
    t.type(b'echo back\n')
    t.expect(b'back\r\n')
    t.type(b'\x18x')
    assert t.code() in (0, 1)
    assert engine.inspect('left', '{{.State.Running}}') == 'true'


def test_exec_with_a_terminal(engine):
    engine.docker('run', '-d', '--name', 'host-of-exec', 'busybox', 'sleep', '600')
    t = Terminal(engine, 'exec', '-it', 'host-of-exec', 'sh')
    t.expect(b'# ')
    t.type(b'stty size; exit 6\n')
    t.expect(b'30 100')
    assert t.code() == 6


# ---- attach ----

def test_attach_sees_output_and_the_exit_code(engine):
    engine.docker('run', '-d', '-i', '--name', 'talker', 'busybox', 'sh', '-c', 'read x; echo got $x; exit 4')
    result = engine.docker('attach', 'talker', input='word\n', check=False)
    assert (result.code, result.out) == (4, 'got word\n')


def test_two_attached_clients_see_the_same(engine):
    engine.docker('create', '-i', '--name', 'both', 'busybox', 'sh', '-c', 'read x; echo $x')
    readers = [engine.popen('attach', '--no-stdin', 'both') for _ in ()]
    engine.docker('start', 'both')
    readers = [engine.popen('attach', '--no-stdin', 'both') for _ in range(2)]
    time.sleep(0.5)
    engine.docker('attach', 'both', input='shared\n')
    for r in readers:
        assert r.communicate(timeout=15)[0] == b'shared\n'


def test_closing_stdin_with_stdin_once_ends_the_program(api):
    ident = api.create('busybox', ['cat'], OpenStdin=True, StdinOnce=True, AttachStdin=True)
    reply = api.upgrade('/containers/%s/attach?stream=1&stdin=1&stdout=1&stderr=1' % ident)
    assert reply.status == 101
    api.start(ident)
    reply.connection.send(b'until the end')
    reply.connection.half_close()
    assert b''.join(data for _, data in reply.frames()) == b'until the end'
    assert api.wait(ident) == 0


def test_output_after_a_half_close_still_arrives(engine):
    out = engine.docker('run', '--rm', '-i', 'busybox', 'sh', '-c', 'cat; sleep 0.5; echo later', input='first\n').out
    assert out == 'first\nlater\n'


def test_attach_to_a_stopped_container_is_refused(engine):
    engine.docker('create', '--name', 'still', 'busybox', 'true')
    assert 'cannot attach to a stopped container' in engine.fails('attach', 'still').err.lower()


def test_start_attached(engine):
    engine.docker('create', '--name', 'later', 'busybox', 'sh', '-c', 'echo now; exit 8')
    result = engine.docker('start', '-a', 'later', check=False)
    assert (result.code, result.out) == (8, 'now\n')


def test_a_client_that_vanishes_does_no_harm(engine, api):
    ident = api.create('busybox', ['sh', '-c', 'while :; do echo x; sleep 0.01; done'], AttachStdout=True)
    reply = api.upgrade('/containers/%s/attach?stream=1&stdout=1' % ident)
    api.start(ident)
    read_for(reply.connection, 0.2)
    reply.connection.close()
    time.sleep(0.2)
    assert engine.inspect(ident, '{{.State.Running}}') == 'true'


def test_signals_are_proxied(engine):
    p = engine.popen('run', '--name', 'proxied', 'busybox', 'sh', '-c',
                     'trap "echo caught; exit 3" TERM; echo ready; while :; do sleep 0.05; done')
    assert p.stdout.readline() == b'ready\n'
    p.terminate()
    out, _ = p.communicate(timeout=15)
    assert out == b'caught\n' and p.returncode == 3
    wait_until(lambda: engine.inspect('proxied', '{{.State.ExitCode}}') == '3', what='exit code')

"""Bryo's own command line on a terminal: sessions, detach keys, sizes, prompts, the dashboard; and what is beyond docker."""
import json
import os
import re
import subprocess

import pytest

from support.engine import BRYO, wait_until
from support.terminal import Terminal


@pytest.fixture
def on_terminal(engine):
    """on_terminal(word…) runs bryo on a terminal."""
    opened = []

    def start(*words, rows=24, columns=80):
        terminal = Terminal([BRYO, *words], engine.environ(TERM='xterm-256color'), rows, columns)
        opened.append(terminal)
        return terminal
    yield start
    for terminal in opened:
        terminal.__exit__()


def test_run_it_has_a_terminal_of_the_right_size(on_terminal, engine):
    t = on_terminal('run', '-it', '--rm', '--name', 'tty', 'busybox', 'sh', rows=31, columns=97)
    t.type('stty size; tty; exit 7\n')
    t.wait('31 97')
    t.wait('/dev/pts/0')
    assert t.end()[0] == 7
    assert 'tty' not in engine.docker('ps', '-a', '--format', '{{.Names}}').out


def test_a_new_size_reaches_the_container(on_terminal):
    # Not typed into a shell: with job control, the signal goes to the program in the foreground, here sleep.
    program = "trap 'echo now $(stty size)' WINCH; echo ready; while :; do sleep 0.1; done"
    t = on_terminal('run', '-it', '--rm', 'busybox', 'sh', '-c', program)
    t.wait('ready')
    t.resize(40, 111)
    t.wait('now 40 111')


def test_detach_keys_leave_it_running(on_terminal, engine):
    t = on_terminal('run', '-it', '--name', 'left', 'busybox', 'sh')
    t.type('echo he""re\n')
    t.wait('here')
    t.type(b'\x10\x11')
    assert t.end()[0] == 0
    assert engine.inspect('left', '{{.State.Running}}') == 'true'
    t = on_terminal('attach', '--detach-keys', 'ctrl-a,x', 'left')
    t.type('echo ba""ck\n')
    t.wait('back')
    t.type(b'\x01x')
    assert t.end()[0] == 0
    assert engine.inspect('left', '{{.State.Running}}') == 'true'
    t = on_terminal('attach', 'left')
    t.type('exit 5\n')
    assert t.end()[0] == 5


def test_exec_it(on_terminal, engine):
    engine.docker('run', '-d', '--name', 'host', 'busybox', 'sleep', '600')
    t = on_terminal('exec', '-it', '-e', 'A=b', 'host', 'sh', rows=33, columns=90)
    t.type('stty size; echo $A-; exit 3\n')
    t.wait('33 90')
    t.wait('b-')
    assert t.end()[0] == 3
    t = on_terminal('exec', '-it', '--detach-keys', 'ctrl-a', 'host', 'cat')
    t.type('x\n')
    t.wait('x')
    t.type(b'\x01')
    t.end()
    assert engine.inspect('host', '{{.State.Running}}') == 'true'


def test_the_terminal_is_put_back(on_terminal, engine):
    import termios
    t = on_terminal('run', '-it', '--rm', 'busybox', 'sh')
    before = termios.tcgetattr(t.master)
    t.type('exit\n')
    t.end()
    after = termios.tcgetattr(t.master)
    assert after[3] & termios.ICANON and after[3] & termios.ECHO and before[6] is not None


def test_signals_are_passed_on(engine):
    p = subprocess.Popen([BRYO, 'run', '--rm', 'busybox', 'sh', '-c', "trap 'echo got; exit 9' TERM; echo up; while :; do sleep 0.1; done"],
                         env=engine.environ(), stdout=subprocess.PIPE)
    assert p.stdout.readline() == b'up\n'
    p.terminate()
    assert p.stdout.read() == b'got\n' and p.wait(10) == 9


def test_the_end_of_the_input_reaches_the_container(engine):
    result = engine.bryo('run', '-i', '--rm', 'busybox', 'sh', '-c', 'wc -c; echo after', input='x' * 100000)
    assert result.out == '100000\nafter\n'


def test_prune_asks(on_terminal, engine):
    engine.docker('create', '--name', 'old', 'busybox')
    t = on_terminal('container', 'prune')
    t.wait('[y/N] ')
    t.type('n\n')
    assert t.end()[0] == 0 and 'old' in engine.docker('ps', '-a').out
    t = on_terminal('container', 'prune')
    t.wait('[y/N] ')
    t.type('y\n')
    t.wait('Total reclaimed space')
    assert 'old' not in engine.docker('ps', '-a').out


def test_layers_have_bars_on_a_terminal_and_lines_elsewhere(on_terminal, engine, push):
    full = push('plain')
    t = on_terminal('pull', full)
    code, text = t.end()
    assert code == 0 and 'Pull complete' in text and '\x1b[' in text, text
    engine.docker('rmi', full)
    assert '\x1b' not in engine.bryo('pull', full).out
    engine.docker('rmi', full)


def test_the_dashboard(on_terminal, engine):
    engine.docker('run', '-d', '--name', 'shown', 'busybox', 'sh', '-c', 'echo a-line-of-log; sleep 600')
    t = on_terminal('top', rows=30, columns=110)
    t.wait('shown')
    t.wait('a-line-of-log')
    t.type('s')
    wait_until(lambda: engine.inspect('shown', '{{.State.Running}}') == 'false', timeout=20)
    t.type('q')
    assert t.end()[0] == 0
    result = engine.bryo('top', check=False)
    assert result.code == 1 and 'terminal' in result.err


def test_explain(engine):
    engine.docker('run', '--name', 'bad', 'busybox', 'nosuchprogram', check=False)
    engine.docker('run', '--name', 'three', 'busybox', 'sh', '-c', 'echo why not; exit 3', check=False)
    assert 'nosuchprogram' in engine.bryo('explain', 'bad').out
    last = engine.bryo('explain').out
    assert 'three' in last and 'exit code 3' in last and 'why not' in last
    assert 'No such container' in engine.bryo('explain', 'nosuch', check=False).err


def test_completion(engine):
    engine.docker('run', '-d', '--name', 'typed', 'busybox', 'sleep', '600')
    script = 'eval "$(%s completion bash)"; COMP_WORDS=(bryo exec ty); COMP_CWORD=2; _bryo; echo "${COMPREPLY[@]}"' % BRYO
    env = engine.environ()
    env['PATH'] = os.path.dirname(BRYO) + ':' + env['PATH']
    assert subprocess.run(['bash', '-c', script], env=env, stdout=subprocess.PIPE, text=True).stdout == 'typed\n'
    for shell in ('zsh', 'fish'):
        assert '__complete' in engine.bryo('completion', shell).out
    assert engine.bryo('completion', 'csh', check=False).code == 1


def test_files_of_subordinate_ids(engine, folder):
    inside = engine.bryo('unshare', 'sh', '-c', 'id -u; mkdir %s/d; echo x > %s/d/f; chown -R 5:5 %s/d; exit 4' % ((folder,) * 3), check=False)
    assert (inside.out, inside.code) == ('0\n', 4)
    assert os.stat(folder + '/d').st_uid not in (0, os.getuid())
    assert re.search(r'2B +%s/d\n' % folder, engine.bryo('du', folder).out)
    engine.bryo('unshare', 'rm', '-r', folder + '/d')


def test_a_mistake_has_a_suggestion(engine):
    assert 'Did you mean:\n  bryo images\n' in engine.bryo('imagess', check=False).err
    assert 'bryo network create' in engine.bryo('network', 'craete', check=False).err
    assert 'not there yet' in engine.bryo('swarm', 'init', check=False).err


def test_no_engine_and_a_strangers_socket(engine):
    nobody = engine.bryo('-H', 'unix:///nonexistent/x.sock', 'ps', check=False)
    assert nobody.code == 1 and 'bryo daemon' in nobody.err
    assert json.loads(engine.bryo('context', 'inspect').out)[0]['Name'] == 'default'

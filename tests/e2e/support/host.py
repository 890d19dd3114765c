"""The host as seen from outside Bryo: processes and their owners, listening ports, mounts, files of subordinate ids."""
import os
import shutil
import signal
import socket
import subprocess


def read(path):
    try:
        with open(path, 'rb') as f:
            return f.read()
    except OSError:
        return b''


def pids():
    return [int(d) for d in os.listdir('/proc') if d.isdigit()]


def command_line(pid):
    return read('/proc/%d/cmdline' % pid).replace(b'\0', b' ').decode('utf-8', 'replace').strip()


def status(pid, field):
    for line in read('/proc/%d/status' % pid).decode('utf-8', 'replace').splitlines():
        if line.startswith(field + ':'):
            return line.split(':', 1)[1].strip()
    return None


def uid_of(pid):
    """Real uid of a process as the host sees it."""
    value = status(pid, 'Uid')
    return int(value.split()[0]) if value else None


def alive(pid):
    state = status(pid, 'State')
    return state is not None and not state.startswith(('Z', 'X'))


def bryo_processes():
    """Bryo's processes of this user: the engine, and holders, gates and monitors, which rename themselves `bryo: …`."""
    return [p for p in pids() if uid_of(p) == os.getuid() and alive(p)
            and (command_line(p).startswith('bryo:') or ' daemon ' in command_line(p) and 'bryo' in command_line(p))]


def find(command):
    """Processes whose command line is exactly `command`, or contains it when it ends in `*`."""
    part = command.endswith('*')
    command = command.rstrip('*')
    return [p for p in pids() if (command in command_line(p) if part else command_line(p) == command)]


def path_without(folder, *programs):
    """A PATH, one folder of links below `folder`, in which these programs are missing."""
    path = folder + '/bin'
    os.mkdir(path)
    for d in ('/usr/bin', '/usr/sbin'):
        for name in os.listdir(d):
            if name not in programs and not os.path.lexists(path + '/' + name):
                os.symlink(os.path.join(d, name), os.path.join(path, name))
    return path


def kill_quietly(pid, sig=signal.SIGKILL):
    try:
        os.kill(pid, sig)
    except OSError:
        pass


def listening(kind='tcp'):
    """Ports on which somebody on the host listens, {(address, port)}; for UDP: which are bound."""
    found = set()
    for name, family in ((kind, socket.AF_INET), (kind + '6', socket.AF_INET6)):
        for line in read('/proc/net/' + name).decode().splitlines()[1:]:
            fields = line.split()
            if kind == 'tcp' and fields[3] != '0A':
                continue
            address, port = fields[1].split(':')
            words = [address[i:i + 8] for i in range(0, len(address), 8)]
            packed = b''.join(bytes.fromhex(w)[::-1] for w in words)
            found.add((socket.inet_ntop(family, packed), int(port, 16)))
    return found


def ports(kind='tcp'):
    return {port for _, port in listening(kind)}


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def free_range(length):
    """The first of `length` neighbouring free TCP ports."""
    for first in range(21000, 32000, length):
        if not ports() & set(range(first, first + length)):
            return first
    raise AssertionError('no free ports')


def mounts_below(path):
    """Mount points below `path` in the host's own mount namespace."""
    text = read('/proc/self/mountinfo').decode()
    return [f[4] for f in (line.split() for line in text.splitlines()) if f[4].startswith(path)]


def remove_tree(path):
    """Removes a tree that may hold files of subordinate ids: by the user first, then from inside a user namespace."""
    shutil.rmtree(path, ignore_errors=True)
    if os.path.lexists(path):
        subprocess.run(['unshare', '--map-auto', '--map-root-user', '--setuid', '0', '--setgid', '0', 'rm', '-rf', path],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def own_address():
    """An address of the host that is not its loopback, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(('192.0.2.1', 9))  # sends nothing: it only chooses a route
            return s.getsockname()[0]
        except OSError:
            return None


def exchange(port, data=b'', host='127.0.0.1', timeout=10):
    """Connects, sends, and returns everything until the other side closes."""
    with socket.create_connection((host, port), timeout) as s:
        if data:
            s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        received = b''
        while True:
            piece = s.recv(65536)
            if not piece:
                return received
            received += piece


def serves(port, path='/', host='127.0.0.1'):
    """The body that a plain GET brings, or None while nobody answers with 200; for waiting."""
    try:
        status, body = http_get(port, path, host, 5)
    except (OSError, AssertionError):
        return None
    return body if status == 200 else None


def http_get(port, path='/', host='127.0.0.1', timeout=10):
    """(status, body) of a plain HTTP/1.0 GET."""
    with socket.create_connection((host, port), timeout) as s:
        s.sendall(('GET %s HTTP/1.0\r\nHost: %s\r\n\r\n' % (path, host)).encode())
        received = b''
        while True:
            piece = s.recv(65536)
            if not piece:
                break
            received += piece
    assert received, 'port %d: connection closed without an answer' % port
    head, body = received.split(b'\r\n\r\n', 1)
    return int(head.split()[1]), body


def descendants(pid):
    """`pid` and everything below it."""
    found = [pid]
    for parent in found:
        try:
            threads = os.listdir('/proc/%d/task' % parent)
        except OSError:
            continue
        for thread in threads:
            found += [int(c) for c in read('/proc/%d/task/%s/children' % (parent, thread)).split()]
    return found


def resident(pid):
    """Bytes of memory that a process has."""
    fields = read('/proc/%d/statm' % pid).split()
    return int(fields[1]) * os.sysconf('SC_PAGE_SIZE') if fields else 0


def parent(pid):
    return int(status(pid, 'PPid'))


def process_state(pid):
    """R, S, D, T, Z …"""
    return (status(pid, 'State') or 'X')[0]


def cpu_seconds(pid):
    """CPU time that a process of one thread has used."""
    return int(read('/proc/%d/schedstat' % pid).split()[0]) / 1e9

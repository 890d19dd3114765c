"""A program on a terminal of its own, driven like a user would: `with Terminal([...]) as t: t.wait('$ '); t.type('ls\\n')`."""
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time


class Terminal:
    def __init__(self, args, env, rows=24, columns=80):
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.seen = ''
        self.process = subprocess.Popen(args, env=env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0))
        os.close(slave)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
        if getattr(self, 'process', None):
            self.process.send_signal(signal.SIGWINCH)

    def type(self, text):
        os.write(self.master, text.encode() if isinstance(text, str) else text)

    def read(self, timeout):
        """Takes what there is within `timeout` seconds; False at the end."""
        if not select.select([self.master], [], [], timeout)[0]:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError:  # the other side is closed
            return False
        self.seen += data.decode('utf-8', 'replace')
        return bool(data)

    def wait(self, text, timeout=15):
        """Reads until `text` was seen; what stood before it is forgotten."""
        end = time.monotonic() + timeout
        while text not in self.seen:
            open_ = self.read(0.1)
            assert (open_ or text in self.seen) and time.monotonic() < end, '%r did not come, only %r' % (text, self.seen)
        before, self.seen = self.seen.split(text, 1)
        return before

    def end(self, timeout=15):
        """Waits for the program's end: its exit code, and the rest of what it said."""
        end = time.monotonic() + timeout
        while self.read(0.05) and self.process.poll() is None:
            assert time.monotonic() < end, 'it does not end: %r' % self.seen
        return self.process.wait(timeout), self.seen

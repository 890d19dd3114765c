"""Commands of the host, and what a command did."""
import subprocess


class Result:
    """Exit code and both streams of a command, as text (`raw_out` as bytes)."""

    def __init__(self, what, code, out, err):
        self.what, self.code, self.raw_out = what, code, out
        self.out, self.err = out.decode('utf-8', 'replace'), err.decode('utf-8', 'replace')

    @property
    def text(self):
        return self.out.strip()

    def __repr__(self):
        return '$ %s\nexit %d\n--- stdout\n%s--- stderr\n%s' % (self.what, self.code, self.out, self.err)


def run(args, what=None, timeout=60, check=True, input=None, **more):
    """Runs a command of the host to its end. With `check`, a non-zero exit code is an AssertionError with both streams."""
    what = what or ' '.join(args)
    feed = {'stdin': subprocess.DEVNULL} if input is None else {'input': input}
    try:
        p = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout, check=False, **feed, **more)
    except subprocess.TimeoutExpired as e:
        raise AssertionError('no end after %s s: %s\n%s%s' % (timeout, what, e.stdout or b'', e.stderr or b'')) from None
    result = Result(what, p.returncode, p.stdout, p.stderr)
    assert not check or result.code == 0, result
    return result

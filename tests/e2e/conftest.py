"""Fixtures: one registry and one engine for the whole session, cleared of containers after each test; further engines
for tests that stop, kill or configure theirs. Run by scripts/test as an unprivileged user.

Environment: BRYO_BIN (the program), BRYO_TEST_STATE (cache of images, registry and venv), XDG_RUNTIME_DIR.
"""
import os
import tempfile

import pytest

from support.engine import Engine, run
from support.recipes import Images
from support.reference import Reference
from support.registry import Registry

STATE = os.environ.get('BRYO_TEST_STATE') or os.path.expanduser('~/.cache/bryo-test')
USUAL = ('busybox', 'configured')
REFERENCE = os.environ.get('BRYO_TEST_REFERENCE')


def pytest_report_header():
    return 'bryo: %s, state: %s' % (os.environ.get('BRYO_BIN', 'bryo'), STATE)


@pytest.fixture(scope='session', autouse=True)
def unprivileged():
    assert os.getuid() != 0, 'run these as an ordinary user (scripts/test does)'


@pytest.fixture(scope='session')
def images():
    return Images(os.path.join(STATE, 'images'))


@pytest.fixture(scope='session')
def registry():
    registry = Registry(os.path.join(STATE, 'registry')).start()
    yield registry
    registry.stop()


@pytest.fixture(scope='session')
def push(registry, images):
    """push(name) makes a test image, puts it into the registry and returns its full name there."""
    def push(name, tag='latest'):
        return registry.push(images.get(name), name, tag)
    return push


@pytest.fixture(scope='session')
def work():
    """A folder on disk for data roots."""
    with tempfile.TemporaryDirectory(prefix='run-', dir=STATE, ignore_cleanup_errors=True) as folder:
        yield folder


@pytest.fixture(scope='session')
def shared(registry, push, work, images):
    """The session's engine with busybox and the configured image; `engine` clears it after each test."""
    for name in USUAL:
        push(name)
    engine = Reference(work, registry, images, REFERENCE) if REFERENCE else Engine(work, registry)
    try:
        engine.start()
        for name in USUAL:
            engine.pull(name)
        yield engine
    finally:
        engine.destroy()


@pytest.fixture
def engine(shared):
    if not shared.answers():  # a test before this one took it down: that test failed, the others need not
        shared.stop()
        shared.start()
    yield shared
    if shared.answers():
        shared.clear()


@pytest.fixture
def docker(engine):
    return engine.docker


@pytest.fixture
def api(engine):
    return engine.api()


@pytest.fixture
def own_engine(registry, push, work):
    """own_engine(flags…, config=…) makes an engine of the test's own, not started; all are destroyed afterwards."""
    if REFERENCE:
        pytest.skip('a reference engine is not ours to start and stop')
    made = []

    def make(*flags, start=True, images=('busybox',), **kw):
        engine = Engine(work, registry, flags, **kw)
        made.append(engine)
        if start:
            engine.start()
            for name in images:
                push(name)
                engine.pull(name)
        return engine
    yield make
    for engine in made:
        engine.destroy()


@pytest.fixture
def py(engine):
    """docker-py on the session's engine."""
    import docker as sdk
    client = sdk.DockerClient(base_url=engine.host, timeout=30)
    yield client
    client.close()


@pytest.fixture
def folder(work):
    """A fresh folder of the user's own on disk."""
    with tempfile.TemporaryDirectory(dir=work, ignore_cleanup_errors=True) as path:
        os.chmod(path, 0o755)
        yield path


@pytest.fixture(scope='session')
def docker_version():
    """(major, minor) of the docker CLI: Debian's is 20.10, many users' is newer."""
    text = run(['docker', 'version', '-f', '{{.Client.Version}}'], check=False).out.strip() or '0.0'
    return tuple(int(x) for x in text.split('.')[:2])


def pytest_terminal_summary(terminalreporter):
    """Lists each skip with its reason and leaves the counts for scripts/test."""
    stats = terminalreporter.stats
    for report in stats.get('skipped', ()):
        terminalreporter.write_line('SKIPPED: %s: %s' % (report.nodeid, report.longrepr[-1] if report.longrepr else ''))
    failed = len(stats.get('failed', ())) + len(stats.get('error', ()))
    with open(os.path.join(STATE, 'counts'), 'w') as f:
        f.write('%d passed\n%d failed\n%d skipped\n' % (len(stats.get('passed', ())), failed,
                                                      len(stats.get('skipped', ()))))

"""Fixtures: one machine for the whole session, booted with the cgroups that the run asks for. Run by tests/vm/run.

Environment: BRYO_BIN (the program, for the guest), BRYO_VM_CGROUP (v2 or v1), BRYO_VM_COUNTS (where the counts go).
"""
import os

import pytest

from machine import Machine, qemu

CGROUP = os.environ.get('BRYO_VM_CGROUP', 'v2')


def pytest_report_header():
    return 'guest: cgroup %s, %s' % (CGROUP, 'no machine' if qemu.missing() else ' '.join(qemu.accelerator()))


def pytest_collection_modifyitems(config, items):
    """Tests of other boots are left out: the other run has them."""
    def elsewhere(item):
        mark = item.get_closest_marker('cgroup')
        return mark is not None and CGROUP not in mark.args
    config.hook.pytest_deselected(items=[i for i in items if elsewhere(i)])
    items[:] = [i for i in items if not elsewhere(i)]


@pytest.fixture(scope='session')
def machine():
    """The session's machine, without an engine."""
    with Machine(CGROUP, bryo=os.environ['BRYO_BIN']) as m:
        print('booted in %.1f s' % m.boot_time)
        yield m


@pytest.fixture(scope='session')
def shared(machine):
    """The session's machine with an engine that was typed into anna's shell, and busybox loaded."""
    machine.daemon()
    yield machine


@pytest.fixture
def vm(shared):
    """`shared`, cleared of containers, networks and volumes after the test."""
    yield shared
    shared.run('docker ps -aq | xargs -r docker rm -fv; docker network prune -f; docker volume prune -f',
               env=shared.environment(), check=False)


@pytest.fixture
def boot():
    """boot(cgroup, …) makes a further machine for one test; it costs a boot, so only where nothing else will do."""
    made = []

    def boot(cgroup=CGROUP, **more):
        made.append(Machine(cgroup, bryo=os.environ['BRYO_BIN'], **more))
        return made[-1].start()
    yield boot
    for m in made:
        m.stop()


def pytest_terminal_summary(terminalreporter):
    """Lists each skip with its reason and leaves the counts for tests/vm/run."""
    stats = terminalreporter.stats
    for report in stats.get('skipped', ()):
        terminalreporter.write_line('SKIPPED: %s: %s' % (report.nodeid, report.longrepr[-1] if report.longrepr else ''))
    failed = len(stats.get('failed', ())) + len(stats.get('error', ()))
    if 'BRYO_VM_COUNTS' in os.environ:
        with open(os.environ['BRYO_VM_COUNTS'], 'w') as f:
            f.write('%d passed\n%d failed\n%d skipped\n' % (len(stats.get('passed', ())), failed,
                                                          len(stats.get('skipped', ()))))

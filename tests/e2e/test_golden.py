"""Bryo's own command line says what docker's says: the same words to both, on the same engine, compared."""
import shlex

import pytest

from support import golden
from support.engine import Engine, wait_until

LOOKS, STORIES = golden.looks(), golden.stories()


@pytest.fixture(scope='module')
def pair(registry, push, work, tmp_path_factory):
    """An engine with a bit of everything, and both programs."""
    for name in ('busybox', 'configured'):
        push(name)
    engine = Engine(work, registry)
    try:
        engine.start()
        for name in ('busybox', 'configured'):
            engine.pull(name)
        furnish(engine)
        yield golden.Pair(engine, str(tmp_path_factory.mktemp('bin')))
    finally:
        engine.destroy()


def furnish(engine):
    docker = engine.docker
    docker('tag', 'busybox', 'busybox:two')
    docker('network', 'create', '--subnet', '10.98.0.0/16', '--label', 'tier=back', 'golden-net')
    docker('volume', 'create', '--label', 'keep=yes', 'golden-data')
    docker('volume', 'create', 'golden-spare')
    docker('run', '-d', '--name', 'golden-web', '--network', 'golden-net', '-p', '127.0.0.1:18088:80', '-l', 'side=front', '-l',
           'com.example/x=a b', '-v', 'golden-data:/data', '-e', 'A=b', '--health-cmd', 'true', '--health-interval', '1s',
           '-m', '64m', 'busybox', 'sh', '-c', 'trap : TERM; sleep 6000 & wait')
    docker('run', '--name', 'golden-done', '-l', 'side=back', 'busybox', 'sh', '-c',
           'echo one; echo two >&2; echo three > /file; exit 3', check=False)
    docker('run', '-d', '--name', 'golden-held', 'busybox', 'sleep', '6000')
    docker('pause', 'golden-held')
    docker('create', '--name', 'golden-fresh', '-v', '/anonymous', 'configured')
    docker('run', '-t', '--name', 'golden-tty', 'busybox', 'echo', 'on a terminal')
    wait_until(lambda: engine.inspect('golden-web', '{{.State.Health.Status}}') == 'healthy')


@pytest.fixture(scope='module')
def looked(pair):
    """All answers, asked for in bulk."""
    return dict(zip((line for line, _, _ in LOOKS),
                    golden.in_bulk(lambda case: pair.look(case[1], case[2]), LOOKS)))


def test_enough_is_compared():
    assert len(LOOKS) + sum(map(len, STORIES)) >= 150


@pytest.mark.parametrize('line', [line for line, _, _ in LOOKS])
def test_look(looked, line):
    docker, own = looked[line]
    assert own == docker, golden.difference(docker, own)


@pytest.mark.parametrize('story', STORIES, ids=[shlex.join(s[0][0])[:60] for s in STORIES])
def test_story(pair, story):
    docker, own = pair.tell(story)
    for (words, _), expected, got in zip(story, docker, own):
        assert got == expected, shlex.join(words) + golden.difference(expected, got)

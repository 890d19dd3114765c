"""The same words said to the docker CLI and to Bryo's own (called by the name `docker`), and what both answered.

    pair = Pair(engine, folder); docker, own = pair.both(['ps', '-a'])
"""
import difflib
import os
import re
import shlex
from concurrent.futures import ThreadPoolExecutor

from .engine import BRYO, run

HERE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'golden')
API = '1.50'  # the newest that docker's CLI 28 speaks; later ones change the shape of answers
TRIES = 4  # outputs tell the time ("Up 3 seconds"), which may go on between the two


class Pair:
    """Both programs on one engine, with the same configuration folder."""

    def __init__(self, engine, folder):
        self.engine = engine
        self.own = os.path.join(folder, 'docker')
        if not os.path.lexists(self.own):
            os.symlink(BRYO, self.own)

    def say(self, program, words, input=None):
        result = run([program, *words], self.engine.environ(DOCKER_API_VERSION=API), input, 60, check=False)
        return result

    def both(self, words, input=None):
        return [self.say(program, words, input) for program in ('docker', self.own)]

    def look(self, words, errors=True):
        """Both answers of a command that changes nothing, in the form that is compared."""
        for _ in range(TRIES):
            answers = [answer(result, errors) for result in self.both(words)]
            if answers[0] == answers[1]:
                break
        return answers

    def tell(self, story):
        """Both answers of each command of a story, which each tells from its beginning."""
        told = []
        for program in ('docker', self.own):
            told.append([answer(self.say(program, words, input)) for words, input in story])
        return told


def answer(result, errors=True):
    """What is compared: exit code and streams, with names of random ids taken out."""
    return '\n'.join(['exit %d' % result.code, '--- stdout', clean(result.out)]
                     + (['--- stderr', clean(result.err)] if errors else []))


def clean(text):
    text = re.sub(r'\b[0-9a-f]{64}\b', 'ID', text)
    text = re.sub(r'\bexec [0-9a-f]{12,}\b', 'exec ID', text)
    return re.sub(r'"MacAddress":"[0-9a-f:]*"', '"MacAddress":""', text)


def difference(docker, own):
    """What differs, line by line, for the message of a failed test."""
    return '\n' + '\n'.join(difflib.unified_diff(docker.splitlines(), own.splitlines(), 'docker', 'bryo', lineterm='', n=1))


def lines(name):
    with open(os.path.join(HERE, name)) as f:
        return [line.rstrip('\n') for line in f if not line.startswith('#')]


def looks():
    """(line, words, whether standard error is compared) of each command that changes nothing."""
    return [(line, shlex.split(line.removeprefix('~ ')), not line.startswith('~ ')) for line in lines('looks.txt') if line]


def stories():
    """Lists of (words, standard input)."""
    found, story = [], []
    for line in lines('stories.txt') + ['']:
        if line.startswith('<'):
            story[-1] = (story[-1][0], line[1:].strip() + '\n')
        elif line:
            story.append((shlex.split(line), None))
        elif story:
            found.append(story)
            story = []
    return found


def in_bulk(function, items, workers=6):
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, items))

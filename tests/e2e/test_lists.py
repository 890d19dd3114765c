"""Lists, filters, inspect, info and disk usage."""
import json
import urllib.parse

import pytest

from support import host

PORT = host.free_port()


@pytest.fixture
def few(engine):
    engine.docker('run', '--name', 'ended', '-l', 'side=back', 'busybox', 'sh', '-c', 'exit 3', check=False)
    engine.docker('run', '-d', '--name', 'web', '-l', 'side=front', '-p', '%d:80' % PORT, '-v', 'data:/d', 'busybox', 'sleep', '600')
    engine.docker('create', '--name', 'made', 'configured', 'true')
    return engine


def listed(engine, *flags):
    return set(engine.docker('ps', '-a', '--format', '{{.Names}}', *flags).out.split())


@pytest.mark.parametrize('filters,expected', [
    (['status=running'], {'web'}), (['status=exited'], {'ended'}), (['status=created'], {'made'}),
    (['status=running', 'status=created'], {'web', 'made'}),
    (['name=we'], {'web'}), (['name=^/?web$'], {'web'}), (['label=side'], {'ended', 'web'}), (['label=side=front'], {'web'}),
    (['exited=3'], {'ended'}), (['exited=0'], set()), (['ancestor=busybox'], {'ended', 'web'}),
    (['volume=data'], {'web'}), (['volume=/d'], {'web'}), (['network=bridge'], {'web', 'ended', 'made'}),
    (['publish=%d' % PORT], {'web'}), (['publish=%d/tcp' % PORT], {'web'}), (['expose=80'], {'web'}),
    (['before=made'], {'ended', 'web'}), (['since=ended'], {'web', 'made'}), (['is-task=false'], {'ended', 'web', 'made'}),
    (['label=side', 'status=exited'], {'ended'}),
])
def test_filters(few, filters, expected):
    flags = [x for f in filters for x in ('--filter', f)]
    got = listed(few, *flags)
    if filters == ['network=bridge']:
        assert 'web' in got
    else:
        assert got == expected


def test_id_prefix_and_limits(few):
    ident = few.inspect('web', '{{.Id}}')
    assert listed(few, '--filter', 'id=' + ident[:8]) == {'web'}
    assert few.docker('ps', '-a', '-n', '1', '--format', '{{.Names}}').text == 'made'
    assert few.docker('ps', '-l', '--format', '{{.Names}}').text == 'made'
    assert few.docker('ps', '--format', '{{.Names}}').text == 'web'
    assert few.docker('ps', '-a', '--format', '{{.Names}}').out.split() == ['made', 'web', 'ended']  # newest first
    assert few.inspect(ident[:12], '{{.Name}}') == '/web'


def test_an_ambiguous_or_unknown_id(few, api):
    assert api.get('/containers/nosuch/json').message == 'No such container: nosuch'


def test_a_bad_filter_is_named(few):
    assert 'nvalid filter' in few.fails('ps', '--filter', 'nosuch=1').err
    few.fails('ps', '--filter', 'status=nosuch')


@pytest.mark.parametrize('filters', [{'label': ['side=front']}, {'label': {'side=front': True}}], ids=['array', 'map'])
def test_both_encodings_of_filters(few, api, filters):
    query = urllib.parse.quote(json.dumps(filters))
    got = api.get('/containers/json?all=1&filters=' + query, ok=(200,)).json()
    assert [c['Names'] for c in got] == [['/web']]


def test_the_shape_of_a_list(few, api):
    got = {c['Names'][0]: c for c in api.get('/containers/json?all=1').json()}
    web = got['/web']
    assert web['Image'] == 'busybox' and web['ImageID'].startswith('sha256:') and web['Command'] == 'sleep 600'
    assert web['State'] == 'running' and web['Status'].startswith('Up ') and isinstance(web['Created'], int)
    assert {'IP': '0.0.0.0', 'PrivatePort': 80, 'PublicPort': PORT, 'Type': 'tcp'} in web['Ports']
    assert web['HostConfig']['NetworkMode'] in ('bridge', 'default')
    assert web['NetworkSettings']['Networks']['bridge']['IPAddress'].startswith('172.17.')
    assert web['Mounts'][0]['Name'] == 'data' and web['Labels'] == {'side': 'front'}
    assert got['/ended']['Status'].startswith('Exited (3) ') and got['/made']['Status'] == 'Created'


def test_sizes_when_asked(few, api):
    few.docker('exec', 'web', 'dd', 'if=/dev/zero', 'of=/big', 'bs=1000', 'count=1000')
    ident = few.inspect('web', '{{.Id}}')
    listed = api.get('/containers/json?size=1').json()[0]
    assert listed['SizeRw'] >= 1000000 and listed['SizeRootFs'] > listed['SizeRw']
    assert api.get('/containers/%s/json?size=1' % ident).json()['SizeRw'] >= 1000000
    assert 'SizeRw' not in api.get('/containers/%s/json' % ident).json()
    assert 'MB' in few.docker('ps', '-s', '--format', '{{.Size}}').out


def test_inspect_has_what_clients_read(few):
    data = few.inspect('web')
    for key in ('Id', 'Created', 'Path', 'Args', 'State', 'Image', 'ResolvConfPath', 'HostnamePath', 'HostsPath', 'LogPath', 'Name',
                'RestartCount', 'Driver', 'Platform', 'MountLabel', 'ProcessLabel', 'AppArmorProfile', 'ExecIDs', 'HostConfig',
                'Mounts', 'Config', 'NetworkSettings'):
        assert key in data, key
    for key in ('Status', 'Running', 'Paused', 'Restarting', 'OOMKilled', 'Dead', 'Pid', 'ExitCode', 'Error', 'StartedAt', 'FinishedAt'):
        assert key in data['State'], key
    for key in ('Binds', 'NetworkMode', 'PortBindings', 'RestartPolicy', 'CapAdd', 'CapDrop', 'Privileged', 'SecurityOpt', 'ShmSize',
                'Runtime', 'MaskedPaths', 'ReadonlyPaths', 'LogConfig', 'Ulimits', 'Memory', 'NanoCpus'):
        assert key in data['HostConfig'], key
    assert data['HostConfig']['LogConfig']['Type'] == 'json-file' and data['Platform'] == 'linux'


def test_inspect_by_type_and_of_nothing(few):
    result = few.fails('inspect', 'nosuch', code=1)
    assert result.text == '[]' and 'o such object: nosuch' in result.err
    assert few.docker('inspect', '--type', 'image', '-f', '{{.Os}}', 'busybox').text == 'linux'
    assert few.docker('inspect', '-f', '{{.Driver}}', '--type', 'volume', 'data').text == 'local'


def test_info_and_version(engine):
    info = json.loads(engine.docker('info', '-f', '{{json .}}').out)
    for key in ('ID', 'Containers', 'Images', 'Driver', 'DriverStatus', 'Plugins', 'NCPU', 'MemTotal', 'KernelVersion', 'OperatingSystem',
                'OSType', 'Architecture', 'IndexServerAddress', 'RegistryConfig', 'SecurityOptions', 'CgroupDriver', 'CgroupVersion',
                'DefaultRuntime', 'Runtimes', 'ServerVersion', 'Warnings', 'LoggingDriver', 'DockerRootDir'):
        assert key in info, key
    assert info['IndexServerAddress'] == 'https://index.docker.io/v1/' and info['OSType'] == 'linux'
    assert any('name=seccomp' in x for x in info['SecurityOptions']) and 'name=rootless' in info['SecurityOptions']
    assert info['CgroupDriver'] in ('none', 'systemd')
    version = json.loads(engine.docker('version', '-f', '{{json .Server}}').out)
    assert version['Os'] == 'linux' and version['MinAPIVersion'] == '1.24' and float(version['ApiVersion'][2:]) >= 44
    assert any('bryo' in c['Name'].lower() or 'engine' in c['Name'].lower() for c in version['Components'])


def test_disk_usage(few):
    out = few.docker('system', 'df').out
    assert [line.split()[0] for line in out.splitlines()] == ['TYPE', 'Images', 'Containers', 'Local', 'Build']
    assert 'busybox' in few.docker('system', 'df', '-v').out


def test_top(few):
    out = few.docker('top', 'web').out.splitlines()
    assert 'PID' in out[0] and 'CMD' in out[0] and 'sleep 600' in out[1]
    custom = few.docker('top', 'web', '-o', 'pid,args').out.splitlines()
    assert custom[0].split()[0] == 'PID' and 'sleep 600' in custom[1]
    assert 'is not running' in few.fails('top', 'ended').err

"""The machine is what it says, and Bryo's main job is done in it."""
import pytest


def test_the_guest_is_debian_with_a_user_session(machine):
    assert 'VERSION_ID="12"' in machine.run('cat /etc/os-release').out
    assert machine.run('id -un').text == 'anna'
    assert machine.run('cat /proc/1/comm').text == 'systemd'
    assert machine.run('systemctl --user is-system-running --wait', check=False).text == 'running'
    assert machine.run('loginctl show-user anna -p Linger').text == 'Linger=yes'
    assert machine.run('busctl --user status').code == 0
    assert machine.run('id -u', root=True).text == '0'


@pytest.mark.cgroup('v2')
def test_v2_is_unified_and_delegates_memory_and_pids(machine):
    assert machine.run('stat -fc %T /sys/fs/cgroup').text == 'cgroup2fs'
    controllers = machine.run('cat /sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/cgroup.controllers')
    assert {'memory', 'pids'} <= set(controllers.text.split())


@pytest.mark.cgroup('v1')
def test_v1_has_the_controllers_apart(machine):
    assert machine.run('stat -fc %T /sys/fs/cgroup').text == 'tmpfs'
    assert machine.run('ls -d /sys/fs/cgroup/memory /sys/fs/cgroup/pids').code == 0
    assert 'cgroup2' not in machine.run('cat /proc/mounts').out


def test_exit_codes_streams_and_files_pass(machine, tmp_path):
    result = machine.run('echo out; echo err >&2; exit 3', check=False)
    assert (result.code, result.out, result.err) == (3, 'out\n', 'err\n')
    assert machine.run('kill -9 $$', check=False).code != 0
    assert machine.run(['printf', '%s|', 'a b', "c'd", '$HOME']).out == "a b|c'd|$HOME|"
    source = tmp_path / 'file'
    source.write_bytes(bytes(range(256)))
    machine.put(str(source), '/tmp/file', mode=0o640)
    assert machine.get('/tmp/file') == bytes(range(256))
    assert machine.run('stat -c %a /tmp/file').text == '640'


def test_a_container_runs_as_root_inside_and_as_anna_outside(vm):
    assert vm.docker('run', '--rm', 'busybox', 'id', '-u').text == '0'
    vm.docker('run', '-d', '--name', 'sleeper', 'busybox', 'sleep', '1000')
    pid = vm.docker('inspect', '-f', '{{.State.Pid}}', 'sleeper').text
    assert vm.run(['stat', '-c', '%u', '/proc/' + pid], root=True).text == '1000'


def test_a_published_port_answers_with_the_clients_address(vm):
    vm.docker('run', '-d', '--name', 'web', '-p', '8080:80', 'busybox', 'sh', '-c',
              'mkdir /www && echo hello >/www/index.html && exec httpd -f -v -h /www -p 80')
    assert vm.wait_for('busybox wget -qO- http://127.0.0.1:8080/').text == 'hello'
    assert vm.wait_for('busybox wget -qO- http://10.86.0.15:8080/').text == 'hello'
    assert '10.86.0.15]:' in vm.docker('logs', 'web').err


def test_containers_outlive_the_engine(vm):
    vm.docker('run', '-d', '--name', 'steady', 'busybox', 'sleep', '1000')
    pid = vm.docker('inspect', '-f', '{{.State.Pid}}', 'steady').text
    vm.run('kill -9 $(pgrep -of "bryo [d]aemon")')
    vm.daemon(images=False)
    assert vm.docker('inspect', '-f', '{{.State.Running}} {{.State.Pid}}', 'steady').text == 'true ' + pid

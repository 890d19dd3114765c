"""QEMU's command line, and which accelerator works here: KVM if a guest really runs under it, else emulation."""
import functools
import os
import shutil
import subprocess

from . import recipe

PROGRAM = 'qemu-system-x86_64'
CGROUP = {
    'v2': 'systemd.unified_cgroup_hierarchy=1',
    'v1': 'systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1',
    'hybrid': 'systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=0',
}


@functools.cache
def accelerator():
    """QEMU's -accel and -cpu. A KVM device that can be opened proves little (nested hypervisors refuse registers as late
    as at the first instruction), so an empty machine runs under it for a moment."""
    chosen = os.environ.get('BRYO_VM_ACCEL')
    if chosen:
        return ['-accel', chosen, '-cpu', 'max']
    if os.access('/dev/kvm', os.R_OK | os.W_OK):
        try:
            probe = subprocess.run([PROGRAM, '-nodefaults', '-no-user-config', '-display', 'none', '-machine', 'q35',
                                    '-accel', 'kvm', '-cpu', 'host', '-monitor', 'stdio'],
                                   input=b'info status\nquit\n', capture_output=True, timeout=10, check=False)
            if probe.returncode == 0 and b'running' in probe.stdout:
                return ['-accel', 'kvm', '-cpu', 'host']
        except subprocess.TimeoutExpired:
            pass
    # la57 off: five-level page tables cost emulation and show nothing.
    return ['-accel', 'tcg,thread=multi', '-cpu', 'max,la57=off']


def missing():
    """Why no machine can run here, as a sentence; None if one can."""
    for program, package in ((PROGRAM, 'qemu-system-x86'), ('qemu-img', 'qemu-utils'), ('ssh', 'openssh-client')):
        if not shutil.which(program):
            return 'there is no %s (package %s)' % (program, package)
    return None


def command(image, disk, cargo, console, cgroup, cpus, memory, parameters=''):
    """The arguments for one machine. `disk` is the run's own overlay, `cargo` the tar file it unpacks when it boots.
    QEMU itself picks the host's port for ssh (0), so that nobody else can take it; `forwarded_port` asks which."""
    kernel = 'root=/dev/vda console=ttyS0 quiet mitigations=off net.ifnames=0 panic=-1 %s %s' % (CGROUP[cgroup], parameters)
    return [PROGRAM, '-nodefaults', '-no-user-config', '-display', 'none', '-machine', 'q35', *accelerator(),
            '-smp', str(cpus), '-m', str(memory),
            '-kernel', image + '/vmlinuz', '-initrd', image + '/initrd', '-append', kernel,
            '-drive', 'if=virtio,format=qcow2,cache=unsafe,discard=unmap,file=' + disk,
            '-drive', 'if=virtio,format=raw,readonly=on,file=' + cargo,
            '-netdev', 'user,id=n,restrict=on,net=%s,dhcpstart=%s,hostfwd=tcp:127.0.0.1:0-%s:22'
            % (recipe.NET, recipe.GUEST, recipe.GUEST),
            '-device', 'virtio-net-pci,netdev=n,romfile=', '-device', 'virtio-rng-pci',
            '-serial', 'file:' + console, '-monitor', 'stdio']


def forwarded_port(monitor_text):
    """The host's port in what the monitor's `info usernet` says, or None."""
    for line in monitor_text.splitlines():
        words = line.split()
        if words and words[0].startswith('TCP[HOST_FORWARD]'):
            return int(words[3])
    return None

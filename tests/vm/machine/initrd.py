"""The initrd: a cpio archive of busybox, a handful of modules and a script that mounts the disk, unpacks what the run
brings along and gives way to systemd. Debian's own starts udev first, which is slow under emulation.
"""
import os
import stat

from . import recipe

SCRIPT = '''#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev
$b mount -t proc proc /proc
%(insmod)s
for i in $($b seq 200); do
    [ -b /dev/vda ] && [ -b /dev/vdb ] && [ -e /proc/sys/net/ipv4/conf/eth0 ] && break
    $b usleep 20000
done
$b mount -t ext4 -o noatime /dev/vda /root || exec $b sh
if [ ! -e /root/var/lib/machine-loaded ]; then
    $b tar -xf /dev/vdb -C /root && : >/root/var/lib/machine-loaded
fi
$b ip link set eth0 up
$b ip addr add %(guest)s/24 dev eth0
$b ip route add default via %(gateway)s
$b umount /proc
$b mount --move /dev /root/dev
exec $b switch_root /root /sbin/init
'''


def modules(rootfs, wanted=recipe.MODULES):
    """Paths of the module files below `rootfs`, each after those it needs; what the kernel has built in is left out."""
    base = os.path.join(rootfs, 'lib/modules')
    base = os.path.join(base, sorted(os.listdir(base))[-1])
    needs, by_name = {}, {}
    with open(os.path.join(base, 'modules.dep')) as f:
        for line in f:
            path, rest = line.rstrip('\n').split(':')
            needs[path] = rest.split()
            by_name[os.path.basename(path).split('.')[0]] = path
    order = []
    for name in wanted:
        if name in by_name:
            for path in reversed([by_name[name]] + needs[by_name[name]]):
                if path not in order:
                    order.append(path)
    return [os.path.join(base, path) for path in order]


def entry(number, name, mode, data=b'', device=(0, 0)):
    """One entry of cpio's "newc" format: thirteen hexadecimal fields, the name, the data, each padded to four."""
    raw = name.encode() + b'\0'
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(raw), 0)
    head = b'070701' + b''.join(b'%08X' % x for x in fields) + raw
    return head + b'\0' * (-len(head) % 4) + data + b'\0' * (-len(data) % 4)


def make(rootfs):
    """The archive's bytes for the system below `rootfs`."""
    files = [(name, stat.S_IFDIR | 0o755, b'', (0, 0)) for name in ('bin', 'dev', 'proc', 'root')]
    files.append(('dev/console', stat.S_IFCHR | 0o600, b'', (5, 1)))
    with open(os.path.join(rootfs, 'bin/busybox'), 'rb') as f:
        files.append(('bin/busybox', stat.S_IFREG | 0o755, f.read(), (0, 0)))
    lines = []
    for path in modules(rootfs):
        name = os.path.basename(path)
        with open(path, 'rb') as f:
            files.append((name, stat.S_IFREG | 0o644, f.read(), (0, 0)))
        lines.append('$b insmod /' + name)
    script = SCRIPT % {'insmod': '\n'.join(lines), 'guest': recipe.GUEST, 'gateway': recipe.GATEWAY}
    files.append(('init', stat.S_IFREG | 0o755, script.encode(), (0, 0)))
    parts = [entry(i + 1, *file) for i, file in enumerate(files)]
    return b''.join(parts) + entry(0, 'TRAILER!!!', 0)

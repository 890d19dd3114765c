"""What the base image consists of. A change here, in image.py or in initrd.py makes a new image.

The guest is an ordinary Debian 12: systemd as PID 1, a stock kernel, `anna` with subordinate ids and linger, `bert`
without either, root by ssh key alone. It has no network but the host's ssh forward.
"""
SUITE = 'bookworm'
MIRROR = 'http://deb.debian.org/debian'
DISK = '6G'

USER, UID = 'anna', 1000
FRESH_USER, FRESH_UID = 'bert', 1001

NET, GUEST, GATEWAY = '10.86.0.0/24', '10.86.0.15', '10.86.0.2'

PACKAGES = (
    'systemd', 'systemd-sysv', 'libpam-systemd', 'dbus', 'dbus-user-session', 'udev', 'kmod', 'linux-image-cloud-amd64',
    'openssh-server', 'sudo', 'ca-certificates', 'iproute2', 'procps', 'busybox-static', 'python3-minimal', 'strace',
    'uidmap',
)

# Kept as .deb files in /opt/debs besides, for tests that remove one and install it as a user is told to.
SPARE = ('uidmap', 'libsubid4')

# Modules the initrd loads, with what they need.
MODULES = ('virtio_pci', 'virtio_blk', 'ext4', 'virtio_net', 'virtio_rng')

# Timers and prompts that only cost boot time.
MASKED = ('apt-daily.timer', 'apt-daily-upgrade.timer', 'dpkg-db-backup.timer', 'e2scrub_all.timer',
          'e2scrub_reap.service', 'fstrim.timer', 'systemd-timesyncd.service', 'getty@tty1.service',
          'systemd-networkd.service', 'systemd-networkd.socket', 'user@0.service')

READY = 'machine ready'

# Files of the guest: path, mode, text.
FILES = (
    ('etc/hostname', 0o644, 'guest\n'),
    ('etc/hosts', 0o644, '127.0.0.1 localhost\n127.0.1.1 guest\n::1 localhost\n'),
    ('etc/resolv.conf', 0o644, 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n'),
    ('etc/sudoers.d/users', 0o440, f'{USER} ALL=(ALL) NOPASSWD: ALL\n{FRESH_USER} ALL=(ALL) NOPASSWD: ALL\n'),
    ('etc/dpkg/dpkg.cfg.d/quick', 0o644, 'force-unsafe-io\n'),
    ('etc/initramfs-tools/update-initramfs.conf', 0o644, 'update_initramfs=no\n'),
    ('etc/ssh/sshd_config.d/quick.conf', 0o644, 'UseDNS no\nMaxSessions 60\nMaxStartups 60\n'),
    (f'var/lib/systemd/linger/{USER}', 0o644, ''),
    ('etc/systemd/system/machine-ready.service', 0o644, f'''[Unit]
Description=Tells the host that the machine is up
After=ssh.service systemd-user-sessions.service user@{UID}.service
[Service]
Type=oneshot
RemainAfterExit=yes
StandardOutput=tty
TTYPath=/dev/ttyS0
ExecStart=/bin/echo {READY}
[Install]
WantedBy=multi-user.target
'''),
)

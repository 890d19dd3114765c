"""`bryo setup check` on a fresh machine with systemd."""


def test_what_uidmap_brings(machine):
    """A user without subordinate ids on a machine without the helpers: one block; with the helpers it is shorter."""
    machine.run('dpkg --remove --force-depends uidmap', root=True)
    result = machine.run('bryo setup check', user='bert', check=False)
    assert result.code == 1 and '# Install newuidmap & newgidmap binaries\napt-get install -y uidmap' in result.out, result
    machine.run('dpkg -i /opt/debs/uidmap*.deb', root=True)
    result = machine.run('bryo setup check', user='bert', check=False)
    assert result.code == 1 and 'apt-get' not in result.out and '# Add subuid entry for bert' in result.out, result
    result = machine.run('bryo setup check')
    assert result.code == 0 and 'Requirements are satisfied' in result.out, result

"""Archives that want out, or want too much. Each is a function that fills an oci.Tar; `harmless` ones must be accepted
without effect outside, the others refused. Their marker is a file name nothing else uses."""
import io
import struct
import tarfile

MARK = 'bryo-escaped'


def dotdot(tar):
    tar.file('../../../../../../../../tmp/' + MARK, 'x')


def dotdot_inside(tar):
    tar.dir('a').file('a/../../../../../../../../tmp/' + MARK, 'x')


def absolute(tar):
    tar.file('/tmp/' + MARK, 'x')


def symlinked_parent(tar):
    tar.link('out', '/tmp').file('out/' + MARK, 'x')


def relative_symlinked_parent(tar):
    tar.link('out', '../../../../../../../../tmp').file('out/' + MARK, 'x')


def symlink_chain(tar):
    tar.link('a', '/').link('b', 'a/tmp').file('b/' + MARK, 'x')


def symlink_replaced_while_used(tar):
    tar.dir('d').file('d/f', 'x').link('d', '/tmp').file('d/' + MARK, 'x')


def hard_link_out(tar):
    tar.hard('passwd', '../../../../../../../../etc/passwd').file('passwd', 'overwritten')


def hard_link_absolute(tar):
    tar.hard('passwd', '/etc/passwd')


def hard_link_through_symlink(tar):
    tar.link('etc-link', '/etc').hard('passwd', 'etc-link/passwd')


def whiteout_dotdot(tar):
    tar.file('.wh...', '')


def whiteout_of_parent(tar):
    tar.file('../.wh.tmp', '')


def whiteout_through_symlink(tar):
    tar.link('out', '/tmp').file('out/.wh.' + MARK, '')


def long_chain_of_folders(tar):
    tar.dir('/'.join(['d'] * 1900))


def name_with_nul(tar):
    tar.file('x', 'x', pax={'path': 'a\0b'})


def device(tar):
    tar.add('disk', tarfile.BLKTYPE, device=(8, 0), mode=0o666)


FILLERS = (dotdot, dotdot_inside, absolute, symlinked_parent, relative_symlinked_parent, symlink_chain, symlink_replaced_while_used,
           hard_link_out, hard_link_absolute, hard_link_through_symlink, whiteout_dotdot, whiteout_of_parent,
           whiteout_through_symlink, long_chain_of_folders)


def truncated():
    """A tar that ends inside a file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w') as tar:
        info = tarfile.TarInfo('f')
        info.size = 100000
        tar.addfile(info, io.BytesIO(b'x' * 100000))
    return buffer.getvalue()[:50000]


def bad_checksum():
    data = bytearray(truncated() + b'x' * 60000)
    data[0:1] = b'g'
    return bytes(data)


def huge_size():
    """A header that promises 8 EiB."""
    info = tarfile.TarInfo('huge')
    header = bytearray(info.tobuf())
    header[124:136] = b'\x80\0\0\0' + struct.pack('>Q', (1 << 63) - 1)
    header[148:156] = b' ' * 8
    header[148:156] = b'%06o\0 ' % sum(header)
    return bytes(header) + b'\0' * 1024


def nonsense():
    return b'\x1f\x8b' + b'no gzip at all' * 100


BROKEN = (truncated, bad_checksum, huge_size, nonsense)

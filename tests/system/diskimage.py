"""tests/system/diskimage.py - from the shim's history: what a disk may hold after a power cut.

The model, pessimistic within what a journaling file system can do:
  data        What had been written when a completed fsync or fdatasync of the file began is there, whole.
              Of what was written later each sector of 512 bytes holds some state in time between the last
              sync and the cut, independent of all others. So a write may be torn, later ones may be there
              without earlier ones, but no sector goes back.
  holes       A punched hole counts as zeros that were written, to each sector on its own: it may be there
              before what was written, and not synced, before it.
  size        As the data that is there needs it; sometimes larger, then zeros (a file system may write the
              size before the data).
  names       Creation, rename and removal in one folder are on disk in their order; a completed fsync of the
              folder makes those before it certain, of those behind it any number from the first on may be
              there. A sync of a file says nothing about its name. Folders are independent of each other, and
              names are independent of data. (ext4 and XFS order all names in one journal, so the states that
              they leave are among those made here. RocksDB is treated like everything else: it syncs its
              folders.)
  sync_file_range() and closing a file promise nothing.

RocksDB's files LOG are left out: stdio writes them where the shim cannot see it, and nothing needs them.
"""
import collections
import os
import re
import stat
import struct

RECORD = struct.Struct('<IIHHHHQQQQqq')
MAGIC = 0x534d5853
CREATE, WRITE, SYNC, RENAME, UNLINK, MKDIR, TRUNCATE, FALLOCATE = range(1, 9)
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
SECTOR = 512
IGNORED = re.compile(r'/LOG(\.old\.\d+)?$')

Rec = collections.namedtuple('Rec', 'begin end op mode nsec inode off len path path2 data program')


class HistoryError(Exception):
    """The history does not fit together or to the files."""


def load(folder):
    """All records of a history in the order in which they began."""
    found = []
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), 'rb') as f:
            raw = f.read()
        program, at = name.split('.')[0], 0
        while at + RECORD.size <= len(raw):
            magic, size, op, mode, n1, n2, begin, end, nsec, inode, off, length = RECORD.unpack_from(raw, at)
            if magic != MAGIC:
                raise HistoryError('%s: no record at %d' % (name, at))
            if at + size > len(raw):
                break           # killed while it wrote this one
            p = at + RECORD.size
            path = os.path.normpath(raw[p:p + n1].decode()) if n1 else None
            path2 = os.path.normpath(raw[p + n1:p + n1 + n2].decode()) if n2 else None
            data = raw[p + n1 + n2:at + size] if op == WRITE else None
            found.append(Rec(begin, end, op, mode, nsec, inode, off, length, path, path2, data, program))
            at += size
    found.sort()
    return found


class File:
    """One file (or folder) from its creation on, whatever its name is."""
    __slots__ = ('base', 'ops', 'syncs', 'is_dir')

    def __init__(self, base=None, is_dir=False):
        self.base, self.ops, self.syncs, self.is_dir = base, [], [], is_dir

    def durable_before(self, cut):
        """Operations that ended before this number are certain."""
        return max((s.begin for s in self.syncs if s.end < cut), default=-1)


class Name:
    """One change of a folder: what appears, moves or goes."""
    __slots__ = ('rec', 'file')

    def __init__(self, rec, file=None):
        self.rec, self.file = rec, file


class Disk:
    """The files below root: as they are now, and everything that the history does to them later."""

    def __init__(self, root):
        self.root = root
        self.paths = {}         # path -> File at the beginning
        self.inodes = {}
        for top, dirs, files in os.walk(root):
            for n in [''] + files:
                path = os.path.join(top, n) if n else top
                st = os.lstat(path)
                if stat.S_ISDIR(st.st_mode):
                    f = File(is_dir=True)
                elif stat.S_ISREG(st.st_mode):
                    with open(path, 'rb') as src:
                        f = File(src.read())
                else:
                    continue
                self.paths[path] = f
                self.inodes[st.st_ino] = f
        self.names = collections.defaultdict(list)      # folder -> [Name]
        self.order = []                                 # all of them
        self.end = 0

    def has(self, path):
        return path == self.root or path.startswith(self.root + '/')

    def _name(self, rec, file=None):
        n = Name(rec, file)
        self.names[os.path.dirname(rec.path)].append(n)
        self.order.append(n)

    def replay(self, records):
        live = dict(self.paths)         # path -> File
        inodes = dict(self.inodes)
        for r in records:
            self.end = max(self.end, r.end + 1)
            if r.path and not self.has(r.path):
                if r.op == CREATE:
                    inodes[r.inode] = None      # not ours, and the number may have been
                continue
            if r.op in (CREATE, MKDIR):
                f = live[r.path] = inodes[r.inode] = File(is_dir=r.op == MKDIR)
                self._name(r, f)
            elif r.op == RENAME:
                if live.get(r.path) is None or live[r.path].is_dir:
                    raise HistoryError('rename of unknown ' + r.path)
                live[r.path2] = live.pop(r.path)
                self._name(r)
            elif r.op == UNLINK:
                if live.pop(r.path, None) is None and not IGNORED.search(r.path):
                    raise HistoryError('removal of unknown ' + r.path)
                self._name(r)
            else:
                f = inodes.get(r.inode)
                if r.op == SYNC and r.mode:
                    continue                    # it failed
                if f is not None:
                    (f.syncs if r.op == SYNC else f.ops).append(r)
                elif r.inode not in inodes:
                    raise HistoryError('%s changes an unknown file, inode %d' % (r.program, r.inode))
        return self

    # ---- names at the cut

    def _names_at(self, cut, rng, how):
        paths = dict(self.paths)
        allowed = {}
        for folder, names in self.names.items():
            begun = [n for n in names if n.rec.begin < cut]
            d = self.paths.get(folder) or next((n.file for n in self.order if n.file and n.rec.path == folder), None)
            sure = d.durable_before(cut) if d else -1
            least = max((i + 1 for i, n in enumerate(begun) if n.rec.end < sure), default=0)
            allowed[folder] = {'none': least, 'all': len(begun)}.get(how, None)
            if allowed[folder] is None:
                allowed[folder] = rng.randint(least, len(begun))
        count = collections.Counter()
        for n in self.order:
            folder = os.path.dirname(n.rec.path)
            count[folder] += 1
            if count[folder] > allowed[folder] or n.rec.begin >= cut:
                continue
            if n.file:
                paths[n.rec.path] = n.file
            elif n.rec.op == RENAME and n.rec.path in paths:
                paths[n.rec.path2] = paths.pop(n.rec.path)
            elif n.rec.op == UNLINK:
                paths.pop(n.rec.path, None)
        return paths

    # ---- one file at the cut

    @staticmethod
    def _apply(fd, r, size):
        """The whole operation; returns the new size."""
        if r.op == WRITE:
            os.pwrite(fd, r.data, r.off)
            return max(size, r.off + r.len)
        if r.op == TRUNCATE:
            os.ftruncate(fd, r.off)
            return r.off
        if r.mode & PUNCH_HOLE or r.mode & ZERO_RANGE:
            n = min(r.off + r.len, size) - r.off
            if n > 0:
                os.pwrite(fd, bytes(n), r.off)
        if r.mode & ~(KEEP_SIZE | PUNCH_HOLE | ZERO_RANGE):
            raise HistoryError('fallocate with mode %d' % r.mode)
        if not r.mode & KEEP_SIZE and r.off + r.len > size:
            size = r.off + r.len
            os.ftruncate(fd, size)
        return size

    @staticmethod
    def _sectors(fd, ops, size, rng, unit, how):
        """Writes of which any may be missing; each unit of the disk stops at its own moment."""
        touched = collections.defaultdict(list)
        cut = rng.randint(0, len(ops))
        for i, r in enumerate(ops):
            if r.op == WRITE or r.op == FALLOCATE and r.mode & PUNCH_HOLE:
                for s in range(r.off // unit, (r.off + r.len - 1) // unit + 1):
                    touched[s].append(i)
            elif r.op == FALLOCATE and not r.mode and rng.random() < .5:
                size = Disk._apply(fd, r, size)
        for s, which in touched.items():
            n = rng.randint(0, len(which))
            for i in which[:n]:
                if how == 'prefix' and (i > cut or (i == cut and rng.random() < .5)):
                    break
                r = ops[i]
                a, b = max(r.off, s * unit), min(r.off + r.len, (s + 1) * unit)
                os.pwrite(fd, r.data[a - r.off:b - r.off] if r.op == WRITE else bytes(b - a), a)
                size = max(size, b)
        for r in ops:
            if r.op == TRUNCATE and r.off < size and rng.random() < .5:
                size = Disk._apply(fd, r, size)
        return size

    def _write_file(self, path, f, cut, rng, how):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o640)
        try:
            size = 0
            if f.base is not None:
                os.pwrite(fd, f.base, 0)
                size = len(f.base)
            sure, later, full = f.durable_before(cut), [], size
            for r in f.ops:
                if r.begin >= cut:
                    break
                if r.end < sure:
                    size = self._apply(fd, r, size)
                else:
                    later.append(r)
            if how == 'mixed':
                how = rng.choice(('none', 'all', 'sectors', 'sectors', 'pages', 'prefix'))
            if how == 'all':
                for r in later:
                    size = self._apply(fd, r, size)
            elif how != 'none' and later:
                full = max([size] + [r.off + r.len for r in later if r.op == WRITE])
                size = self._sectors(fd, later, size, rng, SECTOR * 8 if how == 'pages' else SECTOR, how)
                if full > size and rng.random() < .25:
                    size = full
            os.ftruncate(fd, size)
        finally:
            os.close(fd)

    def image(self, to, cut, rng, how='mixed'):
        """Makes folder `to` as the disk may be after a power cut at `cut`. how: 'none' nothing that was not synced,
        'all' everything that was begun, 'mixed' something between, other for each file and folder."""
        names = how if how != 'mixed' else rng.choice(('none', 'all', 'some', 'some'))
        paths = self._names_at(cut, rng, names)
        os.mkdir(to)
        for path in sorted(paths):
            if path == self.root or IGNORED.search(path):
                continue
            f = paths[path]
            dst = to + path[len(self.root):]
            if not os.path.isdir(os.path.dirname(dst)):
                continue                # its folder is not there
            if f.is_dir:
                os.mkdir(dst)
            else:
                self._write_file(dst, f, cut, rng, how)

    def differences(self, scratch):
        """What the whole history makes of the files and what they are: [] or lines that say what differs."""
        self.image(scratch, self.end + 1, None, 'all')
        out = []
        mine, real = self._listing(scratch), self._listing(self.root)
        for path in sorted(set(mine) | set(real)):
            if mine.get(path) != real.get(path):
                out.append('%s: %s' % (path, 'not in the history' if path not in mine else
                                       'not on disk' if path not in real else 'other content'))
        return out

    @staticmethod
    def _listing(root):
        found = {}
        for top, dirs, files in os.walk(root):
            found[top[len(root):]] = None
            for n in files:
                path = os.path.join(top, n)
                if IGNORED.search(path) or not stat.S_ISREG(os.lstat(path).st_mode):
                    continue
                with open(path, 'rb') as f:
                    found[path[len(root):]] = f.read()
        return found

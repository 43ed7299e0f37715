#!/usr/bin/env python3
"""Where databases, their log and the content are: folders that are links, on file systems of their own, elsewhere at the next start. TAP; details in smxtest.py."""
import contextlib
import ctypes
import json
import os
import subprocess
import tempfile

import smxtest as t

CDB = '0123456789ABCDEF'
CLONE_NEWNS = 0x20000
SHM = '/dev/shm'


def segments(g):
    """Path of each segment -> its bytes."""
    return {p: os.path.getsize(p) for d in CDB for p in (os.path.join(g.path(d), n) for n in os.listdir(g.path(d))) if '/G' in p and '.' not in p[-6:]}


def queued(g, n):
    t.until(lambda: len(g.queue() or []) == n and 'aq: 0 of' in g.ctl('status'), '%d messages wait' % n)


def load(g, name, n=60, size='2000', *more):
    """Accepted messages: their number."""
    return t.Source(g.folder, g.port, '-m', str(n), '-s', '6', '-l', size, *more, name=name).wait()['accepted']


def lives(g, sink_port, what, *words):
    """Mail small and large, kill -9, tools (with these words) beside the stopped qmgr, and everything arrives once."""
    n = load(g, 'small', 60) + load(g, 'large', 6, '400000')
    t.equal(n, 66, what + ': accepted')
    queued(g, 66)
    g.kill9()
    t.equal(len(g.tool('mailq', '-j', *words).stdout.splitlines()), 66, what + ': mailq of the stopped qmgr')
    r = g.tool('cdbctl', *words, 'check')
    t.ok(r.returncode == 0 and ' 0 damaged' in r.stdout, what + ': cdbctl check', r.stdout)
    # What was delivered before may still have records.
    files = [json.loads(line) for line in g.tool('cdbctl', *words, 'ls', '-j').stdout.splitlines()]
    t.equal(sum(f['live'] + f['new'] for f in files if 'file' in f), 66, what + ': cdbctl ls')
    g.start()
    queued(g, 66)
    sink = t.Sink(g.folder, port=sink_port)
    g.wait_empty()
    r = sink.stop()
    t.equal(r['messages'], 66, what + ': all arrive, none twice')
    t.equal(g.stop(), 0, what + ': clean stop')


def linked():
    """Each folder is a link; every second one, and the log, lead to another file system where there is one."""
    folder, port = t.tmpdir('places'), t.free_port()
    with contextlib.ExitStack() as stack:
        here = os.path.join(folder, 'here')
        os.mkdir(here)
        there = here
        if os.access(SHM, os.W_OK) and os.stat(SHM).st_dev != os.stat(folder).st_dev:
            there = stack.enter_context(tempfile.TemporaryDirectory(prefix='smx-places-', dir=SHM))
            t.own(there)
        g = t.Gateway(folder, port)
        for i, d in enumerate(CDB + 'ld'):
            to = os.path.join((here, there)[i % 2 == 0], d)
            os.mkdir(to)
            t.own(to)
            os.symlink(to, g.path({'l': 'ibdb', 'd': 'defedb'}.get(d, d)))
        t.own(here)
        os.chmod(folder, 0o755)
        g.start()
        lives(g, port, 'links')
        t.ok(all(os.path.islink(g.path(d)) for d in tuple(CDB) + ('ibdb', 'defedb')), 'links: they are left alone')
        t.ok('CURRENT' in os.listdir(os.path.join(here, 'd')) and any(n.endswith('.log') for n in os.listdir(os.path.join(there, 'l'))),
             'links: the database and its log are where they lead')
        t.end_all()


@contextlib.contextmanager
def file_systems(g, sizes):
    """A tmpfs for each of these folders of the spool; gone at the end, and nobody else sees them."""
    done = []
    try:
        for name, size in sizes.items():
            path = g.path(name)
            os.mkdir(path)
            r = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=' + size, 'none', path], stderr=subprocess.PIPE, text=True)
            if r.returncode:
                raise t.Failed(r.stderr)
            done.append(path)
            t.own(path)
        yield
    finally:
        t.end_all()
        for path in done:
            subprocess.run(['umount', '-l', path], check=True)


def mounted():
    """Content on three file systems, the database on the fourth, its log on the fifth; each may be the one that is full."""
    if not t.ROOT or ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) or subprocess.run(['mount', '--make-rprivate', '/'], check=False).returncode:
        t.skip('file systems of their own', 'nothing can be mounted here')
        return
    folder, port = t.tmpdir('places'), t.free_port()
    g = t.Gateway(folder, port, qmgr='')
    g.write('smx.conf', t.read(g.conf).replace('min_disk_space = 1; ok_disk_space = 2;', 'min_disk_space = 16MB; ok_disk_space = 24MB;', 1))
    with file_systems(g, {'0': '80m', '5': '200m', 'defedb': '90m', 'ibdb': '110m'}):
        t.equal(len({os.stat(g.path(d)).st_dev for d in ('0', '5', '.', 'defedb', 'ibdb')}), 5, 'five file systems')
        g.start()
        n = load(g, 'many', 400, '12000')       # more than one segment
        queued(g, n)
        found = segments(g)
        t.ok(len(found) > 2 and max(found.values()) <= (80 << 20) // 64, 'segments are of a size for the smallest of them', found)
        t.Sink(folder, port=port)
        g.wait_empty()
        t.end_all()
        g.start()
        lives(g, port, 'file systems')
        g.start()
        for name in ('ibdb', 'defedb', '5', '0'):
            t.until(lambda: 'feedback: 0' in g.ctl('status'), 'room')
            st = os.statvfs(g.path(name))
            with open(os.path.join(g.path(name), 'fill'), 'wb') as f:
                # Below an eighth of min_disk_space empty room in segments does not count.
                os.posix_fallocate(f.fileno(), 0, st.f_bavail * st.f_frsize - (1 << 20))
            t.until(lambda: 'feedback: 2 (disk)' in g.ctl('status'), 'no room in ' + name)
            t.ok(True, 'no mail is taken when %s is full' % name)
            os.unlink(os.path.join(g.path(name), 'fill'))
        t.until(lambda: 'feedback: 0' in g.ctl('status'), 'room')
        with t.Client(g.port) as c:
            c.want('250', 'EHLO client.test')
            t.ok(c.send(b'Subject: x\r\n\r\nx\r\n.\r\n').startswith('250'), 'and then it is taken again')
        t.equal(g.stop(), 0, 'clean stop')


def moved():
    """DEFEDB.base_directory changes between two starts: with the folder all is as it was, without it qmgr says what is wrong."""
    folder, port = t.tmpdir('places'), t.free_port()
    g = t.Gateway(folder, port).start()
    first = t.read(g.conf)

    def use(text):
        g.write('smx.conf', first.replace('qmgr {', 'qmgr { DEFEDB { %s } ' % text, 1))
    t.equal(load(g, 'one', 20), 20, 'accepted')
    queued(g, 20)
    t.equal(json.loads(g.tool('qmgrctl', 'hold', '-j', 'all').stdout)['done'], 20, 'held')
    g.kill9()
    use('base_directory = "db2/";')
    before = g.log('mcp').count('it stays down')
    g.launch()
    t.until(lambda: g.log('mcp').count('it stays down') > before, 'mcp gives up')
    said = [line for line in g.log('qmgr').splitlines() if 'sev=CRIT' in line][-1]
    t.ok('db2/' in said and 'base_directory' in said and g.path('ibdb') in said, 'the old log is there, the database is not: qmgr says so', said)
    g.stop()
    g.kill9()
    os.rmdir(g.path('db2')) if not os.listdir(g.path('db2')) else os.rename(g.path('db2'), g.path('unused'))
    os.rename(g.path('defedb'), g.path('db2'))
    g.start()
    t.equal([r['state'] for m in g.queue() for r in m['recipients']], ['held'] * 20, 'the folder moved too: all is as it was')
    g.kill9()
    # Both are new and empty: the content database has the messages.
    use('base_directory = "db3/"; log_directory = "log3/";')
    g.start()
    t.equal(len(g.queue()), 20, 'a new database in a new place: the messages are found')
    t.ok('database in db3/ was missing' in t.until(lambda: 'was missing' in g.log('qmgr') and g.log('qmgr'), 'a line in the log'), 'which is told')
    t.Sink(folder, port=port)
    g.wait_empty()
    t.equal(g.stop(), 0, 'clean stop')


def elsewhere():
    """CDB_base_directory and the sockets between the programs."""
    folder, port = t.tmpdir('places'), t.free_port()
    g = t.Gateway(folder, port)
    sockets = {'SMTPS': 'qmsmtps/one', 'SMTPC': 'qmsmtpc/two', 'SMAR': 'qmsmar/three'}
    g.write('smx.conf', 'CDB_base_directory = "content/"; %s\n%s' % (' '.join('%s_socket = "%s";' % x for x in sockets.items()), t.read(g.conf)))
    # Its own folder must be there: it may be a disk that is not mounted.
    os.mkdir(g.path('content'))
    t.own(g.path('content'))
    g.start()
    t.ok(all(os.path.exists(g.path(p)) for p in sockets.values()), 'sockets are where the options say')
    t.equal([n for n in ('qmsmtps/smtpssock', 'qmsmtpc/smtpcsock', 'qmsmar/smarsock', *CDB) if os.path.exists(g.path(n))], [], 'and nothing where they do not')
    lives(g, port, 'elsewhere', '-f', g.conf)
    g.start()
    t.until(lambda: any(n.startswith('G') for d in CDB for n in os.listdir(g.path('content/' + d))), 'a segment below CDB_base_directory')
    t.ok(True, 'elsewhere: segments are below CDB_base_directory')


if __name__ == '__main__':
    t.main(linked, elsewhere, moved, mounted)

#!/usr/bin/env python3
"""mcp executes a component once: it checks its configuration and waits, held, for its start.

Components are held for as long as the test wants (up to mcp's -t) while mcp waits for the end of a process that is in
mcp.lock, as one that a killed mcp has left behind. TAP; details in smxtest.py.
"""
import os
import signal
import subprocess

import smxtest as t

NAMES = {'qmgr', 'smar', 'smtpc', 'smtps'}


def end_pid(pid):
    return lambda: t.birth(pid) is None or state(pid) in 'ZX'


def state(pid):
    try:
        return t.read('/proc/%d/stat' % pid).rsplit(')', 1)[1].split()[0]
    except OSError:
        return 'X'


def tree(g):
    """What is in the spool, with times: what any process has done there."""
    found = {}
    for d, dirs, files in os.walk(g.spool):
        for n in dirs + files:
            st = os.lstat(os.path.join(d, n))
            found[os.path.join(d, n)] = (st.st_ino, st.st_size, st.st_mtime_ns)
    found.pop(g.path('mcp.lock'), None)
    return found


def held_gateway(name):
    """A gateway whose components are held until release() of the second value; and its spool before."""
    g = t.Gateway(t.tmpdir(name), 0)
    g.start()
    g.stop()
    old = subprocess.Popen(['cat'], stdin=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN))
    with open(g.path('mcp.lock'), 'r+') as f:
        boot = f.readline()
        f.write('state running\nqmgr %d %s\n' % (old.pid, t.birth(old.pid)))
        f.truncate()
    t.ok(boot.startswith('boot '), 'the lock file begins with the boot')
    was = tree(g)
    g.launch()
    t.until(lambda: 'left by a killed mcp, waiting' in g.log('mcp'), 'mcp waits for the old process')
    return g, old, was


def release(old):
    old.stdin.close()
    old.wait(t.LONG)


def finish(g, held):
    t.equal(g.stop(), 0, 'it stops')
    t.until(lambda: all(end_pid(p)() for p in held), 'all are gone')


def once():
    g, old, was = held_gateway('once')
    held = g.pids()
    t.equal(set(held), NAMES, 'all four are there, and wait')
    for n, p in sorted(held.items()):
        fds = set(os.listdir('/proc/%d/fd' % p))
        t.ok(t.SANITIZED or fds == {'0', '1', '2', '3'}, n + ': no descriptors but these', str(fds))
        # ThreadSanitizer has one of its own.
        t.ok(t.SANITIZED or len(os.listdir('/proc/%d/task' % p)) == 1, n + ': no thread')
    t.equal(tree(g), was, 'nothing was made or written in the spool')
    release(old)
    g.wait_ready()
    t.equal(g.pids(), held, 'the very processes go on: each was executed once')
    for n, p in sorted(held.items()):
        t.equal([os.path.basename(os.readlink('/proc/%d/fd/%d' % (p, k))) for k in range(3)], ['null', n + '.log', n + '.log'],
                n + ': has its log')
    finish(g, held.values())


def dies():
    """Between its ok and its turn."""
    g, old, was = held_gateway('dies')
    held = g.pids()
    t.kill(held['smtpc'])
    t.until(end_pid(held['smtpc']), 'it is dead')
    release(old)
    g.wait_ready()
    now = t.until(lambda: (lambda p: p if set(p) == NAMES else None)(g.pids()), 'all four run')
    t.ok(now['smtpc'] != held['smtpc'], 'the one that died was started anew')
    t.equal({n: p for n, p in now.items() if n != 'smtpc'}, {n: p for n, p in held.items() if n != 'smtpc'}, 'the others go on')
    t.ok('it died while it waited for its start' in g.log('mcp'), 'mcp says so')
    finish(g, [*held.values(), *now.values()])


def hangs():
    """One that does not go on is no reason for the others not to, and ends like all at the end."""
    g, old, was = held_gateway('hangs')
    held = g.pids()
    os.kill(held['smtpc'], signal.SIGSTOP)
    release(old)
    t.until(g.greets, 'a greeting')
    t.equal(state(held['smtpc']), 'T', 'it still hangs')
    finish(g, held.values())


def killed():
    """kill -9 of mcp: nobody is left, also one that could not listen."""
    g, old, was = held_gateway('killed')
    held = g.pids()
    os.kill(held['smar'], signal.SIGSTOP)
    g.proc.kill()
    g.proc.wait()
    t.until(lambda: all(end_pid(p)() for n, p in held.items() if n != 'smar'), 'they end')
    os.kill(held['smar'], signal.SIGCONT)
    t.until(end_pid(held['smar']), 'this one, too')
    t.equal(tree(g), was, 'nothing was made or written in the spool')
    release(old)
    g.start()
    t.equal(g.stop(), 0, 'the next start is a normal one')


def told():
    """SIGTERM of mcp before the start."""
    g, old, was = held_gateway('told')
    held = g.pids()
    g.proc.terminate()
    t.equal(g.proc.wait(t.LONG), 0, 'mcp ends')
    t.until(lambda: all(end_pid(p)() for p in held.values()), 'and all that it held')
    t.equal(tree(g), was, 'nothing was made or written in the spool')
    release(old)


def wrong():
    """One component does not like its configuration: mcp's message and exit code, and nothing else."""
    g = t.Gateway(t.tmpdir('wrong'), 0, smtpc='nonsense = 1;')
    was = tree(g)
    g.launch()
    t.equal(g.proc.wait(t.LONG), 78, 'exit code')
    t.ok('nonsense' in g.log('mcp') and 'smx.conf:' in g.log('mcp'), 'the message has place and word')
    t.equal(tree(g), was, 'nothing was made or written in the spool')
    t.equal(os.listdir(g.logs), ['mcp.log'], 'no log was begun')
    t.ok('func=start' not in g.log('mcp'), 'nothing was started')


def warned():
    """What is no error stands in mcp's log and, as after any start, in the component's; once in each."""
    g = t.Gateway(t.tmpdir('warned'), 0)
    g.start()
    g.stop()
    text = 'warning: smar.nameserver'
    t.equal([g.log(n).count(text) for n in ('mcp', 'smar')], [1, 1], 'a warning is in both')


def foreign():
    """A script in the place of a component: -n first, then its start; it is not told that it could be held."""
    g = t.Gateway(t.tmpdir('foreign'), 0)
    script, calls = g.path('mysmar'), g.path('calls')
    g.write('mysmar', '#!/bin/sh\necho "$*:${SMX_HOLD-none}" >> %s\nexec %s/smar "$@"\n' % (calls, t.BIN))
    os.chmod(script, 0o755)
    g.write('smx.conf', t.read(g.conf).replace('%s/smar"' % t.BIN, script + '"'))
    g.start()
    t.equal(t.read(calls).splitlines(), ['-n -f %s:none' % g.conf, '-f %s:none' % g.conf], 'it is called twice, as ever')
    t.equal(g.stop(), 0, 'it stops')


def another_file():
    """A component with a file of its own: mcp's is checked, its own is only read when it starts."""
    g = t.Gateway(t.tmpdir('another'), 0)
    g.write('other.conf', t.read(g.conf).replace('smtpc {', 'smtpc { nonsense = 1;'))
    g.write('smx.conf', t.read(g.conf).replace('smtpc -f ' + g.conf, 'smtpc -f ' + g.path('other.conf')))
    g.launch()
    t.until(g.greets, 'a greeting')
    t.until(lambda: 'component=smtpc' in g.log('mcp') and 'it stays down' in g.log('mcp'), 'it stays down')
    t.ok('nonsense' in g.log('smtpc'), 'and says why in its log')
    t.equal(g.stop(), 0, 'it stops')


t.main(once, dies, hangs, killed, told, wrong, warned, foreign, another_file)

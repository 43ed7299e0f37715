#!/usr/bin/env python3
"""Options of qmgr that only the running gateway shows: the database's, commits, the command line. TAP; details in smxtest.py."""
import json
import os
import re
import subprocess

import smxtest as t


def gateway(qmgr='', words='', port=0):
    folder = t.tmpdir('qopt')
    g = t.Gateway(folder, port or t.free_port(), qmgr=qmgr)
    if words:
        # Behind -f: options count in their order, R 3.
        g.write('smx.conf', t.read(g.conf).replace('arguments = "qmgr -f ' + g.conf, 'arguments = "qmgr -f %s %s' % (g.conf, words), 1))
    return g.start()


def deferred(g, n):
    """n messages wait in the database."""
    t.Source(g.folder, g.port, '-m', str(n), '-s', '40', '-N').wait()
    t.until(lambda: json.loads(g.tool('qmgrctl', 'status', '-j').stdout)['active'] == 0, 'all are deferred')


def names(g, folder, ending):
    path = g.path(folder)
    return [n for n in os.listdir(path) if n.endswith(ending)] if os.path.isdir(path) else []


def commits():
    """IBDB.max_open_TAs bounds a commit; without it 40 sessions make larger ones."""
    def largest(g):
        text = g.tool('qmgrctl', 'stats', '-m').stdout
        found = [(float(b), int(n)) for b, n in re.findall(r'smx_qmgr_commit_batch_bucket\{le="([\d.]+)"\} (\d+)', text)]
        count = int(re.search(r'smx_qmgr_commit_batch_count (\d+)', text).group(1))
        return min([b for b, n in found if n == count] or [1e9]), count
    for most in (1, 3):
        g = gateway('IBDB { max_open_TAs = %d; }' % most)
        deferred(g, 600)
        size, count = largest(g)
        t.ok(size <= most and count >= 600 / most, 'at most %d in a commit' % most, (size, count))
        t.equal(g.stop(), 0, 'clean stop')
        t.end_all()
    g = gateway('IBDB { max_open_TAs = 1024; }')
    deferred(g, 600)
    t.ok(largest(g)[0] > 3, 'else more', largest(g))
    t.end_all()


def checkpoints():
    """KBytes_written_for_checkpointing and delay_between_2_checkpoints: tables without a restart."""
    g = gateway()
    deferred(g, 300)
    t.equal(names(g, 'defedb', '.sst'), [], 'not by default')
    t.end_all()
    g = gateway('DEFEDB { KBytes_written_for_checkpointing = 10; delay_between_2_checkpoints = 0; }')
    deferred(g, 300)
    t.until(lambda: names(g, 'defedb', '.sst'), 'tables are written')
    t.ok(True, 'after so much log')
    t.end_all()
    g = gateway('DEFEDB { KBytes_written_for_checkpointing = 10; delay_between_2_checkpoints = 1d; }')
    deferred(g, 300)
    first = len(names(g, 'defedb', '.sst'))
    deferred(g, 300)
    t.ok(len(names(g, 'defedb', '.sst')) <= max(first, 4), 'not more often than that', names(g, 'defedb', '.sst'))
    t.end_all()


def logs():
    """IBDB.size, remove_unused_logfiles, and where the folders are."""
    for flag, kept in (('', False), ('flags = { dont_remove_unused_logfiles };', True)):
        g = gateway('DEFEDB { base_directory = "db2/"; log_directory = "log2"; %s } IBDB { size = 1MB; }' % flag)
        for _ in range(3):
            deferred(g, 1500)
        t.until(lambda: names(g, 'db2', '.sst'), 'a full log is written to tables')
        if kept:
            t.until(lambda: names(g, 'log2/archive', '.log'), 'a log in the archive')
            t.ok(True, 'logs are kept')
        else:
            t.until(lambda: len(names(g, 'log2', '.log')) <= 3, 'few logs')
            t.equal(names(g, 'log2/archive', '.log'), [], 'logs are removed')
        t.ok(not names(g, 'defedb', '') and not names(g, 'ibdb', ''), 'nothing is in the default folders')
        t.end_all()


def command_line():
    """R 3.8.1: -C -c -O; others are refused."""
    def run(*words):
        p = subprocess.run([os.path.join(t.BIN, 'qmgr'), *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **t.demote())
        return p.returncode, p.stdout
    for words in (('-Z',), ('-C',), ('-C', '0'), ('-c', 'x'), ('-O', 'X=1'), ('-O', 'R='), ('-O', 'O=-1')):
        code, text = run(*words)
        t.ok(code == 64 and 'qmgr' in text, 'refused: qmgr ' + ' '.join(words), (code, text))
    t.ok('usage: qmgr' in run('-Z')[1], 'with the usage')
    code, text = run('more')
    t.ok(code == 64 and "'more'" in text, 'a word that is no option', (code, text))
    code, text = run('-h')
    t.ok(code == 0 and all(x in text for x in ('-C NUM', '-c NUM', '-O R=NUM', '-O O=NUM')), 'qmgr -h', text)
    sink = t.Sink(t.tmpdir('qopt'), '--delay', 'dot:200ms')
    g = gateway(words='-c 2 -C 3', port=sink.port)
    t.Source(g.folder, g.port, '-m', '60', '-s', '10').wait()
    seen = []
    t.until(lambda: seen.append(sink.ask()['sessions_open']) or g.is_empty(), 'an empty queue')
    t.ok(max(seen) <= 3 and 3 in seen, 'connections grow up to 3', seen)
    t.end_all()
    for words, most in (('-O O=2', 2), ('-O R=2', 2)):
        g = gateway(words=words)
        # The start itself has used some of the rate.
        socks, good = [], 0
        for _ in range(6):
            c = t.Client(g.port, greeting=False)
            socks.append(c)
            good += c.reply().startswith('220')
        t.ok(good <= most, 'qmgr %s: %d of 6 clients' % (words, good))
        for c in socks:
            c.close()
        t.end_all()


if __name__ == '__main__':
    t.main(commits, checkpoints, logs, command_line)

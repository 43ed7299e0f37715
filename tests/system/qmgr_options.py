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
    change(g, 'DEFEDB { KBytes_written_for_checkpointing = 10; delay_between_2_checkpoints = 0; } ')
    t.equal(g.tool('qmgrctl', '-r').returncode, 0, 'reload')
    deferred(g, 300)
    t.until(lambda: names(g, 'defedb', '.sst'), 'tables are written after a reload')
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


def change(g, text):
    """Puts it in front of the others in the section."""
    g.write('smx.conf', t.read(g.conf).replace('qmgr {', 'qmgr { ' + text, 1))


def database():
    """page_size, cache_size and IBDB.size as RocksDB has them; page_size may change later."""
    def has(g, starts=1):
        opened = lambda: re.findall(r'database is open, cache_bytes=(\d+)', g.log('qmgr'))
        t.until(lambda: len(opened()) == starts, 'the database is open')
        options = t.read(g.path('defedb/' + max(n for n in os.listdir(g.path('defedb')) if n.startswith('OPTIONS'))))
        return (set(re.findall(r'^ *block_size=(\d+)', options, re.M)), set(re.findall(r'^ *max_total_wal_size=(\d+)', options, re.M)),
                set(opened()[-1:]))
    g = gateway()
    t.equal(has(g), ({'16384'}, {str(64 << 20)}, {str(64 << 20)}), 'block size, size of the log and cache by default')
    deferred(g, 50)
    g.stop()
    change(g, 'DEFEDB { page_size = 4KB; cache_size = 5MB; } IBDB { size = 32MB; } ')
    g.start()
    t.equal(has(g, 2), ({'4096'}, {str(32 << 20)}, {str(5 << 20)}), 'as the options say, also of a database that is there')
    deferred(g, 50)
    t.equal(len(g.queue()), 100, 'which goes on')
    t.end_all()


def loops(g):
    pid = g.pids()['qmgr']
    return sorted(n for n in (t.read('/proc/%d/task/%s/comm' % (pid, k)).strip() for k in os.listdir('/proc/%d/task' % pid)) if n.startswith('loop-'))


def threads():
    """max_threads, min_threads: event loops besides that of the main thread."""
    def started(text):
        folder = t.tmpdir('qopt')
        g = t.Gateway(folder, t.free_port())
        g.write('smx.conf', re.sub(r'max_threads = \d+;', text, t.read(g.conf), count=1))
        g.start()
        found = loops(g)
        t.until(lambda: 'smtps workers: %d' % t.threads() in g.ctl('status'), 'workers of smtps, who each have a loop')
        t.end_all()
        return found
    t.equal(started('max_threads = 1;'), [], 'max_threads = 1')
    t.equal(started('max_threads = 3;'), ['loop-1', 'loop-2'], 'max_threads = 3')
    few = started('')
    t.ok(len(few) < len(os.sched_getaffinity(0)), 'as many as cores by default, or a quota: %d more' % len(few))
    many = len(few) + 4
    t.equal(len(started('min_threads = %d;' % many)), many - 1, 'min_threads, though there are fewer cores')
    t.equal(len(started('min_threads = 2; max_threads = 2;')), 1, 'both')


def tables():
    """Sizes of hash tables: memory that qmgr begins with."""
    def memory(text):
        g = gateway(text)
        n = int(re.search(r'VmRSS:\s+(\d+)', t.read('/proc/%d/status' % g.pids()['qmgr'])).group(1))
        t.end_all()
        return n
    base = memory('')
    for text in ('IQDB { hash_table_entries = 4000000; }', 'connection_control_hash_table_size = 4000000;'):
        more = memory(text) - base
        t.ok(more > 40000, '%s: %d KB more' % (text, more))


def incoming():
    """IQDB.max_cache_entries bounds what clients may begin."""
    def accepted(g):
        with t.Client(g.port) as c:
            c.want('250', 'EHLO client.test')
            c.want('250', 'MAIL FROM:<a@source.test>')
            return [c.say('RCPT TO:<b%d@sink.test>' % i)[:3] for i in range(60)]
    g = gateway()
    t.equal(accepted(g), ['250'] * 60, '60 recipients by default')
    t.end_all()
    g = gateway('IQDB { max_cache_entries = 30; hash_table_entries = 64; }')
    got = accepted(g)
    t.ok(0 < got.count('250') <= 30 and got.count('452') == 60 - got.count('250'), 'with room for 30 others get 452', got)
    t.equal(json.loads(g.tool('qmgrctl', '-j').stdout)['incoming_max'], 30, 'qmgrctl tells it')
    t.end_all()


def files():
    """conf, control_socket, max_fds."""
    g = t.Gateway(t.tmpdir('qopt'), t.free_port(), qmgr='conf = "limits.db"; control_socket = "qmsmar/other"; max_fds = 333;')
    g.createmap('limits.db', 'icm: 2\n')
    g.createmap('qmgr_conf.db', 'icm: 1\n')
    g.start()

    def let_in():
        socks = [t.Client(g.port, greeting=False) for _ in range(4)]
        seen.append([c.reply()[:3] for c in socks].count('220'))
        for c in socks:
            c.close()
        return seen[-1] == 2
    seen = []
    t.until(let_in, 'sessions of before have ended')
    t.equal(max(seen), 2, 'the map of limits has another name')
    for argv, code in ((('qmgrctl',), 69), (('qmgrctl', '-f', g.conf), 0), (('qmgrctl', '-s', 'qmsmar/other'), 0),
                       (('mailq', '-f', g.conf), 0), (('qmgrctl', '-s', 'qmsmar/none'), 69)):
        t.equal(g.tool(*argv).returncode, code, 'the control socket: %s: %d' % (' '.join(argv), code))
    t.ok(re.search(r'Max open files\s+333\s', t.read('/proc/%d/limits' % g.pids()['qmgr'])), 'max_fds')
    t.end_all()


def amount_of_log():
    """log_level and debug_level, over reloads."""
    folder = t.tmpdir('qopt')
    sink = t.Sink(folder)
    g = t.Gateway(folder, sink.port).start()

    def told(*wanted):
        """Kinds of lines of one message, once those that are wanted are there and a later one."""
        before = len(g.log('qmgr'))
        n = g.stats()['delivered']
        t.Source(g.folder, g.port, '-m', '1').wait()
        t.until(lambda: g.stats()['delivered'] > n and g.is_empty(), 'delivery')
        g.ctl('log_level ' + g.ctl('log_level').strip().split('=')[1])
        t.until(lambda: all(w in g.log('qmgr')[before:] for w in wanted + ('func=ctl, log_level=',)), 'lines: ' + ', '.join(wanted))
        return tuple(w for w in ('q_upd_rcpt_ok', 'q_deliver', 'commit, transactions=1') if 'func=' + w in g.log('qmgr')[before:])

    def tells(level, *wanted):
        t.equal(told(*wanted), wanted, level)

    def reload(was, now):
        text = t.read(g.conf)
        g.write('smx.conf', text.replace(was, now, 1))
        r = g.tool('qmgrctl', '-r')
        t.ok(r.returncode == 0 and r.stdout.startswith('reloaded'), 'reload: ' + now, r.stdout)
    tells('log_level 9', 'q_upd_rcpt_ok')
    reload('log_level = 9;', 'log_level = 12;')
    tells('log_level 12', 'q_upd_rcpt_ok', 'q_deliver')
    reload('log_level = 12;', 'log_level = 8; debug_level = 1;')
    tells('debug_level 1', 'q_upd_rcpt_ok', 'q_deliver', 'commit, transactions=1')
    reload('debug_level = 1;', 'debug_level = 0;')
    t.equal(g.ctl('log_level'), 'log_level=8\n', 'debug_level 0: back to log_level')
    tells('log_level 8')
    t.ok(re.search(r'func=q_upd_rcpt_ok, rcpt_id=S[0-9A-F]{18}-000000, rcpt=<to@sink.test>, xdelay=\d+, delay=\d+, reply=250 ', g.log('qmgr')),
         'the line of R 10.2', g.log('qmgr'))
    g.write('smx.conf', t.read(g.conf).replace('log_level = 8;', 'log_level = x;', 1))
    r = g.tool('qmgrctl', '-r')
    t.ok(r.returncode == 78 and re.search(r'smx\.conf:\d+:\d+: qmgr\.log_level: expected a number from 0 to 99, found', r.stdout),
         'a reload of a wrong file fails and says where', (r.returncode, r.stdout))
    t.equal(g.ctl('log_level'), 'log_level=8\n', 'and changes nothing')
    g.write('smx.conf', t.read(g.conf).replace('log_level = x;', 'log_level = 10;', 1))
    g.createmap('qmgr_conf.db', 'oci: 0\n')
    r = g.tool('qmgrctl', '-r')
    t.ok(r.returncode == 78 and "qmgr_conf.db: entry 'oci 0': expected a number above 0" in r.stdout, 'a wrong map too', (r.returncode, r.stdout))
    t.equal(g.ctl('log_level'), 'log_level=10\n', 'all else is taken')


def command_line():
    """R 3.8.1: -C -c -O; others are refused."""
    def run(*words):
        p = subprocess.run([os.path.join(t.BIN, 'qmgr'), *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **t.demote())
        return p.returncode, p.stdout
    for words in (('-Z',), ('-C',), ('-C', '0'), ('-c', 'x'), ('-O', 'X=1'), ('-O', 'R='), ('-O', 'O=-1')):
        code, text = run(*words)
        t.ok(code == 64 and 'qmgr' in text, 'refused: qmgr ' + ' '.join(words), (code, text))
    for words, wants in ((('-C', '0'), '-C: expected a number from 1 to 1000000, found'), (('-O', 'X=1'), '-O: expected R= with a number')):
        t.ok(wants in run(*words)[1], 'which says what is wanted: ' + ' '.join(words), run(*words))
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
    t.main(commits, checkpoints, logs, database, threads, tables, incoming, files, amount_of_log, command_line)

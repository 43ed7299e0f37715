#!/usr/bin/env python3
"""What scripts of users rely on: forms of answers, names, exit codes, statistics for other programs, who may ask. TAP; details in smxtest.py."""
import json
import os
import re
import select
import smtplib
import socket
import stat
import subprocess
import sys
import time

import smxtest as t

SOCKETS = {'qmgr': 'qmgrctlsock', 'smtps': 'qmsmtps/smtps.ctl', 'smtpc': 'qmsmtpc/smtpc.ctl', 'smar': 'qmsmar/smar.ctl'}


def gateway(folder, port, **kw):
    g = t.Gateway(folder, port, **kw)
    g.write('smx.conf', t.read(g.conf).replace('retry_min_delay = 1s; retry_max_delay = 2s', 'retry_min_delay = 1h; retry_max_delay = 2h'))
    return g.start()


def run(g, *argv, cwd=None, env=None, text=None):
    """Exit code, stdout, stderr."""
    r = subprocess.run([os.path.join(t.BIN, argv[0]), *argv[1:]], cwd=cwd or g.spool, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                       input=text, timeout=t.LONG, env=dict(t.leaky_env(), **(env or {})), **t.demote())
    return r.returncode, r.stdout, r.stderr


def send(g, sender, rcpts, mail=()):
    with smtplib.SMTP('127.0.0.1', g.port, 'client.test', t.LONG) as s:
        s.ehlo()
        s.mail(sender, mail)
        for r in rcpts:
            s.rcpt(r)
        code, text = s.data('From: <a@source.test>\r\nSubject: x\r\n\r\nx\r\n')
        if code != 250:
            raise t.Failed('DATA: %d %s' % (code, text))
        return re.search(rb'S[0-9A-F]{18}', text).group(0).decode()


# ---- statistics

class Page(Exception):
    """A page that is not OpenMetrics 1.0."""


SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (-?[0-9.e+]+|[+-]Inf|NaN)\n')
SUFFIXES = {'counter': ('_total', '_created'), 'gauge': ('',), 'histogram': ('_bucket', '_sum', '_count', '_created')}


def open_metrics(page):
    """Family -> type, help, {sample and labels: value}; Page says what is wrong with it."""
    families, now, names, done = {}, None, set(), False
    if not page.endswith('# EOF\n'):
        raise Page('no EOF')
    for line in page.splitlines(True):
        if done or not line.endswith('\n') or line == '\n':
            raise Page('line %r' % line)
        if line == '# EOF\n':
            done = True
            continue
        m = re.fullmatch(r'# (TYPE|HELP|UNIT) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)\n', line)
        if m:
            word, name, value = m.groups()
            if now is None or name != now['name']:
                if name in families:
                    raise Page('family %s twice' % name)
                now = families[name] = dict(name=name, samples={})
            if word in now or now['samples'] or (word == 'TYPE' and value not in SUFFIXES) or (word == 'UNIT' and not name.endswith('_' + value)):
                raise Page(line)
            if word == 'HELP' and re.search(r'\\[^\\n"]', value):
                raise Page(line)
            now[word] = value
            continue
        m = SAMPLE.fullmatch(line)
        if not m or not now or 'TYPE' not in now:
            raise Page('line %r' % line)
        name, labels, value = m.groups()
        if not name.startswith(now['name']) or name[len(now['name']):] not in SUFFIXES[now['TYPE']]:
            raise Page('sample %s in family %s, a %s' % (name, now['name'], now['TYPE']))
        key = name, tuple(sorted(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', labels or '')))
        if key in now['samples'] or (now['TYPE'] != 'gauge' and float(value) < 0):
            raise Page(line)
        now['samples'][key] = float(value)
        names.add((name, now['name']))
    if len({n for n, f in names}) != len(names):
        raise Page('a name in two families')
    for f in families.values():
        check_family(f)
    return families


def check_family(f):
    if not f['samples'] or 'HELP' not in f or not f['HELP']:
        raise Page('family %s' % f['name'])
    if f['TYPE'] != 'histogram':
        return
    buckets = [(float(dict(k[1])['le'].replace('+Inf', 'inf')), v) for k, v in f['samples'].items() if k[0].endswith('_bucket')]
    count, total = (f['samples'].get((f['name'] + s, ())) for s in ('_count', '_sum'))
    if buckets != sorted(buckets) or not buckets or buckets[-1] != (float('inf'), count) or total is None or \
       [v for le, v in buckets] != sorted(v for le, v in buckets):
        raise Page('histogram %s' % f['name'])


def http(path, request):
    """Status line and headers, body."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(t.LONG)
        s.connect(os.path.relpath(path))
        s.sendall(request.encode())
        answer = b''.join(iter(lambda: s.recv(65536), b'')).decode()
    head, _, body = answer.partition('\r\n\r\n')
    return head.split('\r\n'), body


def metrics():
    """All programs: pages that OpenMetrics allows, by HTTP and without; text, JSON and they have the same rows, from the start."""
    folder = t.tmpdir('iface')
    sink = t.Sink(folder)
    g = gateway(folder, sink.port)
    before = {}
    for turn in ('at the start', 'after some mail'):
        for name, path in SOCKETS.items():
            head, body = http(g.path(path), 'GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n')
            t.ok(re.match(r'HTTP/1\.[01] 200 ', head[0]) and
                 'Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8' in head, '%s: HTTP' % name, head)
            try:
                families = open_metrics(body)
                t.ok(all(f.startswith('smx_%s_' % name) for f in families), '%s: OpenMetrics %s: %d families' % (name, turn, len(families)))
            except Page as e:
                t.ok(False, '%s: OpenMetrics %s' % (name, turn), e)
                continue
            labels = {k for f in families.values() for k in f['samples']}
            t.equal(before.setdefault(name, labels), labels, name + ': all label sets are there from the start')
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(os.path.relpath(g.path(path)))
                s.sendall(b'stats json\n')
                rows = json.loads(b''.join(iter(lambda: s.recv(65536), b'')))
            t.equal({'smx_%s_%s' % (name, k) for k in rows if k != 'process'}, set(families), name + ': JSON has the same rows')
            t.equal(rows['process'], name, name + ': and says whose they are')
        t.Source(folder, g.port, '-m', '50', '-s', '5').wait()
        g.wait_empty()
    q = open_metrics(run(g, 'qmgrctl', 'stats', '-m')[1])
    t.equal(q['smx_qmgr_delivered']['samples'], {('smx_qmgr_delivered_total', ()): 100.0}, 'qmgrctl stats -m: the same page')
    t.equal(q['smx_qmgr_queue_seconds']['samples'][('smx_qmgr_queue_seconds_count', ())], 100.0, 'with histograms')
    text = dict(line.split(None, 1) for line in run(g, 'qmgrctl', 'stats')[1].splitlines())
    t.equal(text['delivered'], '100', 'as text')
    for request, code in (('GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\n\r\n', '200'), ('GET / HTTP/1.1\r\n\r\n', '404'), ('PUT /metrics HTTP/1.1\r\n\r\n', '405')):
        t.equal(http(g.path('qmgrctlsock'), request)[0][0].split()[1], code, request.split('\r')[0])
    if subprocess.run(['which', 'curl'], stdout=subprocess.DEVNULL, check=False).returncode:
        t.skip('curl', 'is not there')
    else:
        r = subprocess.run(['curl', '-sf', '--unix-socket', os.path.relpath(g.path('qmgrctlsock')), 'http://x/metrics'], stdout=subprocess.PIPE,
                           text=True, check=False)
        t.ok(r.returncode == 0 and 'smx_qmgr_delivered' in open_metrics(r.stdout), 'curl --unix-socket')


# ---- who may ask

def rights():
    """Control sockets are for root, the accounts of smX and the own user."""
    folder = t.tmpdir('iface')
    g = gateway(folder, t.free_port())
    for name, path in SOCKETS.items():
        st = os.stat(g.path(path))
        t.equal((stat.S_ISSOCK(st.st_mode), stat.S_IMODE(st.st_mode)), (True, 0o660), name + ': mode of the control socket')
    if not t.ROOT:
        t.skip('another user', 'only root can be one')
        return
    # Even when the file would let him.
    for d in (folder, g.spool, *(os.path.dirname(g.path(p)) for p in SOCKETS.values())):
        os.chmod(d, 0o777)
    ask = 'import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\ntry:\n s.sendall(b"help\\n")\nexcept OSError:\n pass\n' \
          'try:\n for part in iter(lambda: s.recv(65536), b""): print(part)\nexcept OSError:\n pass\n'
    for name, path in SOCKETS.items():
        os.chmod(g.path(path), 0o777)
        said = {}
        for who in (0, t.NOBODY, 12345):
            r = subprocess.run(['python3', '-c', ask, path], cwd=g.spool, user=who, group=who, extra_groups=[], stdout=subprocess.PIPE, text=True, check=False)
            said[who] = 'log_level' in r.stdout
        t.equal(said, {0: True, t.NOBODY: True, 12345: False}, name + ': root and the own user are answered, others not')


# ---- the tools

def where():
    """The spool: -d, else $SMX_SPOOL, else the current folder, else the installed one."""
    folder = t.tmpdir('iface')
    g = gateway(folder, t.free_port())
    other = os.path.join(folder, 'other')
    os.mkdir(other)
    t.own(other)
    sock = g.path('qmgrctlsock')
    installed = re.search(r'spool ([^\s,]+)', run(g, 'qmgr', '-VV')[1]).group(1)
    tools = (('mailq',), ('qmgrctl',), ('cdbctl', 'ls'))
    for tool, *rest in tools:
        t.equal(run(g, tool, '-d', g.spool, *rest, cwd='/')[0], 0, tool + ' -d DIR')
        t.equal(run(g, tool, *rest, cwd='/', env={'SMX_SPOOL': g.spool})[0], 0, tool + ' with SMX_SPOOL')
        t.equal(run(g, tool, *rest)[0], 0, tool + ' in the spool')
        code, out, err = run(g, tool, '-d', other, *rest, env={'SMX_SPOOL': g.spool})
        t.ok(code == 66 and other in err and not out, tool + ': -d comes first', (code, out, err))
        code, out, err = run(g, tool, *rest, env={'SMX_SPOOL': other})
        t.ok(code == 66 and other in err and not out, tool + ': then SMX_SPOOL', (code, out, err))
        if os.path.exists(installed):
            t.skip(tool + ' elsewhere', 'smX is installed')
        else:
            code, out, err = run(g, tool, *rest, cwd=other)
            t.ok(code == 66 and installed in err and not out, tool + ': then the installed one', (code, out, err))
    for tool in ('mailq', 'qmgrctl'):
        t.equal(run(g, tool, '-s', sock, cwd='/')[0], 0, tool + ' -s SOCKET')
        t.equal(run(g, tool, '-d', g.spool, '-s', 'qmgrctlsock', cwd='/')[0], 0, tool + ' -s SOCKET in the spool')
    for tool in ('qmgr', 'mailq', 'qmgrctl', 'cdbctl', 'createmap'):
        code, out, err = run(g, tool, '-h')
        t.ok(code == 0 and 'usage: ' + tool in out and not err, tool + ' -h', (code, out, err))
        one, three = run(g, tool, '-V'), run(g, tool, '-VVV')
        t.ok(one[0] == three[0] == 0 and re.match(tool + r':? .*\d+\.\d+\.\d+\n', one[1]) and three[1].startswith(one[1]) and
             len(three[1]) > len(one[1]), tool + ' -V, and more with more', (one, three))
        code, out, err = run(g, tool, '-?')
        t.ok(code == 64 and 'usage' in err and not out, tool + ': a wrong option', (code, out, err))
    for argv in (('status', 'x'), ('stats', 'x'), ('suspensions', 'x'), ('reload', 'x'), ('help', 'x'), ('log_level', '1', '2'), ('destinations', 'x')):
        code, out, err = run(g, 'qmgrctl', *argv)
        t.ok(code == 64 and 'unexpected' in err and not out, 'qmgrctl %s: a word too many' % ' '.join(argv), (code, out, err))


HEAD = re.compile(r'(S[0-9A-F]{18})([ *!]) +(\d+) (\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d) <(.*)>')


def parse_mailq(text):
    """id -> size, sender, [(recipient, reply)], as a script would."""
    out, reply, now = {}, None, None
    lines = text.splitlines()
    if not lines[0].startswith('-') or not re.fullmatch(r'\tTotal messages: \d+', lines[-1]):
        raise t.Failed('mailq: ' + text)
    for line in lines[1:-1]:
        m = HEAD.fullmatch(line)
        if m:
            now = out[m.group(1)] = (m.group(2), int(m.group(3)), m.group(5), [])
        elif re.fullmatch(r' {21}\(.*\)', line):
            reply = line.strip()[1:-1]
        elif re.fullmatch(r' {50}<.*>', line):
            now[3].append((line.strip()[1:-1], reply))
            reply = None
        else:
            raise t.Failed('mailq: line %r' % line)
    return out


KEYS = {'id', 'size', 'arrival', 'sender', 'client', 'envid', 'recipients'}
RCPT_KEYS = {'address', 'original', 'owner', 'state', 'attempts', 'last_reply', 'stage', 'last_attempt', 'next_attempt', 'parked', 'route', 'rerouted',
             'suspended'}


def listings():
    """mailq as a script reads it: lines for people, and JSON with the keys of mailq(1)."""
    folder = t.tmpdir('iface')
    sink = t.Sink(folder, '--fail', 'rcpt:450 4.2.1 busy, "quoted" back\\slash 50%:100%:busy')
    g = gateway(folder, sink.port)
    begin = int(time.time())
    t.equal(run(g, 'mailq'), (0, 'Mail queue is empty\n', ''), 'an empty queue')
    t.equal(run(g, 'mailq', '-j'), (0, '', ''), 'an empty queue as JSON')
    run(g, 'qmgrctl', 'suspend', 'domain=wait.test')
    one = send(g, 'joe@source.test', ('busy1@sink.test', 'good@sink.test', 'busy2@sink.test'), ('ENVID=a+2Bb',))
    two = send(g, '', ('late@wait.test',))
    three = send(g, 'ann@source.test', ('hold@wait.test',))
    t.until(lambda: [len(m['recipients']) for m in g.queue()] == [2, 1, 1] and 'aq: 0 of' in g.ctl('status'), 'results')
    run(g, 'qmgrctl', 'hold', three)
    rows = {m['id']: m for m in map(json.loads, run(g, 'mailq', '-j')[1].splitlines())}
    t.equal(list(rows), [one, two, three], 'a JSON object for each message, in a line of its own')
    t.ok(all(set(m) <= KEYS and all(set(r) <= RCPT_KEYS for r in m['recipients']) for m in rows.values()), 'with the keys of mailq(1)', rows)
    m = rows[one]
    t.ok(m['sender'] == 'joe@source.test' and m['client'] == '127.0.0.1' and begin - 1 <= m['arrival'] <= time.time() + 1 and m['envid'] == 'a+2Bb' and
         rows[two]['sender'] == '', 'what is known of a message', rows)
    r = m['recipients'][0]
    t.ok(r['address'] == 'busy1@sink.test' and r['state'] == 'deferred' and r['attempts'] == 1 and r['stage'] == 'RCPT' and r['route'] == '[127.0.0.1]' and
         begin - 1 <= r['last_attempt'] <= time.time() + 1 < r['next_attempt'], 'and of a recipient', r)
    t.equal(r['last_reply'], '450 4.2.1 busy, "quoted" back\\slash 50%', 'the reply as it was')
    t.equal(rows[two]['recipients'][0].get('suspended'), 1, 'which suspension it waits for')
    t.equal([r['state'] for r in rows[three]['recipients']], ['held'], 'held')
    text = parse_mailq(run(g, 'mailq')[1])
    t.equal({k: (v[1], v[2], [a for a, reply in v[3]]) for k, v in text.items()},
            {k: (m['size'], m['sender'], [r['address'] for r in m['recipients']]) for k, m in rows.items()}, 'the listing for people has the same')
    t.equal(text[one][3][0][1], '450 4.2.1 busy, "quoted" back\\slash 50%', 'with the last reply', )
    t.equal([v[0] for v in text.values()], [' ', ' ', '!'], 'and a mark for what is held')
    s = json.loads(run(g, 'qmgrctl', '-j')[1])
    text = dict(re.findall(r'^(\w[\w ]*): (\d+)', run(g, 'qmgrctl')[1], re.M))
    t.equal((s['messages'], s['deferred'], s['held'], s['suspensions'], s['feedback'], s['cause']), (3, 3, 1, 1, 0, 'none'), 'qmgrctl -j')
    t.equal([int(text[k]) for k in ('messages', 'deferred', 'held', 'suspensions', 'feedback')], [3, 3, 1, 1, 0], 'qmgrctl')
    t.equal(run(g, 'qmgrctl', 'status')[1].split('\n')[0], run(g, 'qmgrctl')[1].split('\n')[0], 'which is status')
    g.stop()
    again = {m['id']: m for m in map(json.loads, run(g, 'mailq', '-j')[1].splitlines())}
    t.equal(again, rows, 'the stopped one has the same')
    t.equal(parse_mailq(run(g, 'mailq')[1]).keys(), rows.keys(), 'also for people')


class Dying:
    """Stands in for a qmgr that ends: listens on its socket, takes a question or not, says something or not, and is gone."""

    def __init__(self, g):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(t.LONG)
        if os.path.exists(g.path('qmgrctlsock')):
            os.unlink(g.path('qmgrctlsock'))
        self.s.bind(os.path.relpath(g.path('qmgrctlsock')))
        t.own(g.path('qmgrctlsock'))
        self.s.listen()

    def ask(self, g, *argv):
        p = subprocess.Popen([os.path.join(t.BIN, argv[0]), *argv[1:]], cwd=g.spool, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env=t.leaky_env(), **t.demote())
        select.select([self.s], [], [], t.LONG)     # it is connected
        return p

    def end(self, answer):
        """None: the question is never taken."""
        if answer is None:
            return self.s.close()
        c = self.s.accept()[0]
        c.settimeout(t.LONG)
        while not c.recv(4096).endswith(b'\n'):
            pass
        self.s.close()
        c.sendall(answer)
        c.close()


def result(p):
    out, err = p.communicate(timeout=t.LONG)
    return p.returncode, out, err


def waits_for_process(p):
    try:
        fd = '/proc/%d/fd/' % p.pid
        return p.poll() is not None or any('pidfd' in os.readlink(fd + n) for n in os.listdir(fd))
    except OSError:
        return False


def gone():
    """A qmgr that ends while it is asked."""
    folder = t.tmpdir('iface')
    g = gateway(folder, t.free_port())
    one = send(g, 'a@source.test', ['x@to.test'])
    g.stop()
    for what, answer in (('before it takes the question', None), ('before it answers', b'')):
        for argv, code, says in ((('mailq', '-j'), 0, ''), (('qmgrctl', 'status'), 76, 'stopped before'), (('qmgrctl', 'suspensions'), 76, 'stopped before'),
                                 (('qmgrctl', 'hold', one), 76, 'may have done it')):
            if argv[1] == 'suspensions' and answer is not None:
                continue                            # that is an answer: there are none
            d = Dying(g)
            p = d.ask(g, *argv)
            d.end(answer)
            rc, out, err = result(p)
            t.ok(rc == code and says in err and (one in out) == (argv[0] == 'mailq'), '%s: qmgr ends %s' % (' '.join(argv[:2]), what), (rc, out, err))
    d = Dying(g)
    p = d.ask(g, 'mailq')
    d.end(b'what is here is cut\n')
    t.equal(result(p)[0], 76, 'in the middle of its answer')
    # Its sockets are gone, its lock is not yet.
    lock = subprocess.Popen([sys.executable, '-c', 'import fcntl, sys; f = open(sys.argv[1], "r+"); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()',
                             g.path('defedb/LOCK')], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    lock.stdout.readline()
    d = Dying(g)
    p = d.ask(g, 'mailq', '-j')
    d.end(b'')
    t.until(lambda: waits_for_process(p), 'mailq waits for the end of qmgr')
    lock.communicate()
    rc, out, err = result(p)
    t.ok(rc == 0 and one in out, 'mailq looks into the database when qmgr has left it', (rc, out, err))


def maps():
    """createmap: what it says, and that a bad file leaves the map alone."""
    folder = t.tmpdir('iface')
    g = t.Gateway(folder)
    t.equal(run(g, 'createmap', '-F', 'm.db', text='oci: 5\noci:10\t7\nLong  a\n  b\n# no\n'), (0, '', ''), 'a map')
    was = os.stat(g.path('m.db')).st_ino
    for text, line, what in (('a 1\nA 2\n', 2, 'duplicate key'), ('a 1\nb\n', 2, 'expected a value'), (' a 1\n', 1, 'white space'),
                             ('a 1\n\n' + 'k' * 512 + ' 1\n', 3, '511')):
        code, out, err = run(g, 'createmap', '-F', 'm.db', text=text)
        t.ok(code == 65 and re.search(r'^stdin:%d: .*%s' % (line, what), err) and not out, 'createmap says line and reason: ' + what, (code, out, err))
    t.equal(os.stat(g.path('m.db')).st_ino, was, 'and the old map is untouched')
    t.equal(run(g, 'createmap', '-F', 'm.db', '-t', 'OCI:10'), (0, '7\n', ''), 'createmap -t')
    t.equal(run(g, 'createmap', '-F', 'm.db', '-t', 'none')[:2], (1, ''), 'createmap -t, no such key')
    text = run(g, 'createmap', '-F', 'm.db', '-d')[1]
    t.ok({'oci\t5', 'oci:10\t7'} < set(text.splitlines()) and '\nlong\t' in '\n' + text, 'createmap -d', text)
    t.equal(run(g, 'createmap', '-F', 'n.db', text=text), (0, '', ''), 'what it prints is a map again')
    t.equal(run(g, 'createmap', '-F', 'n.db', '-d')[1], text, 'and the same')


if __name__ == '__main__':
    t.main(metrics, rights, where, listings, gone, maps)

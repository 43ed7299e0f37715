#!/usr/bin/env python3
"""smtps and hostile clients: descriptors, resets, smuggling, slow and vanishing clients, many sessions, several
servers, PROXY and XCLIENT, a graceful stop, the log.

TAP. Details in smxtest.py.
"""
import contextlib
import json
import os
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import time

import smxtest as t

PYTHON = '/usr/bin/python3' if os.path.exists('/usr/bin/python3') else sys.executable
LARGE = ' SIZE=4000000'        # goes to a file of its own
ID = r'S[0-9A-F]{16}[0-9A-F]{2}'


class Server:
    """A gateway with a sink that keeps what it gets."""

    def __init__(self, name, sink=(), sections='', start=True, **kw):
        self.folder = t.tmpdir('server-' + name)
        self.sink = t.Sink(self.folder, *sink, dump=True)
        self.g = t.Gateway(self.folder, self.sink.port, **kw)
        if sections:
            self.g.write('smx.conf', t.read(self.g.conf) + sections)
        if start:
            self.g.start()

    def client(self, ehlo='client.test', port=None):
        c = t.Client(port or self.g.port)
        c.want('250', 'EHLO ' + ehlo)
        return c

    def ctl(self, request, name='smtps'):
        """An answer of smtps' control socket."""
        cwd = os.getcwd()
        out = b''
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(t.LONG)
            os.chdir(self.g.spool)
            try:
                s.connect('qmsmtps/%s.ctl' % name)
            finally:
                os.chdir(cwd)
            s.sendall(request.encode() + b'\n')
            while part := s.recv(65536):
                out += part
        return out.decode()

    def stat(self, name, server='smtps'):
        return json.loads(self.ctl('stats json', server))[name]

    def got(self, n):
        self.sink.wait('messages', n)
        self.g.wait_empty(retry=False)
        return self.sink.dumped()


def cpu(pid):
    """CPU seconds of a process so far."""
    with open('/proc/%d/stat' % pid) as f:
        part = f.read().rsplit(')', 1)[1].split()
    return (int(part[11]) + int(part[12])) / os.sysconf('SC_CLK_TCK')


def raw(port):
    s = socket.create_connection(('127.0.0.1', port), t.LONG)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def read_to_end(s):
    """All that comes until the other side ends, and how it ended."""
    out = b''
    try:
        while part := s.recv(65536):
            out += part
    except ConnectionResetError:
        return out, 'reset'
    return out, 'end'


# ---- descriptors

def fds_of(pid):
    return len(os.listdir('/proc/%d/fd' % pid))


def limit_fds(pid, soft):
    """Sets the soft limit of another process, as its user: a container's root may not."""
    code = ('import resource, sys; pid, soft = map(int, sys.argv[1:]); n = resource.RLIMIT_NOFILE; '
            'hard = resource.prlimit(pid, n)[1]; resource.prlimit(pid, n, (soft or hard, hard))')
    subprocess.run([PYTHON, '-c', code, str(pid), str(soft)], check=True, timeout=t.LONG, **t.demote())


def no_descriptors():
    """Without a free descriptor nothing spins: SMTP, control socket, links; mail gets 451; then it goes on."""
    x = Server('fds')
    pid = x.g.pids()['smtps']
    with x.client() as c:
        t.ok(c.send(b'Subject: small\r\n\r\nx\r\n.\r\n').startswith('250'), 'before')
        limit = max(int(n) for n in os.listdir('/proc/%d/fd' % pid)) + 1
        limit_fds(pid, limit)
        fill = [raw(x.g.port) for _ in range(limit - fds_of(pid))]
        t.until(lambda: fds_of(pid) == limit, 'no free descriptor')
        waiting = [raw(x.g.port) for _ in range(5)]
        ctl = socket.socket(socket.AF_UNIX)
        cwd = os.getcwd()
        os.chdir(x.g.spool)
        ctl.connect('qmsmtps/smtps.ctl')
        os.chdir(cwd)
        begin = cpu(pid)
        r = c.send(b'Subject: large\r\n\r\n' + b'x' * 70 + b'\r\n' * 4000 + b'.\r\n', mail=LARGE)
        t.ok(r.startswith('451'), 'content that needs a file: 451', r)
        smar = x.g.pids()['smar']
        t.kill(smar)                                # smtps must connect again; its own descriptor is free now
        t.until(lambda: x.g.pids().get('smar') not in (None, smar), 'another smar')
        end = time.monotonic() + 2
        while time.monotonic() < end:
            time.sleep(0.1)
        used = cpu(pid) - begin
        t.ok(used < 0.7, 'nothing spins meanwhile', '%.2f CPU seconds' % used)
        limit_fds(pid, 0)
        for s in waiting:
            t.ok(s.recv(100).startswith(b'220'), 'one that waited is greeted')
        ctl.sendall(b'stats json\n')
        out, how = read_to_end(ctl)
        t.ok(json.loads(out)['accept_errors'] > 0, 'and the control socket answers', out)
        for s in waiting + fill + [ctl]:
            s.close()
        t.until(lambda: c.send(b'Subject: large\r\n\r\n' + b'x' * 70 + b'\r\n' * 4000 + b'.\r\n', mail=LARGE).startswith('250'), 'it goes on')
    t.equal(len(x.got(2)), 2, 'what got 250 arrives')
    t.equal(x.g.stop(), 0, 'clean stop')


def some_descriptors_are_kept():
    """More clients than descriptors: those who wait are not accepted, those who are in are served."""
    x = Server('keep', smtps='max_fds = 128;')
    socks = [raw(x.g.port) for _ in range(150)]
    t.until(lambda: x.stat('sessions_open') >= 60, 'sessions')
    t.equal(x.stat('sessions_open'), 64, 'as many as leave descriptors for the rest')
    t.until(lambda: 'max_sessions=10000, descriptors=128, status=at most 64 sessions' in x.g.log('smtps'), 'which the log says')
    c = t.Client.__new__(t.Client)
    c.sock, c.rest = socks[0], b''
    c.reply()
    c.want('250', 'EHLO client.test')
    r = c.send(b'Subject: large\r\n\r\n' + b'x' * 70 + b'\r\n' * 4000 + b'.\r\n', mail=LARGE)
    t.ok(r.startswith('250'), 'a message that needs a file is taken', r)
    t.equal(x.stat('accept_errors'), 0, 'accept() has not failed')
    for s in socks[:100]:
        s.close()
    for s in socks[100:]:
        t.ok(s.recv(100).startswith(b'220'), 'those who waited are greeted') if s is socks[-1] else s.recv(100)
    t.equal(x.g.stop(), 0, 'clean stop')


# ---- the end of a session

def no_reply_is_lost():
    """A client that goes on sending after QUIT reads all replies, and the end, but no reset."""
    x = Server('reset')
    s = raw(x.g.port)
    s.sendall(b'EHLO client.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nDATA\r\n')
    s.sendall(b'Subject: x\r\n\r\nx\r\n.\r\nQUIT\r\n')
    t.until(lambda: x.stat('messages_accepted') == 1, 'the message')
    for _ in range(50):
        s.sendall(b'NOOP\r\n')
    out, how = read_to_end(s)
    t.ok(re.search(rb'250 2\.0\.0 S\w+ accepted\r\n221 2\.0\.0 Bye\r\n$', out), 'all replies', out)
    t.equal(how, 'end', 'and the end')
    for _ in range(50):
        s.sendall(b'NOOP\r\n')
    t.equal(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0, 'no reset while the client sends')
    s.close()
    # 421 too.
    s = raw(x.g.port)
    s.sendall(b'NOOP\r\n' * 100)
    out, how = read_to_end(s)
    t.ok(out.endswith(b'421 4.7.0 Too many commands without a transaction\r\n') and how == 'end', 'a limit: 421, and the end', (out, how))
    s.sendall(b'NOOP\r\n' * 100)
    t.equal(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0, 'no reset there either')
    s.close()
    t.until(lambda: x.stat('sessions_open') == 0, 'no session is left')
    t.equal(x.g.stop(), 0, 'clean stop')


# ---- smuggling

EVIL = b'MAIL FROM:<evil@source.test>\r\nRCPT TO:<victim@sink.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n'
ENDS = [b'\n.\n', b'\n.\r\n', b'\r\n.\n', b'\r.\r', b'\r\n.\r', b'\r.\r\n', b'\n.\r', b'\r.\n', b'\r\n.\r\r\n', b'\n\n.\n\n',
        b'\r\n\0.\r\n', b'\r\n.\0\r\n', b'\r\0\n.\r\n', b'\r\n.\r\0\n', b'\r\n\0.\0\r\n', b'\n\r.\n\r', b'\r\n .\r\n', b'\r\n.\t\r\n',
        b'\r\n. \r\n', b'\r\n\x0b.\r\n', b'\r\n\x85.\r\n', b'\r\n.\x1a\r\n', b'\r\n..\r\n']


def smuggling():
    """What could be taken for the end of data by somebody else: one message, or none, at the next hop."""
    for newline in ('reject', 'normalize'):
        x = Server('smuggle', sink=('--without', 'CHUNKING'), smtps='bare_newline = %s;' % newline)
        accepted = 0
        for n, end in enumerate(ENDS):
            for step in (0, 1):
                with x.client() as c:
                    c.want('250', 'MAIL FROM:<good@source.test>')
                    c.want('250', 'RCPT TO:<b@sink.test>')
                    c.want('354', 'DATA')
                    wire = b'Subject: good %d\r\n\r\nx' % n + end + EVIL
                    c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    for i in range(0, len(wire), step or len(wire)):
                        c.sock.sendall(wire[i:i + (step or len(wire))])
                    r = c.reply()
                    c.sock.sendall(b'NOOP\r\n')
                    one = c.reply()
                    t.ok(r[:3] in ('250', '550') and one.startswith('250'), '%s %r by %d: one reply' % (newline, end, step), (r, one))
                    accepted += r.startswith('250')
                    if newline == 'reject' and re.search(rb'(?<!\r)\n|\r(?!\n)', end):
                        t.ok(r.startswith('550 5.6.0'), 'and it is no', r)
        dumps = x.got(accepted) if accepted else []
        t.equal(len(dumps), accepted, '%s: as many came out as were accepted' % newline)
        t.ok(all(b'X-Envelope-To: victim' not in d and b'X-Envelope-To: <victim' not in d for d in dumps), '%s: none to the victim' % newline)
        t.ok(all(re.search(rb'Subject: good', d) and not re.match(rb'(?s)(?:X-[^\r]*\r\n)*Received:.*?\r\nSubject: smuggled', d.split(b'\r\n\r\n')[0])
                 for d in dumps), '%s: each is a good one' % newline)
        if newline == 'normalize':
            t.ok(accepted >= 2 * 15, 'normalize: those with bare newlines are taken', accepted)
        t.equal(x.g.stop(), 0, 'clean stop')
        t.end_all()


def chunks_to_data():
    """Chunks with every form of dots and line ends in them come out whole at a next hop without CHUNKING."""
    x = Server('chunks', sink=('--without', 'CHUNKING'))
    rng = t.rng('chunks')
    texts = []
    with x.client() as c:
        for n in range(60):
            lines = [rng.choice([b'', b'.', b'..', b'.x', b'x.', b'...', b'a' * rng.randrange(1, 90)]) for _ in range(rng.randrange(1, 30))]
            text = b'Subject: %d\r\n\r\n' % n + b'\r\n'.join(lines) + b'\r\n'
            c.want('250', 'MAIL FROM:<a@source.test>')
            c.want('250', 'RCPT TO:<b@sink.test>')
            at = 0
            while at < len(text):
                size = rng.choice([1, 2, 3, 5, 17, 200])
                part = text[at:at + size]
                at += size
                c.sock.sendall(b'BDAT %d%s\r\n' % (len(part), b' LAST' if at >= len(text) else b'') + part)
                r = c.reply()
                if not r.startswith('250'):
                    t.ok(False, 'a chunk is taken', r)
            texts.append(text)
    dumps = x.got(len(texts))
    plain = sorted(re.sub(rb'(?m)^\.', b'', d[d.index(b'Subject:'):-len(b'.\r\n')]) for d in dumps)
    t.ok(plain == sorted(texts), 'all are as they were', [p for p in plain if p not in texts][:1])
    t.equal(x.g.stop(), 0, 'clean stop')


def huge_header():
    """A header section of 100 MB: refused, in bounded memory; the session goes on."""
    mb = 10 if t.SANITIZED else 100
    x = Server('header', smtps='max_message_size = %dMB;' % (mb + 10))
    peak = lambda: int(re.search(r'VmHWM:\s+(\d+)', t.read('/proc/%d/status' % x.g.pids()['smtps'])).group(1))
    with x.client() as c:
        c.send(b'Subject: x\r\n\r\nx\r\n.\r\n')
        before = peak()
        for name, line in (('fields', b'X-Field: ' + b'x' * 53 + b'\r\n'), ('one, folded', b' ' + b'x' * 61 + b'\r\n')):
            c.want('250', 'MAIL FROM:<a@b.test>')
            c.want('250', 'RCPT TO:<c@sink.test>')
            c.want('354', 'DATA')
            c.sock.sendall(b'Subject: x\r\n')
            for _ in range(mb):
                c.sock.sendall(line * (1 << 14))
            c.sock.sendall(b'\r\nx\r\n.\r\n')
            r = c.reply()
            t.ok(r.startswith('552 5.3.4'), '%d MB of header, %s: refused' % (mb, name), r)
        t.ok(c.send(b'Subject: x\r\n\r\nx\r\n.\r\n').startswith('250'), 'the session goes on')
        if not t.SANITIZED:
            t.ok(peak() - before < 4096, 'in less than 4 MB more memory', peak() - before)
    x.got(2)
    t.equal(x.g.stop(), 0, 'clean stop')


# ---- clients that vanish

def vanish():
    """A client that goes at each byte leaves nothing but what it had sent whole."""
    x = Server('vanish', smtps='max_sessions = 100000;')
    talk = b'EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@sink.test>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@sink.test>\r\nBDAT 3 LAST\r\nx\r\nQUIT\r\n'
    first, second = talk.index(b'\r\n.\r\n') + 5, talk.index(b'LAST\r\nx\r\n') + 9
    most = least = 0
    socks = []
    for n in range(len(talk) + 1):
        for reset in (False, True):
            s = raw(x.g.port)
            s.sendall(talk[:n])
            if reset:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                s.close()
            else:
                s.shutdown(socket.SHUT_WR)
                socks.append((s, (n >= first) + (n >= second)))
            most += (n >= first) + (n >= second)
    for s, want in socks:
        out, how = read_to_end(s)
        if out.count(b' accepted\r\n') != want:
            t.ok(False, 'a half-closed client gets all its replies', (out, want))
        least += want
        s.close()
    t.until(lambda: x.stat('sessions_open') == 0, 'no session is left')
    accepted = x.stat('messages_accepted')
    t.ok(least <= accepted <= most, 'at least %d, at most %d messages' % (least, most), accepted)
    x.sink.wait('messages', accepted)
    x.g.wait_empty(retry=False)
    t.equal(x.sink.ask()['messages'], accepted, 'each that was accepted arrives, once')
    t.equal([n for d in '0123456789ABCDEF' for n in os.listdir(x.g.path(d)) if re.fullmatch(ID, n)], [], 'no file is left over')
    t.equal(x.g.stop(), 0, 'clean stop')


# ---- many

def many_sessions():
    """As many sessions as the machine allows, 10,000 at most: each is greeted, and each can send."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    n = min(10000, hard - 1000 if hard > 3000 else hard // 2)
    if t.SANITIZED:
        n = min(n, 1000)
    t.diag('%d sessions' % n)
    x = Server('many', smtps='max_sessions = %d;' % (n + 100))
    pid = x.g.pids()['smtps']
    rss = lambda: int(re.search(r'VmRSS:\s+(\d+)', t.read('/proc/%d/status' % pid)).group(1))
    before = rss()
    socks = []
    for i in range(n):
        socks.append(raw(x.g.port))
        if i % 100 == 99:                           # the backlog of the listening socket is not the subject
            socks[-1].recv(100)
            socks[-1].sendall(b'EHLO client.test\r\n')
    for i, s in enumerate(socks):
        if i % 100 != 99:
            if not s.recv(200).startswith(b'220'):
                t.ok(False, 'session %d is greeted' % i)
            s.sendall(b'EHLO client.test\r\n')
    t.until(lambda: x.stat('commands') >= n, 'all have said EHLO', 4 * t.LONG)
    t.equal(x.stat('sessions_open'), n, 'all are open')
    each = (rss() - before) * 1024 / n
    t.diag('%d bytes for each idle session' % each)
    if not t.SANITIZED:
        t.ok(each <= 8192, 'at most 8 KB for an idle session', each)
    for s in socks:
        s.recv(1000)
    for s in socks:
        s.sendall(b'MAIL FROM:<a@b.test>\r\nRCPT TO:<c@sink.test>\r\nDATA\r\n')
    t.until(lambda: x.stat('rcpt_accepted') == n, 'all have a recipient', 4 * t.LONG)
    for s in socks:
        s.sendall(b'Subject: x\r\n\r\nx\r\n.\r\nQUIT\r\n')
    good = 0
    for s in socks:
        out, how = read_to_end(s)
        good += bool(re.search(rb'250 2\.0\.0 S\w+ accepted\r\n221 ', out)) and how == 'end'
        s.close()
    t.equal(good, n, 'each message is accepted')
    x.g.wait_empty(limit=4 * t.LONG, retry=False)
    t.equal(x.sink.ask()['messages'], n, 'and arrives')
    t.equal(x.stat('sessions_open'), 0, 'no session is left')
    t.equal(x.g.stop(), 0, 'clean stop')


def few_places():
    """Above max_sessions clients wait in the listening socket; idle sessions make room for them."""
    x = Server('places', smtps='max_sessions = 20;')
    socks = [raw(x.g.port) for _ in range(30)]
    for s in socks[:20]:
        t.ok(s.recv(100).startswith(b'220'), 'one of 20 is greeted') if s is socks[19] else s.recv(100)
    t.equal(x.stat('sessions_open'), 20, '20 are in')
    ended = sum(read_to_end(s)[0].startswith(b'421 4.4.2') for s in socks[:20])
    t.ok(ended >= 10, '%d idle ones are told 421' % ended)
    for s in socks[:20]:
        s.close()
    for s in socks[20:]:
        t.ok(s.recv(100).startswith(b'220'), 'one that waited is greeted') if s is socks[-1] else s.recv(100)
    t.equal(x.g.stop(), 0, 'clean stop')


# ---- several servers

MSA = '''
smtps MSA {
  id = 7; log_level = 9; max_threads = 1;
  flags = { 8bitmime, access }; max_message_size = 1MB; max_bad_commands_per_session = 1;
  listen_socket { type = inet; address = 127.0.0.1; port = %(one)d; }
  listen_socket { type = inet; address = 127.0.0.1; port = %(two)d; }
  %(six)s
  listen_socket { type = unix; path = "smtps/local"; umask = 0117; }
  start_action = pass; pass_fd_socket = "smtps/msafd"; path = "%(bin)s/smtps"; arguments = "smtps -N MSA -f %(conf)s";
}
'''


def has_ipv6():
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as s:
        s.bind(('::1', 0))
        return True
    return False


def free_port6():
    with socket.socket(socket.AF_INET6) as s:
        s.bind(('::1', 0))
        return s.getsockname()[1]


def several_servers():
    """Two sections with -N: addresses, ports, IPv6, a unix socket, options and ids of their own."""
    x = Server('two', start=False)
    one, two, six = t.free_port(), t.free_port(), free_port6() if has_ipv6() else 0
    x.g.write('smx.conf', t.read(x.g.conf) + MSA % dict(
        one=one, two=two, bin=t.BIN, conf=x.g.conf,
        six='listen_socket { type = inet; address = ::1; port = %d; }' % six if six else ''))
    x.g.start()
    t.until(lambda: os.path.exists(x.g.path('qmsmtps/MSA.ctl')), 'the other server')
    with t.Client(x.g.port) as c:
        t.ok('SIZE 52428800' in c.say('EHLO x'), 'the first server has its options')
        t.ok(re.fullmatch(r'250 2\.0\.0 S[0-9A-F]{16}00 accepted', c.send(b'Subject: mta\r\n\r\nx\r\n.\r\n')), 'and its ids')
    for n, port in enumerate((one, two)):
        with t.Client(port) as c:
            t.ok('SIZE 1048576' in c.say('EHLO x'), 'port %d: the options of the second server' % n)
            t.ok(re.fullmatch(r'250 2\.0\.0 S[0-9A-F]{16}07 accepted', c.send(b'Subject: msa%d\r\n\r\nx\r\n.\r\n' % n)), 'and its ids')
            c.say('FOO')
            t.ok(c.say('FOO').startswith('421'), 'and its limits')
    if six:
        s = socket.create_connection(('::1', six), t.LONG)
        s.sendall(b'EHLO x\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<postmaster>\r\nDATA\r\nSubject: six\r\n\r\nx\r\n.\r\nQUIT\r\n')
        t.ok(b' accepted\r\n221' in read_to_end(s)[0], 'over IPv6')
        t.ok('client_ipv6=::1' in t.until(lambda: 'client_ipv6' in x.g.log('MSA') and x.g.log('MSA'), 'the log'), 'which the log says')
    cwd = os.getcwd()
    os.chdir(x.g.spool)
    s = socket.socket(socket.AF_UNIX)
    s.connect('smtps/local')
    os.chdir(cwd)
    s.sendall(b'EHLO gw.smx.test\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@sink.test>\r\nDATA\r\nSubject: local\r\n\r\nx\r\n.\r\nQUIT\r\n')
    out = read_to_end(s)[0]
    t.ok(b' accepted\r\n221' in out, 'over a unix socket, with our own name', out)
    dumps = x.got(4)
    local = [d for d in dumps if b'Subject: local' in d][0]
    t.ok(b'Received: from gw.smx.test ([127.0.0.1])' in local, 'which is this host', local)
    t.until(lambda: re.search(r'client_ipv4=127\.0\.0\.1, (client_name=[^,]*, )?via=local, stat=0', x.g.log('MSA')), 'and logged as local')
    t.ok(not re.search(r'ss_sess=S[0-9A-F]{16}07', x.g.log('smtps')), 'each logs by itself')
    t.equal(x.stat('messages_accepted', 'MSA'), 4 if six else 3, 'and counts by itself')
    t.equal(x.g.stop(), 0, 'clean stop')


# ---- other clients speak for theirs

def v2(ip, port=4444, extra=b''):
    body = socket.inet_aton(ip) + socket.inet_aton('192.0.2.2') + struct.pack('>HH', port, 25) + extra
    return b'\r\n\r\n\0\r\nQUIT\n\x21\x11' + struct.pack('>H', len(body)) + body


def proxy_and_xclient():
    """The address of the real client counts: access map, EHLO check, Received, log."""
    x = Server('proxy', smtps='proxy_protocol_from = { "127.0.0.0/8" };',
               access='cltaddr:198.51.100.7 relay\ncltaddr:198.51.100.8 error:550 5.7.1 go away\n', start=False)
    x.g.launch()
    t.until(lambda: os.path.exists(x.g.path('qmsmtps/smtps.ctl')), 'smtps is there')

    def talk(head, parts=None, ehlo=b'x'):
        s = raw(x.g.port)
        for i in range(0, len(head), parts or len(head) or 1):
            s.sendall(head[i:i + (parts or len(head))])
        s.sendall(b'EHLO ' + ehlo + b'\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@sink.test>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n')
        out = read_to_end(s)[0]
        s.close()
        return out

    t.until(lambda: b' accepted\r\n221' in talk(v2('198.51.100.7')), 'version 2')
    n = 1
    for name, head in (('version 1', b'PROXY TCP4 198.51.100.7 192.0.2.2 4444 25\r\n'), ('TLVs', v2('198.51.100.7', extra=b'\x04\0\x20' + b'\0' * 32)),
                       ('mapped', b'PROXY TCP6 ::ffff:198.51.100.7 ::1 4444 25\r\n')):
        for parts in (None, 1):
            n += 1
            out = talk(head, parts)
            t.ok(b' accepted\r\n221' in out, '%s, parts of %s' % (name, parts), out)
    dumps = x.got(n)
    t.ok(all(b'Received: from x ([198.51.100.7])' in d for d in dumps), 'Received has the address of the client', dumps[0])
    out = talk(v2('198.51.100.8'))
    t.ok(out.startswith(b'554 5.7.1 go away'), 'the access map looks at it', out)
    out = talk(v2('198.51.100.9'))
    t.ok(b'550 5.7.1' in out and b'accepted' not in out, 'who may relay depends on it', out)
    out = talk(b'PROXY UNKNOWN\r\n')
    t.ok(b'550 5.7.1' in out and b'accepted' not in out, 'UNKNOWN is the proxy itself', out)
    out = talk(b'\r\n\r\n\0\r\nQUIT\n\x20\0\0\0')
    t.ok(b'220 ' in out and b'550 5.7.1' in out, 'LOCAL too', out)
    out = talk(v2('198.51.100.7'), ehlo=b'gw.smx.test')
    t.ok(b'550 5.7.1 That is not your name' in out, 'our own name is refused from there', out)
    for name, head in (('none', b''), ('oversize', b'\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff' + b'x' * 100), ('bad', b'PROXY TCP4 1.2.3 4.5.6 1 2\r\n')):
        out = talk(head)
        t.ok(out.startswith(b'421 4.7.0 PROXY') and b'220' not in out, 'header: %s: refused' % name, out)
    t.until(lambda: all('client_ipv4=198.51.100.%d' % n in x.g.log('smtps') for n in (7, 8, 9)), 'the log has the addresses')
    t.equal(x.g.stop(), 0, 'clean stop')
    t.end_all()

    x = Server('xclient', smtps='xclient_from = { "127.0.0.1" };', access='cltaddr:127.0.0.1 relay\ncltaddr:198.51.100.8 error:550 5.7.1 go away\n')
    with x.client() as c:
        r = c.say('XCLIENT NAME=real.test ADDR=198.51.100.9 PORT=4444 PROTO=ESMTP HELO=inner.test LOGIN=joe DESTADDR=192.0.2.1 DESTPORT=25')
        t.ok(r.startswith('220 '), 'XCLIENT begins again', r)
        c.want('250', 'MAIL FROM:<a@b.test>')
        t.ok(c.say('RCPT TO:<c@elsewhere.test>').startswith('550 5.7.1'), 'what the proxy may do, its client may not')
        c.want('250', 'RSET')
        t.ok(c.say('XCLIENT ADDR=198.51.100.8').startswith('554 5.7.1 go away'), 'a client that is refused')
    t.equal(x.g.stop(), 0, 'clean stop')


# ---- stop

def graceful_stop():
    """Transactions end, the rest gets 421, new connections wait for the next smtps."""
    x = Server('stop', smtps='stop_timeout = 2s;')
    idle, busy, stuck = x.client(), x.client(), x.client()
    for c in (busy, stuck):
        c.want('250', 'MAIL FROM:<a@source.test>')
        c.want('250', 'RCPT TO:<b@sink.test>')
        c.want('354', 'DATA')
        c.sock.sendall(b'Subject: half\r\n\r\n')
    old = x.g.pids()['smtps']
    os.kill(old, signal.SIGTERM)
    t.ok(idle.reply().startswith('421 4.3.2'), 'an idle session is told 421')
    later = [raw(x.g.port) for _ in range(3)]
    busy.sock.sendall(b'rest\r\n.\r\n')
    t.ok(busy.reply().startswith('250 2.0.0'), 'a transaction ends')
    t.ok(busy.reply().startswith('421 4.3.2'), 'and then 421')
    t.equal(read_to_end(busy.sock), (b'', 'end'), 'and the end')
    t.ok(stuck.reply().startswith('421 4.3.2'), 'one that takes too long: 421')
    for c in (idle, busy, stuck):
        c.close()
    for s in later:
        t.ok(s.recv(100).startswith(b'220'), 'a connection of meanwhile is greeted by the next smtps')
        s.close()
    t.ok(x.g.pids()['smtps'] != old, 'which is another one')
    t.equal(len(x.got(1)), 1, 'the message arrives, once')
    t.equal(x.g.stop(), 0, 'clean stop')


# ---- the log

FIELD = r'[a-z_]\w*=[^,]*'
LINE = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d{4} %s(, %s)*' % (FIELD, FIELD))


def hostile_talk(x):
    """A session full of what must not reach a log as it is."""
    with t.Client(x.g.port) as c:
        c.sock.sendall(b'EHLO a%,b=c\r\nF\x01O\xc3\xa4, stat=0%0A\r\nMAIL FROM: <x,y%@z>\r\nMAIL FROM:<"a,b%c"@source.test>\r\n')
        for code in ('250', '500', '501', '250'):
            r = c.reply()
            t.ok(r.startswith(code), 'said ' + code, r)
        c.want('501', 'RCPT TO:<\x85,@b>')
        c.want('250', 'RCPT TO:<"x, y=%"@sink.test>')
        c.want('354', 'DATA')
        c.sock.sendall(b'Message-Id: <1,2%3=\xe4\x01@h>\r\n\r\nx\r\n.\r\n')
        r = c.reply()
        t.ok(r.startswith('250'), 'accepted', r)
        c.sock.sendall(b'NO\0OP\r\nNOOP\n')
        c.reply()
        c.reply()
        return r.split()[2]


def log_lines():
    """R 10.2 on both sides: every line is fields, foreign bytes are %XX; as JSON the same."""
    x = Server('log', sink=('--fail', 'rcpt:550 5.1.1 no%, such=\x7f user:100%:nouser',))
    ta = hostile_talk(x)
    with x.client() as c:
        c.send(b'Subject: x\r\n\r\nx\r\n.\r\n', rcpts=('nouser@sink.test',), sender='')
    x.g.wait_empty()
    t.until(lambda: 'rcpt=<nouser@sink.test>' in x.g.log('smtpc'), 'the log of smtpc')
    t.equal(x.g.stop(), 0, 'clean stop')
    for name in t.COMPONENTS:
        with open(os.path.join(x.g.logs, name + '.log'), 'rb') as f:
            lines = f.read().split(b'\n')
        lines = [l for l in lines if b': warning: ' not in l]   # of the configuration
        bad = [l for l in lines[:-1] if not LINE.fullmatch(l.decode('latin-1')) or re.search(rb'[^\x20-\x7e]', l)]
        t.ok(not bad and lines[-1] == b'', 'each line of %s.log is fields of printable ASCII' % name, bad[:3])
    log = x.g.log('smtps')
    for want in (r'ss_sess=%s, client_ipv4=127\.0\.0\.1, (client_name=\S+, )?stat=0\n' % ID,
                 r'ss_sess=%s, where=command, input=F%%01O%%C3%%A4%%2C stat=0%%250A, stat=500, reply=500 5\.5\.1 ' % ID,
                 r'ss_sess=%s, where=command, input=MAIL FROM: <x%%2Cy%%25@z>, stat=501, reply=501 5\.5\.2 ' % ID,
                 r'ss_sess=%s, ss_ta=%s, mail=<"a%%2Cb%%25c"@source\.test>, stat=0\n' % (ID, ta),
                 r'ss_sess=%s, ss_ta=%s, where=command, input=RCPT TO:<%%85%%2C@b>, stat=501, ' % (ID, ta),
                 r'ss_sess=%s, ss_ta=%s, rcpt=<"x%%2C y=%%25"@sink\.test>, idx=0, stat=0\n' % (ID, ta),
                 r'ss_sess=%s, ss_ta=%s, msgid=<1%%2C2%%253=%%E4%%01@h>, size=\d+, stat=0\n' % (ID, ta),
                 r'where=command, input=NO%00OP, stat=500, reply=500 5\.5\.2 NUL', r'where=command, input=NOOP, stat=500, reply=500 5\.5\.2 Lines'):
        t.ok(re.search(want, log), 'smtps: ' + want, log)
    log = x.g.log('smtpc')
    da = r'C[0-9A-F]{18}'
    for want in (r'da_sess=%s, status=connected, port=\d+, addr=127\.0\.0\.1' % da,
                 r'da_sess=%s, da_ta=%s, ss_ta=%s, mail=<"a%%2Cb%%25c"@source\.test>, stat=0, reply=250 ' % (da, da, ta),
                 r'da_sess=%s, da_ta=%s, ss_ta=%s, rcpt=<"x%%2C y=%%25"@sink\.test>, stat=0, reply=250 ' % (da, da, ta),
                 r'da_sess=%s, da_ta=%s, ss_ta=%s, where=final_dot, size=\d+, stat=0' % (da, da, ta),
                 r'rcpt=<nouser@sink\.test>, stat=550, reply=550 5\.1\.1 no%25%2C such='):
        t.ok(re.search(want, log), 'smtpc: ' + want, log)
    t.end_all()

    x = Server('json', smtps='log_format = json;', level=12)
    ta = hostile_talk(x)
    x.g.wait_empty()
    t.equal(x.g.stop(), 0, 'clean stop')
    rows = [json.loads(line) for line in x.g.log('smtps').splitlines()]
    t.ok(any(r.get('ss_ta') == ta and r.get('rcpt') == '<"x, y=%"@sink.test>' and r.get('stat') == 0 for r in rows), 'JSON: rcpt')
    t.ok(any(r.get('ss_ta') == ta and r.get('msgid', '').startswith('<1,2%3=') for r in rows), 'JSON: msgid', rows)
    t.ok(any(r.get('input', '').startswith('F\x01O') for r in rows), 'JSON: input')
    t.end_all()

    x = Server('quiet', level=4)
    hostile_talk(x)
    x.g.wait_empty()
    t.ok('mail=' not in x.g.log('smtps'), 'log_level 4: nothing of mail')
    x.ctl('log_level 9')
    hostile_talk(x)
    t.until(lambda: 'mail=' in x.g.log('smtps'), 'log_level 9 over the control socket: mail is logged')
    t.equal(x.g.stop(), 0, 'clean stop')


if __name__ == '__main__':
    t.main(no_descriptors, some_descriptors_are_kept, no_reply_is_lost, smuggling, chunks_to_data, huge_header, vanish, many_sessions, few_places,
           several_servers, proxy_and_xclient, graceful_stop, log_lines)

#!/usr/bin/env python3
"""Mail programs of Debian talk to the gateway: swaks, msmtp, Postfix (also its smtp-source and smtp-sink), Dovecot.

TAP. Details in smxtest.py. What is not installed is skipped with a notice that names the package. Postfix is not
installed but unpacked below build/bench, as for make bench; `python3 tests/system/peers.py --fetch` does that. Postfix
and Dovecot need root, their folders are their own, and so are their ports.
"""
import contextlib
import glob
import os
import pwd
import re
import shutil
import subprocess
import sys

import smxtest as t

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(t.TOP, 'bench'))

import postfix  # noqa: E402

CACHE = os.path.join(t.TOP, 'build', 'bench')
WHOLE = 'Postfix (no package is installed; root: python3 tests/system/peers.py --fetch)'

HEADER = b'From: <a@source.test>\r\nTo: <b@sink.test>\r\nSubject: x\r\nMessage-Id: <1@source.test>\r\nDate: Mon, 2 Nov 2026 00:00:00 +0000\r\n\r\n'
# As it is stored by the one who sends it; b'.' at the begin of a line is to be stuffed by its client.
CONTENTS = (
    ('plain', b'Hello\r\n'),
    ('dots', b'.\r\n..\r\n...\r\n. x\r\nx.\r\n\r\n.x\r\n.'
             b'\r\n'),
    ('8-bit', bytes(range(128, 256)) + b'\r\n' + 'Gr\u00fc\u00dfe'.encode() + b'\r\n'),
    ('long lines', b'x' * 998 + b'\r\n.' + b'y' * 997 + b'\r\n'),
    ('large', (b'.0123456789' * 7 + b'\r\n' + b'abcdefghij' * 7 + b'\r\n') * 1500),
)


def find(program, package):
    """Its path; else a notice and None."""
    path = shutil.which(program, path=os.environ.get('PATH', '') + ':/usr/sbin:/sbin')
    if not path:
        t.skip(program, 'package %s is not installed' % package)
    return path


def run(*argv, wait=True, **kw):
    """A program that ends soon: (exit status, output)."""
    r = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=t.LONG, **kw)
    return r.returncode, r.stdout.decode(errors='replace')


def save(folder, data):
    path = os.path.join(folder, 'message')
    with open(path, 'wb') as f:
        f.write(data)
    return path


def stuffed(data):
    """As it goes over the wire, with the final dot."""
    return re.sub(rb'(?m)^\.', b'..', data) + b'.\r\n'


def rest(data):
    """Behind the Received field of the gateway."""
    m = re.search(rb'(?m)^Received: from [^\n]*\n\tby gw\.smx\.test [^\n]*\n(?:[ \t][^\n]*\n)*', data)
    return data[m.end():] if m else b'(no Received of ours) ' + data


def same(dump, data):
    """What our sink got is this content, by DATA (as it keeps it: stuffed, with the dot) or by BDAT."""
    return rest(dump) in (stuffed(data), data)


def maildir(path):
    out = []
    for f in glob.glob(os.path.join(path, 'new', '*')) + glob.glob(os.path.join(path, 'cur', '*')):
        with open(f, 'rb') as m:
            out.append(m.read())
    return out


def compare(name, mails, body, end=b''):
    """One of the mails is this content; stores keep lines with LF. end: what they add."""
    want = (HEADER + body).replace(b'\r\n', b'\n') + end
    got = [rest(m.replace(b'\r\n', b'\n')) for m in mails]
    t.ok(want in got, name + ': as it was', [g[-200:] for g in got])


class Relay:
    """The gateway in front of our own sink, which keeps what it gets."""

    def __init__(self, name, sink=('--with', 'SMTPUTF8', '--with', 'DSN', '--with', 'CHUNKING'), greets=True, **kw):
        self.folder = t.tmpdir('peers-' + name)
        self.sink = t.Sink(self.folder, *sink, dump=True)
        self.g = t.Gateway(self.folder, self.sink.port, **kw).launch()
        if greets:
            self.g.wait_ready()
        else:
            t.until(self.g.is_empty, 'the gateway is ready')
        self.count = 0

    def new(self, n=1):
        """The last content, when n more have arrived."""
        self.count += n
        self.sink.wait('messages', self.count)
        self.g.wait_empty(retry=False)
        return self.sink.dumped()[-1]

    def stop(self):
        t.equal(self.g.stop(), 0, 'clean stop')


# ---- clients

def swaks():
    """Plain, pipelining, LMTP to our sink, XCLIENT, PROXY."""
    program = find('swaks', 'swaks')
    if not program:
        return
    x = Relay('swaks', smtps='xclient_from = { "127.0.0.1" };', access='cltaddr:127 relay\ncltaddr:192.0.2.77 relay\n')
    common = [program, '--server', '127.0.0.1', '--from', 'a@source.test', '--to', 'b@sink.test', '--helo', 'swaks.test']

    def send(name, *args, data=HEADER + b'Hello\r\n', port=x.g.port):
        # It adds an empty line unless the final dot is there.
        path = save(x.folder, (data + b'.\r\n').replace(b'\r\n', b'\n'))
        status, out = run(*common, '--port', str(port), '--data', '@' + path, *args)
        t.ok(status == 0, 'swaks, %s: accepted' % name, out)
        return out

    for name, body in CONTENTS[:4]:
        send(name, data=HEADER + body)
        t.ok(same(x.new(), HEADER + body), 'swaks, %s: as it was' % name)
    out = send('pipelining', '--pipeline')
    t.ok(re.search(r'MAIL FROM[^\n]*\n *->? RCPT[^\n]*\n *->? DATA', out), 'swaks pipelines', out)
    x.new()
    send('two recipients and HELO', '--protocol', 'SMTP', '--to', 'b@sink.test,c@sink.test')
    got = x.new()
    t.ok(b'X-Envelope-To: ' in got and b'with SMTP' in got and b'c@sink.test' in got, 'by SMTP', got[:500])
    out = send('XCLIENT', '--xclient', 'NAME=client.elsewhere.test ADDR=192.0.2.77')
    got = x.new()
    t.ok(b'192.0.2.77' in got, 'XCLIENT: the address is in Received', got[:500])
    status, out = run(*common, '--port', str(x.g.port), '--quit-after', 'RCPT', '--from', 'a@source.test', '--to', 'no-at-sign@')
    t.ok(status != 0 and '501' in out or '550' in out or '553' in out, 'a bad address is refused', out)
    x.stop()
    t.end_all()

    x = Relay('proxy', greets=False, smtps='proxy_protocol_from = { "127.0.0.1" };')
    for version in (1, 2):
        status, out = run(*common, '--port', str(x.g.port), '--proxy-version', str(version), '--proxy-family',
                          'TCP4' if version == 1 else 'AF_INET', '--proxy-source', '127.0.0.9', '--proxy-source-port', '4711',
                          '--proxy-dest', '127.0.0.1', '--proxy-dest-port', '25', *(('--proxy-protocol', 'STREAM') if version == 2 else ()),
                          '--data', '@' + save(x.folder, HEADER.replace(b'\r\n', b'\n') + b'x\n'))
        t.ok(status == 0, 'swaks, PROXY v%d: accepted' % version, out)
        got = x.new()
        t.ok(b'127.0.0.9' in got, 'PROXY v%d: the address is in Received' % version, got[:500])


def msmtp():
    """A sendmail-like client; with SMTPUTF8."""
    program = find('msmtp', 'msmtp')
    if not program:
        return
    x = Relay('msmtp')
    common = [program, '-C', '/dev/null', '--host=127.0.0.1', '--port=%d' % x.g.port, '--tls=off', '--auth=off', '--domain=msmtp.test']
    for name, body in CONTENTS:
        status, out = run(*common, '--from=a@source.test', '--', 'b@sink.test', input=(HEADER + body).replace(b'\r\n', b'\n'))
        t.ok(status == 0, 'msmtp, %s: accepted' % name, out)
        t.ok(same(x.new(), HEADER + body), 'msmtp, %s: as it was' % name)
    status, out = run(*common, '--from=a@source.test', '--dsn-notify=success,failure', '--dsn-return=hdrs', '--', 'b@sink.test',
                      input=b'Subject: x\n\nx\n')
    t.ok(status == 0, 'msmtp, DSN parameters: accepted', out)
    x.new()
    x.stop()


def smtp_tool(name):
    """-> (argv, environment) of smtp-source or smtp-sink of Postfix, or None."""
    path = shutil.which(name, path='/usr/sbin')
    if path:
        return [path], None
    root = postfix.unpacked(CACHE)
    if root:
        return [os.path.join(root, 'usr/sbin', name)], dict(os.environ, LD_LIBRARY_PATH=os.path.join(root, 'usr/lib/postfix'))
    t.skip('%s of Postfix' % name, WHOLE)
    return None


def smtp_source():
    """Postfix's load generator, with each of its habits."""
    tool = smtp_tool('smtp-source')
    if not tool:
        return
    x = Relay('source', sink=())
    total = 0
    for args in ((), ('-d',), ('-4',), ('-r', '20'), ('-N', '-r', '3'), ('-s', '20', '-d'), ('-l', '200000'),
                 ('-S', 'a subject'), ('-f', ''), ('-R', '1'), ('-w', '1'), ('-C', '3'), ('-T', '2048', '-l', '100000')):
        n = 3 if '-w' in args or '-R' in args else 20
        sender = [] if '-f' in args else ['-f', 'a@source.test']
        r = subprocess.run(tool[0] + [*args, '-m', str(n), *sender, '-t', 'b@sink.test', '-M', 'source.test', '127.0.0.1:%d' % x.g.port],
                           env=tool[1], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=t.LONG)
        total += n
        x.g.wait_empty(retry=False)
        t.ok(r.returncode == 0 and not r.stdout and x.sink.ask()['messages'] == total, 'smtp-source %s' % ' '.join(args),
             (r.stdout, x.sink.ask()['messages'], total))
    path = save(x.folder, (HEADER + CONTENTS[1][1]).replace(b'\r\n', b'\n'))
    r = subprocess.run(tool[0] + ['-F', path, '-f', 'a@source.test', '-t', 'b@sink.test', '127.0.0.1:%d' % x.g.port], env=tool[1],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=t.LONG)
    x.count = total
    got = rest(x.new())
    t.ok(r.returncode == 0 and got == stuffed(HEADER + CONTENTS[1][1] + b'\r\n'), 'smtp-source -F: as it was, with its empty line',
         (r.stdout, got))
    r = subprocess.run(tool[0] + ['-o', '-f', 'a@source.test', '-t', 'b@sink.test', '127.0.0.1:%d' % x.g.port], env=tool[1],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=t.LONG)
    t.ok(r.returncode and '503' in r.stdout, 'smtp-source -o, which says no HELO, is refused', r.stdout)
    x.stop()


# ---- servers

class PostfixSink:
    """smtp-sink of Postfix on a port that stays the same."""

    def __init__(self, tool, folder, port, *args, dump='dump'):
        self.dump = os.path.join(folder, dump)
        os.makedirs(self.dump, exist_ok=True)
        if t.ROOT:
            t.own(self.dump)
            args += '-u', 'nobody'
        self.err = open(os.path.join(folder, 'smtp-sink.err'), 'ab')
        self.p = t.spawn(tool[0] + [*args, '-d', self.dump + '/%M.', '127.0.0.1:%d' % port, '20'], env=tool[1], stdout=self.err,
                         stderr=self.err, cwd=folder)

    def dumped(self):
        out = []
        for path in glob.glob(self.dump + '/*'):
            with open(path, 'rb') as f:
                out.append(f.read())
        return out

    def stop(self):
        self.p.kill()
        self.p.wait()
        self.err.close()


def smtp_sink():
    """Postfix's sink as the next hop, without one extension after the other, and failing in all of its ways."""
    tool = smtp_tool('smtp-sink')
    if not tool:
        return
    folder = t.tmpdir('peers-sink')
    port = t.free_port()
    g = t.Gateway(folder, port).start()
    total = 0

    def listening():
        with contextlib.suppress(OSError):
            return t.Client(port, greeting=False)

    def start(*args, **kw):
        sink = PostfixSink(tool, folder, port, *args, **kw)
        t.until(listening, 'smtp-sink listens').close()
        return sink

    def send(n, body=b'Hello\r\n'):
        nonlocal total
        total += n
        with t.Client(g.port) as c:
            c.want('250', 'EHLO client.test')
            for _ in range(n):
                r = c.send(stuffed(HEADER + body), mail=' BODY=8BITMIME')
                if not r.startswith('250'):
                    raise t.Failed(r)

    for args in ((), ('-a',), ('-e',), ('-E',), ('-p',), ('-8',), ('-C', '-F', '-N'), ('-h', 'other.test'), ('-w', '1')):
        sink = start(*args)
        send(1 if '-w' in args else 5)
        g.wait_empty(retry=False)
        t.equal(len(sink.dumped()), total, 'smtp-sink %s' % ' '.join(args))
        sink.stop()
    sink = start()
    for name, body in CONTENTS:
        send(1, body)
        g.wait_empty(retry=False)
        compare('smtp-sink, ' + name, sink.dumped(), body, end=b'\n')
    sink.stop()
    # -r: 4yz, -q: closes without a reply; each command in turn, then it is well again.
    for how in ('-r ehlo,helo', '-r mail', '-r rcpt', '-r data', '-r .', '-q connect', '-q ehlo', '-q mail', '-q rcpt', '-q data', '-q .'):
        sink = start(*how.split(), dump='bad')
        send(1)
        t.until(lambda: g.queue() and all(r['last_reply'] for m in g.queue() for r in m['recipients']), 'an attempt')
        sink.stop()
        sink = start()
        g.wait_empty()
        t.equal(len(sink.dumped()), total, 'smtp-sink %s: kept, and delivered when it is well' % how)
        sink.stop()
    t.equal(g.stop(), 0, 'clean stop')


@contextlib.contextmanager
def running_postfix(*args, **kw):
    """A Postfix of its own, or None with a notice."""
    cache = CACHE
    if not t.ROOT:
        t.skip('Postfix', 'needs root')
        yield None
        return
    if not postfix.unpacked(cache):
        t.skip('Postfix', WHOLE)
        yield None
        return
    p = postfix.Postfix(cache, *args, **kw)
    try:
        p.start()
        yield p
    finally:
        p.stop()
        p.cleanup()


def postfix_sends():
    """Postfix relays into the gateway: its pipelining, DSN parameters, SMTPUTF8, 8-bit, BDAT, many recipients."""
    x = Relay('sender')
    with running_postfix(x.g.port, more='smtp_line_length_limit = 0\nmessage_size_limit = 20000000\n') as p:
        if not p:
            return
        with t.Client(p.port) as c:
            c.want('250', 'EHLO client.test')
            for name, body in CONTENTS:
                r = c.send(stuffed(HEADER + body), mail=' BODY=8BITMIME')
                t.ok(r.startswith('250'), 'Postfix takes %s' % name, r)
                got = rest(x.new())
                # Its own Received comes first.
                got = got[got.find(b'From: <a@source'):]
                t.ok(got in (HEADER + body, stuffed(HEADER + body)), 'Postfix sends, %s: as it was' % name, got[-200:])
            names = ['r%d@sink.test' % n for n in range(120)]
            c.want('250', 'MAIL FROM:<a@source.test> RET=HDRS ENVID=id+2Bone')
            for n in names:
                c.want('250', 'RCPT TO:<%s> NOTIFY=FAILURE,DELAY ORCPT=rfc822;orig-%s' % (n, n))
            c.want('354', 'DATA')
            c.sock.sendall(stuffed(HEADER + b'x\r\n'))
            t.ok(c.reply().startswith('250'), 'Postfix takes 120 recipients')
            x.sink.wait('recipients', len(CONTENTS) + 120)
            x.g.wait_empty(retry=False)
            x.count = x.sink.ask()['messages']
            c.want('250', 'MAIL FROM:<gr\u00fc\u00dfe@source.test> SMTPUTF8'.encode().decode('latin-1'))
            c.want('250', 'RCPT TO:<\u00e4\u00f6@sink.test>'.encode().decode('latin-1'))
            c.want('354', 'DATA')
            c.sock.sendall(stuffed('Subject: \u00fc\r\n\r\nx\r\n'.encode()))
            t.ok(c.reply().startswith('250'), 'Postfix takes SMTPUTF8')
        got = x.new()
        t.ok('\u00e4\u00f6@sink.test'.encode() in got and b'UTF8SMTP' in got, 'SMTPUTF8 comes through', got[:600])
        dumps = b''.join(x.sink.dumped())
        t.equal(len(set(re.findall(rb'X-Envelope-To: <?(r\d+@sink\.test)', dumps))), 120, 'all of the 120')
    x.stop()


MAILBOXES = '''virtual_mailbox_domains = sink.test
virtual_mailbox_base = %(mail)s
virtual_mailbox_maps = inline:{ %(boxes)s }
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_minimum_uid = 100
virtual_transport = virtual
notify_classes =
message_size_limit = 20000000
virtual_mailbox_limit = 0
'''


def postfix_receives():
    """Postfix behind the gateway with real mailboxes: BDAT, partial acceptance, DSN of its own from our parameters."""
    folder = t.tmpdir('peers-receiver')
    mail = os.path.join(folder, 'mail')
    os.mkdir(mail)
    t.own(mail)
    os.chmod(folder, 0o755)
    sink = t.Sink(folder, '--with', 'DSN', dump=True)
    boxes = ', '.join('{%s@sink.test = %s/}' % (n, n) for n in ('a', 'b', 'c'))
    with running_postfix(sink.port, more=MAILBOXES % dict(mail=mail, boxes=boxes)) as p:
        if not p:
            return
        g = t.Gateway(folder, mt='sink.test %d^esmtp:[127.0.0.1]\n. %d^esmtp:[127.0.0.1]\n' % (p.port, sink.port)).start()
        with t.Client(g.port) as c:
            c.want('250', 'EHLO client.test')
            for n, (name, body) in enumerate(CONTENTS):
                r = c.send(stuffed(HEADER + body), rcpts=('a@sink.test', 'b@sink.test'), mail=' BODY=8BITMIME')
                t.ok(r.startswith('250'), name + ': accepted', r)
                t.until(lambda: len(maildir(mail + '/a')) > n and len(maildir(mail + '/b')) > n, 'delivery into the mailboxes')
                compare('Postfix receives, ' + name, maildir(mail + '/a'), body)
            c.want('250', 'MAIL FROM:<back@source.test> RET=HDRS ENVID=env+2Bid')
            c.want('250', 'RCPT TO:<c@sink.test> NOTIFY=SUCCESS ORCPT=rfc822;orig+2Bc@sink.test')
            c.want('250', 'RCPT TO:<nobody@sink.test> NOTIFY=FAILURE')
            c.want('250', 'RCPT TO:<none@sink.test> NOTIFY=NEVER')
            c.want('354', 'DATA')
            c.sock.sendall(stuffed(HEADER + b'x\r\n'))
            t.ok(c.reply().startswith('250'), 'with DSN parameters: accepted')
        sink.wait('messages', 2)
        g.wait_empty(retry=False)
        dumps = sink.dumped()
        theirs = next((d for d in dumps if b'gw.bench.test' in d and b'orig+c@sink.test' in d), b'')
        t.ok(b'env+id' in theirs and b'delivered' in theirs, 'Postfix reports success with what we passed on', dumps)
        ours = next((d for d in dumps if b'nobody@sink.test' in d), b'')
        t.ok(b'550' in ours and b'5.1.1' in ours and b'during RCPT' in ours and b'none@sink.test' not in ours, 'we report the unknown one',
             ours)
        t.ok(t.until(lambda: all(w in g.log('smtpc') for w in ('where=bdat', 'where=final_dot')), 'BDAT and DATA in the log'),
             'BDAT and DATA were used')
        t.equal(len(maildir(mail + '/c')), 1, 'who is known has it')
        t.equal(g.stop(), 0, 'clean stop')


DOVECOT = '''base_dir = %(dir)s/run
state_dir = %(dir)s/state
log_path = %(dir)s/log
protocols = lmtp
ssl = no
mail_location = maildir:%(dir)s/mail/%%n
auth_username_format = %%Ln
first_valid_uid = 1
lmtp_rcpt_check_quota = no
postmaster_address = postmaster@sink.test
passdb {
  driver = passwd-file
  args = %(dir)s/users
}
userdb {
  driver = passwd-file
  args = %(dir)s/users
}
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = %(port)d
  }
  unix_listener %(socket)s {
    mode = 0666
  }
}
'''


class Dovecot:
    """Dovecot's LMTP server with three mailboxes."""

    def __init__(self, program, folder, socket_path):
        self.dir = folder
        self.port = t.free_port()
        conf = os.path.join(folder, 'dovecot.conf')
        os.makedirs(os.path.join(folder, 'mail'))
        t.own(os.path.join(folder, 'mail'))
        os.chmod(folder, 0o755)
        with open(os.path.join(folder, 'users'), 'w') as f:
            f.writelines('%s:{PLAIN}x:65534:65534::%s/mail/%s::\n' % (n, folder, n) for n in ('a', 'b', 'c'))
        with open(conf, 'w') as f:
            f.write(DOVECOT % dict(dir=folder, port=self.port, socket=socket_path))
        self.p = t.spawn([program, '-F', '-c', conf], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, cwd=folder)
        t.until(lambda: self.p.poll() is not None or self.greets(), 'Dovecot is ready')
        if self.p.poll() is not None:
            raise t.Failed('Dovecot ended: ' + t.read(os.path.join(folder, 'log')))

    def greets(self):
        with contextlib.suppress(OSError, t.Failed):
            with t.Client(self.port) as c:
                return c.say('LHLO test').startswith('250')

    def box(self, name):
        return maildir(os.path.join(self.dir, 'mail', name))

    def stop(self):
        self.p.terminate()
        self.p.wait(t.LONG)


def dovecot():
    """LMTP into real mailboxes, over TCP and the unix socket; some recipients are unknown."""
    program = find('dovecot', 'dovecot-lmtpd')
    if not program:
        return
    if not os.path.exists('/usr/lib/dovecot/lmtp'):
        return t.skip('Dovecot', 'package dovecot-lmtpd is not installed')
    if not t.ROOT:
        return t.skip('Dovecot', 'needs root')
    for way in 'TCP', 'unix':
        folder = t.tmpdir('peers-dovecot')
        spool = os.path.join(folder, 'spool')
        os.mkdir(spool)
        t.own(spool)
        server = Dovecot(program, t.tmpdir('peers-store'), os.path.join(spool, 'lmtpsock'))
        sink = t.Sink(folder, dump=True)
        to = 'lmtp:' if way == 'unix' else '%d^lmtp:[127.0.0.1]' % server.port
        g = t.Gateway(folder, spool=spool, mt='sink.test %s\n. %d^esmtp:[127.0.0.1]\n' % (to, sink.port)).start()
        with t.Client(g.port) as c:
            c.want('250', 'EHLO client.test')
            for n, (name, body) in enumerate(CONTENTS):
                r = c.send(stuffed(HEADER + body), rcpts=('a@sink.test', 'b@sink.test'), mail=' BODY=8BITMIME')
                t.ok(r.startswith('250'), '%s, %s: accepted' % (way, name), r)
                t.until(lambda: len(server.box('a')) > n and len(server.box('b')) > n, 'delivery into the mailboxes')
                compare('Dovecot over %s, %s' % (way, name), server.box('a'), body)
            r = c.send(stuffed(HEADER + b'x\r\n'), rcpts=('nobody@sink.test', 'c@sink.test', 'none@sink.test'))
            t.ok(r.startswith('250'), way + ': some unknown ones', r)
        sink.wait('messages', 1)
        g.wait_empty(retry=False)
        dsn = sink.dumped()[0]
        t.ok(b'nobody@sink.test' in dsn and b'none@sink.test' in dsn and b'<c@sink.test>:' not in dsn and b'550' in dsn,
             way + ': one bounce for the unknown ones', dsn)
        t.equal(len(server.box('c')), 1, way + ': the known one has it')
        t.equal(len(sink.dumped()), 1, way + ': nothing else came back')
        t.equal(g.stop(), 0, way + ': clean stop')
        server.stop()
        t.end_all()


if __name__ == '__main__':
    if sys.argv[1:] == ['--fetch']:
        os.makedirs(CACHE, exist_ok=True)
        print(postfix.unpack(CACHE))
        sys.exit(0)
    t.main(swaks, msmtp, smtp_source, smtp_sink, postfix_sends, postfix_receives, dovecot)

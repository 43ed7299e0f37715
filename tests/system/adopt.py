#!/usr/bin/env python3
"""kill -9 of qmgr while smtpc delivers: nothing that smtpc has in hand, or has done meanwhile, is tried twice.

The server here answers a final dot when the test says so: then it is known what is going on when qmgr dies.
TAP; details in smxtest.py.
"""
import re
import signal
import socketserver
import threading

import smxtest as t

MAILS = 8
LATER, NEVER = 6, 7     # their first answer to the dot is 451 and 550, the others' 250


class Handler(socketserver.StreamRequestHandler):
    def say(self, line):
        self.wfile.write(line.encode() + b'\r\n')
        self.wfile.flush()

    def handle(self):
        try:
            self.say('220 slow')
            for line in self.rfile:
                verb = line.split(b' ')[0].strip().upper()
                if verb == b'QUIT':
                    self.server.slow.quits.append(1)
                    self.say('221 bye')
                    return
                if verb == b'MAIL':
                    notice = b'<>' in line
                if verb == b'DATA':
                    self.say('354 go on')
                    self.say(self.content(notice))
                else:
                    self.say('250 ok')
        except OSError:
            pass

    def content(self, notice):
        text = b''
        for line in self.rfile:
            if line == b'.\r\n':
                break
            text += line
        else:
            raise OSError('lost')
        return self.server.slow.answer(text.decode('latin-1'), notice)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 100


class Slow:
    """An SMTP server whose answers to final dots wait for release()."""

    def __init__(self):
        self.server = Server(('127.0.0.1', 0), Handler)
        self.server.slow = self
        self.port = self.server.server_address[1]
        self.lock = threading.Lock()
        self.go = threading.Event()
        self.seen, self.quits, self.notices = [], [], 0
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, text, notice):
        with self.lock:
            if notice:
                self.notices += 1
            else:
                n = int(re.search(r'^Subject: number (\d+)', text, re.M).group(1))
                first = n not in self.seen
                self.seen.append(n)
        if notice:
            return '250 notice'
        self.go.wait()
        if first and n == LATER:
            return '451 4.2.0 later'
        return '550 5.7.1 never' if first and n == NEVER else '250 done'

    def counts(self):
        with self.lock:
            return [self.seen.count(n) for n in range(MAILS)]

    def close(self):
        self.go.set()
        self.server.shutdown()
        self.server.server_close()


class Life:
    def __init__(self, name):
        self.folder = t.tmpdir('adopt-' + name)
        self.slow = Slow()
        self.g = t.Gateway(self.folder, self.slow.port, qmgr='smtpc { initial_connections = 20; max_connections = 40; }')
        self.g.start()
        with t.Client(self.g.port) as c:
            c.want('250', 'EHLO client.test')
            for n in range(MAILS):
                t.equal(c.send(b'Subject: number %d\r\n\r\ntext\r\n.\r\n' % n)[:3], '250', 'message %d is accepted' % n)
        t.until(lambda: sum(self.slow.counts()) == MAILS, 'all wait for the answer to the dot')

    def frozen(self, *names):
        """Kills them, and they are not started again until thaw()."""
        pids = self.g.pids()
        self.g.proc.send_signal(signal.SIGSTOP)
        for name in names:
            t.kill(pids[name])

    def thaw(self):
        self.g.proc.send_signal(signal.SIGCONT)

    def kill_qmgr(self):
        old = self.g.pids()['qmgr']
        t.kill(old)
        t.until(lambda: self.g.pids().get('qmgr') not in (None, old), 'mcp restarts qmgr')

    def adopted(self, want=MAILS):
        t.until(lambda: self.g.stats().get('adopted') == want, 'all attempts are adopted: %s' % self.g.stats().get('adopted'))

    def end(self, want, notices, what):
        self.slow.go.set()
        self.g.wait_empty()
        t.equal(self.slow.counts(), want, what)
        t.equal(self.slow.notices, notices, 'notices')
        t.equal(self.g.stop(), 0, 'clean stop')
        t.equal(re.findall(r'.*(?:panic|sev=ALERT).*', ''.join(self.g.log(c) for c in t.COMPONENTS)), [], 'no panic')
        self.slow.close()
        t.drop(self.folder)


ONCE = [2 if n == LATER else 1 for n in range(MAILS)]


def in_progress():
    x = Life('progress')
    x.kill_qmgr()
    x.adopted()
    x.end(ONCE, 1, 'in progress: one delivery each, later is tried again, a failure returned')


def twice():
    x = Life('twice')
    x.kill_qmgr()
    x.adopted()
    x.kill_qmgr()
    x.adopted()
    x.end(ONCE, 1, 'qmgr killed twice: one delivery each')


def reported():
    """The results come while there is no qmgr. QUIT is said after smtpc has taken the answer."""
    x = Life('reported')
    x.frozen('qmgr')
    x.slow.go.set()
    t.until(lambda: len(x.slow.quits) >= MAILS, 'all sessions are over')
    x.thaw()
    x.end(ONCE, 1, 'reported to nobody: one delivery each')


def both():
    x = Life('both')
    x.frozen('qmgr', 'smtpc')
    x.thaw()
    x.end([2] * MAILS, 0, 'qmgr and smtpc killed: all goes out again')


def then_smtpc():
    x = Life('then')
    x.kill_qmgr()
    x.adopted()
    t.kill(x.g.pids()['smtpc'])
    x.end([2] * MAILS, 0, 'smtpc killed after qmgr: all goes out again')


if __name__ == '__main__':
    t.main(in_progress, twice, reported, both, then_smtpc)

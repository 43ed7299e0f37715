#!/usr/bin/env python3
"""Clients are greeted before the database is open, and nothing of what they say then is lost.

The database is kept from being opened by a FIFO in place of a file that qmgr reads before: qmgr goes on when the test
writes what the file said. TAP; details in smxtest.py.
"""
import os
import select
import socket

import smxtest as t

RECORD = 'defedb/log_directory'


class Client:
    def __init__(self, port):
        self.s = t.until(lambda: self.connected(port), 'mcp listens')
        self.f = self.s.makefile('rb')

    @staticmethod
    def connected(port):
        try:
            return socket.create_connection(('127.0.0.1', port), t.LONG)
        except ConnectionRefusedError:
            return None

    def is_silent(self):
        """No answer comes for a moment that is much longer than an answer takes."""
        return not select.select([self.s], [], [], 0.3)[0]

    def reply(self):
        while True:
            line = self.f.readline()
            if not line or line[3:4] == b' ':
                return line[:3].decode()

    def say(self, text):
        self.s.sendall(text.encode() + b'\r\n')
        return self.reply()

    def send(self):
        """A message up to its final dot; the answer to that is not waited for."""
        for text in ('EHLO client.test', 'MAIL FROM:<a@from.test>', 'RCPT TO:<b@to.test>', 'DATA'):
            code = self.say(text)
            if code not in ('250', '354'):
                raise t.Failed('%s: %s' % (text, code))
        self.s.sendall(b'Subject: early\r\n\r\ntext\r\n.\r\n')


def ask(g, text):
    """A question to qmgr's control socket, sent; the answer is to be read."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(t.LONG)
    s.connect(os.path.relpath(g.path('qmgrctlsock')))
    s.sendall(text.encode() + b'\n')
    return s


def blocked_gateway(name):
    """A gateway that was stopped cleanly, with the FIFO in place; and what to write into that."""
    folder = t.tmpdir(name)
    g = t.Gateway(folder, t.Sink(folder).port)
    g.start()
    g.stop()
    text = t.read(g.path(RECORD))
    os.unlink(g.path(RECORD))
    os.mkfifo(g.path(RECORD))
    t.own(g.path(RECORD))
    return g, text


def unblock(g, text):
    """qmgr waits in open(2) for this one."""
    with open(g.path(RECORD), 'w') as f:
        f.write(text)


def greeted_early():
    g, text = blocked_gateway('early')
    g.launch()
    t.until(g.greets, 'a greeting while the database is not open')
    tool = ask(g, 'status')
    c = Client(g.port)
    t.equal(c.reply(), '220', 'clients are greeted before the database is open')
    c.send()
    t.ok(c.is_silent(), 'what it sends is not confirmed while the database is not open')
    t.ok(not select.select([tool], [], [], 0)[0], 'nor is a tool answered')
    unblock(g, text)
    t.ok(b'smX qmgr' in tool.recv(65536), 'its question waited')
    t.equal(c.reply(), '250', 'but when it is')
    g.wait_ready()
    t.until(lambda: g.queue() == [], 'the message is delivered')
    t.equal(g.stop(), 0, 'it stops')


def ids(name, change):
    """The second start with what change() has made of the file: nobody is greeted before the database is open."""
    g, text = blocked_gateway(name)
    change(g.path('defedb/ids'))
    g.launch()
    c = Client(g.port)
    t.until(lambda: 'connected' in g.log('qmgr').rsplit('stat=stopped', 1)[1], 'smtps asks qmgr')
    t.ok(c.is_silent(), '%s: no ids before the database is open' % name)
    unblock(g, text)
    t.equal(c.reply(), '220', '%s: they come with it' % name)
    c.send()
    t.equal(c.reply(), '250', '%s: and mail is taken' % name)
    g.wait_ready()
    g.stop()


def spoil(path):
    with open(path, 'r+b') as f:
        f.seek(9)
        b = f.read(1)
        f.seek(9)
        f.write(bytes([b[0] ^ 1]))


def ids_missing():
    ids('missing', os.unlink)


def ids_damaged():
    ids('damaged', spoil)


def killed_early():
    """kill -9 while the database is being opened: the next start is a normal one."""
    g, text = blocked_gateway('killed')
    g.launch()
    t.until(g.greets, 'a greeting while the database is not open')
    g.kill9()
    os.unlink(g.path(RECORD))
    g.write(RECORD, text)
    g.start()
    c = Client(g.port)
    c.reply()
    c.send()
    t.equal(c.reply(), '250', 'mail is taken after a kill -9 in the middle of a start')
    t.equal(g.stop(), 0, 'it stops')


t.main(greeted_early, ids_missing, ids_damaged, killed_early)

"""Hostile clients for bench/compare: so many new connections a second that never send mail.

usage: noise.py PORT RATE SECONDS. One JSON object at the end. Each connection comes from one of SOURCES addresses in
127.0.0.0/8 and is one of KINDS, in turn.
"""
import collections
import errno
import json
import os
import socket
import struct
import sys
import time

SOURCES = 5000
KINDS = (
    # what is sent at once, how long it stays
    ('random bytes', None, 0.2),
    ('half a command', b'EHLO x\r\nMAIL FRO', 0.3),
    ('gone at once', b'', 0),
    ('reset at once', b'', -1),
    ('early talker', b'EHLO early\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<c@d.test>\r\nQUIT\r\n', 0.2),
    ('a line without end', b'A' * 4000, 0.2),
)
NO_PORT_YET = 24  # IP_BIND_ADDRESS_NO_PORT
RESET = struct.pack('ii', 1, 0)


def open_one(port, number, count):
    """Returns (when to close, socket), or None."""
    name, text, stay = KINDS[number % len(KINDS)]
    s = socket.socket()
    s.setblocking(False)
    s.setsockopt(socket.IPPROTO_IP, NO_PORT_YET, 1)
    n = number % SOURCES
    s.bind(('127.%d.%d.%d' % (100 + n // 62500, n // 250 % 250, 1 + n % 250), 0))
    rc = s.connect_ex(('127.0.0.1', port))
    if rc not in (0, errno.EINPROGRESS):
        count['failed'] += 1
        s.close()
        return None
    count['opened'] += 1
    if stay < 0:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    try:
        if text is None:
            s.send(os.urandom(300))
        elif text:
            s.send(text)
    except OSError:
        count['unsent'] += 1
    return time.monotonic() + max(0, stay), s


def close_one(s, count):
    try:
        if s.recv(4096):
            count['answered'] += 1
    except OSError:
        pass
    s.close()


def main(port, rate, seconds):
    count = collections.Counter(opened=0, failed=0, unsent=0, answered=0)
    waiting = {kind[2]: collections.deque() for kind in KINDS}  # equal times: the first in leaves first
    begin, done = time.monotonic(), 0
    while True:
        now = time.monotonic()
        for q in waiting.values():
            while q and q[0][0] <= now:
                close_one(q.popleft()[1], count)
        if now >= begin + seconds:
            break
        while done < (now - begin) * rate:
            x = open_one(port, done, count)
            if x:
                waiting[KINDS[done % len(KINDS)][2]].append(x)
            done += 1
        time.sleep(0.002)
    print(json.dumps(dict(count, per_s=count['opened'] / seconds)))


if __name__ == '__main__':
    main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))

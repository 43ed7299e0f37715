"""smtp-source and smtp-sink from Python."""
import atexit
import json
import os
import signal
import socket
import subprocess
import tempfile
import time

import procs


def program(build, name):
    return os.path.join(os.path.abspath(build), 'bin', name)


class Sink:
    """A running smtp-sink. listen: addresses; port: of the first inet one."""

    def __init__(self, build, *args, listen=('127.0.0.1:0',), folder=None):
        self.own = None if folder else tempfile.TemporaryDirectory(prefix='smx-sink-')
        self.folder = folder or self.own.name
        self.control = os.path.join(self.folder, 'sink.ctl')
        self.out = os.path.join(self.folder, 'sink.json')
        self.err = open(os.path.join(self.folder, 'sink.log'), 'ab+')
        port_file = os.path.join(self.folder, 'sink.port')
        self.p = subprocess.Popen([program(build, 'smtp-sink'), '-q', '--json', self.out, '--control', self.control,
                                   '--port-file', port_file, *args, *listen],
                                  stdin=subprocess.DEVNULL, stdout=self.err, stderr=self.err)
        atexit.register(self.close)
        if not procs.wait_until(lambda: os.path.exists(port_file) or self.p.poll() is not None, 10) or self.p.poll():
            raise RuntimeError('smtp-sink did not start: ' + self.log_tail())
        with open(port_file) as f:
            ports = f.read().split()
        self.port = int(ports[0]) if ports else 0

    def log_tail(self):
        self.err.seek(0)
        return self.err.read()[-2000:].decode('latin-1')

    def query(self):
        """What it has counted so far."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(self.control)
            with s.makefile() as f:
                return json.load(f)

    def toggle_limit(self):
        """Lifts --limit, or sets it again."""
        self.p.send_signal(signal.SIGUSR2)

    def wait_distinct(self, n, timeout, tick=None):
        """Waits until n distinct messages are there, or nothing new comes for `timeout` seconds."""
        last, changed = -1, time.monotonic()
        while True:
            q = self.query()
            if tick:
                tick(q)
            if q['distinct'] >= n:
                return q
            if q['messages'] != last:
                last, changed = q['messages'], time.monotonic()
            elif time.monotonic() - changed > timeout:
                return q
            time.sleep(0.05)

    def wait(self, timeout=60):
        """Waits for its end (--expect, --timeout); returns (exit status, results)."""
        status = self.p.wait(timeout)
        with open(self.out) as f:
            return status, json.load(f)

    def stop(self):
        """Ends it; returns (exit status, results)."""
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGTERM)
        try:
            return self.wait()
        finally:
            self.close()

    def close(self):
        atexit.unregister(self.close)
        if self.p.poll() is None:
            self.p.kill()
            self.p.wait()
        self.err.close()
        if self.own:
            self.own.cleanup()


class Source:
    """A running smtp-source; its live line goes to our stderr when live is set."""

    def __init__(self, build, server, *args, live=False):
        self.err = None if live else tempfile.TemporaryFile()
        self.p = subprocess.Popen([program(build, 'smtp-source'), '-j', *args, server], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=self.err)

    def wait(self, timeout=600):
        """(exit status, results, what it said on stderr)."""
        try:
            out, _ = self.p.communicate(timeout=timeout)
        except BaseException:
            self.p.kill()
            self.p.communicate()
            raise
        said = ''
        if self.err:
            self.err.seek(0)
            said = self.err.read().decode('latin-1')
            self.err.close()
        return self.p.returncode, json.loads(out) if out.strip() else {}, said


def send(build, server, *args, **kw):
    return Source(build, server, *args, **kw).wait()

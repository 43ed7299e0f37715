"""What every workload of bench/compare has: a name, a text, the systems it fits, and run()."""
import os

import gateway
import postfix

# figures that every row of result.json has; None where a workload does not measure it
FIGURES = ('cpu_s_per_1000', 'accepted_per_s', 'delivered_per_s', 'syncs_per_message', 'rss_kb')


class Failed(Exception):
    """The system lost, repeated or refused mail, or did not answer: nothing is measured then."""


class Place:
    """Where the programs are, and what becomes of the spools."""

    def __init__(self, build, keep=False, quick=False):
        self.build, self.keep, self.quick = build, keep, quick

    def system(self, name, sink_port, wrapper=(), smx=None, other=None):
        """A system that is not started. smx: options of gateway.Gateway, other: of postfix.Postfix."""
        if name == 'smx':
            return gateway.Gateway(self.build, sink_port, wrapper=wrapper, **(smx or {}))
        return postfix.Postfix(os.path.join(self.build, 'bench'), sink_port, wrapper=wrapper, **(other or {}))

    def end(self, gw):
        gw.stop()
        if self.keep:
            print('kept: %s' % gw.dir)
        else:
            gw.cleanup()


class Workload:
    """family: workloads of one family share a table. runs: most runs that are worth their time.

    long: runs only by name or with --long.
    """

    family = 'relay'
    systems = ('smx', 'postfix')
    runs = 1
    long = False

    def __init__(self, name, text):
        self.name, self.text = name, text

    def run(self, place, system):
        """{figure: value} of one run; with sessions and messages."""
        raise NotImplementedError

    def syncs(self, place, system):
        """(syncs per message, how they were counted); (None, None) when it does not measure them."""
        return None, None

#!/usr/bin/python3.11
"""CPython's own tests of sockets (Debian's libpython3.11-testsuite) on Linux, and as programs of
`rump run` and `rump run --in-process`.

    python.py RUMP [MODULE…]

prints for each module how many tests passed, failed and were skipped in each way, and exits with
1 if one that passes on Linux fails otherwise and is not in differences.txt beside this file. Each
class runs in a process of its own, in a network namespace with nothing but lo.
"""

import collections
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

MODULES = """test_socket test_select test_poll test_epoll test_selectors test_socketserver
test_asyncore test_asynchat test_ftplib test_poplib test_smtplib test_telnetlib test_httplib
test_httpservers test_urllib2_localnet test_xmlrpc test_asyncio.test_sock_lowlevel
test_asyncio.test_streams test_asyncio.test_server test_asyncio.test_events""".split()
# Families of Linux's own, which are no matter of the kernel's; some wait for ever where the
# machine does not have them. NetBSD has no UDP-Lite.
OTHERS = re.compile("VSOCK|CAN|ISOTP|J1939|RDS|TIPC|QIPCRTR|Bluetooth|Alg|Unix|UNIX|UDPLITE")
# Seconds for a class.
PATIENCE = 90
WAYS = {"linux": [], "run": ["run", "--"], "in-process": ["run", "--in-process", "--"]}


class Result(unittest.TestResult):
    """Writes down what becomes of each test, as it does."""

    def __init__(self, out):
        super().__init__()
        self.out, self.state = out, {}

    def tell(self, test, state):
        self.state[test.id()] = state

    def addError(self, test, error):
        self.tell(test, "failed")

    addFailure = addUnexpectedSuccess = addError

    def addSubTest(self, test, subtest, error):
        if error:
            self.tell(test, "failed")

    def addSkip(self, test, reason):
        self.tell(test, "skipped")

    def stopTest(self, test):
        super().stopTest(test)
        state = self.state.get(test.id(), "passed")
        print(json.dumps([test.id(), state]), file=self.out, flush=True)


def child(module, name, out):
    """Runs one class."""
    loaded = importlib.import_module("test." + module)
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(getattr(loaded, name))
    with open(out, "w") as out:
        suite.run(Result(out))


def classes(module):
    """The classes of a module that have tests."""
    loaded = importlib.import_module("test." + module)
    for name, one in vars(loaded).items():
        if isinstance(one, type) and issubclass(one, unittest.TestCase):
            if not OTHERS.search(name) and unittest.defaultTestLoader.getTestCaseNames(one):
                yield name


def run(rump, way, module, name):
    """What became of the tests of a class."""
    command = [sys.executable, os.path.abspath(__file__), "--child", module, name]
    if WAYS[way]:
        command = [rump, *WAYS[way], *command]
    with tempfile.NamedTemporaryFile("r") as out:
        state = {}
        try:
            ended = subprocess.run(
                ["timeout", "-k", "5", str(PATIENCE), *command, out.name],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=tempfile.gettempdir(),
            )
            if ended.returncode != 0:
                state[f"test.{module}.{name}"] = "failed"
        finally:
            state.update(map(json.loads, out))
    return state


def differences():
    """Patterns of tests, by way."""
    known = collections.defaultdict(list)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "differences.txt")) as lines:
        for line in lines:
            if line.strip() and not line.startswith("#"):
                way, pattern, _ = line.split(None, 2)
                known[way].append(re.compile(pattern + "$"))
    return known


def main(rump, modules):
    known, unknown = differences(), []
    print(f"{'module':32}" + "".join(f"{way + ' ok/failed/skipped':>30}" for way in WAYS))
    for module in modules or MODULES:
        states = {way: {} for way in WAYS}
        for name in classes(module):
            for way in WAYS:
                states[way].update(run(rump, way, module, name))
        line = f"{module:32}"
        for way, state in states.items():
            counts = collections.Counter(state.values())
            told = "/".join(str(counts[what]) for what in ("passed", "failed", "skipped"))
            line += f"{told:>30}"
        print(line, flush=True)
        for way in WAYS:
            for test, state in states[way].items():
                better = states["linux"].get(test) in ("passed", None)
                patterns = known[way] + known["both"]
                if way != "linux" and state == "failed" and better:
                    written = any(pattern.match(test) for pattern in patterns)
                    print(f"  {way}: {test}{'' if written else ' (not written down)'}", flush=True)
                    if not written:
                        unknown.append(test)
    if unknown:
        sys.exit(f"{len(unknown)} tests differ from Linux and are not in differences.txt")


if __name__ == "__main__":
    if sys.argv[1] == "--child":
        child(*sys.argv[2:])
    else:
        main(sys.argv[1], sys.argv[2:])

"""What the end-to-end tests share: gpu-run and gpu-node of one installation, each in surroundings of its own, and a look
at what is left when they are gone."""

import contextlib
import fcntl
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

SECONDS = 60  # for what takes a second on a machine with nothing else to do
HERE = pathlib.Path(__file__).resolve().parent
USER = 65534  # "nobody" on every Linux
ROOT = None  # of the installation; set by main
PROGRAMS = None  # folder of the programs that the build made for these tests; set by main


def program(name):
    return str(ROOT / "bin" / name)


class StackTest(unittest.TestCase):
    """Every process that a test starts, directly or not, carries the test's mark in its environment. After each test
    there must be no such process, no folder and no device memory left."""

    def setUp(self):
        self.mark = f"OUTBOARD_TEST_MARK={uuid.uuid4()}"
        folder = tempfile.TemporaryDirectory(prefix="outboard-e2e-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        runtime = self.folder / "runtime"
        runtime.mkdir(mode=0o700)
        self.environment = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(runtime), "SOFTGPU_MEMORY": "64MiB",
                            "SOFTGPU_THREADS": "1", "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1",
                            **dict([self.mark.split("=")])}
        self.addCleanup(self.assert_nothing_is_left, runtime)

    def start(self, *command, **more):
        """A process with pipes for its output, killed at the end of the test if it is still there."""
        environment = {**self.environment, **more.pop("environment", {})}
        process = subprocess.Popen(command, env=environment, stdin=more.pop("stdin", subprocess.DEVNULL),
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
        self.addCleanup(self._end, process)
        return process

    def run_to_end(self, *command, **more):
        """(status, stdout, stderr) of a command. One that does not end fails the test."""
        process = self.start(*command, **more)
        output, errors = process.communicate(timeout=SECONDS)
        return process.returncode, output, errors

    def gpu_run(self, *arguments, **more):
        return self.run_to_end(program("gpu-run"), *arguments, **more)

    def python(self, script):
        """A command that runs one of the programs beside this file."""
        return [sys.executable, "-B", str(HERE / script)]

    def start_node(self, *arguments, **more):
        """A node of its own, and its address."""
        reader, writer = os.pipe()
        node = self.start(program("gpu-node"), "--announce-fd", str(writer), *arguments, pass_fds=[writer],
                          environment={"SOFTGPU_DIR": str(self.folder / "softgpu"), **more})
        os.close(writer)
        with open(reader) as announcement:
            line = announcement.readline()
        self.assertTrue(line.startswith("ready "), line)
        return node, line.split()[1]

    def marked_processes(self):
        """The pids of what carries this test's mark, by program."""
        found = {}
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):  # it has just ended
                if self.mark in (entry / "environ").read_text(errors="replace").split("\0"):
                    found.setdefault(pathlib.Path(os.readlink(entry / "exe")).name, []).append(int(entry.name))
        return found

    def wait_until(self, condition, what):
        end = time.monotonic() + SECONDS
        while not condition():
            self.assertLess(time.monotonic(), end, f"not within {SECONDS} s: {what}")
            time.sleep(0.01)

    @staticmethod
    def read_line(process, seconds=SECONDS):
        """The next line that the process prints, without its end; None when there is none. Reads nothing ahead, so that
        communicate() has the rest."""
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([process.stdout], [], [], seconds)[0]:
                raise AssertionError(f"it prints nothing for {seconds} s")
            byte = os.read(process.stdout.fileno(), 1)
            if not byte:
                return None
            line += byte
        return line.decode().rstrip("\n")

    def wait_for_line(self, process, wanted):
        """Reads what the process prints up to this line."""
        while (line := self.read_line(process)) != wanted:
            self.assertIsNotNone(line, f"it ended without saying {wanted!r}")

    @staticmethod
    def kill(pid, number=signal.SIGKILL):
        os.kill(pid, number)

    def kill_all(self, name):
        """Kills the test's processes of this program, and waits until they are gone."""
        for pid in self.marked_processes()[name]:
            self.kill(pid)
        self.wait_until(lambda: name not in self.marked_processes(), f"{name} is gone")

    @staticmethod
    def ours(errors):
        """The lines that Outboard wrote."""
        return [line for line in errors.splitlines() if line.startswith("outboard:")]

    def assert_one_line(self, text, *words):
        lines = text.splitlines()
        self.assertEqual(len(lines), 1, text)
        for word in words:
            self.assertIn(word, text)

    def assert_nothing_is_left(self, runtime):
        self.wait_until(lambda: not self.marked_processes(), f"its processes end: {self.marked_processes()}")
        self.assertEqual(self.abandoned(runtime), [])
        self.assertEqual(self.abandoned(pathlib.Path("/dev/shm")), [])
        self.assertEqual([path for path in runtime.rglob("*") if path.is_socket()], [])

    @staticmethod
    def abandoned(folder):
        """Folders of gpu-run that no process uses any more."""
        found = []
        for lock in folder.glob("outboard-run-*/lock"):
            with contextlib.suppress(OSError), open(lock) as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                found.append(str(lock.parent))
        return found

    def _end(self, process):
        process.kill()
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:  # the test has failed: what it started has the pipes still
            for pid in sum(self.marked_processes().values(), []):
                self.kill(pid)
            process.communicate()


def run_as_user(test, root, programs, arguments):
    """The status of a test that was run as an ordinary user, with copies of what that one may not be able to reach."""
    with tempfile.TemporaryDirectory(prefix="outboard-e2e-") as folder:
        copies = pathlib.Path(folder)
        copies.chmod(0o755)
        for part in ("tests/e2e", "scripts/codegen", "common/api"):
            shutil.copytree(HERE.parents[1] / part, copies / "sources" / part)
        for part in ("bin", "lib/outboard"):
            shutil.copytree(root / part, copies / "root" / part, symlinks=True)
        shutil.copytree(programs, copies / "programs", ignore=lambda _, names: [n for n in names if n == "installed"])
        command = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "/usr/bin/python3", "-B",
                   str(copies / "sources/tests/e2e" / test), str(copies / "root"), str(copies / "programs"), *arguments]
        return subprocess.run(command, cwd="/", env={"PATH": os.environ["PATH"]}).returncode


def main():
    """For each test program: its first argument is the installation, or a build folder, which has the same shape; the
    second is the folder of the programs that the build made for these tests. With --user, run by root, the tests run as
    an ordinary user."""
    global ROOT, PROGRAMS
    if "--user" in sys.argv:
        sys.argv.remove("--user")
        if os.geteuid() == 0:
            sys.exit(run_as_user(pathlib.Path(sys.argv[0]).name, *map(pathlib.Path, sys.argv[1:3]), sys.argv[3:]))
    # A test file is __main__, and imports this module by name: the one that it sees must know the folders.
    ROOT = pathlib.Path(sys.argv.pop(1)).resolve()
    PROGRAMS = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main(module="__main__", verbosity=2)

"""What is left behind when a program has used CUDA and all has ended, in whatever way: no file, no socket, no process;
and in a node that goes on, no descriptor."""

import collections
import contextlib
import itertools
import os
import pathlib
import re
import subprocess

import stack
from stack import StackTest, program


class LeftBehind(StackTest):
    def start_session(self, *options):
        run = self.start(program("gpu-run"), *options, "-q", *self.python("session_program.py"), "take",
                         str(1 << 20), stdin=subprocess.PIPE)
        self.wait_for_line(run, "ready")
        return run

    @staticmethod
    def descriptors(pid):
        """What they lead to."""
        found = []
        for link in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # it was just closed
                found.append(os.readlink(link))
        return found

    def files_in_use(self):
        """What the test's processes have open or mapped in folders for temporary files."""
        found = set()
        for pid in sum(self.marked_processes().values(), []):
            maps = pathlib.Path(f"/proc/{pid}/maps").read_text()
            paths = self.descriptors(pid) + re.findall(r" (/\S.*)$", maps, re.MULTILINE)
            found.update(path for path in paths if path.startswith(("/dev/shm/", "/tmp/", "/run/")))
        # The program that is tested may lie there too.
        return {path for path in found if not pathlib.Path(path).is_relative_to(stack.ROOT)}

    def test_by_a_run_that_ends(self):
        run = self.start_session()
        self.nothing_remains(run, lambda: None)

    def test_by_one_that_is_killed(self):
        run = self.start_session()
        self.nothing_remains(run, run.kill)
        for name in ("gpu-node", "gpu-worker"):
            with self.subTest(name):
                run = self.start_session()
                self.nothing_remains(run, lambda: self.kill_all(name))

    def nothing_remains(self, run, end):
        files = self.files_in_use()
        self.assertTrue([path for path in files if path.startswith("/dev/shm/outboard-run-")], files)
        end()
        run.communicate("go\nfree\n", timeout=stack.SECONDS)
        self.wait_until(lambda: not self.marked_processes(), "all processes end")
        self.assertEqual({path for path in files if pathlib.Path(path).exists()}, set())
        self.assertEqual(list((self.folder / "runtime").iterdir()), [])

    def test_in_a_node_that_goes_on(self):
        node, address = self.start_node("--listen", f"unix:{self.folder}/node")

        def holds():
            """The kinds of the node's descriptors, and its children."""
            children = pathlib.Path(f"/proc/{node.pid}/task/{node.pid}/children").read_text().split()
            return collections.Counter(re.sub(r"\d+", "", link) for link in self.descriptors(node.pid)), children

        def as_before():
            descriptors, children = holds()
            return descriptors == before[0] and len(children) == len(before[1])

        before = holds()
        endings = ("end", "gpu-run is killed", "worker is killed")
        for ending, gpus in itertools.product(endings, ("1", "0.5")):
            with self.subTest(ending, gpus=gpus):
                _, [worker] = holds()  # the one that is kept ready for the next session
                run = self.start_session("--node", address, "-n", gpus)
                self.assertFalse(as_before())
                if ending == "worker is killed":
                    self.kill(int(worker))
                elif ending == "gpu-run is killed":
                    run.kill()
                run.communicate("go\nfree\n", timeout=stack.SECONDS)
                self.wait_until(as_before, f"the node holds what it held: {before}")


if __name__ == "__main__":
    stack.main()

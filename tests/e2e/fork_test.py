"""Processes that fork: before cuInit the child gets a session of its own, after it none at all."""

import pathlib
import subprocess
import sys

import stack
from stack import StackTest, program

SOURCES = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCES / "scripts/codegen"))
import spec

NOT_INITIALIZED = 3
# What needs no cuInit.
WITHOUT_SESSION = {"cuDriverGetVersion", "cuGetErrorName", "cuGetErrorString", "cuGetProcAddress",
                   "cuGetProcAddress_v2"}


def supported_calls():
    entries = spec.load(sorted((SOURCES / "common/api").glob("*.toml")))
    return [entry.name for entry in entries if entry.exported and not entry.unsupported]


class Fork(StackTest):
    def run_program(self, *arguments):
        status, output, errors = self.gpu_run("-q", *self.python("fork_program.py"), *arguments)
        self.assertEqual((status, errors), (0, ""), output)
        return output.splitlines()

    def test_before_cuInit(self):
        self.assertEqual(self.run_program("before"), ["child", "parent"])

    def test_no_call_works_after_cuInit(self):
        *answers, sockets, parent = self.run_program("after", *supported_calls())
        self.assertEqual(parent, "parent")
        self.assertEqual(sockets, "sockets 0")
        answers = dict(answer.split() for answer in answers)
        self.assertEqual(list(answers), supported_calls())
        other = {name for name, result in answers.items() if int(result) != NOT_INITIALIZED}
        self.assertEqual(other, WITHOUT_SESSION)

    def test_a_child_that_outlives_its_parent_holds_no_session(self):
        run = self.start(program("gpu-run"), "-q", "sh", "-c", "\"$@\"; read line", "sh",
                         *self.python("fork_program.py"), "outlive", stdin=subprocess.PIPE)
        parent, child = map(int, self.read_line(run).split())
        self.assertEqual(len(self.marked_processes()["gpu-worker"]), 1)
        self.kill(parent)
        self.wait_until(lambda: "gpu-worker" not in self.marked_processes(), "the parent's worker ends")
        self.kill(child)
        run.communicate("\n", timeout=stack.SECONDS)


if __name__ == "__main__":
    stack.main()

"""Slices of one GPU that use it in turns: whatever becomes of one, the others go on."""

import signal
import subprocess

import stack
from stack import StackTest, program


class Turns(StackTest):
    def setUp(self):
        super().setUp()
        _, self.address = self.start_node("--listen", f"unix:{self.folder}/node")

    def command(self, *arguments):
        return [program("gpu-run"), "-q", "-n", "0.5", "--node", self.address, *self.python("session_program.py"),
                *arguments]

    def start_slice(self, *arguments):
        run = self.start(*self.command(*arguments))
        self.wait_for_line(run, "ready")
        return run

    def assert_another_works(self):
        """Takes all of its memory, which is zeroed for it, and copies to and fro."""
        run = self.start(*self.command("take", str(8 << 20)), stdin=subprocess.PIPE)
        output, errors = run.communicate("go\nfree\n", timeout=stack.SECONDS)
        self.assertEqual((run.returncode, errors), (0, ""))
        self.assertIn("took", output)

    def beside(self, action):
        run = self.start_slice(action)
        self.assert_another_works()
        self.assertIsNone(run.poll())

    def test_beside_one_that_copies(self):
        self.beside("work")

    def test_beside_one_that_launches_without_end(self):
        self.beside("launch")

    def test_beside_a_kernel_that_never_ends(self):
        self.beside("wait")

    def test_beside_a_program_that_is_stopped(self):
        run = self.start_slice("work")
        [stopped] = [pid for name, pids in self.marked_processes().items() if name.startswith("python") for pid in pids]
        self.kill(stopped, signal.SIGSTOP)
        self.assert_another_works()
        for pid in (stopped, run.pid):  # gpu-run stops with its command
            self.kill(pid, signal.SIGCONT)
        self.assertIsNone(run.poll())

    def test_after_workers_that_were_killed(self):
        runs = [self.start_slice("launch"), self.start_slice("work")]
        self.kill_all("gpu-worker")
        for run in runs:
            run.communicate(timeout=stack.SECONDS)
        self.assert_another_works()

    def test_many_processes_of_one_slice(self):
        children = [self.start(*self.command("watch", *self.python("session_program.py"), "leave", str(1 << 20)))
                    for _ in range(2)]
        for child in children:
            output, errors = child.communicate(timeout=stack.SECONDS)
            self.assertEqual((child.returncode, errors), (0, ""), output)

    def test_a_hard_slice_alone(self):
        output = self.gpu_run("-q", "-n", "0.25", "--hard", "--node", self.address, *self.python("session_program.py"),
                              "take", str(8 << 20), stdin=subprocess.DEVNULL)
        self.assertEqual((output[0], output[2]), (0, ""))


if __name__ == "__main__":
    stack.main()

"""kill -9 of the application, its worker and the node: before there is a session, and while the program is idle,
copies, launches, and waits for a kernel."""

import pathlib
import signal
import subprocess

import stack
from stack import StackTest, program

STAGES = ("idle", "work", "launch", "wait")


class Killed(StackTest):
    def start_session(self, action, *options):
        run = self.start(program("gpu-run"), *options, "-q", *self.python("session_program.py"), action,
                         stdin=subprocess.PIPE)
        self.wait_for_line(run, "ready")
        return run

    def lost(self, run):
        """The program was told of it, in time and once."""
        output, errors = run.communicate("\n", timeout=stack.SECONDS)
        self.assertEqual((run.returncode, output), (0, "lost 46\n"), errors)
        self.assertEqual(len(self.ours(errors)), 1, errors)
        self.assertIn("is lost", errors)

    def application(self):
        """The name of the program that runs session_program.py."""
        return next(name for name in self.marked_processes() if name.startswith("python"))

    def test_the_application(self):
        for stage in STAGES:
            with self.subTest(stage):
                run = self.start_session(stage)
                self.kill_all(self.application())
                _, errors = run.communicate(timeout=stack.SECONDS)
                self.assertEqual((run.returncode, errors), (128 + signal.SIGKILL, ""))
                self.wait_until(lambda: not self.marked_processes(), "worker and node end")

    def test_the_worker(self):
        for stage in STAGES:
            with self.subTest(stage):
                run = self.start_session(stage)
                self.kill_all("gpu-worker")
                self.lost(run)

    def test_the_node(self):
        for stage in STAGES:
            with self.subTest(stage):
                run = self.start_session(stage)
                self.kill_all("gpu-node")
                self.lost(run)

    def test_a_node_elsewhere(self):
        node, address = self.start_node("--listen", "127.0.0.1:0")
        run = self.start_session("work", "--node", address)
        node.kill()
        self.lost(run)

    def test_gpu_run(self):
        for stage in STAGES:
            with self.subTest(stage):
                run = self.start_session(stage)
                run.kill()
                run.wait()
                self.wait_until(lambda: not self.marked_processes(), "command, worker and node end")

    def test_memory_of_one_comes_back_to_the_other_processes_of_the_lease(self):
        program_ = self.python("session_program.py")
        run = self.start(program("gpu-run"), "-q", *program_, "watch", *program_, "hold")
        before = int(self.read_line(run).removeprefix("before "))
        self.assertLess(int(self.read_line(run).removeprefix("during ")), before)
        holders = [pid for pids in self.marked_processes().values() for pid in pids if self.is_holder(pid)]
        self.assertEqual(len(holders), 1)
        self.kill(holders[0])
        output, errors = run.communicate(timeout=2 * stack.SECONDS)
        self.assertEqual((run.returncode, errors), (0, ""), output)
        self.assertIn(f"status {-signal.SIGKILL}", output)

    @staticmethod
    def is_holder(pid):
        arguments = pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        return "hold" in arguments and "watch" not in arguments

    def test_memory_of_a_killed_session_is_free_for_the_next(self):
        _, address = self.start_node("--listen", f"unix:{self.folder}/node")
        for _ in range(3):
            run = self.start_session("hold", "--node", address, "-n", "1")
            run.kill()
            run.wait()
            self.wait_until(lambda: self.gpu_run("--node", address, "-q", "-n", "1", "true")[0] == 0,
                            "the GPU is free again")


class BeforeThereIsASession(StackTest):
    def start_waiting(self):
        """A command that opens a session when it has read a line."""
        run = self.start(program("gpu-run"), "-q", "sh", "-c", "echo ready; read line; exec \"$@\"", "sh",
                         *self.python("session_program.py"), "facts", stdin=subprocess.PIPE)
        self.wait_for_line(run, "ready")
        return run

    def test_the_application(self):
        run = self.start_waiting()
        self.kill_all("dash")
        run.communicate(timeout=stack.SECONDS)
        self.assertEqual(run.returncode, 128 + signal.SIGKILL)

    def test_a_worker_that_was_kept_ready(self):
        run = self.start_waiting()
        self.kill_all("gpu-worker")
        output, errors = run.communicate("\n", timeout=stack.SECONDS)
        self.assertEqual(run.returncode, 0, errors)
        self.assertTrue(output.startswith("1 "), output)

    def test_the_node(self):
        run = self.start_waiting()
        self.kill_all("gpu-node")
        _, errors = run.communicate("\n", timeout=stack.SECONDS)
        self.assertEqual(run.returncode, 1)
        self.assertIn("cuInit returned 46", errors)
        self.assertEqual(len(self.ours(errors)), 1, errors)


if __name__ == "__main__":
    stack.main()

"""Sessions through the whole stack: slices and their memory, several processes under one lease, and what remains when the
application, its worker or the node is killed."""

import concurrent.futures
import pathlib
import re
import signal
import time

import stack
from stack import StackTest, program

MIB = 1 << 20


class Slices(StackTest):
    def facts(self, *options, **environment):
        status, output, errors = self.gpu_run(*options, *self.python("session_program.py"), "facts",
                                              environment=environment)
        self.assertEqual(status, 0, errors)
        return output.strip(), errors

    def test_half_a_gpu_has_half_its_memory(self):
        output, errors = self.facts("-n", "0.5")
        count, total = re.match(r"(\d+) \[(\d+)\]", output).groups()
        self.assertEqual((count, total), ("1", str(32 * MIB)))
        self.assertIn("0.50 of Outboard software GPU", errors)
        free, total = map(int, output.split()[-2:])
        self.assertEqual(total, 32 * MIB)
        self.assertLessEqual(free, total)

    def test_memory_may_be_asked_for(self):
        output, _ = self.facts("-q", "-m", "16MiB")
        self.assertEqual(int(output.split()[-1]), 16 * MIB)

    def test_several_whole_gpus(self):
        output, _ = self.facts("-q", "-n", "2", SOFTGPU_DEVICES="3")
        self.assertTrue(output.startswith(f"2 [{64 * MIB}, {64 * MIB}]"), output)

    def test_visible_devices_count_within_the_lease(self):
        output, _ = self.facts("-q", "-n", "2", SOFTGPU_DEVICES="3", CUDA_VISIBLE_DEVICES="1")
        self.assertTrue(output.startswith("1 "), output)

    def test_memory_ends_at_the_slice_and_the_program_goes_on(self):
        run = self.start(program("gpu-run"), "-q", "-n", "0.5", "sh", "-c",
                         " ".join(self.python("session_program.py")) + f" take {MIB} < /dev/null")
        output, errors = run.communicate(timeout=stack.SECONDS)
        self.assertEqual(run.returncode, 0, errors)
        taken, free = map(int, re.findall(r"\d+", output))
        self.assertLessEqual(taken, 32 * MIB)
        self.assertGreaterEqual(taken, 16 * MIB)
        self.assertGreaterEqual(free, taken)

    def test_four_processes_share_one_slice(self):
        # Each takes what it can get and holds it until all have: the parent's standard input of `sh` is closed then.
        child = " ".join(self.python("session_program.py")) + f" take {MIB // 4}"
        run = self.start(program("gpu-run"), "-q", "-n", "0.5", "sh", "-c",
                         f"mkfifo $XDG_RUNTIME_DIR/go; for i in 1 2 3 4; do {child} < $XDG_RUNTIME_DIR/go & done; "
                         "exec 3> $XDG_RUNTIME_DIR/go; wait_for() { while ! test -e $XDG_RUNTIME_DIR/all; do sleep 0.05; "
                         "done; }; wait_for; exec 3>&-; wait")
        taken = []
        while len(taken) < 4:
            line = self.read_line(run)
            self.assertIsNotNone(line, taken)
            taken.append(int(re.fullmatch(r"took (\d+)", line).group(1)))
        (self.folder / "runtime/all").touch()
        _, errors = run.communicate(timeout=stack.SECONDS)
        self.assertEqual(run.returncode, 0, errors)
        self.assertEqual(len(taken), 4, errors)
        self.assertLessEqual(sum(taken), 32 * MIB)
        self.assertGreaterEqual(sum(taken), 16 * MIB)

    def test_leases_on_one_gpu_do_not_reach_each_other(self):
        _, address = self.start_node("--listen", f"unix:{self.folder}/node")
        def take():
            return self.gpu_run("--node", address, "-q", "-n", "0.5", *self.python("session_program.py"), "take", str(MIB))
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for status, output, errors in pool.map(lambda _: take(), range(2)):
                self.assertEqual(status, 0, errors)
                self.assertGreaterEqual(int(re.search(r"took (\d+)", output).group(1)), 16 * MIB)


class OrderlyEnd(StackTest):
    def test_memory_is_back_when_the_process_is_gone(self):
        program_ = self.python("session_program.py")
        for _ in range(5):
            status, output, errors = self.gpu_run("-q", *program_, "watch", *program_, "leave", str(16 * MIB))
            self.assertEqual((status, errors), (0, ""))
            before, during, after = map(int, re.findall(r"(?:before|during|after) (\d+)", output))
            self.assertLessEqual(during, before - 16 * MIB)
            self.assertEqual(after, before)

    def test_a_kernel_that_does_not_end_is_given_up_with_a_line(self):
        start = time.monotonic()
        status, output, errors = self.gpu_run("-q", *self.python("session_program.py"), "spin")
        self.assertLess(time.monotonic() - start, stack.SECONDS / 2)
        self.assertEqual((status, output), (0, "ready\n"))
        self.assert_one_line(errors, "outboard: warn: what the process left behind on the GPU", "is stopped")


class Killed(StackTest):
    def start_session(self, action, *options):
        run = self.start(program("gpu-run"), *options, "-q", *self.python("session_program.py"), action)
        self.wait_for_line(run, "ready")
        return run

    def test_the_application(self):
        run = self.start_session("hold")
        for name, pids in self.marked_processes().items():
            if name.startswith("python"):
                for pid in pids:
                    self.kill(pid)
        run.communicate(timeout=stack.SECONDS)
        self.assertEqual(run.returncode, 128 + signal.SIGKILL)

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

    def test_gpu_run(self):
        run = self.start_session("hold")
        run.kill()
        run.wait()

    def lost(self, run):
        output, errors = run.communicate(timeout=stack.SECONDS)
        self.assertEqual(run.returncode, 0, errors)
        self.assertEqual(output, "lost 46\n")
        self.assertEqual(len([line for line in errors.splitlines() if "is lost" in line]), 1, errors)

    def test_the_worker(self):
        run = self.start_session("work")
        for pid in self.marked_processes()["gpu-worker"]:
            self.kill(pid)
        self.lost(run)

    def test_the_node(self):
        run = self.start_session("work")
        for pid in self.marked_processes()["gpu-node"]:
            self.kill(pid)
        self.lost(run)

    def test_a_node_elsewhere(self):
        node, address = self.start_node("--listen", "127.0.0.1:0")
        run = self.start_session("work", "--node", address)
        node.kill()
        self.lost(run)

    def test_memory_of_a_killed_session_is_free_for_the_next(self):
        _, address = self.start_node("--listen", f"unix:{self.folder}/node")
        for _ in range(3):
            run = self.start_session("hold", "--node", address, "-n", "1")
            run.kill()
            run.wait()
            self.wait_until(lambda: self.gpu_run("--node", address, "-q", "-n", "1", "true")[0] == 0,
                            "the GPU is free again")

    def test_a_session_cannot_be_opened_when_the_node_is_gone(self):
        run = self.start(program("gpu-run"), "-q", "sh", "-c",
                         "echo ready; while ! test -e $XDG_RUNTIME_DIR/go; do sleep 0.05; done; "
                         + " ".join(self.python("session_program.py")) + " facts")
        self.wait_for_line(run, "ready")
        for pid in self.marked_processes()["gpu-node"]:
            self.kill(pid)
        self.wait_until(lambda: "gpu-node" not in self.marked_processes(), "the node is gone")
        (self.folder / "runtime/go").touch()
        _, errors = run.communicate(timeout=stack.SECONDS)
        self.assertEqual(run.returncode, 1)
        self.assertIn("cuInit returned 46", errors)
        self.assertEqual(len([line for line in errors.splitlines() if line.startswith("outboard:")]), 1, errors)


class WithoutGpuRun(StackTest):
    def test_the_driver_says_how_to_start_the_program(self):
        environment = {"LD_LIBRARY_PATH": str(stack.ROOT / "lib/outboard/client")}
        status, _, errors = self.run_to_end(*self.python("session_program.py"), "facts", environment=environment)
        self.assertEqual(status, 1)
        ours = [line for line in errors.splitlines() if line.startswith("outboard:")]
        self.assertEqual(len(ours), 1, errors)
        self.assertIn("gpu-run", ours[0])


if __name__ == "__main__":
    stack.main()

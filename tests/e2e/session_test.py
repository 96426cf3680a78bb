"""Sessions through the whole stack: slices and their memory, several processes under one lease."""

import concurrent.futures
import re
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

    def test_eight_processes_share_one_slice(self):
        for take in ("take", "take-ordered"):
            with self.subTest(take):
                run = self.start(program("gpu-run"), "-q", "-m", "32MiB", *self.python("many_processes.py"), "7",
                                 str(MIB // 4), str(stack.PROGRAMS / "raw_client"), take, environment={
                                     "OUTBOARD_TRANSPORT_PLUGIN":
                                         str(stack.ROOT / "lib/outboard/liboutboard_grpc.so")})
                output, errors = run.communicate(timeout=stack.SECONDS)
                self.assertEqual((run.returncode, errors), (0, ""))
                taken = [int(number) for number in re.findall(r"took (\d+)", output)]
                self.assertEqual(len(taken), 8, output)
                self.assertLessEqual(sum(taken), 32 * MIB)
                self.assertGreaterEqual(sum(taken), 16 * MIB)
                self.assertEqual(len(re.findall(r"free \d+", output)), 8, output)

    def test_leases_on_one_gpu_do_not_reach_each_other(self):
        _, address = self.start_node("--listen", f"unix:{self.folder}/node")
        def take():
            return self.gpu_run("--node", address, "-q", "-n", "0.5", *self.python("session_program.py"), "take", str(MIB))
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for status, output, errors in pool.map(lambda _: take(), range(2)):
                self.assertEqual(status, 0, errors)
                self.assertGreaterEqual(int(re.search(r"took (\d+)", output).group(1)), 16 * MIB)


class OrderlyEnd(StackTest):
    def test_a_gpu_is_free_for_the_next_command_at_once(self):
        _, address = self.start_node("--listen", f"unix:{self.folder}/node")
        for _ in range(20):
            status, _, errors = self.gpu_run("-q", "--node", address, "-n", "1", *self.python("session_program.py"), "facts")
            self.assertEqual((status, errors), (0, ""))

    def test_memory_is_back_when_the_process_is_gone(self):
        program_ = self.python("session_program.py")
        for leave in ["leave"] * 5 + ["leave-ordered"] * 5:
            status, output, errors = self.gpu_run("-q", *program_, "watch", *program_, leave, str(16 * MIB))
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


class WithoutGpuRun(StackTest):
    def test_the_driver_says_how_to_start_the_program(self):
        environment = {"LD_LIBRARY_PATH": str(stack.ROOT / "lib/outboard/client")}
        status, _, errors = self.run_to_end(*self.python("session_program.py"), "facts", environment=environment)
        self.assertEqual(status, 1)
        self.assertEqual(len(self.ours(errors)), 1, errors)
        self.assertIn("gpu-run", errors)


if __name__ == "__main__":
    stack.main()

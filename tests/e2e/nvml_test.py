"""NVML under gpu-run: a program sees the slice, and nothing else comes of asking."""

import json
import subprocess

import stack
from stack import StackTest, program

MEGABYTE = 1 << 20
NOT_SUPPORTED, DRIVER_NOT_LOADED, GPU_IS_LOST = 3, 9, 15


class Nvml(StackTest):
    def start_program(self, action, *options, environment={}):
        return self.start(program("gpu-run"), "-q", *options, *self.python("nvml_program.py"), action,
                          stdin=subprocess.PIPE, environment=environment)

    def finish(self, run, text=""):
        output, errors = run.communicate(text, timeout=stack.SECONDS)
        self.assertEqual(run.returncode, 0, errors)
        return output, errors

    def test_the_slice_is_what_is_seen_and_no_worker_is_started(self):
        node, address = self.start_node("--listen", "127.0.0.1:0", SOFTGPU_DEVICES="3")
        self.wait_until(lambda: "gpu-worker" in self.marked_processes(), "the node has a worker ready")
        spare = len(self.marked_processes()["gpu-worker"])
        run = self.start_program("facts", "--node", address, "-n", "2", environment={"CUDA_VISIBLE_DEVICES": "1"})
        facts = json.loads(self.read_line(run))
        self.wait_for_line(run, "done")
        self.assertEqual(len(self.marked_processes()["gpu-worker"]), spare)
        _, errors = self.finish(run, "\n")
        self.assertEqual(errors, "")
        self.assertEqual(len(facts["gpus"]), 2)
        self.assertEqual(len({uuid for _, uuid, _, _ in facts["gpus"]}), 2)
        self.assertEqual(len({address for *_, address in facts["gpus"]}), 2)
        for name, uuid, memory, address in facts["gpus"]:
            self.assertIn("Outboard", name)
            self.assertRegex(uuid, "^GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
            self.assertEqual(memory, [64 * MEGABYTE, 64 * MEGABYTE, 0])
            self.assertRegex(address, "^[0-9A-F]{8}:[0-9A-F]{2}:[0-9A-F]{2}\\.0$")
        self.assertGreaterEqual(facts["capability"], [7, 0])
        self.assertTrue(facts["driver"])
        self.assertTrue(facts["found"])
        self.assertEqual((facts["persistence"], facts["compute_mode"]), (1, 0))
        self.assertEqual(facts["processes"], {})
        self.assertEqual(set(facts["unknown"].values()), {NOT_SUPPORTED}, facts["unknown"])
        self.assertEqual(facts["missing"], [])
        del node

    def test_a_private_node_starts_no_worker_either(self):
        run = self.start_program("facts", "-n", "0.5")
        facts = json.loads(self.read_line(run))
        self.wait_for_line(run, "done")
        self.assertEqual(facts["gpus"][0][2][0], 32 * MEGABYTE)
        worker_pids = self.marked_processes().get("gpu-worker", [])
        self.assertLessEqual(len(worker_pids), 1, "the one that is started ahead")
        self.finish(run, "\n")

    def test_memory_moves_with_the_program(self):
        output, _ = self.finish(self.start_program("moves", "-n", "0.5"))
        self.assertEqual(output.split(), ["0", str(MEGABYTE), "0"])

    def test_others_of_the_node_are_not_seen(self):
        node, address = self.start_node("--listen", "127.0.0.1:0")
        other = self.start(program("gpu-run"), "-q", "--node", address, "-n", "0.25",
                           *self.python("session_program.py"), "leave", str(MEGABYTE), stdin=subprocess.PIPE)
        self.read_line(other)
        output, _ = self.finish(self.start_program("moves", "--node", address, "-n", "0.5"))
        self.assertEqual(output.split(), ["0", str(MEGABYTE), "0"])
        other.communicate("\n", timeout=stack.SECONDS)
        del node

    def test_each_sees_how_busy_it_keeps_its_slice(self):
        node, address = self.start_node("--listen", "127.0.0.1:0")
        large, small = (self.start_program("busy", "--node", address, "-n", share) for share in ("0.75", "0.25"))
        for run in (large, small):
            self.wait_for_line(run, "ready")

        def ask(run, line="ask"):
            run.stdin.write(f"{line}\n")
            run.stdin.flush()
            answer = self.read_line(run)
            self.assertRegex(answer, "^[0-9]+ 0$", "nobody tells of a software GPU's memory")
            return int(answer.split()[0])

        self.assertEqual([ask(large), ask(small)], [0, 0])
        ask(large, "begin")
        self.wait_until(lambda: ask(large) >= 90, "who is alone uses all of its slice")
        self.assertEqual(ask(small), 0)
        ask(small, "begin")
        self.wait_until(lambda: min(ask(large), ask(small)) >= 90, "each of two that want more uses all of its slice")
        ask(large, "end")
        self.wait_until(lambda: ask(large) == 0, "who has ended its work uses nothing")
        self.wait_until(lambda: ask(small) >= 90, "the other one goes on")
        ask(small, "end")
        for run in (large, small):
            self.finish(run)
        del node

    def test_a_forked_child_asks_and_both_are_listed(self):
        output, errors = self.finish(self.start_program("fork", "-n", "0.5"))
        self.assertEqual(output, "0\n", errors)

    def test_threads(self):
        output, _ = self.finish(self.start_program("threads"))
        self.assertEqual(output, "0\n")

    def test_a_node_that_is_gone_is_said_once(self):
        node, address = self.start_node("--listen", "127.0.0.1:0")
        run = self.start_program("lost", "--node", address)
        self.wait_for_line(run, "ready")
        run.stdin.write("\n")
        run.stdin.flush()
        self.assertEqual(self.read_line(run), f"0 {NOT_SUPPORTED}")
        node.kill()
        node.wait()
        output, errors = self.finish(run, "\n\n")
        self.assertEqual(output.split("\n"), [f"{GPU_IS_LOST} {GPU_IS_LOST}"] * 2 + [f"{DRIVER_NOT_LOADED}", ""])
        self.assertEqual(len(self.ours(errors)), 1, errors)
        self.assertIn("NVML", errors)

    def test_without_gpu_run_there_is_no_driver(self):
        status, output, errors = self.run_to_end(
            *self.python("nvml_program.py"), "facts",
            environment={"LD_LIBRARY_PATH": str(stack.ROOT / "lib/outboard/client")})
        self.assertNotEqual(status, 0)
        self.assertIn(f"returned {DRIVER_NOT_LOADED}", errors)
        self.assertEqual(len(self.ours(errors)), 1, errors)
        self.assertIn("gpu-run", self.ours(errors)[0])
        self.assertEqual(output, "")


if __name__ == "__main__":
    stack.main()

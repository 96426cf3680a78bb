"""What becomes of programs whose lease gets another size, or ends, while they run."""

import os
import random
import re
import signal
import subprocess
import time

import stack
from pool_stack import PoolTest
from stack import program

MIB = 1 << 20
GPU = 64 * MIB  # memory of the software GPU here
LEAST, MOST = 8 * MIB, 48 * MIB
BLOCK = 1 << 18  # in which the programs take all that there is
RESIZES = int(os.environ.get("OUTBOARD_TEST_RESIZES", "12"))
TIMES = "times: {lost_after: 6s, lease_time: 1h, open_within: 1h}\n"  # nodes beat every two seconds


class LeaseChanges(PoolTest):
    def begin(self, nodes=("n1",), **more):
        pool, _ = self.start_pool("--store", str(self.folder / "pool.db"), config=TIMES, **more)
        for name in nodes:
            self.member_of_pool = self.member(name)
        return pool

    def resize(self, lease, *arguments):
        """(whether it was done, what was said)."""
        status, output, errors = self.run_to_end(program("gpu-admin"), "resize", lease, *arguments)
        self.assertIn(status, (0, 1), errors)
        return status == 0, output or errors

    def lease(self, name):
        return next(row for row in self.table("leases") if row["lease"] == name)

    def assert_books(self):
        """Of the GPU as much is lent out as its leases hold, and never more than it has."""
        leases, [gpu] = self.table("leases"), self.table("gpus")
        for row in leases:
            self.assertLessEqual(row["memory_bytes"], row["held_bytes"])
        self.assertLessEqual(sum(row["held_bytes"] for row in leases), GPU)
        self.assertLessEqual(gpu["leased_bytes"], GPU)

    def finish(self, job, lease):
        """It ends well, and all that was said is that its lease got another size."""
        _, errors = job.communicate(timeout=stack.SECONDS)
        self.assertEqual(job.returncode, 0, errors)
        self.assertNotEqual(errors, "")
        for line in errors.splitlines():
            self.assertRegex(line, rf"^outboard: lease {lease}: it has [\d.]+ % of the compute and [\d.]+ MiB now\.$")

    def take_beside(self, size, share):
        """Another program gets exactly so much, and uses it."""
        status, output, errors = self.run_to_end(
            program("gpu-run"), "-q", "-n", str(share), "-m", str(size), *self.python("session_program.py"), "take",
            str(BLOCK))
        self.assertEqual((status, errors), (0, ""))
        self.assertIn(f"took {size}\n", output)

    def test_a_program_that_takes_and_frees_all_the_time(self):
        self.begin()
        job, lease = self.start_job("churn", str(LEAST), str(MOST), options=["-n", "0.25"])
        generator = random.Random(7)
        size, done, refused = GPU // 4, 0, 0
        while done < RESIZES:
            number = done + refused
            wanted = generator.choice((LEAST, MOST, BLOCK * generator.randrange(LEAST // BLOCK, MOST // BLOCK)))
            share = generator.randrange(5, 76)
            is_done, said = self.resize(lease, "--memory", str(wanted), "--share", str(share),
                                        *(["--when-free"] if number % 3 == 0 else []))
            if is_done:
                size, done = wanted, done + 1
                self.assertEqual(self.lease(lease)["gpus"], share / 100)
                self.assertIn(f"lease {lease} has {share} % of the compute and ", said)
            else:
                refused += 1
                self.assertRegex(said, rf"^gpu-admin: lease {lease} uses .* \((\d+) bytes\) of .*\({wanted}\)")
                self.assertGreater(int(re.search(r"\((\d+) bytes\)", said).group(1)), wanted)
                self.assertNotEqual(number % 3, 0)
            self.assertEqual(self.lease(lease)["memory_bytes"], size)
            self.assert_books()
            if number % 4 == 3:
                self.say(job)
                self.assertEqual(self.read_line(job), f"right {size} 0 {size}", "it gets all that it has, and no more")
        print(f"\n{done} resizes, {refused} refused", flush=True)
        self.wait_until(lambda: self.resize(lease, "--memory", str(LEAST), "--share", "50")[0], "it has freed enough")
        self.take_beside(GPU - LEAST, 0.5)
        self.finish(job, lease)

    def test_below_what_is_in_use(self):
        pool = self.begin()
        job, lease = self.start_job("take", str(BLOCK), options=["-n", "0.5"])
        self.say(job)
        self.assertEqual(self.read_line(job), f"took {GPU // 2}")
        is_done, said = self.resize(lease, "--memory", "8MiB")
        self.assertFalse(is_done)
        self.assertIn(f"uses 32 MiB ({GPU // 2} bytes) of ", said)
        is_done, said = self.resize(lease, "--memory", "8MiB", "--when-free")
        self.assertTrue(is_done)
        self.assertEqual(said, f"lease {lease} has 50 % of the compute and 8 MiB now. Its programs still hold 24 MiB "
                               "more, and get nothing until they free that.\n")
        row = self.lease(lease)
        self.assertEqual((row["memory_bytes"], row["held_bytes"]), (8 * MIB, 32 * MIB))
        [account] = self.table("why", lease)
        self.assertEqual({key: value for key, value in account.items() if key != "gpu"},
                         {"share": 0.5, "asked_bytes": 8 * MIB, "allocations_bytes": 32 * MIB, "context_bytes": 0,
                          "growth_bytes": 0, "used_bytes": 32 * MIB, "free_bytes": 0, "peak_bytes": 32 * MIB,
                          "held_bytes": 32 * MIB})
        asked = ["-q", "--wait", "0", "-n", "0.5", "-m"]
        self.assertEqual(self.gpu_run(*asked, str(GPU // 2 + 1), "true")[0], 75)
        # The pool forgets what is held, and hears it again from the node.
        pool.kill()
        pool.wait()
        self.start_pool("--store", str(self.folder / "pool.db"), config=TIMES)
        self.wait_until(lambda: self.table("nodes")[0]["state"] == "ready", "the node is back")
        self.assertEqual((self.lease(lease)["memory_bytes"], self.lease(lease)["held_bytes"]), (8 * MIB, 32 * MIB))
        self.assertEqual(self.gpu_run(*asked, str(GPU // 2 + 1), "true")[0], 75)
        self.say(job)
        self.assertEqual(self.read_line(job), f"free {8 * MIB}")
        self.finish(job, lease)

    def test_a_node_that_does_not_hear_of_it_hears_of_it_later(self):
        pool = self.begin()
        job, lease = self.start_job("step", options=["-n", "0.5"])
        self.member_of_pool.send_signal(signal.SIGSTOP)
        is_done, said = self.resize(lease, "--memory", "40MiB", "--share", "25")
        self.assertFalse(is_done)
        self.assertIn("has not said yet", said)
        self.assertEqual(self.lease(lease)["held_bytes"], 40 * MIB)
        pool.kill()
        pool.wait()
        self.start_pool("--store", str(self.folder / "pool.db"), config=TIMES)
        self.member_of_pool.send_signal(signal.SIGCONT)
        self.wait_until(lambda: self.lease(lease)["memory_bytes"] == 40 * MIB, "the node has heard of it")
        self.assertEqual(self.lease(lease)["gpus"], 0.25)
        self.say(job)
        self.assertEqual(self.read_line(job), "right")
        _, errors = job.communicate(timeout=stack.SECONDS)
        self.assertEqual(job.returncode, 0, errors)

    def test_what_a_program_sees(self):
        self.begin()
        held = 16 * MIB
        job, lease = self.start_job("sizes", str(held), options=["-n", "0.5"])
        for size in (GPU // 2, 20 * MIB, GPU, 10 * MIB):
            self.assertTrue(self.resize(lease, "--memory", str(size), "--when-free")[0])
            self.say(job)
            free, used = max(0, size - held), min(size, held)
            self.assertEqual(self.read_line(job), f"{size} {free} {size} {free} {used}", "of CUDA, and of NVML")
        self.finish(job, lease)

    def test_a_whole_gpu_is_made_a_part_for_who_waits(self):
        self.begin()
        job, lease = self.start_job("work", options=["-n", "1"])
        waiting = self.start(program("gpu-run"), "-q", "-n", "0.5", *self.python("session_program.py"), "take",
                             str(BLOCK))
        self.wait_until(lambda: self.table("queue"), "the other one waits")
        self.assertTrue(self.resize(lease, "--memory", "32MiB", "--share", "50")[0])
        output, errors = waiting.communicate(timeout=stack.SECONDS)
        self.assertEqual((waiting.returncode, errors), (0, ""))
        self.assertIn(f"took {GPU // 2}\n", output)
        self.assertIsNone(job.poll())

    # --- ends --------------------------------------------------------------------------------------------------------

    def assert_ended(self, job, lease, warned, why):
        """Its program had one sticky error, and gpu-run said why."""
        output, errors = job.communicate(timeout=stack.SECONDS)
        lines = [line for line in self.ours(errors) if f"lease {lease} " in line]
        said = [rf"outboard: lease {lease} ends in \d+ s: {why}$"] * warned
        said += [rf"outboard: lease {lease} has ended: {why}$"]
        self.assertEqual(len(lines), len(said), errors)
        for line, pattern in zip(lines, said):
            self.assertRegex(line, pattern)
        return output

    def test_a_kernel_without_an_end_ends_with_its_lease_and_leaves_all_memory(self):
        for grace in ("0s", "2s"):
            with self.subTest(grace):
                pool = self.begin() if grace == "0s" else None
                job, lease = self.start_job("wait", options=["-n", "1"])
                waiting = self.start(program("gpu-run"), "-n", "1", *self.python("session_program.py"), "take",
                                     str(BLOCK))
                self.assertRegex(waiting.stderr.readline(), "^outboard: waits: ")
                begin = time.monotonic()
                self.admin("revoke", lease, "--grace", grace, "--reason", "it never ends")
                self.assertRegex(waiting.stderr.readline(), "^outboard: 1 of .* on n1 ")
                passed = time.monotonic() - begin - float(grace[:-1])
                print(f"\nanother has the memory {passed:.3f} s after the grace of {grace}", flush=True)
                self.assertGreaterEqual(passed, 0)
                output, errors = waiting.communicate(timeout=stack.SECONDS)
                self.assertEqual((waiting.returncode, errors), (0, ""))
                self.assertIn(f"took {GPU}\n", output)
                self.assertEqual(self.assert_ended(job, lease, grace != "0s", ".* revoked it: it never ends"),
                                 "lost 46\n")
                self.assertEqual(job.returncode, 0)

    def test_a_time_out_is_warned_of(self):
        self.begin()
        job, lease = self.start_job("work", options=["-n", "1", "--timeout", "8s"])
        self.assertEqual(self.assert_ended(job, lease, True, "it has had the time that was asked for."), "lost 46\n")
        self.assertEqual(self.table("leases"), [])

    def test_who_does_nothing_is_warned_and_keeps_the_lease_by_doing_something(self):
        self.begin()
        job, lease = self.start_job("step", options=["-n", "1", "--idle-release", "10s"])
        self.assertRegex(job.stderr.readline(), rf"^outboard: lease {lease} ends in \d s: it is not used\.$")
        self.say(job)
        self.assertEqual(self.read_line(job), "right")
        self.assertRegex(job.stderr.readline(), rf"^outboard: lease {lease} goes on: it is in use again\.$")
        self.wait_until(lambda: not self.table("leases"), "it was not used again")
        self.say(job)
        self.assert_ended(job, lease, True, "it is not used.")
        self.assertNotEqual(job.returncode, 0)


if __name__ == "__main__":
    stack.main()

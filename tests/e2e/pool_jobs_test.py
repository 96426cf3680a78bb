"""A pool with two nodes, and jobs that gpu-run brings to it: who runs where, who waits and why, and what each party's
sudden end does to the others."""

import json
import os
import signal
import subprocess

import stack
from stack import StackTest, program

FAILURE, NO_CAPACITY = 125, 75
MIB = 1 << 20


class PoolJobs(StackTest):
    def setUp(self):
        super().setUp()
        self.address = f"unix:{self.folder}/pool.sock"
        self.start_pool()

    def start_pool(self):
        reader, writer = os.pipe()
        self.pool = self.start(program("gpu-pool"), "--listen", self.address, "--store", str(self.folder / "pool.db"),
                               "--announce-fd", str(writer), pass_fds=[writer])
        os.close(writer)
        with open(reader) as announcement:
            line = announcement.readline()
        self.assertTrue(line.startswith("ready "), line)

    def kill_pool(self):
        self.pool.kill()
        self.pool.wait(stack.SECONDS)

    def start_member(self, name):
        """A node of the pool with one GPU; returns when the pool places leases there."""
        member = self.start_node("--listen", f"unix:{self.folder}/{name}.sock", "--pool", self.address, "--name", name,
                                 "--state", str(self.folder / name), SOFTGPU_DIR=str(self.folder / f"softgpu-{name}"))
        self.wait_until(lambda: self.is_up(name), f"{name} is up")
        return member

    def query(self, *words):
        status, output, errors = self.run_to_end(str(stack.PROGRAMS / "pool_query"), self.address, *words)
        self.assertEqual(status, 0, errors)
        return output

    def list(self, what):
        return json.loads(self.query("list"))[what]

    def is_up(self, name):
        return any(node["name"] == name and node["up"] and node["gpus"][0]["usable"] for node in self.list("nodes"))

    def leases_by_node(self):
        counts = {}
        for lease in self.list("leases"):
            self.assertEqual(lease["state"], "open")
            counts[lease["node"]] = counts.get(lease["node"], 0) + 1
        return counts

    def wait_for_no_lease(self):
        self.wait_until(lambda: not self.list("leases"), "no lease is left")

    def start_job(self, *options):
        """gpu-run at the pool, with a program that answers each line."""
        return self.start(program("gpu-run"), "--pool", self.address, *options, *self.python("session_program.py"),
                          "step", stdin=subprocess.PIPE)

    def start_jobs(self, *options):
        """Several, each with its session."""
        jobs = [self.start_job("-q", *each) for each in options]
        for job in jobs:
            self.wait_for_line(job, "ready")
        return jobs

    def go_on(self, job):
        job.stdin.write("\n")
        job.stdin.flush()
        self.assertEqual(self.read_line(job), "right")

    def finish(self, job, status=0):
        _, errors = job.communicate(timeout=stack.SECONDS)
        self.assertEqual(job.returncode, status, errors)
        return errors

    def test_jobs_share_nodes_wait_their_turn_and_avoid_what_is_drained(self):
        n1, _ = self.start_member("n1")
        self.start_member("n2")
        jobs = self.start_jobs(*[["-n", "0.5"]] * 4)
        self.assertEqual(self.leases_by_node(), {"n1": 2, "n2": 2})
        for job in jobs:
            self.go_on(job)

        status, output, errors = self.gpu_run("--pool", self.address, "--wait", "0", "-n", "0.5", "true")
        self.assertEqual((status, output), (NO_CAPACITY, ""))
        self.assert_one_line(errors, "gpu-run: ")
        status, _, errors = self.gpu_run("--pool", self.address, "-n", "3", "true")
        self.assertEqual(status, FAILURE, errors)

        whole = self.start_job("-n", "1")
        line = whole.stderr.readline()
        self.assertRegex(line, r"^outboard: waits: .*node n[12] .*1 GPU")
        self.assertEqual([request["gpus"] for request in self.list("queue")], [1])
        interrupted = self.start_job("-n", "1")
        interrupted.stderr.readline()
        interrupted.send_signal(signal.SIGINT)
        self.finish(interrupted, 128 + signal.SIGINT)
        self.wait_until(lambda: len(self.list("queue")) == 1, "who was interrupted has left the queue")

        # What runs on a drained node goes on; what waits goes elsewhere.
        self.query("drain", "n1")
        node_of = {lease["lease"]: lease["node"] for lease in self.list("leases")}
        self.assertEqual(sorted(node_of.values()), ["n1", "n1", "n2", "n2"])
        for job in jobs:
            self.go_on(job)
            self.finish(job)
        self.wait_for_line(whole, "ready")
        self.assertEqual(self.leases_by_node(), {"n2": 1})
        self.go_on(whole)
        self.assertRegex(self.finish(whole), r"outboard: 1 of Outboard software GPU on n2 .*, lease [0-9a-f]+")
        self.assertEqual(self.list("leases"), [], "gpu-run has ended: the pool knows that")
        self.assertEqual([usage["leases"] for usage in self.list("usage")], ["5"])
        n1.terminate()
        self.assertEqual(n1.wait(stack.SECONDS), 0)

    def test_a_pool_that_is_killed_ends_nothing_and_adopts_what_runs(self):
        self.start_member("n1")
        job, = self.start_jobs(["-n", "0.5"])
        lease, = self.list("leases")
        waiting = self.start_job("-n", "1")
        self.assertIn("waits: ", waiting.stderr.readline())
        self.kill_pool()
        self.go_on(job)
        status, output, errors = self.gpu_run("--pool", self.address, "true")
        self.assertEqual((status, output), (FAILURE, ""))
        self.assert_one_line(errors, "gpu-run: cannot reach the pool at ", self.address)
        self.start_pool()
        self.wait_until(lambda: self.is_up("n1"), "the node has come back")
        self.assertEqual([each["lease"] for each in self.list("leases")], [lease["lease"]])
        self.wait_until(lambda: self.list("queue"), "who waited waits again")
        self.go_on(job)
        self.finish(job)
        self.wait_for_line(waiting, "ready")
        self.go_on(waiting)
        self.finish(waiting)

    def test_gpu_run_killed_frees_its_lease(self):
        self.start_member("n1")
        for stage in ("with a session", "without one"):
            with self.subTest(stage):
                if stage == "without one":
                    job = self.start(program("gpu-run"), "-q", "--pool", self.address, "sh", "-c",
                                     "echo ready; exec sleep 1000")
                    self.wait_for_line(job, "ready")
                else:
                    job, = self.start_jobs(["-n", "1"])
                job.kill()
                job.wait()
                self.wait_for_no_lease()
        job, = self.start_jobs(["-n", "1"])
        self.go_on(job)
        self.kill_all(next(name for name in self.marked_processes() if name.startswith("python")))
        self.finish(job, 128 + signal.SIGKILL)
        self.assertEqual(self.list("leases"), [])

    def test_a_lease_that_is_revoked_ends_and_its_holder_hears_why(self):
        self.start_member("n1")
        job, = self.start_jobs(["-n", "1"])
        lease, = self.list("leases")
        self.query("revoke", lease["lease"], "the machine is needed")
        self.wait_for_no_lease()
        _, errors = job.communicate("\n", timeout=stack.SECONDS)
        self.assertNotEqual(job.returncode, 0)
        lines = self.ours(errors)  # gpu-run's and the program's, in any order
        self.assertEqual(len(lines), 2, errors)
        self.assertRegex(errors, rf"(?m)^outboard: lease {lease['lease']} has ended: .*: the machine is needed$")
        self.assertIn("returned 46", errors)

    def test_a_node_that_ends_or_is_killed(self):
        node, _ = self.start_member("n1")
        job, = self.start_jobs(["-n", "1"])
        node.terminate()
        self.assertEqual(node.wait(stack.SECONDS), 0)
        self.assertEqual(self.list("leases"), [], "it has said so before it ended")
        job.communicate(timeout=stack.SECONDS)
        self.assertFalse(self.is_up("n1"), "nothing is placed where nobody is")

        node, _ = self.start_member("n1")
        job, = self.start_jobs(["-n", "1"])
        node.kill()
        node.wait()
        job.communicate(timeout=stack.SECONDS)
        self.start_member("n1")
        self.wait_for_no_lease()
        job, = self.start_jobs(["-n", "1"])
        self.go_on(job)
        self.finish(job)

    def test_a_node_of_a_pool_takes_nobody_without_a_ticket_and_no_second_of_its_name(self):
        _, address = self.start_member("n1")
        status, output, errors = self.gpu_run("--node", address, "true")
        self.assertEqual((status, output), (FAILURE, ""))
        self.assert_one_line(errors, "gpu-run: The node n1 lends out its GPUs for the pool at ", "--pool")
        second, _ = self.start_node("--pool", self.address, "--name", "n1", "--state", str(self.folder / "second"),
                                    SOFTGPU_DIR=str(self.folder / "softgpu-second"))
        line = second.stderr.readline()
        self.assertIn(f"another gpu-node called n1 is at {address}", line)
        third = self.start(program("gpu-node"), "--pool", self.address, "--name", "n1", "--state",
                           str(self.folder / "n1"), environment={"SOFTGPU_DIR": str(self.folder / "softgpu-third")})
        _, errors = third.communicate(timeout=stack.SECONDS)
        self.assertEqual(third.returncode, 1)
        self.assertIn("another gpu-node keeps its state in", errors)
        status, output, _ = self.gpu_run("--pool", self.address, "doctor")
        self.assertEqual(status, 0, output)
        self.assertIn("hears of 1 node with 1 GPU", output)


if __name__ == "__main__":
    stack.main()

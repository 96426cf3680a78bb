"""What the tests of the pool share: gpu-pool, gpu-admin, and nodes that do as they are told."""

import json
import os
import subprocess

import stack
from stack import StackTest, program

# Nodes beat when they are told to, and a machine may be slow.
PATIENT = "times: {lost_after: 1h, lease_time: 1h, open_within: 1h}\n"


class ScriptedNode:
    """A node of the pool (scripted_node.cc)."""

    def __init__(self, test, pool):
        self.test = test
        self.process = test.start(str(stack.PROGRAMS / "scripted_node"), pool, stdin=subprocess.PIPE)

    def say(self, line):
        """The rest of the answer, which begins with the line's first word."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = StackTest.read_line(self.process)
        self.test.assertIsNotNone(answer, f"the node ended at {line!r}")
        word, _, rest = answer.partition(" ")
        self.test.assertEqual(word, line.split()[0], answer)
        return rest

    def ask(self, gpus):
        """("granted", lease) or ("waiting", request)."""
        return tuple(self.say(f"ask {gpus}").split())

    def take(self, gpus):
        """The name of a lease that is open."""
        what, lease = self.ask(gpus)
        self.test.assertEqual(what, "granted")
        self.say(f"open {lease}")
        return lease


class PoolTest(StackTest):
    def setUp(self):
        super().setUp()
        self.pool = f"unix:{self.folder}/pool.sock"
        self.environment["OUTBOARD_POOL"] = self.pool

    def start_pool(self, *arguments, config=PATIENT, listen=True):
        """A pool at self.pool, and the address of its metrics, if there are any."""
        path = self.folder / "pool.yaml"
        path.write_text(config)
        reader, writer = os.pipe()
        pool = self.start(program("gpu-pool"), "--config", str(path), "--announce-fd", str(writer), *arguments,
                          *(["--listen", self.pool] if listen else []), pass_fds=[writer])
        os.close(writer)
        with open(reader) as announcement:
            self.assertEqual(announcement.readline(), f"ready {self.pool}\n")
            metrics = announcement.readline().split()[1] if "--metrics" in arguments else None
        return pool, metrics

    def node(self, name, gpus):
        """A node that is there and has said how its GPUs are."""
        node = ScriptedNode(self, self.pool)
        node.say(f"register {name} {gpus}")
        node.say("beat")
        return node

    def member(self, name, **more):
        """A gpu-node with one GPU, of the pool; returns when the pool places leases there."""
        member, _ = self.start_node("--listen", f"unix:{self.folder}/{name}.sock", "--pool", self.pool, "--name", name,
                                    "--state", str(self.folder / name),
                                    **{"SOFTGPU_DIR": str(self.folder / f"softgpu-{name}"), **more})
        self.wait_until(lambda: any(row["node"] == name and row["state"] == "ready" for row in self.table("nodes"))
                        and all(row["usable"] for row in self.table("gpus", "--node", name)), f"{name} is up")
        return member

    def start_job(self, *arguments, options=()):
        """gpu-run at the pool, with session_program.py; returns when it has its session, and the name of its lease."""
        before = {row["lease"] for row in self.table("leases")}
        job = self.start(program("gpu-run"), "-q", *options, *self.python("session_program.py"), *arguments,
                         stdin=subprocess.PIPE)
        self.wait_for_line(job, "ready")
        [lease] = {row["lease"] for row in self.table("leases")} - before
        return job, lease

    def say(self, job, line=""):
        job.stdin.write(line + "\n")
        job.stdin.flush()

    def admin(self, *arguments, status=0):
        """What gpu-admin prints; it has to end with that status, and to complain if and only if that is no 0."""
        ended, output, errors = self.run_to_end(program("gpu-admin"), *arguments)
        self.assertEqual(ended, status, output + errors)
        if status == 0:
            self.assertEqual(errors, "")
        return output or errors

    def table(self, *arguments, status=0):
        """The rows that a command prints for programs."""
        tables = json.loads(self.admin(*arguments, "--output", "json", status=status))
        self.assertEqual(len(tables), 1)
        return next(iter(tables.values()))

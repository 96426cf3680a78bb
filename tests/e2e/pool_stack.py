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

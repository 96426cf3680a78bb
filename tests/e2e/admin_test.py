"""gpu-admin as a person uses it, on a pool whose nodes do as they are told."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios

import stack
from pool_stack import PATIENT, PoolTest
from stack import program


class Admin(PoolTest):
    def test_shows_nodes_leases_and_who_waits(self):
        self.start_pool()
        node = self.node("n1", 2)
        lease = node.take(0.5)
        self.assertEqual(node.ask(2)[0], "waiting")

        text = self.admin("list")
        for word in ("n1", "ready", lease, "open", "ann@host: python3 train.py", "REQUEST"):
            self.assertIn(word, text)
        [row] = self.table("nodes")
        self.assertEqual((row["node"], row["state"], row["gpus"], row["free_gpus"], row["leases"], row["cuda_version"],
                          row["labels"]), ("n1", "ready", 2, 1.5, 1, "13.0", ["rack=7"]))
        gpus = self.table("gpus", "--node", "n1")
        self.assertEqual([(gpu["index"], gpu["uuid"], gpu["leased_ratio"], gpu["utilization_ratio"]) for gpu in gpus],
                         [(0, "GPU-n1-0", 0.5, 0.25), (1, "GPU-n1-1", 0, 0.25)])
        self.assertEqual(self.table("gpus", "--node", "n2"), [])
        [row] = self.table("leases")
        self.assertEqual((row["lease"], row["gpus"], row["memory_bytes"], row["gpu_uuids"]),
                         (lease, 0.5, 40 << 30, ["GPU-n1-0"]))
        self.assertEqual(self.admin("leases", "--user", "nobody-at-all"), "no leases\n")
        self.assertIn(f'lease: "{lease}"', self.admin("leases", "-o", "yaml"))
        self.assertTrue(self.admin("top").startswith("1 of 1 nodes up, 2 GPUs, 0.50 of them leased"))

    def test_gpus_that_are_kept_apart_are_for_who_names_them(self):
        self.start_pool(config=PATIENT + "pools: [{name: vision, gpus: [n1/GPU-n1-0]}]\n")
        self.assertEqual(self.node("n1", 2).ask(1)[0], "granted")

        def gpu_run(*options):
            return self.run_to_end(program("gpu-run"), *options, "--wait", "0", "true")

        ended = gpu_run()  # the common one is taken
        self.assertEqual(ended[0], 75, ended)
        status, _, errors = gpu_run("--from", "vision")
        self.assertEqual(status, 125, "the slice is granted, and what is at the node's address is none")
        self.assertIn("n1:7000", errors)
        self.assertNotEqual(gpu_run("--from", "none")[0], 0)

    def test_says_why_a_request_waits(self):
        self.start_pool()
        node = self.node("n1", 1)
        self.node("n2", 1)
        for _ in range(2):
            self.assertEqual(node.ask(1)[0], "granted")
        _, request = node.ask(0.25)
        [row] = self.table("queue")
        self.assertEqual((row["request"], row["gpus"]), (int(request), 0.25))
        for rows in (self.table("why"), self.table("why", request)):
            self.assertEqual({row["request"] for row in rows}, {int(request)})
            self.assertEqual({row["node"] for row in rows}, {None, "n1", "n2"})
            self.assertTrue(all(row["reason"] for row in rows))
        self.assert_one_line(self.admin("why", "999", status=1), "999", "in the queue")
        self.assert_one_line(self.admin("why", "7f3a", status=1), "there is no lease 7f3a")

    def test_cordons_and_drains(self):
        self.start_pool()
        node = self.node("n1", 1)
        lease = node.take(0.5)
        self.assertIn("no more leases", self.admin("cordon", "n1"))
        self.assertEqual(self.table("nodes")[0]["state"], "cordoned")
        self.assertEqual(self.admin("uncordon", "n1", "-o", "json"), "")
        self.admin("drain", "n1", "--deadline", "1h")
        self.assertEqual(self.table("nodes")[0]["state"], "draining")
        self.assertIsNotNone(self.table("nodes")[0]["drain_deadline_ms"])
        self.admin("undrain", "n1")
        self.assertEqual(self.table("nodes")[0]["state"], "ready")

        draining = self.start(program("gpu-admin"), "drain", "n1", "--deadline", "0s", "--evict", "--wait")
        number = node.say("end").split()[0]
        self.assertEqual(f"{int(number):04x}", lease)
        self.assertEqual(draining.stderr.readline(), "gpu-admin: node n1 has 1 lease left.\n")
        node.say(f"over {number}")
        output, errors = draining.communicate(timeout=stack.SECONDS)
        self.assertEqual((draining.returncode, output, errors),
                         (0, "node n1 is empty and gets no more leases.\n", ""))
        self.assert_one_line(self.admin("drain", "n2", status=1), "gpu-admin: there is no node n2.")
        self.assert_one_line(self.admin("forget", "n1", status=1), "stop its gpu-node first")

    def test_revokes_a_lease(self):
        self.start_pool()
        node = self.node("n1", 1)
        lease = node.take(1)
        self.admin("revoke", lease, "--grace", "1h", "--reason", "the machine is sold")
        [row] = self.table("leases")
        self.assertEqual(row["state"], "open")
        self.assertIsNotNone(row["ends_at_ms"])
        self.assertIn("the machine is sold", row["why"])
        self.assertEqual(self.admin("revoke", lease), f"lease {lease} is over.\n")
        number, _, reason = node.say("end").partition(" ")
        self.assertEqual(f"{int(number):04x}", lease)
        self.assertTrue(reason)
        self.assertEqual(self.table("leases")[0]["state"], "ending")
        node.say(f"over {number}")
        node.say("beat")  # behind it, so that it was heard
        self.assertEqual(self.table("leases"), [])
        [row] = self.table("usage")
        self.assertEqual((row["leases"], row["running_leases"]), (1, 0))
        self.assert_one_line(self.admin("revoke", lease, status=1), lease)
        self.assert_one_line(self.admin("revoke", "no lease", status=1), "7f3a")

    def test_changes_a_tenant_and_keeps_what_is_not_said(self):
        self.start_pool()
        self.admin("quota", "vision", "--quota", "2.5", "--maximum", "8", "--weight", "3")
        self.admin("quota", "vision", "--quota", "4")
        self.assertEqual(self.table("quota", "vision"), [{"tenant": "vision", "used_gpus": 0.0, "quota_gpus": 4.0,
                                                          "maximum_gpus": 8.0, "weight": 3}])
        self.admin("quota", "vision", "--maximum", "none")
        self.assertIsNone(self.table("quota", "vision")[0]["maximum_gpus"])
        self.admin("quota", "vision", "--quota", "9", "--maximum", "8", status=1)

    def test_health_is_a_status(self):
        self.assert_one_line(self.admin("health", status=2), "cannot reach the pool", self.pool, "gpu-pool")
        self.start_pool()
        self.assertIn("no node takes leases", self.admin("health", status=2))
        node = self.node("n1", 2)
        self.assertEqual(self.admin("health"), "all is well\n")
        self.assertEqual(self.table("health"), [])
        node.say("beat 1 Xid 79, it fell off the bus")
        [row] = self.table("health", status=1)
        self.assertEqual((row["severity"], row["what"]), ("warning", "n1 GPU-n1-1"))
        self.assertIn("Xid 79", row["finding"])

    def test_only_administrators_change(self):
        listen = f"listen:\n  - address: {self.pool}\n    for: [users, nodes]\n"
        self.start_pool(config=PATIENT + listen, listen=False)
        self.node("n1", 1)
        self.assertEqual(self.table("nodes")[0]["node"], "n1")
        self.assert_one_line(self.admin("cordon", "n1", status=1), "only administrators", "an address of the pool")
        self.assert_one_line(self.admin("quota", "a", "--quota", "1", status=1), "only administrators")

    def test_wrong_usage(self):
        for wrong in ([], ["lost"], ["drain"], ["drain", "n1", "--evict"], ["nodes", "-o", "xml"]):
            self.assert_one_line(self.admin(*wrong, status=2), "gpu-admin: ", "See gpu-admin --help.")

    def test_top_shows_what_changes_until_it_is_ended(self):
        self.start_pool()
        node = self.node("n1", 1)
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 60, 0, 0))
        top = subprocess.Popen([program("gpu-admin"), "top", "--interval", "100ms"], env=self.environment,
                               stdin=subprocess.DEVNULL, stdout=slave, stderr=subprocess.PIPE)
        os.close(slave)
        self.addCleanup(top.stderr.close)
        self.addCleanup(top.kill)
        shown, looked_at = "", 0

        def read_until(text):
            nonlocal shown, looked_at
            while text not in shown[looked_at:]:
                self.assertTrue(select.select([master], [], [], stack.SECONDS)[0], f"no {text!r} in {shown!r}")
                shown += os.read(master, 1 << 16).decode()
            looked_at = shown.index(text, looked_at) + len(text)

        read_until("\033[?1049h")
        read_until("1 of 1 nodes up, 1 GPUs, 0.00 of them leased")
        read_until("no leases")
        lease = node.take(0.5)
        read_until(lease)
        top.send_signal(signal.SIGINT)
        read_until("\033[?1049l")
        self.assertEqual(top.wait(stack.SECONDS), 0)
        lines = [re.sub(r"\033\[[?0-9]*[a-zA-Z]", "", line).strip("\r")
                 for line in re.split(r"\n|\033\[H", shown)]
        self.assertEqual(max(map(len, lines)), 60, lines)  # the first line has more than the terminal

    def test_bash_completes_what_there_is(self):
        script = self.admin("completion", "bash")

        def completed(*words):
            """What bash offers for the last word."""
            line = "\n".join([script, f"COMP_WORDS=(gpu-admin {' '.join(words)})", f"COMP_CWORD={len(words)}",
                              "_gpu_admin", 'printf "%s\\n" "${COMPREPLY[@]}"'])
            return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True).stdout.split()

        self.assertEqual(completed("dr"), ["drain"])
        self.assertGreaterEqual(set(completed("''")), {"list", "top", "health", "--pool"})
        self.assertEqual(completed("drain", "n1", "--e"), ["--evict"])
        self.assertEqual(completed("--output", "j"), ["json"])
        self.assertEqual(completed("leases", "-o", "y"), ["yaml"])
        self.assertEqual(completed("drain", "n1", "--deadline", "''"), [])
        self.assertEqual(completed("completion", "b"), ["bash"])

    def test_the_documents_use_it_rightly(self):
        """Each gpu-admin and gpu-pool in an indented line of the documents has a command and options that there are."""
        documents = stack.HERE.parents[1]
        helps, seen = {}, 0
        for document in ("docs/operations.md", "README.md"):
            for line in (documents / document).read_text().splitlines():
                words = line.split()[1:] if line.split()[:1] == ["$"] else line.split()
                if not line.startswith("    ") or words[:1] not in (["gpu-admin"], ["gpu-pool"]) or "|" in words:
                    continue
                command = (words[0], words[1]) if words[0] == "gpu-admin" else (words[0],)
                if command not in helps:
                    status, helps[command], errors = self.run_to_end(program(words[0]), *command[1:], "--help")
                    self.assertEqual(status, 0, f"{document}: {line}: {errors}")
                for word in words:
                    if word.startswith("--"):
                        self.assertIn(word, helps[command], f"{document}: {line}")
                seen += 1
        self.assertGreater(seen, 20)

    def test_manual_and_completion_know_what_help_knows(self):
        """All three are made of the same; what one of them leaves out is seen against the others."""
        help_text = self.admin("--help")
        manual = self.admin("manual").replace("\\-", "-").replace("\\fB", "").replace("\\fR", "")
        completion = self.admin("completion", "bash")
        commands = [line.split()[0] for line in help_text.split("Subcommands:")[1].splitlines() if line.strip()]
        self.assertGreaterEqual(len(commands), 18)
        for command in commands:
            own_help = self.admin(command, "--help")
            options = [word for line in own_help.splitlines() if line.startswith("  -")
                       for word in line.split()[0].split(",")]
            own_words = completion.split(f"    {command}:*) words='")[1].split("'")[0].split()
            entry = manual.split(f".TP\n{command}")[1].split(".RE\n")[0]
            for option in options:
                self.assertIn(option, own_words)
                if option not in ("-h", "--help"):
                    self.assertIn(option, entry)


if __name__ == "__main__":
    stack.main()

"""gpu-pool as a person starts it."""

import os
import socket

import stack
from stack import StackTest, program


class Pool(StackTest):
    def start_pool(self, *arguments):
        """A pool of its own, and the line that says how its start went."""
        reader, writer = os.pipe()
        pool = self.start(program("gpu-pool"), "--announce-fd", str(writer), *arguments, pass_fds=[writer])
        os.close(writer)
        with open(reader) as announcement:
            return pool, announcement.readline()

    def config(self, text):
        path = self.folder / "pool.yaml"
        path.write_text(text)
        return str(path)

    def test_says_where_it_is_and_ends_when_told(self):
        socket = f"unix:{self.folder}/pool.sock"
        pool = self.start(program("gpu-pool"), "--listen", socket)
        self.assertEqual(pool.stderr.readline(),
                         f"outboard: the pool is at {socket}, and forgets everything when it ends\n")
        pool.terminate()
        self.assertEqual(pool.wait(stack.SECONDS), 0)
        self.assertFalse((self.folder / "pool.sock").exists())

    def test_says_what_is_wrong_with_its_configuration(self):
        good = self.config("listen: [127.0.0.1:0]\ntenants:\n  - name: a\n    quota: 2\n")
        self.assertEqual(self.run_to_end(program("gpu-pool"), "--check-config", "--config", good)[0], 0)
        bad = self.config("tenants:\n  - name: a\n    quata: 2\n")
        for more in [["--check-config"], []]:
            status, output, errors = self.run_to_end(program("gpu-pool"), "--config", bad, *more)
            self.assertEqual((status, output), (1, ""))
            self.assertIn(f'{bad}:3: there is no key "quata" in tenants', errors)
        status, _, errors = self.run_to_end(program("gpu-pool"), "--config", str(self.folder / "none.yaml"))
        self.assertEqual(status, 1)
        self.assertIn("none.yaml", errors)
        status, _, errors = self.run_to_end(program("gpu-pool"), "--listen", "0.0.0.0:0")
        self.assertEqual(status, 1)
        self.assertIn("no authentication", errors)

    def test_tells_the_service_manager_when_it_is_there(self):
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.settimeout(stack.SECONDS)
        manager.bind(str(self.folder / "notify"))
        pool = self.start(program("gpu-pool"), environment={"NOTIFY_SOCKET": str(self.folder / "notify")})
        self.assertEqual(manager.recv(100), b"READY=1")
        pool.terminate()
        self.assertEqual(manager.recv(100), b"STOPPING=1")
        self.assertEqual(pool.wait(stack.SECONDS), 0)

    def test_a_database_is_for_one_and_survives_a_kill(self):
        store = str(self.folder / "pool.db")
        first, line = self.start_pool("--store", store)
        self.assertTrue(line.startswith("ready 127.0.0.1:"), line)
        second, line = self.start_pool("--store", store)
        self.assertTrue(line.startswith("failed "), line)
        self.assertIn("Another gpu-pool has it", line)
        self.assertEqual(second.wait(stack.SECONDS), 1)
        first.kill()
        first.wait(stack.SECONDS)
        third, line = self.start_pool("--store", store)
        self.assertTrue(line.startswith("ready "), line)
        third.terminate()
        self.assertEqual(third.wait(stack.SECONDS), 0)


if __name__ == "__main__":
    stack.main()

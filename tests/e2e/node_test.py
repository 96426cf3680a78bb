"""gpu-node as a person starts it."""

import re
import socket

import stack
from stack import StackTest, program


class StartedByHand(StackTest):
    def test_tells_the_service_manager_when_it_is_there(self):
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.settimeout(stack.SECONDS)
        manager.bind(str(self.folder / "notify"))
        self.start_node(NOTIFY_SOCKET=str(self.folder / "notify"))
        self.assertEqual(manager.recv(100), b"READY=1")

    def test_says_where_it_is(self):
        node = self.start(program("gpu-node"), "--listen", "127.0.0.1:0",
                          environment={"SOFTGPU_DIR": str(self.folder / "softgpu")})
        said = re.fullmatch(r"outboard: lends out 1 GPU at (127\.0\.0\.1:[0-9]+), with .*/softgpu/libcuda\.so\.1\n",
                            node.stderr.readline())
        self.assertTrue(said)
        self.assertEqual(self.gpu_run("-q", "--node", said[1], "true"), (0, "", ""))
        node.terminate()
        self.assertEqual(node.wait(stack.SECONDS), 0)


if __name__ == "__main__":
    stack.main()

"""A client that sends what no shim would send ends at most its own worker, and never by a fault of the worker's."""

import re

import stack
from stack import StackTest

SESSIONS = 60


class Hostile(StackTest):
    def test_frames_that_are_well_formed_and_senseless(self):
        trace = self.folder / "trace"
        # Every worker has device memory where that of the trace has it, so that addresses mean something.
        environment = {"SOFTGPU_ARENA": "0x200000000000",
                       "OUTBOARD_TRANSPORT_PLUGIN": str(stack.ROOT / "lib/outboard/liboutboard_grpc.so")}
        status, _, errors = self.gpu_run("-q", *self.python("replay_program.py"), "4096",
                                         environment={**environment, "OUTBOARD_TRACE": str(trace)})
        self.assertEqual((status, errors), (0, ""))
        status, output, errors = self.gpu_run(
            "-q", *self.python("hostile_program.py"), str(trace), str(stack.PROGRAMS / "frame_pipe"), str(SESSIONS),
            environment={**environment, "OUTBOARD_LOG": "info"})
        self.assertEqual(status, 0, errors)
        ended = int(re.match(r"(\d+) ended\ndone\n$", output)[1])
        # Both happen: what is malformed ends a session, what is only wrong is the driver's to refuse.
        self.assertGreater(ended, 0)
        self.assertLess(ended, SESSIONS)
        self.assertNotRegex(errors, r"ended by signal|status \d")


if __name__ == "__main__":
    stack.main()

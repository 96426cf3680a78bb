"""Every call that crosses the wire costs as many round trips as its class says, counted in a trace."""

import pathlib
import struct
import sys

import stack
from stack import StackTest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

import session_trace  # noqa: E402

HEAP_LIMIT = struct.pack("<I", 2)  # CU_LIMIT_MALLOC_HEAP_SIZE, which round_trips.cc asks for around each call


# What has the value already is not set again.
SETS_WHAT_IS_SO = {"cuFuncSetAttribute", "cuKernelSetAttribute"}


class RoundTrips(StackTest):
    def setUp(self):
        super().setUp()
        path = self.folder / "trace"
        status, output, errors = self.gpu_run("-q", "-n", "2", str(stack.PROGRAMS / "round_trips_driver"),
                                              environment={"OUTBOARD_TRACE": str(path), "SOFTGPU_DEVICES": "2"})
        self.assertEqual((status, errors), (0, ""), output)
        self.names = output.splitlines()
        self.entries = {entry.name: entry for entry in session_trace.op_entries().values()}
        self.trips = list(self.count(path))
        self.assertEqual(len(self.trips), len(self.names))

    def count(self, path):
        """The round trips of each call that the program made."""
        is_inside, trips = False, 0
        for command in session_trace.commands(path):
            if command.direction != session_trace.CLIENT or command.op >= session_trace.FIRST_CONTROL:
                continue
            if command.op == self.entries["cuCtxGetLimit"].op and HEAP_LIMIT in command.body:
                if is_inside:
                    yield trips
                is_inside, trips = not is_inside, 0
            elif is_inside:
                trips += command.wants_reply

    def test_each_call_costs_what_its_class_says(self):
        asked = set()
        for name, trips in zip(self.names, self.trips):
            entry = self.entries[name]
            with self.subTest(name):
                if entry.call_class == "async" or name in asked:
                    self.assertEqual(trips, 0)
                elif entry.client_by_hand:
                    self.assertGreaterEqual(trips, 1)  # it may have to ask for more than the driver's answer
                else:
                    self.assertEqual(trips, 1)
            if entry.call_class == "query" or name in SETS_WHAT_IS_SO:
                asked.add(name)
        print(f"{len(set(self.names))} calls, {sum(self.trips)} round trips")

    def test_no_call_is_left_out(self):
        wanted = {name for name, entry in self.entries.items() if entry.exported}
        self.assertEqual(sorted(wanted - set(self.names)), [], "calls that tests/e2e/round_trips.cc does not make")


if __name__ == "__main__":
    stack.main()

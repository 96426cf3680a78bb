"""OUTBOARD_TRACE and scripts/trace: what a session says, and that calls cost as many round trips as their class says."""

import pathlib
import re
import subprocess
import sys

import stack
from stack import StackTest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

import session_trace  # noqa: E402


class Traces(StackTest):
    def trace(self, *command, **more):
        """The file in which a traced run of a program of the tests left its session."""
        path = self.folder / "trace"
        status, _, errors = self.gpu_run("-q", *command, environment={"OUTBOARD_TRACE": str(path)}, **more)
        self.assertEqual((status, errors), (0, ""))
        return path

    def test_round_trips_are_those_of_the_class(self):
        path = self.trace(*self.python("trace_program.py"))
        entries = session_trace.op_entries()
        seen = set()
        for op, count in session_trace.count(path).items():
            if op not in entries:
                continue  # no call
            entry = entries[op]
            seen.add(entry.name)
            with self.subTest(entry.name):
                if entry.call_class == "async":
                    self.assertEqual(count.round_trips, 0)
                else:
                    self.assertEqual(count.round_trips, count.calls)
        self.assertLessEqual({"cuMemAlloc_v2", "outboardLaunch", "cuEventRecord", "cuCtxSynchronize", "outboardWrite",
                              "outboardRead"}, seen)

    def test_queries_are_asked_once(self):
        path = self.trace(*self.python("trace_program.py"))
        queries = [op for op, entry in session_trace.op_entries().items() if entry.call_class == "query"]
        counts = session_trace.count(path)
        self.assertIn(True, [op in counts for op in queries])
        for op in queries:
            self.assertLessEqual(counts[op].calls if op in counts else 0, 1)

    def test_what_is_printed(self):
        path = self.trace(*self.python("session_program.py"), "facts")
        printed = self.run_to_end(sys.executable, "-B", str(SCRIPTS / "trace"), str(path))
        self.assertEqual((printed[0], printed[2]), (0, ""))
        lines = printed[1].splitlines()
        self.assertRegex(lines[0], r"^ +[0-9.]+ ->      1   0 hello  [0-9]+ bytes$")
        self.assertRegex(lines[1], r"^ +[0-9.]+ <-      1   0 hello  [0-9]+ bytes$")
        self.assertTrue(any(re.search(r"-> +[0-9]+ +1 cuMemGetInfo_v2  .*  waits$", line) for line in lines), lines)
        self.assertTrue(any(re.search(r"<- .* reply .* to cuMemGetInfo_v2 \([0-9]+\): 0$", line) for line in lines), lines)
        self.assertRegex(lines[-1], r" end ")
        counted = self.run_to_end(sys.executable, "-B", str(SCRIPTS / "trace"), "--count", str(path))
        self.assertEqual((counted[0], counted[2]), (0, ""))
        self.assertRegex(counted[1], r"\n +1 +1 +[0-9]+ +[0-9.]+  cuMemGetInfo_v2\n")

    def test_processes_do_not_share_a_file(self):
        # The first has its session, and the file with it, while the second runs.
        program = self.python("session_program.py")
        self.trace(*program, "watch", *program, "leave", "1024")
        names = sorted(file.name for file in self.folder.glob("trace*"))
        self.assertEqual(len(names), 2)
        self.assertRegex(names[1], r"^trace\.[0-9]+$")
        for name in names:
            self.assertEqual(next(session_trace.commands(self.folder / name)).op, 0xff08)

    def test_a_file_that_cannot_be_written_is_said_and_nothing_else(self):
        status, output, errors = self.gpu_run("-q", *self.python("session_program.py"), "facts",
                                              environment={"OUTBOARD_TRACE": "/no/such/folder/trace"})
        self.assertEqual(status, 0)
        self.assertTrue(output.startswith("1 "), output)
        self.assert_one_line(errors, "not traced", "/no/such/folder/trace")

    def replay(self, path):
        return self.gpu_run("-q", sys.executable, "-B", str(SCRIPTS / "trace"), "--replay", str(path), environment={
            "OUTBOARD_TRANSPORT_PLUGIN": str(stack.ROOT / "lib/outboard/liboutboard_grpc.so"),
            "OUTBOARD_FRAME_PIPE": str(stack.PROGRAMS / "frame_pipe")})

    def test_replayed_it_gives_the_same(self):
        path = self.trace(*self.python("replay_program.py"))
        commands = list(session_trace.commands(path))
        kinds = {session_trace.CONTROLS.get(command.op) for command in commands}
        self.assertLessEqual({"reply", "land", "host function", "pull", "pulled", "end"}, kinds)
        # Each worker has its memory elsewhere, so the addresses of the trace would be refused.
        for _ in range(2):
            self.assertEqual(self.replay(path), (0, "0 differences\n", ""))

    def test_replayed_it_says_what_differs(self):
        path = self.trace(*self.python("replay_program.py"))
        trace = path.read_bytes()
        changed = {
            "landed": trace.replace(b"\x07" * 64, b"\x08" * 64),
            "cuStreamSynchronize (command": self.with_result(trace, path, "cuStreamSynchronize", 999),
        }
        for said, content in changed.items():
            with self.subTest(said):
                self.assertNotEqual(content, trace)
                path.write_bytes(content)
                status, output, errors = self.replay(path)
                self.assertEqual((status, errors), (1, ""))
                self.assertIn(said, output)

    @staticmethod
    def with_result(trace, path, name, result):
        """The trace, in which the replies to an operation have another result."""
        ops = {entry.name: op for op, entry in session_trace.op_entries().items()}
        asked = [command.sequence for command in session_trace.commands(path) if command.op == ops[name]]
        for command in session_trace.commands(path):
            if session_trace.CONTROLS.get(command.op) == "reply" and command.request in asked:
                # With the command's head: the numbers alone may stand elsewhere, too.
                head = session_trace.COMMAND.pack(session_trace.COMMAND.size + len(command.body), command.op,
                                                  command.flags, command.lane, 0, command.context)
                reply = session_trace.REPLY.pack(command.request, result, command.earlier)
                trace = trace.replace(head + command.body[:len(reply)], head + reply)
        return trace

    def test_a_replay_needs_gpu_run(self):
        status, output, errors = self.run_to_end(sys.executable, "-B", str(SCRIPTS / "trace"), "--replay", "x")
        self.assertEqual((status, output), (1, ""))
        self.assert_one_line(errors, "trace: ", "start this with gpu-run")

    def test_what_is_no_trace_is_refused(self):
        for text, words in (("nothing", "no trace"), ("OTBDTRC1" + "\x08" + "\0" * 15 + "no frame", "no frame")):
            with self.subTest(text):
                path = self.folder / "bad"
                path.write_text(text)
                printed = subprocess.run([sys.executable, "-B", SCRIPTS / "trace", path], capture_output=True, text=True)
                self.assertEqual((printed.returncode, printed.stdout), (1, ""))
                self.assert_one_line(printed.stderr, "trace: ", words)


if __name__ == "__main__":
    stack.main()

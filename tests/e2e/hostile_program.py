"""A program of the tests: a client that means harm, beside one that does not, under one lease.

usage: hostile_program.py TRACE FRAME_PIPE COUNT     opens COUNT sessions, one after the other, and sends each what TRACE
                                                     has, changed by chance, in frames that are well formed; after each
                                                     its own, ordinary session must go on. Prints how many of them the
                                                     worker ended, and "done".
"""

import pathlib
import random
import struct
import sys

import cuda
from session_program import copies

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

import session_replay  # noqa: E402
import session_trace  # noqa: E402

SECONDS = 60  # that a worker may be silent
HOST_FUNCTION_DONE, PULLED = 0xff06, 0xff07
WORDS = (0, 1, 2, 0xff, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 63, (1 << 64) - 1)


class Harm:
    """Changes commands. The same seed does the same harm."""

    def __init__(self, commands, seed):
        self.random = random.Random(seed)
        self.commands = commands
        self.words = [word for command in commands for word in struct.unpack_from(f"<{len(command.body) // 8}Q", command.body)]

    def __iter__(self):
        """(op, flags, lane, context, body) of each command to be sent."""
        for command in self.commands:
            kind = self.random.randrange(60)
            if kind == 0:
                continue  # never sent
            if kind == 1:
                command = self.random.choice(self.commands)  # another instead
            fields = [command.op, command.flags, command.lane, command.context, command.body]
            if kind == 2:
                fields[0] = self.random.choice(self.commands).op
            if kind == 3:
                fields[3] = self.random.choice(self.words)
            if kind in (4, 5, 6) and command.body:
                fields[4] = self._changed(command.body)
            yield fields

    def _changed(self, body):
        at = 8 * self.random.randrange(min(len(body) // 8, 16))
        word = self.random.choice(self.random.choice((WORDS, self.words)))
        return body[:at] + struct.pack("<Q", word) + body[at + 8:]


class Ended(Exception):
    """The worker has said its end, with a reason or without."""


class Attack:
    """One session that means harm. It answers what a worker waits for, so that no stream stands still for ever."""

    def __init__(self, hello, frame_pipe):
        self.worker = session_replay.Worker(frame_pipe, SECONDS)
        self.waiting = set()  # lanes that have no reply yet
        self.worker.send(hello, session_replay.with_ticket(hello.body, self.worker.ticket))

    def run(self, harm):
        """Whether the worker ended the session before its client said goodbye."""
        try:
            for op, flags, lane, context, body in harm:
                while lane in self.waiting or not self.worker.has_room():
                    self._receive()
                if flags & session_trace.WANTS_REPLY:
                    self.waiting.add(lane)
                self._send(op, body, flags, lane, context)
            self._send(session_replay.END, b"")
            while True:
                self._receive()
        except Ended as end:
            return bool(end.args[0])
        except session_replay.ReplayError as error:
            if "says nothing" in str(error):
                raise
            return True
        finally:
            self.worker.close()

    def _send(self, op, body, flags=0, lane=0, context=0):
        self.worker.send(session_trace.Command(0, session_trace.CLIENT, 0, op, flags, lane, context, body), body)

    def _receive(self):
        for command in self.worker.receive():
            if command.op == session_replay.REPLY:
                self.waiting.discard(command.lane)
            elif command.op == session_replay.HOST_FUNCTION:
                self._send(HOST_FUNCTION_DONE, command.body)
            elif command.op == session_replay.PULL:
                size = struct.unpack_from("<Q", command.body, 16)[0]
                self._send(PULLED, command.body[:24] + bytes(size + -size % 8))
            elif command.op == session_replay.END:
                raise Ended(command.body)


def main():
    trace, frame_pipe, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    sent = [command for command in session_trace.commands(trace) if command.direction == session_trace.CLIENT]
    hello, commands = sent[0], [command for command in sent[1:] if command.op < session_trace.FIRST_CONTROL]
    cuda.init()
    cuda.use_device()
    copy = copies()
    ended = 0
    for seed in range(count):
        ended += Attack(hello, frame_pipe).run(Harm(commands, seed))
        copy()
    print(f"{ended} ended")
    print("done")


if __name__ == "__main__":
    main()

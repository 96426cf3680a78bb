"""Reads traces: the frames of a session, as OUTBOARD_TRACE has them written (docs/wire.md, "Traces")."""

import collections
import dataclasses
import pathlib
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts/codegen"))

import spec  # noqa: E402

MAGIC = b"OTBDTRC1"
RECORD = struct.Struct("<IIQ")
FRAME = struct.Struct("<4sIQQII")
COMMAND = struct.Struct("<IHHIIQ")
REPLY = struct.Struct("<Qii")
WANTS_REPLY = 1
FIRST_CONTROL = 0xff00
CLIENT, WORKER = 0, 1
CONTROLS = {0xff00: "reply", 0xff01: "land", 0xff02: "host function", 0xff03: "pull", 0xff04: "output", 0xff05: "end",
            0xff06: "host function done", 0xff07: "pulled", 0xff08: "hello", 0xff09: "error output",
            0xff0a: "land box"}


class TraceError(Exception):
    """What is wrong with a trace, as a sentence."""


@dataclasses.dataclass(frozen=True)
class Command:
    nanoseconds: int  # since the trace began, when its frame went out or came in
    direction: int  # CLIENT: from there
    sequence: int
    op: int
    flags: int
    lane: int
    context: int  # handle of the thread's current context
    body: bytes

    @property
    def wants_reply(self):
        return bool(self.flags & WANTS_REPLY)

    @property
    def request(self):
        """Of a reply: the sequence number of the command that it answers."""
        return REPLY.unpack_from(self.body)[0]

    @property
    def result(self):
        """Of a reply: the CUresult."""
        return REPLY.unpack_from(self.body)[1]

    @property
    def earlier(self):
        """Of a reply: the CUresult of a call of its lane that was sent without waiting."""
        return REPLY.unpack_from(self.body)[2]

    @property
    def outputs(self):
        """Of a reply."""
        return self.body[REPLY.size:]


def op_entries():
    """{number: entry of the spec}"""
    return {entry.op: entry for entry in spec.load(sorted((ROOT / "common/api").glob("*.toml"))) if entry.op}


def frames(path):
    """(nanoseconds, direction, frame, where it is) of a trace, in its order. A record that was cut off at the end, as of
    a killed process, is left out."""
    data = pathlib.Path(path).read_bytes()
    if not data.startswith(MAGIC):
        raise TraceError(f"{path} is no trace, or one of another version.")
    at = len(MAGIC)
    while at + RECORD.size <= len(data):
        size, direction, nanoseconds = RECORD.unpack_from(data, at)
        at += RECORD.size
        if at + size > len(data):
            return
        yield nanoseconds, direction, data[at:at + size], f"{path}, byte {at}"
        at += size


def commands(path):
    """All commands of a trace in its order."""
    for nanoseconds, direction, frame, place in frames(path):
        yield from commands_of(frame, direction, nanoseconds, place)


def client_frames(path):
    """The operations that the client asked for, in frames as they were sent by one that hears nothing."""
    frames_of_operations = []
    last = 1  # the hello
    for _, direction, frame, place in frames(path):
        operations = [command for command in commands_of(frame, direction, 0, place) if command.op < FIRST_CONTROL]
        if direction == CLIENT and operations:
            body = b"".join(COMMAND.pack(COMMAND.size + len(each.body), each.op, each.flags, each.lane, 0, each.context)
                            + each.body for each in operations)
            frames_of_operations.append(FRAME.pack(b"OBF1", FRAME.size + len(body), last + 1, 0, len(operations), 0) + body)
            last += len(operations)
    return b"".join(frames_of_operations)


def commands_of(frame, direction, nanoseconds, place):
    """The commands of one frame. `place`: of the frame, for messages."""
    magic, size, first, _, count, _ = FRAME.unpack_from(frame) if len(frame) >= FRAME.size else (b"",) * 6
    if magic != b"OBF1" or size != len(frame):
        raise TraceError(f"{place}: this is no frame.")
    at = FRAME.size
    for sequence in range(first, first + count):
        if at + COMMAND.size > len(frame):
            raise TraceError(f"{place}: the frame ends within command {sequence}.")
        size, op, flags, lane, _, context = COMMAND.unpack_from(frame, at)
        if size < COMMAND.size or at + size > len(frame):
            raise TraceError(f"{place}: command {sequence} is longer than its frame, or shorter than a header.")
        yield Command(nanoseconds, direction, sequence, op, flags, lane, context, frame[at + COMMAND.size:at + size])
        at += size


@dataclasses.dataclass
class Count:
    """What one operation cost."""
    calls: int = 0
    round_trips: int = 0
    bytes: int = 0
    nanoseconds: int = 0  # waited for replies, in all


def count(path):
    """{operation's number: Count} of what the client sent."""
    counts = collections.defaultdict(Count)
    asked = {}
    for command in commands(path):
        if command.direction == CLIENT:
            each = counts[command.op]
            each.calls += 1
            each.bytes += COMMAND.size + len(command.body)
            if command.wants_reply:
                each.round_trips += 1
                asked[command.sequence] = command
        elif CONTROLS.get(command.op) == "reply" and (call := asked.pop(command.request, None)):
            counts[call.op].nanoseconds += command.nanoseconds - call.nanoseconds
    return counts

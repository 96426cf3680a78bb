"""Sends a traced session to a worker once more, and says where the answers differ.

Commands go out in the order of the trace, each when all that the worker had said before has been said again: replies,
host functions to run, requests for bytes. Device addresses are those of the new worker: a word of a command that lies
in a range which the traced worker gave out is moved to the range that this one gave in its place."""

import bisect
import os
import select
import struct
import subprocess

import session_trace

# Far below what a session may have under way (docs/wire.md, "Credits and acknowledgements").
MOST_COMMANDS, MOST_BYTES = 1024, 1 << 20
PAGE = 4096
HELLO, REPLY, LAND, HOST_FUNCTION, PULL, END = 0xff08, 0xff00, 0xff01, 0xff02, 0xff03, 0xff05
LAND_HEAD = struct.Struct("<QQ")


class ReplayError(Exception):
    """Why the session could not be replayed, as a sentence."""


class Addresses:
    """Where the ranges of the traced worker are now."""

    def __init__(self):
        self.begins = []  # sorted
        self.ranges = {}  # {begin: (end, how far it has moved)}

    def add(self, then, now, size):
        for begin in [begin for begin in self.begins if begin < then + size and self.ranges[begin][0] > then]:
            self.begins.remove(begin)
            del self.ranges[begin]
        bisect.insort(self.begins, then)
        self.ranges[then] = (then + size, now - then)

    def moved(self, word):
        at = bisect.bisect_right(self.begins, word) - 1
        if at < 0:
            return word
        end, distance = self.ranges[self.begins[at]]
        return word + distance if word < end else word

    def moved_words(self, body):
        if not any(distance for _, distance in self.ranges.values()):
            return body
        whole = len(body) // 8 * 8
        words = struct.unpack(f"<{whole // 8}Q", body[:whole])
        return struct.pack(f"<{whole // 8}Q", *map(self.moved, words)) + body[whole:]


class Memory:
    """The host memory that bytes have landed in."""

    def __init__(self):
        self.pages = {}

    def land(self, body):
        address, size = LAND_HEAD.unpack_from(body)
        bytes_left = memoryview(body)[LAND_HEAD.size:LAND_HEAD.size + size]
        while bytes_left:
            number, at = divmod(address, PAGE)
            part = bytes_left[:PAGE - at]
            self.pages.setdefault(number, bytearray(PAGE))[at:at + len(part)] = part
            address, bytes_left = address + len(part), bytes_left[len(part):]


class Worker:
    """A session with the worker of the lease, by way of tests/e2e/frame_pipe."""

    def __init__(self, frame_pipe, seconds):
        self.seconds = seconds  # that the worker may be silent while it is waited for
        self.process = subprocess.Popen([frame_pipe], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, bufsize=0)
        self.sent = self.received = self.acknowledged = 0  # sequence numbers
        self.under_way = []  # (sequence number, bytes) of commands that are not acknowledged
        self.ticket = self._read()

    def close(self):
        self.process.kill()
        self.process.communicate()

    def send(self, command, body):
        size = session_trace.COMMAND.size + len(body)
        self.sent += 1
        if command.op < session_trace.FIRST_CONTROL:
            self.under_way.append((self.sent, size))
        frame = session_trace.FRAME.pack(b"OBF1", session_trace.FRAME.size + size, self.sent, self.received, 1, 0)
        header = session_trace.COMMAND.pack(size, command.op, command.flags, command.lane, 0, command.context)
        try:
            self.process.stdin.write(struct.pack("<I", len(frame) + size) + frame + header + body)
        except BrokenPipeError:
            raise ReplayError(f"The worker is gone: {self._last_words()}") from None

    def has_room(self):
        self.under_way = [one for one in self.under_way if one[0] > self.acknowledged]
        return len(self.under_way) < MOST_COMMANDS and sum(size for _, size in self.under_way) < MOST_BYTES

    def receive(self):
        """The commands of the worker's next frame."""
        frame = self._read()
        _, _, first, acknowledged, count, _ = session_trace.FRAME.unpack_from(frame)
        self.acknowledged = acknowledged
        self.received = first + count - 1
        return list(session_trace.commands_of(frame, session_trace.WORKER, 0, "what the worker sent"))

    def _read(self):
        return self._read_bytes(struct.unpack("<I", self._read_bytes(4))[0])

    def _read_bytes(self, size):
        data = b""
        while len(data) < size:
            if not select.select([self.process.stdout], [], [], self.seconds)[0]:
                raise ReplayError(f"The worker says nothing for {self.seconds} s where it had answered when the session "
                                  "was traced.")
            part = os.read(self.process.stdout.fileno(), size - len(data))
            if not part:
                raise ReplayError(f"The session has ended: {self._last_words()}")
            data += part
        return data

    def _last_words(self):
        return self.process.stderr.read().decode(errors="replace").strip() or "frame_pipe gives no reason"


class Replay:
    def __init__(self, path, entries, frame_pipe, seconds):
        self.commands = list(session_trace.commands(path))
        self.entries = entries
        self.worker = Worker(frame_pipe, seconds)
        self.addresses = Addresses()
        self.then, self.now = Memory(), Memory()  # what landed in host memory
        self.asked = {}  # {sequence number: command} of the client's that wait for a reply
        self.answered = {}  # {key: command} of what the worker has said and was not looked at
        self.end = None
        self.differences = []

    def run(self):
        """What differs, a sentence each. Raises ReplayError when the session cannot go on."""
        try:
            for command in self.commands:
                if self.end is not None:
                    break
                if command.direction == session_trace.CLIENT:
                    self._send(command)
                elif (key := _key(command)) is not None:
                    self._compare(command, self._await(key))
                elif command.op == LAND:
                    self.then.land(command.body)
            self._take_leave()
        finally:
            self.worker.close()
        if self.then.pages != self.now.pages:
            self.differences.append("The bytes that landed in the client's memory are not the same.")
        return self.differences

    def _send(self, command):
        while not self.worker.has_room():
            self._take_frame()
        body = command.body
        if command.op == HELLO:
            body = with_ticket(body, self.worker.ticket)
        elif command.op < session_trace.FIRST_CONTROL:
            body = self.addresses.moved_words(body)
        if command.wants_reply:
            self.asked[command.sequence] = command
        self.worker.send(command, body)

    def _await(self, key):
        while key not in self.answered:
            if self.end is not None:
                raise ReplayError(f"The worker ended the session: {self.end or 'it gives no reason'}")
            self._take_frame()
        return self.answered.pop(key)

    def _take_frame(self):
        for command in self.worker.receive():
            if (key := _key(command)) is not None:
                self.answered[key] = command
            elif command.op == LAND:
                self.now.land(command.body)
            elif command.op == END:
                self.end = command.body.rstrip(b"\0").decode(errors="replace")

    def _take_leave(self):
        """The client's end, if the trace has none, and then the worker's."""
        if not any(command.op == END and command.direction == session_trace.CLIENT for command in self.commands):
            self.worker.send(session_trace.Command(0, session_trace.CLIENT, 0, END, 0, 0, 0, b""), b"")
        while self.end is None:
            self._take_frame()
        if self.end:
            raise ReplayError(f"The worker ended the session: {self.end}")

    def _compare(self, then, now):
        if now.op == HELLO and (refusal := _refusal(now.body)):
            raise ReplayError(f"The worker does not open a session: {refusal}")
        if then.op != REPLY:
            return
        request = self.asked.pop(then.request)
        entry = self.entries.get(request.op)
        name = entry.name if entry else f"operation {request.op}"
        if (then.result, then.earlier) != (now.result, now.earlier):
            self.differences.append(f"{name} (command {request.sequence}) returned {then.result}, of an earlier call "
                                    f"{then.earlier}; now {now.result}, of an earlier call {now.earlier}.")
        elif entry and then.result == 0:
            self._learn_address(entry, request, then, now)
            if _returns_bytes(entry) and then.outputs != now.outputs:
                self.differences.append(f"{name} (command {request.sequence}) brought other bytes.")

    def _learn_address(self, entry, request, then, now):
        returned = [parameter for parameter in entry.parameters if parameter.returns]
        if not returned or returned[0].type != "CUdeviceptr *" or min(len(then.outputs), len(now.outputs)) < 8:
            return
        size = None
        if len(returned) > 1 and returned[1].type == "size_t *" and len(then.outputs) >= 16:
            size = struct.unpack_from("<Q", then.outputs, 8)[0]
        else:
            # What stands before it takes 8 bytes each: pointers to what is returned, and numbers.
            at = next((8 * i for i, parameter in enumerate(entry.parameters) if parameter.type == "size_t"), None)
            if at is not None and len(request.body) >= at + 8:
                size = struct.unpack_from("<Q", request.body, at)[0]
        if size:
            self.addresses.add(*struct.unpack_from("<Q", then.outputs), *struct.unpack_from("<Q", now.outputs), size)


def _key(command):
    """What is waited for, and by what a command of another run is known to be the same; None for what comes when it
    comes."""
    if command.op == REPLY:
        return REPLY, command.request
    if command.op == HOST_FUNCTION:
        return HOST_FUNCTION, command.body[:8]
    if command.op == PULL:
        return PULL, command.body[:24]
    return (HELLO,) if command.op == HELLO else None


def with_ticket(hello, ticket):
    """The body of a client's hello with another ticket, which is the text behind two numbers."""
    size = struct.unpack_from("<Q", hello, 16)[0]
    return hello[:16] + struct.pack("<Q", len(ticket)) + _padded(ticket) + hello[24 + len(_padded(b"x" * size)):]


def _refusal(hello):
    """Of a worker's hello: its error, which is the text behind two numbers."""
    size = struct.unpack_from("<Q", hello, 16)[0]
    return hello[24:24 + size].decode(errors="replace")


def _padded(data):
    return data + b"\0" * (-len(data) % 8)


def _returns_bytes(entry):
    return any("OutArray<void," in parameter.rule for parameter in entry.parameters)

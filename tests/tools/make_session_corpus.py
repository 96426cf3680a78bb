#!/usr/bin/env -S python3 -B
"""make_session_corpus.py FOLDER    writes those seeds of tests/fuzz/corpus/worker and /wire that are no traces

Most of them are wrong in one place. Seeds of good sessions are traces (scripts/trace --client-frames).
"""

import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
import session_trace

HELLO, HOST_FUNCTION_DONE, PULLED, END, REPLY = 0xff08, 0xff06, 0xff07, 0xff05, 0xff00
WAITS = session_trace.WANTS_REPLY
WAIT = next(op for op, entry in session_trace.op_entries().items() if entry.name == "cuCtxSynchronize")
VERSION, ABI = 1, 0x4c363401
UNSHARED = 0x3fff


def value(number):
    return struct.pack("<Q", number)


def text(content):
    return value(len(content)) + content + bytes(-len(content) % 8)


def numbers(layout, elements):
    packed = b"".join(struct.pack(layout, element) for element in elements)
    return value(len(elements)) + packed + bytes(-len(packed) % 8)


def client_hello(version=VERSION, abi=ABI, ticket=b"", visible=()):
    return (value(version) + value(abi) + text(ticket) + text(b"python3 (pid 1)") + numbers("<i", visible)
            + value(0) + value(0) + numbers("<Q", ()))


def worker_hello(version=VERSION, devices=0):
    return (value(version) + value(0) + text(b"") + value(13000) + value(devices) + value(1) + text(b"")
            + numbers("<Q", ()))


def command(op, flags=0, lane=0, body=b""):
    return session_trace.COMMAND.pack(session_trace.COMMAND.size + len(body), op, flags, lane, 0, 0) + body


def frame(*commands, first=1, acknowledged=0):
    body = b"".join(commands)
    size = session_trace.FRAME.size + len(body)
    return session_trace.FRAME.pack(b"OBF1", size, first, acknowledged, len(commands), 0) + body


def hello(**said):
    return frame(command(HELLO, body=client_hello(**said)))


WORKER = {
    "hello_of_bad_ticket": hello(ticket=b"ticket"),
    "hello_of_other_version": hello(version=2),
    "hello_of_other_abi": hello(abi=1),
    "hello_of_no_device": hello(visible=(7,)),
    "hello_of_a_device_twice": hello(visible=(0, 0)),
    "hello_of_a_device": hello(visible=(0, -1)) + frame(command(END)),
    "hello_cut": frame(command(HELLO, body=client_hello()[:-8])),
    "hello_and_more": frame(command(HELLO, body=client_hello()), command(END)),
    "hello_without_operations": hello() + frame(command(WAIT, WAITS, 1)),
    "frame_out_of_order": frame(command(WAIT, WAITS, 1), first=0),
    "frame_acknowledges_too_much": frame(acknowledged=1000),
    "operation_unknown": frame(command(UNSHARED, WAITS, 1)),
    "operation_that_does_not_wait": frame(command(WAIT, 0, 1)),
    "operation_of_a_later_lane": frame(command(WAIT, WAITS, 5)),
    "operation_behind_one_that_waits": frame(command(WAIT, WAITS, 1), command(WAIT, WAITS, 1)),
    "control_with_flags": frame(command(END, WAITS)),
    "control_of_a_worker": frame(command(REPLY, body=bytes(16))),
    "host_function_done_unasked": frame(command(HOST_FUNCTION_DONE, body=bytes(16))),
    "host_function_done_cut": frame(command(HOST_FUNCTION_DONE)),
    "pulled_unasked": frame(command(PULLED, body=struct.pack("<QQQ", 1, 0, 8) + bytes(8))),
    "pulled_cut": frame(command(PULLED, body=struct.pack("<QQQ", 1, 0, 64) + bytes(8))),
    "end_and_more": frame(command(END), command(WAIT, WAITS, 1)),
}
WIRE = {
    "say_hello": b"sticket of a client",
    "client_hello_cut": b"c" + client_hello()[:-8],
    "worker_hello_cut": b"w" + worker_hello()[:-8],
    "worker_hello_other_version": b"w" + worker_hello(version=2),
    "worker_hello_many_devices": b"w" + worker_hello(devices=65),
}


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: make_session_corpus.py FOLDER")
    for name, seeds in (("worker", WORKER), ("wire", WIRE)):
        folder = pathlib.Path(sys.argv[1]) / name
        folder.mkdir(parents=True, exist_ok=True)
        for seed, content in seeds.items():
            (folder / seed).write_bytes(content)


if __name__ == "__main__":
    main()

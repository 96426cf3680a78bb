"""A program of the tests: many processes that take memory at the same time.

usage: many_processes.py N BLOCK PROGRAM TAKE

Starts N times `session_program.py TAKE BLOCK` (take or take-ordered) and once `PROGRAM take BLOCK`, lets all begin
when all are ready, and lets none free anything before all were refused. Prints what they print.
"""

import pathlib
import subprocess
import sys


def main():
    count, block, other, take = int(sys.argv[1]), *sys.argv[2:]
    usual = [sys.executable, "-B", str(pathlib.Path(__file__).resolve().parent / "session_program.py")]
    children = [subprocess.Popen([*command, block], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                for command in [[*usual, take]] * count + [[other, "take"]]]
    for step in ("go", "free", None):
        for child in children:
            print(child.stdout.readline(), end="", flush=True)
        for child in children:
            if step is not None:
                print(step, file=child.stdin, flush=True)
    sys.exit(any([child.wait() for child in children]))


if __name__ == "__main__":
    main()

"""Many threads and many objects: right results, and nothing grows when all is released and made again.

Run with "--full", in the amounts that an acceptance asks for."""

import pathlib
import subprocess
import sys

import stack
from stack import StackTest, program

FULL = "--full" in sys.argv
AMOUNTS = ("24", "10000", "300", "10000", "2000") if FULL else ("8", "500", "50", "500", "50")
SECONDS = 900  # of one round
ROUNDS = 3
# What allocators keep, and threads' stacks that are kept for the next thread.
SLACK = 4 << 20


def resident_bytes(pid):
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


class ManyObjects(StackTest):
    def test_all_is_given_back(self):
        run = self.start(program("gpu-run"), "-q", str(stack.PROGRAMS / "many_objects_driver"), *AMOUNTS,
                         stdin=subprocess.PIPE)
        sizes = []
        for _ in range(ROUNDS):
            run.stdin.write("go\n")
            run.stdin.flush()
            self.assertEqual(self.read_line(run, SECONDS), "done")
            processes = self.marked_processes()
            sizes.append({name: sum(map(resident_bytes, processes[name])) for name in ("many_objects_driver", "gpu-worker")})
        output, errors = run.communicate(timeout=stack.SECONDS)
        self.assertEqual((run.returncode, output, errors), (0, "PASS many_objects\n", ""))
        print(*("; ".join(f"{name} {size / 2**20:.1f} MiB" for name, size in each.items()) for each in sizes), sep="\n")
        # The first round brings what is kept: code, pools of memory.
        for name, size in sizes[-1].items():
            self.assertLessEqual(size, sizes[0][name] + SLACK, name)


if __name__ == "__main__":
    if FULL:
        sys.argv.remove("--full")
    stack.main()

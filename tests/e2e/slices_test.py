"""Slices hold: by every way to device memory a lease gets what it was promised and not a byte more, nobody finds what
another left, and who cheats stays inside. What the device really has given out, a program on the same software GPU
says that no node knows of."""

import contextlib
import pathlib
import re
import subprocess

import stack
from stack import StackTest, program

MIB = 1 << 20
WORD = 0xa11ce5a11ce5a11c


class Slices(StackTest):
    def setUp(self):
        super().setUp()
        self.softgpu = {"SOFTGPU_DIR": str(self.folder / "softgpu")}

    def start_node(self, *arguments):
        _, self.address = super().start_node("--listen", f"unix:{self.folder}/node", *arguments)

    def command(self, memory, *command):
        return [program("gpu-run"), "-q", "-m", str(memory), "-n", "0.1", "--node", self.address, *map(str, command)]

    def paths(self, *arguments):
        return [str(stack.PROGRAMS.parent / "slices/paths_driver"), *map(str, arguments)]

    def start_lease(self, memory, *command, **more):
        return self.start(*self.command(memory, *command), stdin=subprocess.PIPE, **more)

    def tell(self, process, line="go"):
        process.stdin.write(f"{line}\n")
        process.stdin.flush()

    def number(self, process, word):
        """What the process says behind the word, in its next line."""
        line = self.read_line(process)
        if line is None or not line.startswith(word + " "):
            self.fail(f"{line}; {process.communicate(timeout=stack.SECONDS)}, status {process.returncode}")
        return int(line.removeprefix(word))

    def end(self, process):
        """What the process prints until its end, which must be a good one."""
        output, errors = process.communicate(timeout=stack.SECONDS)
        others = [line for line in errors.splitlines() if "CUDA_ERROR_OUT_OF_MEMORY" not in line]
        self.assertEqual((process.returncode, others), (0, []), output)
        return output

    @contextlib.contextmanager
    def device(self):
        """A function that says how many bytes of the device are not free, by a process that uses the GPU natively."""
        looker = self.start(*self.python("slice_program.py"), "look", stdin=subprocess.PIPE,
                            environment={**self.softgpu, "LD_LIBRARY_PATH": str(stack.ROOT / "lib/outboard/softgpu")})
        self.wait_for_line(looker, "ready")

        def taken():
            self.tell(looker)
            return int(self.read_line(looker))
        yield taken
        looker.communicate(timeout=stack.SECONDS)


class Ways(Slices):
    """tests/slices/paths.cc has the table."""

    def test_each_goes_to_the_cap_and_no_further(self):
        self.start_node()
        output = self.end(self.start_lease(24 * MIB, *self.paths("cap")))
        self.assertEqual(len(output.splitlines()), 10, output)

    def test_eight_processes_race_for_one_slice(self):
        self.start_node()
        memory = 24 * MIB
        with self.device() as taken:
            lease = self.start_lease(memory, *self.python("slice_program.py"), "together", 8, *self.paths("race"))
            for line in ["ready"] * 8:
                self.assertEqual(self.read_line(lease), line)
            self.tell(lease)
            has = [self.number(lease, "has") for _ in range(8)]
            self.assertGreater(sum(has), memory // 2)
            self.wait_until(lambda: taken() == sum(has), "the device has given out what they have")
            self.tell(lease)
            self.assertEqual([self.number(lease, "free") for _ in range(8)], [memory - sum(has)] * 8)
            self.tell(lease)
            self.assertEqual([self.read_line(lease) for _ in range(8)], ["done"] * 8)
            self.wait_until(lambda: taken() == 0, "all of it is free again")
            self.tell(lease)
            self.assertEqual(self.end(lease).splitlines(), [f"free {memory}"] * 8)


class Residue(Slices):
    A, B, C = 40 * MIB, 8 * MIB, 48 * MIB  # A and C do not fit beside each other: C gets what A had

    def found(self, seeker):
        self.tell(seeker)
        return re.search(r"looked at (\d+):(.*)", self.end(seeker)).groups()

    def leave_and_seek(self):
        """The ways by which a neighbour, and the next lease, find what a killed one has left."""
        neighbour = self.start_lease(self.B, *self.paths("seek", WORD))
        self.wait_for_line(neighbour, "ready")
        self.tell(neighbour)
        for first, second in (("gpu-worker", "paths_driver"), ("paths_driver", "gpu-worker")):
            lease = self.start_lease(self.A, *self.paths("fill", WORD))
            self.wait_for_line(lease, "filled")
            victims = [self.victim(first), self.victim(second)]
            for pid in victims:
                with contextlib.suppress(ProcessLookupError):  # the first one's end may have been the other's
                    self.kill(pid)
            lease.communicate(timeout=stack.SECONDS)
            self.wait_until(lambda: self.gpu_run(*self.command(self.C, "true")[1:])[0] == 0, "the memory is free")
            heir = self.start_lease(self.C, *self.paths("seek", WORD))
            self.wait_for_line(heir, "ready")
            self.tell(heir)
            yield self.found(heir)
        yield self.found(neighbour)

    def victim(self, name):
        """The process of this program that fills A's slice: of workers the last one before the one that is kept ready."""
        pids = self.marked_processes()[name]
        if name == "gpu-worker":
            begun = {int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]): pid
                     for pid in pids}
            return begun[sorted(begun)[-2]]
        [pid] = [pid for pid in pids if b"fill" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]
        return pid

    def test_nobody_finds_what_a_killed_tenant_left(self):
        self.start_node()
        for bytes_seen, ways in self.leave_and_seek():
            self.assertGreater(int(bytes_seen), 5 * self.B)
            self.assertEqual(ways, "")

    def test_the_search_finds_it_where_nothing_clears(self):
        self.start_node("--no-clear-memory")
        first, second, _ = self.leave_and_seek()
        cleared = {"cuModuleLoadData", "cuCtxSetLimit"}  # by the driver, as CUDA says of variables
        every = {"cuMemAlloc", "cuMemAllocPitch", "cuMemAllocAsync", "cuMemAllocFromPoolAsync", "cuMemCreate",
                 "cuArray3DCreate", "cuMipmappedArrayCreate", "cuGraphAddMemAllocNode"}
        for _, ways in (first, second):
            self.assertEqual(set(ways.split()) - cleared, every)


class Cheats(Slices):
    MEMORY = 16 * MIB

    def assert_stays_inside(self, *command, **environment):
        """Runs a program of a lease that takes what it can; the device has given it no more than its slice."""
        with self.device() as taken:
            lease = self.start_lease(self.MEMORY, *command, environment=environment)
            self.wait_for_line(lease, "ready")
            self.tell(lease)
            lines = []
            while (line := self.read_line(lease)) != "taken":
                self.assertIsNotNone(line, lines)
                lines.append(line)
            self.assertLessEqual(taken(), self.MEMORY)
            self.assertGreater(taken(), self.MEMORY // 2)
            self.tell(lease)
            self.end(lease)
            self.wait_until(lambda: taken() == 0, "all of it is free again")

    def cheat(self, name, **environment):
        self.start_node()
        self.assert_stays_inside(*self.python("slice_program.py"), name, **environment)

    def test_without_the_preload(self):
        self.cheat("without-preload")

    def test_forks(self):
        self.cheat("fork")

    def test_resets_its_context_again_and_again(self):
        self.cheat("reset")

    def test_has_many_contexts(self):
        self.cheat("contexts")

    def test_frees_what_it_does_not_have_and_twice_what_it_has(self):
        self.cheat("free-twice")

    def test_speaks_the_protocol_by_itself(self):
        self.start_node()
        plugin = str(stack.ROOT / "lib/outboard/liboutboard_grpc.so")
        self.assert_stays_inside(stack.PROGRAMS / "raw_client", "cheat", MIB, OUTBOARD_TRANSPORT_PLUGIN=plugin)

    def test_a_ticket_opens_one_session(self):
        self.start_node()
        plugin = str(stack.ROOT / "lib/outboard/liboutboard_grpc.so")
        lease = self.start_lease(self.MEMORY, stack.PROGRAMS / "raw_client", "twice", MIB,
                                 environment={"OUTBOARD_TRANSPORT_PLUGIN": plugin})
        self.assertEqual(self.end(lease), "refused\n")


if __name__ == "__main__":
    stack.main()

"""Applications that bring what could get in a library's way: another allocator, AddressSanitizer, gRPC and protobuf of
their own. Each does what tests/programs/driver_api.cc does."""

import pathlib
import re

import stack
from stack import StackTest


class Applications(StackTest):
    def works(self, name, *variables, **environment):
        """`variables` are the program's alone, `environment` is gpu-run's too."""
        status, output, errors = self.gpu_run("-q", "env", *variables, str(stack.PROGRAMS / f"{name}_driver"),
                                              environment=environment)
        self.assertEqual((status, output), (0, "PASS driver_api\n"), errors)
        # The program gives text to the driver that is no PTX, which is logged. Nobody else has anything to say.
        self.assertEqual(errors.splitlines(), self.ours(errors))

    def works_with_allocator(self, library, name, **environment):
        """The transport's libraries allocate as the program does, else one would free what the other has allocated."""
        told = self.folder / "told"
        told.mkdir()
        self.works(name, "LD_DEBUG=bindings", f"LD_DEBUG_OUTPUT={told}/by", **environment)
        [text] = [file.read_text() for file in told.iterdir()]
        bound = re.findall(r"binding file \S*/libgpr\.so\S* \[0\] to (\S+) .*symbol `(?:malloc|free)'", text)
        self.assertEqual({pathlib.Path(file).name for file in bound}, {library})

    def test_libc_serves_all(self):
        self.works_with_allocator("libc.so.6", "own_nothing")

    def test_jemalloc_is_preloaded(self):
        self.works_with_allocator("libjemalloc.so.2", "own_nothing", LD_PRELOAD="libjemalloc.so.2")

    def test_tcmalloc_is_preloaded(self):
        self.works_with_allocator("libtcmalloc_minimal.so.4", "own_nothing", LD_PRELOAD="libtcmalloc_minimal.so.4")

    def test_jemalloc_is_linked(self):
        self.works_with_allocator("libjemalloc.so.2", "own_allocator")

    def test_address_sanitizer(self):
        self.works("own_sanitizer")

    def test_grpc_and_protobuf(self):
        self.works("own_grpc")


if __name__ == "__main__":
    stack.main()

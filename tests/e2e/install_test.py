"""The installed tree: it works on other machines as far as can be seen, and in another place."""

import pathlib
import shutil
import subprocess
import sys

import stack
from stack import StackTest

CHECK = pathlib.Path(__file__).resolve().parents[2] / "scripts/check_install.py"


class Installed(StackTest):
    def test_it_needs_little_of_the_system(self):
        checked = subprocess.run([sys.executable, "-B", str(CHECK), str(stack.ROOT)], capture_output=True, text=True)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_it_works_where_it_is_moved(self):
        moved = self.folder / "moved"
        shutil.copytree(stack.ROOT, moved, symlinks=True)
        status, output, errors = self.run_to_end(str(moved / "bin/gpu-run"), "-q", "-n", "0.5",
                                                 *self.python("session_program.py"), "facts")
        self.assertEqual(status, 0, errors)
        self.assertTrue(output.startswith(f"1 [{32 << 20}]"), output)

    def test_its_own_libraries_come_before_those_of_the_library_path(self):
        other = self.folder / "other"
        other.mkdir()
        for library in (stack.ROOT / "lib/outboard/private").glob("*"):
            if not library.name.startswith("libz."):  # which the Python that runs the program may need itself
                (other / library.name).write_bytes(b"no library")
        status, _, errors = self.gpu_run("-q", *self.python("session_program.py"), "facts",
                                         environment={"LD_LIBRARY_PATH": str(other)})
        self.assertEqual(status, 0, errors)


if __name__ == "__main__":
    stack.main()

"""What the stack refuses to a program: with CUDA's error and one line on stderr, and the program goes on."""

import stack
from stack import StackTest

SASS_ONLY = ("sm_90", "no PTX", "compile with")


class Refused(StackTest):
    def says_once(self, command, output, *words):
        status, printed, errors = self.gpu_run("-q", *command)
        self.assertEqual((status, printed), (0, output), errors)
        self.assert_one_line(errors, "outboard: ", *words)

    def test_a_program_of_machine_code_alone(self):
        for runtime in ("static", "shared"):
            with self.subTest(runtime):
                self.says_once([str(stack.PROGRAMS / f"sass_only_{runtime}")],
                               "cudaErrorNoKernelImageForDevice\ncudaSuccess\n", *SASS_ONLY)

    def test_a_module_of_machine_code_alone(self):
        command = [*self.python("refused_program.py"), "load", str(stack.PROGRAMS / "sass_only.cubin")]
        self.says_once(command, "209\n0\n", *SASS_ONLY)

    def test_a_call_that_is_not_supported(self):
        self.says_once([*self.python("refused_program.py"), "managed"], "801\n801\n0\n", "cuMemAllocManaged",
                       "not supported")


if __name__ == "__main__":
    stack.main()

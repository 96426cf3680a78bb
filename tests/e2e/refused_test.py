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

    def test_kernels_that_launch_kernels(self):
        program = str(stack.PROGRAMS / "launching_kernels_static")
        native = {"LD_LIBRARY_PATH": str(stack.ROOT / "lib/outboard/softgpu"), "SOFTGPU_DIR": str(self.folder / "native")}
        for how, run in (("natively", lambda: self.run_to_end(program, environment=native)),
                         ("through the stack", lambda: self.gpu_run("-q", program))):
            with self.subTest(how):
                status, printed, errors = run()
                self.assertEqual((status, printed), (0, "cudaErrorNotSupported\n" * 3 + "cudaSuccess\n2\n"),
                                 errors)
                lines = [line for line in self.ours(errors) if "cannot run" in line]
                self.assertEqual(len(lines), 2, errors)
                for line, kernel, function in zip(lines, ("_Z6ParentPi", "_Z12ParentByCallPi"),
                                                  ("_Z6ParentPi", "_Z6LaunchPi")):
                    self.assertIn(f"kernel {kernel} cannot run", line)
                    self.assertRegex(line, r"kernels that launch kernels \(dynamic parallelism\) are not supported: "
                                           rf"a call of cudaLaunchDeviceV2 \(function {function}\S*, PTX line \d+\)")

    def test_a_call_that_is_not_supported(self):
        self.says_once([*self.python("refused_program.py"), "managed"], "801\n801\n0\n", "cuMemAllocManaged",
                       "not supported")


if __name__ == "__main__":
    stack.main()

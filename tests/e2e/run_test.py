"""gpu-run and gpu-node by themselves: exit codes, what they say, signals, bad input."""

import os
import signal
import socket
import threading

import stack
from stack import StackTest, program

FAILURE, CANNOT_RUN, NOT_FOUND, NO_CAPACITY = 125, 126, 127, 75


class ExitCodes(StackTest):
    def test_the_commands_status(self):
        self.assertEqual(self.gpu_run("-q", "sh", "-c", "exit 7"), (7, "", ""))

    def test_a_signal_that_ended_the_command(self):
        self.assertEqual(self.gpu_run("-q", "sh", "-c", "kill -SEGV $$"), (128 + signal.SIGSEGV, "", ""))

    def test_a_command_that_does_not_exist(self):
        status, output, errors = self.gpu_run("-q", "/no/such/command")
        self.assertEqual((status, output), (NOT_FOUND, ""))
        self.assert_one_line(errors, "gpu-run: ", "/no/such/command")

    def test_a_command_that_is_no_program(self):
        status, _, errors = self.gpu_run("-q", str(self.folder))
        self.assertEqual(status, CANNOT_RUN)
        self.assert_one_line(errors, "gpu-run: ", str(self.folder))


class BadInput(StackTest):
    def refused(self, status, *arguments, words=()):
        got, output, errors = self.gpu_run(*arguments)
        self.assertEqual((got, output), (status, ""), errors)
        self.assert_one_line(errors, "gpu-run: ", *words)

    def test_gpus(self):
        for number in ("0", "1.5", "-1", "x", "65"):
            with self.subTest(number):
                self.refused(FAILURE, "-n", number, "true", words=[number])

    def test_more_memory_than_there_is(self):
        self.refused(FAILURE, "-n", "0.5", "-m", "900GiB", "true", words=["900.0 GiB"])

    def test_more_gpus_than_there_are(self):
        self.refused(FAILURE, "-n", "2", "true", words=["this node has 1"])

    def test_no_command(self):
        self.refused(FAILURE)

    def test_no_node(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            self.refused(FAILURE, "--node", f"127.0.0.1:{unused.getsockname()[1]}", "true", words=["refused"])
        self.refused(FAILURE, "--node", f"unix:{self.folder}/none", "true", words=["none"])
        self.refused(FAILURE, "--node", "somewhere", "true", words=["somewhere"])

    def test_a_node_of_another_major_version(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            def close_the_connection():
                connection, _ = server.accept()
                connection.recv(24, socket.MSG_WAITALL)
                connection.close()
            thread = threading.Thread(target=close_the_connection)
            thread.start()
            self.refused(FAILURE, "--node", f"127.0.0.1:{server.getsockname()[1]}", "true", words=["version"])
            thread.join()

    def test_a_driver_that_does_not_work(self):
        status, output, errors = self.run_to_end(program("gpu-node"), "--driver", "/no/such/driver")
        self.assertEqual((status, output), (1, ""))
        self.assert_one_line(errors, "/no/such/driver")

    def test_settings_of_the_software_gpu_that_mean_nothing(self):
        status, output, errors = self.gpu_run("true", environment={"SOFTGPU_MEMORY": "lots"})
        self.assertEqual((status, output), (FAILURE, ""))
        self.assertIn("SOFTGPU_MEMORY", errors)


class WhatItSays(StackTest):
    def test_what_was_got(self):
        status, output, errors = self.gpu_run("-n", "0.5", "echo", "hello")
        self.assertEqual((status, output), (0, "hello\n"))
        self.assertRegex(errors, r"^outboard: 0\.50 of Outboard software GPU on \S+ \(0\.0 GiB\), lease [0-9a-f]{4}\n$")

    def test_verbose_names_the_driver(self):
        _, _, errors = self.gpu_run("-v", "true")
        self.assertIn("software GPU", errors)
        self.assertIn(str(stack.ROOT / "lib/outboard/softgpu/libcuda.so.1"), errors)

    def test_version(self):
        for name in ("gpu-run", "gpu-node"):
            status, output, errors = self.run_to_end(program(name), "--version")
            self.assertEqual((status, errors), (0, ""))
            self.assertRegex(output, rf"^{name} \d+\.\d+\.\d+\n$")

    def test_doctor(self):
        status, output, _ = self.gpu_run("doctor", "sh")
        self.assertEqual(status, 0, output)
        self.assertIn("Outboard software GPU", output)
        status, output, _ = self.gpu_run("--node", f"unix:{self.folder}/none", "doctor")
        self.assertEqual(status, 1, output)


class Surroundings(StackTest):
    def test_a_command_that_calls_no_cuda_starts_no_session(self):
        _, output, _ = self.gpu_run("-q", "sh", "-c", "ls $XDG_RUNTIME_DIR/*; test -S $OUTBOARD_RUN_SOCKET && echo socket")
        self.assertEqual(output.split()[-1], "socket")

    def test_the_commands_environment(self):
        _, output, _ = self.gpu_run("-q", "env", environment={"LD_LIBRARY_PATH": "/somewhere"})
        lines = output.splitlines()
        client = stack.ROOT / "lib/outboard/client"
        self.assertIn(f"LD_PRELOAD={client}/libcuda.so.1", lines)
        self.assertIn(f"LD_LIBRARY_PATH={client}:/somewhere", lines)
        self.assertIn(f"TRITON_LIBCUDA_PATH={client}", lines)

    def test_one_inside_another(self):
        self.assertEqual(self.gpu_run("-q", program("gpu-run"), "-q", "sh", "-c", "exit 9")[0], 9)


class Signals(StackTest):
    def start_command(self, script):
        # In a group of its own: where these tests have a session to themselves, no SIGTSTP stops what is in their group.
        run = self.start(program("gpu-run"), "-q", "sh", "-c", script, process_group=0)
        self.wait_for_line(run, "ready")
        return run

    def test_they_are_forwarded(self):
        for name in ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "WINCH"):
            with self.subTest(name):
                run = self.start_command(f"trap 'echo got {name}; exit 3' {name}; echo ready; "
                                         "while :; do sleep 0.05; done")
                run.send_signal(getattr(signal, f"SIG{name}"))
                output, _ = run.communicate(timeout=stack.SECONDS)
                self.assertEqual((run.returncode, output), (3, f"got {name}\n"))

    def test_it_stops_and_continues_with_the_command(self):
        run = self.start_command("echo ready; sleep 0.2; while ! test -e $XDG_RUNTIME_DIR/go; do sleep 0.05; done")
        run.send_signal(signal.SIGTSTP)
        def has_stopped():
            pid, status = os.waitpid(run.pid, os.WUNTRACED | os.WNOHANG)
            return pid == run.pid and os.WIFSTOPPED(status)
        self.wait_until(has_stopped, "gpu-run stops")
        (self.folder / "runtime/go").touch()
        run.send_signal(signal.SIGCONT)
        run.communicate(timeout=stack.SECONDS)
        self.assertEqual(run.returncode, 0)

    def test_it_can_be_interrupted_while_it_waits_for_a_node(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            run = self.start(program("gpu-run"), "--node", f"127.0.0.1:{server.getsockname()[1]}", "true")
            connection, _ = server.accept()
            with connection:
                run.send_signal(signal.SIGINT)
                run.communicate(timeout=stack.SECONDS)
                self.assertEqual(run.returncode, 128 + signal.SIGINT)


class Killed(StackTest):
    def test_gpu_run(self):
        run = self.start(program("gpu-run"), "-q", "sh", "-c", "echo ready; exec sleep 1000")
        self.wait_for_line(run, "ready")
        run.kill()
        run.wait()

    def test_its_node(self):
        run = self.start(program("gpu-run"), "-q", "sh", "-c", "echo ready; read x < $XDG_RUNTIME_DIR/fifo; exit 5")
        os.mkfifo(self.folder / "runtime/fifo")
        self.wait_for_line(run, "ready")
        for pid in self.marked_processes()["gpu-node"]:
            self.kill(pid)
        (self.folder / "runtime/fifo").write_text("\n")
        run.communicate(timeout=stack.SECONDS)
        self.assertEqual(run.returncode, 5)

    def test_all_at_once_and_the_next_run_cleans_up(self):
        run = self.start(program("gpu-run"), "-q", "sh", "-c", "echo ready; exec sleep 1000")
        self.wait_for_line(run, "ready")
        for pids in self.marked_processes().values():
            for pid in pids:
                self.kill(pid)
        self.wait_until(lambda: not self.marked_processes(), "all are gone")
        self.assertEqual(self.gpu_run("-q", "true")[0], 0)


class Nodes(StackTest):
    def run_on(self, address, *arguments):
        return self.gpu_run("--node", address, *arguments)

    def test_a_node_elsewhere(self):
        _, address = self.start_node("--listen", "127.0.0.1:0")
        self.assertNotEqual(address, "127.0.0.1:0")
        status, _, errors = self.run_on(address, "-n", "0.25", "true")
        self.assertEqual(status, 0, errors)
        self.assertIn("0.25 of Outboard software GPU", errors)

    def test_leases_share_a_gpu_and_no_more_than_it_has(self):
        _, address = self.start_node("--listen", f"unix:{self.folder}/node")
        halves = [self.start(program("gpu-run"), "--node", address, "-q", "-n", "0.5", "sh", "-c",
                             "echo ready; read x < $XDG_RUNTIME_DIR/fifo") for _ in range(2)]
        os.mkfifo(self.folder / "runtime/fifo")
        for half in halves:
            self.wait_for_line(half, "ready")
        status, _, errors = self.run_on(address, "-n", "0.5", "true")
        self.assertEqual(status, NO_CAPACITY)
        self.assert_one_line(errors, "gpu-run: ", "Try again later")
        halves[0].terminate()
        halves[0].wait()
        self.wait_until(lambda: self.run_on(address, "-q", "-n", "0.5", "true")[0] == 0, "a half is free again")
        halves[1].terminate()

    def test_a_silent_connection_delays_nobody(self):
        _, address = self.start_node("--listen", "127.0.0.1:0")
        host, port = address.rsplit(":", 1)
        with socket.create_connection((host, int(port))) as silent:
            silent.sendall(b"OUTB")
            self.assertEqual(self.run_on(address, "-q", "true")[0], 0)

    def test_a_port_in_use_is_refused(self):
        _, address = self.start_node("--listen", "127.0.0.1:0")
        status, _, errors = self.run_to_end(program("gpu-node"), "--listen", address)
        self.assertEqual(status, 1)
        self.assertIn(address, errors)

    def test_it_ends_on_a_signal(self):
        node, address = self.start_node("--listen", f"unix:{self.folder}/node")
        run = self.start(program("gpu-run"), "--node", address, "-q", "sh", "-c", "echo ready; exec sleep 1000")
        self.wait_for_line(run, "ready")
        node.terminate()
        self.assertEqual(node.wait(timeout=stack.SECONDS), 0)
        self.assertFalse((self.folder / "node").exists())
        run.terminate()


if __name__ == "__main__":
    stack.main()

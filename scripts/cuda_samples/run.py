"""Runs programs, with a limit on time and on what they write."""

import contextlib
import os
import signal
import subprocess
import tempfile
import threading

from cuda_samples import outcome
from cuda_samples.outcome import Outcome

OUTPUT_BYTES = 8 << 20  # of a run; what it writes beyond is thrown away


class Runner:
    """Runs programs one at a time, natively or under the gpu-run of an installation."""

    def __init__(self, install, native, seconds, arguments, logs, check=None):
        """`arguments` is what the checkout's test_args.json says, `check` what gpu-run is to check, if anything."""
        self.install, self.native, self.seconds, self.arguments, self.logs = install, native, seconds, arguments, logs
        self.check = check

    def run(self, sample, program):
        """The outcome of all runs of a sample: the first that is not a pass, else a pass."""
        config = self.arguments.get(sample.name, {})
        runs = config.get("runs") or [config]
        result, text = Outcome(outcome.PASS), ""
        for arguments in (one.get("args", []) for one in runs):
            status, output = self._execute(sample, program, arguments, config.get("min_gpus", 1))
            text += f"$ {' '.join([sample.name, *arguments])}\n{output}\n(status {status})\n"
            result = outcome.judge(status, output, self.seconds)
            if result.verdict != outcome.PASS:
                break
        (self.logs / f"{sample.name}.txt").write_text(text)
        return result

    def _execute(self, sample, program, arguments, gpus):
        """Status and output; the status is None when the time was over, and negative for a signal."""
        command = [str(program), *arguments]
        environment = dict(os.environ, **sample.environment, SOFTGPU_DEVICES=str(gpus))
        if self.native:
            environment["LD_LIBRARY_PATH"] = str(self.install / "lib/outboard/softgpu")
        else:
            check = [f"--check={self.check}"] if self.check else []
            command = [str(self.install / "bin/gpu-run"), "-q", *check, "-n", str(gpus), "--", *command]
        with tempfile.TemporaryDirectory(prefix="softgpu-", dir=fast_folder()) as memory:
            environment["SOFTGPU_DIR"] = memory
            process = subprocess.Popen(command, cwd=program.parent, env=environment, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
            output = bytearray()
            reader = threading.Thread(target=keep, args=(process.stdout, output), daemon=True)
            reader.start()
            try:
                status = process.wait(timeout=self.seconds)
            except subprocess.TimeoutExpired:
                status = None
                stop(process)
            reader.join(timeout=10)
            if reader.is_alive():  # a process that it has started and not ended holds the pipe
                signal_group(process, signal.SIGKILL)
                reader.join(timeout=10)
        if status is not None and not self.native and status > 128:
            status = 128 - status  # how gpu-run, as a shell, reports a signal
        return status, output.decode(errors="replace")


def fast_folder():
    """Where device memory is best kept: in memory, if there is such a folder."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def keep(pipe, output):
    """Reads a pipe to its end, keeps the beginning, and closes it."""
    with pipe:
        while chunk := pipe.read1(1 << 16):
            output += chunk[:max(0, OUTPUT_BYTES - len(output))]


def signal_group(process, number):
    """Sends a signal to a process and what it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def stop(process):
    """Ends a process and what it has started: first gently, so that gpu-run can end its node."""
    signal_group(process, signal.SIGTERM)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        signal_group(process, signal.SIGKILL)
        process.wait()

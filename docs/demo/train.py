#!/usr/bin/env python3
"""Trains a two-layer perceptron with the kernels of train.cu, which nvcc made into libtrain.so beside this file, and
compares the final weights with those that the CPU comes to. The status is 0 when they agree.

usage: train.py [STEPS]
"""

import ctypes
import math
import pathlib
import random
import sys

SAMPLES = 512
RATE = 0.05
LARGEST_DIFFERENCE = 1e-4


def array_of(values):
    return (ctypes.c_float * len(values))(*values)


class Trainer:
    """The library's functions; those that fail raise what the library says."""

    def __init__(self, path):
        self.library = ctypes.CDLL(str(path))
        self.library.train_error.restype = ctypes.c_char_p
        self.library.train_step.argtypes = self.library.reference_step.argtypes = [ctypes.c_float]

    def call(self, name, *arguments):
        if getattr(self.library, name)(*arguments) != 0:
            raise RuntimeError(self.library.train_error().decode())

    def device(self):
        name = ctypes.create_string_buffer(256)
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self.call("train_device", name, len(name), ctypes.byref(free), ctypes.byref(total))
        return name.value.decode(), total.value

    def loss(self):
        loss = ctypes.c_float()
        self.call("train_loss", ctypes.byref(loss))
        return loss.value


def main():
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    trainer = Trainer(pathlib.Path(__file__).resolve().parent / "libtrain.so")
    inputs_per_sample = trainer.library.train_input_count()
    weight_count = trainer.library.train_weight_count()

    chance = random.Random(1)
    inputs = array_of([chance.uniform(-1, 1) for _ in range(SAMPLES * inputs_per_sample)])
    targets = array_of([math.sin(3 * inputs[2 * i]) * math.cos(2 * inputs[2 * i + 1]) for i in range(SAMPLES)])
    weights = array_of([chance.gauss(0, 0.7) for _ in range(weight_count)])

    name, total = trainer.device()
    print(f"training on {name} with {total / 2**30:.1f} GiB")
    trainer.call("train_open", inputs, targets, SAMPLES, weights)
    trainer.library.reference_open(inputs, targets, SAMPLES, weights)
    for step in range(1, steps + 1):
        trainer.call("train_step", RATE)
        if step == 1 or step % (steps // 10 or 1) == 0:
            print(f"step {step:4}  loss {trainer.loss():.6f}", flush=True)
    trainer.call("train_weights", weights)
    trainer.call("train_close")

    for _ in range(steps):
        trainer.library.reference_step(RATE)
    expected = array_of([0] * weight_count)
    trainer.library.reference_weights(expected)
    difference = max(abs(ours - theirs) for ours, theirs in zip(weights, expected))
    print(f"largest difference from the weights that the CPU comes to: {difference:.1e}")
    return 0 if difference <= LARGEST_DIFFERENCE else 1


if __name__ == "__main__":
    sys.exit(main())

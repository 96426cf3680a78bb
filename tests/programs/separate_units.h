#pragma once

// What separate_units_other.cu gives to separate_units.cu.

extern __constant__ int kOffsets[4];

__device__ int Twice(int value);

// Starts a kernel that negates `count` values of the device.
void LaunchNegate(int* values, int count);

// A two-layer perceptron with kernels written by hand: outputs = w2 * tanh(w1 * inputs + b1) + b2, trained on all samples
// at once by gradient descent with momentum. Functions in C, for train.py; each returns 0, or -1 and train_error() says
// why. The functions reference_* do the same on the CPU.

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace {

constexpr int kInputs = 2;
constexpr int kHidden = 32;
constexpr int kThreads = 128;
constexpr float kMomentum = 0.9f;

// All weights in one array: w1[kHidden][kInputs], b1[kHidden], w2[kHidden], b2.
constexpr int kB1 = kHidden * kInputs;
constexpr int kW2 = kB1 + kHidden;
constexpr int kB2 = kW2 + kHidden;
constexpr int kWeights = kB2 + 1;

std::string error;

// One thread for each sample and hidden unit.
__global__ void Hidden(const float* weights, const float* inputs, float* hidden, int samples) {
  const int at = blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= samples * kHidden) return;
  const int sample = at / kHidden;
  const int unit = at % kHidden;
  float sum = weights[kB1 + unit];
  for (int i = 0; i < kInputs; ++i) sum += weights[unit * kInputs + i] * inputs[sample * kInputs + i];
  hidden[at] = tanhf(sum);
}

// One thread for each sample.
__global__ void Errors(const float* weights, const float* hidden, const float* targets, float* errors, int samples) {
  const int sample = blockIdx.x * blockDim.x + threadIdx.x;
  if (sample >= samples) return;
  float output = weights[kB2];
  for (int unit = 0; unit < kHidden; ++unit) output += weights[kW2 + unit] * hidden[sample * kHidden + unit];
  errors[sample] = output - targets[sample];
}

// The sum over a block's threads, in the first one.
__device__ float SumOfBlock(float value) {
  __shared__ float sums[kThreads];
  sums[threadIdx.x] = value;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    __syncthreads();
  }
  const float sum = sums[0];
  __syncthreads();
  return sum;
}

// One block for each weight: the mean over all samples of what it contributed to the errors.
__global__ void Gradients(const float* weights, const float* inputs, const float* hidden, const float* errors,
                          float* gradients, int samples) {
  const int weight = blockIdx.x;
  float sum = 0;
  for (int sample = threadIdx.x; sample < samples; sample += kThreads) {
    float factor = 1;
    if (weight < kW2) {
      const int unit = weight < kB1 ? weight / kInputs : weight - kB1;
      const float active = hidden[sample * kHidden + unit];
      factor = weights[kW2 + unit] * (1 - active * active);
      if (weight < kB1) factor *= inputs[sample * kInputs + weight % kInputs];
    } else if (weight < kB2) {
      factor = hidden[sample * kHidden + weight - kW2];
    }
    sum += errors[sample] * factor;
  }
  sum = SumOfBlock(sum);
  if (threadIdx.x == 0) gradients[weight] = sum / samples;
}

// One block.
__global__ void Loss(const float* errors, float* loss, int samples) {
  float sum = 0;
  for (int sample = threadIdx.x; sample < samples; sample += kThreads) sum += errors[sample] * errors[sample];
  sum = SumOfBlock(sum);
  if (threadIdx.x == 0) *loss = sum / samples;
}

// One thread for each weight.
__global__ void Descend(float* weights, float* speed, const float* gradients, float rate) {
  const int weight = blockIdx.x * blockDim.x + threadIdx.x;
  if (weight >= kWeights) return;
  speed[weight] = kMomentum * speed[weight] - rate * gradients[weight];
  weights[weight] += speed[weight];
}

struct Device {
  int samples = 0;
  float *inputs = nullptr, *targets = nullptr, *weights = nullptr, *speed = nullptr;
  float *hidden = nullptr, *errors = nullptr, *gradients = nullptr, *loss = nullptr;
} device;

int Check(cudaError_t result, const char* what) {
  if (result == cudaSuccess) return 0;
  error = std::string(what) + ": " + cudaGetErrorString(result);
  return -1;
}

int BlocksFor(int threads) { return (threads + kThreads - 1) / kThreads; }

struct Host {
  std::vector<float> inputs, targets, weights, speed;
} host;

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT const char* train_error() { return error.c_str(); }
EXPORT int train_weight_count() { return kWeights; }
EXPORT int train_input_count() { return kInputs; }

// Takes copies of the samples and of the weights to begin with.
EXPORT int train_open(const float* inputs, const float* targets, int samples, const float* weights) {
  device.samples = samples;
  const struct {
    float** to;
    int count;
    const float* from;
  } arrays[] = {{&device.inputs, samples * kInputs, inputs}, {&device.targets, samples, targets},
                {&device.weights, kWeights, weights},        {&device.speed, kWeights, nullptr},
                {&device.hidden, samples * kHidden, nullptr}, {&device.errors, samples, nullptr},
                {&device.gradients, kWeights, nullptr},      {&device.loss, 1, nullptr}};
  for (const auto& array : arrays) {
    const size_t bytes = array.count * sizeof(float);
    if (Check(cudaMalloc(array.to, bytes), "cudaMalloc") != 0) return -1;
    const cudaError_t filled = array.from != nullptr
                                   ? cudaMemcpy(*array.to, array.from, bytes, cudaMemcpyHostToDevice)
                                   : cudaMemset(*array.to, 0, bytes);
    if (Check(filled, "filling memory") != 0) return -1;
  }
  return 0;
}

// One step of descent. Only queues the work.
EXPORT int train_step(float rate) {
  const Device& d = device;
  Hidden<<<BlocksFor(d.samples * kHidden), kThreads>>>(d.weights, d.inputs, d.hidden, d.samples);
  Errors<<<BlocksFor(d.samples), kThreads>>>(d.weights, d.hidden, d.targets, d.errors, d.samples);
  Gradients<<<kWeights, kThreads>>>(d.weights, d.inputs, d.hidden, d.errors, d.gradients, d.samples);
  Descend<<<BlocksFor(kWeights), kThreads>>>(d.weights, d.speed, d.gradients, rate);
  return Check(cudaGetLastError(), "launching kernels");
}

// The mean square error before the last step.
EXPORT int train_loss(float* loss) {
  Loss<<<1, kThreads>>>(device.errors, device.loss, device.samples);
  return Check(cudaMemcpy(loss, device.loss, sizeof *loss, cudaMemcpyDeviceToHost), "reading the loss");
}

EXPORT int train_weights(float* weights) {
  return Check(cudaMemcpy(weights, device.weights, kWeights * sizeof(float), cudaMemcpyDeviceToHost),
               "reading the weights");
}

EXPORT int train_close() {
  for (float* array : {device.inputs, device.targets, device.weights, device.speed, device.hidden, device.errors,
                       device.gradients, device.loss}) {
    if (Check(cudaFree(array), "cudaFree") != 0) return -1;
  }
  device = Device();
  return 0;
}

// What the program runs on: the device's name and its free and total memory in bytes.
EXPORT int train_device(char* name, int name_bytes, size_t* free, size_t* total) {
  cudaDeviceProp properties;
  if (Check(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties") != 0) return -1;
  std::string(properties.name).copy(name, name_bytes - 1);
  return Check(cudaMemGetInfo(free, total), "cudaMemGetInfo");
}

EXPORT void reference_open(const float* inputs, const float* targets, int samples, const float* weights) {
  host = {{inputs, inputs + samples * kInputs}, {targets, targets + samples}, {weights, weights + kWeights},
          std::vector<float>(kWeights)};
}

EXPORT void reference_step(float rate) {
  std::vector<double> gradients(kWeights);
  const int samples = static_cast<int>(host.targets.size());
  for (int sample = 0; sample < samples; ++sample) {
    double active[kHidden];
    double difference = host.weights[kB2] - host.targets[sample];
    for (int unit = 0; unit < kHidden; ++unit) {
      double sum = host.weights[kB1 + unit];
      for (int i = 0; i < kInputs; ++i) sum += host.weights[unit * kInputs + i] * host.inputs[sample * kInputs + i];
      active[unit] = std::tanh(sum);
      difference += host.weights[kW2 + unit] * active[unit];
    }
    gradients[kB2] += difference;
    for (int unit = 0; unit < kHidden; ++unit) {
      gradients[kW2 + unit] += difference * active[unit];
      const double slope = difference * host.weights[kW2 + unit] * (1 - active[unit] * active[unit]);
      gradients[kB1 + unit] += slope;
      for (int i = 0; i < kInputs; ++i) {
        gradients[unit * kInputs + i] += slope * host.inputs[sample * kInputs + i];
      }
    }
  }
  for (int weight = 0; weight < kWeights; ++weight) {
    host.speed[weight] = kMomentum * host.speed[weight] - rate * static_cast<float>(gradients[weight] / samples);
    host.weights[weight] += host.speed[weight];
  }
}

EXPORT void reference_weights(float* weights) { std::copy(host.weights.begin(), host.weights.end(), weights); }

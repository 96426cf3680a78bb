#include "server/softgpu/api/link_inputs.h"

#include <string>
#include <utility>
#include <vector>

#include "common/image/host_object.h"

namespace outboard::softgpu::api {
namespace {

// Reads the device code of host objects into a program.
class ObjectReader {
 public:
  ObjectReader(int compute_capability, uint64_t max_bytes, Program* program)
      : compute_capability_(compute_capability), bytes_left_(max_bytes), program_(program) {}

  Outcome AddObject(image::ByteSpan object, std::string_view name) {
    const auto fatbins = image::EmbeddedFatbins(object);
    if (!fatbins)
      return {CUDA_ERROR_INVALID_IMAGE, std::string(name) + " is no host object: " + fatbins.error().message};
    for (const image::ByteSpan fatbin : *fatbins) {
      Program added;
      const image::Extent extent{fatbin.data(), fatbin.size()};
      Outcome outcome = LoadProgram({&extent, 1}, compute_capability_, &added, name, bytes_left_);
      if (outcome.code == CUDA_ERROR_NO_BINARY_FOR_GPU) {
        left_out_ = std::move(outcome);
        continue;
      }
      if (!outcome.ok()) return outcome;
      bytes_left_ -= TextBytes(added);
      Append(added, program_);
    }
    return {};
  }

  Outcome AddArchive(image::ByteSpan archive, std::string_view name) {
    const auto members = image::ArchiveMembers(archive);
    if (!members) return {CUDA_ERROR_INVALID_IMAGE, std::string(name) + " is no archive: " + members.error().message};
    for (const image::ArchiveMember& member : *members) {
      if (!image::AsText(member.bytes).starts_with("\177ELF")) continue;
      Outcome outcome = AddObject(member.bytes, std::string(name) + ":" + std::string(member.name));
      if (!outcome.ok()) return outcome;
    }
    return {};
  }

  // Whether there was anything to take.
  Outcome Finish(std::string_view name) {
    if (!program_->modules.empty()) return {};
    if (!left_out_.ok()) return left_out_;
    return {CUDA_ERROR_NO_BINARY_FOR_GPU, std::string(name) + " holds no device code."};
  }

 private:
  const int compute_capability_;
  uint64_t bytes_left_;  // of PTX, that more fatbins may have
  Program* const program_;
  Outcome left_out_;  // of the last fatbin without PTX for the device
};

}  // namespace

Outcome ReadLinkInput(CUjitInputType type, image::ByteSpan bytes, std::string_view name, int compute_capability,
                      Program* program, uint64_t max_bytes) {
  switch (type) {
    case CU_JIT_INPUT_PTX: {
      if (bytes.size() > max_bytes)
        return {CUDA_ERROR_INVALID_IMAGE, std::string(name) + " is larger than what is left to a link."};
      std::string text(image::AsText(bytes));
      text.resize(text.find_last_not_of('\0') + 1);
      return AddPtx(std::move(text), std::string(name), compute_capability, program);
    }
    case CU_JIT_INPUT_CUBIN:
    case CU_JIT_INPUT_FATBINARY: {
      const image::Extent extent{bytes.data(), bytes.size()};
      return LoadProgram({&extent, 1}, compute_capability, program, name, max_bytes);
    }
    case CU_JIT_INPUT_OBJECT:
    case CU_JIT_INPUT_LIBRARY: {
      Program added;
      ObjectReader reader(compute_capability, max_bytes, &added);
      Outcome outcome = type == CU_JIT_INPUT_OBJECT ? reader.AddObject(bytes, name) : reader.AddArchive(bytes, name);
      if (outcome.ok()) outcome = reader.Finish(name);
      if (outcome.ok()) Append(added, program);
      return outcome;
    }
    default:
      return {CUDA_ERROR_NOT_SUPPORTED,
              "The software GPU links PTX alone, and " + std::string(name) + " is NVVM code; compile it to PTX."};
  }
}

}  // namespace outboard::softgpu::api

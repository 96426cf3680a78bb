#include "client/session/credits.h"

namespace outboard::client {

Credits::Credits() : frames_(256) {}

void Credits::Sent(uint64_t last, size_t bytes, uint32_t commands) {
  if (commands == 0) return;
  if (count_ == frames_.size()) {
    std::vector<Frame> larger(2 * frames_.size());
    for (size_t i = 0; i < count_; ++i) larger[i] = At(i);
    frames_.swap(larger);
    begin_ = 0;
  }
  At(count_++) = {last, bytes, commands};
  bytes_ += bytes;
  commands_ += commands;
}

void Credits::Acknowledged(uint64_t last) {
  while (count_ > 0 && At(0).last <= last) {
    bytes_ -= At(0).bytes;
    commands_ -= At(0).commands;
    begin_ = (begin_ + 1) & (frames_.size() - 1);
    --count_;
  }
}

}  // namespace outboard::client

#pragma once

#include <cstdint>
#include <string_view>

namespace outboard::image {

// Tokens of PTX text, as far as module level and the heads of functions need them: words (a directive with its dot, an
// identifier, the digits of a number), string literals with their quotes, and single characters. Comments are skipped.
// Any text is safe. Thread-confined; tokens point into the text.
class PtxScanner {
 public:
  explicit PtxScanner(std::string_view text) : text_(text) {}

  // Empty at the end of the text.
  std::string_view Next();

  // Goes behind the '}' that closes a '{' which Next has given. False when the text ends before.
  bool SkipBlock();

  // Of the last token, from 1. Counts from the start of the text: for messages only.
  uint32_t Line() const;

 private:
  void SkipBlanks();
  void SkipString();

  const std::string_view text_;
  size_t at_ = 0;
  size_t token_ = 0;  // where the last token begins
};

// Whether a token of PtxScanner can be the name of something.
bool IsIdentifier(std::string_view token);

}  // namespace outboard::image

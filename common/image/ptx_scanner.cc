#include "common/image/ptx_scanner.h"

#include <algorithm>

namespace outboard::image {
namespace {

bool IsWordCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$' || c == '%';
}

bool IsBlank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

}  // namespace

bool IsIdentifier(std::string_view token) {
  return !token.empty() && IsWordCharacter(token[0]) && !(token[0] >= '0' && token[0] <= '9');
}

std::string_view PtxScanner::Next() {
  SkipBlanks();
  token_ = at_;
  if (at_ == text_.size()) return {};
  if (text_[at_] == '"') {
    SkipString();
    return text_.substr(token_, at_ - token_);
  }
  if (text_[at_] == '.' || !IsWordCharacter(text_[at_])) ++at_;
  if (text_[token_] == '.' || at_ == token_) {
    while (at_ < text_.size() && IsWordCharacter(text_[at_])) ++at_;
  }
  return text_.substr(token_, at_ - token_);
}

bool PtxScanner::SkipBlock() {
  for (uint64_t depth = 1; depth != 0;) {
    const size_t next = text_.find_first_of("{}\"/", at_);
    if (next == std::string_view::npos) {
      at_ = text_.size();
      return false;
    }
    at_ = next;
    switch (text_[at_]) {
      case '"':
        SkipString();
        break;
      case '{':
        ++depth, ++at_;
        break;
      case '}':
        --depth, ++at_;
        break;
      default:
        SkipBlanks();
        if (at_ == next) ++at_;  // a division
    }
  }
  return true;
}

uint32_t PtxScanner::Line() const {
  return 1 + static_cast<uint32_t>(std::count(text_.begin(), text_.begin() + token_, '\n'));
}

// White space and comments. An unclosed comment ends the text.
void PtxScanner::SkipBlanks() {
  while (at_ < text_.size()) {
    if (IsBlank(text_[at_])) {
      ++at_;
      continue;
    }
    const std::string_view opening = text_.substr(at_, 2);
    if (opening != "//" && opening != "/*") return;
    const bool to_line_end = opening == "//";
    const size_t closing = text_.find(to_line_end ? "\n" : "*/", at_ + 2);
    at_ = closing == std::string_view::npos ? text_.size() : closing + (to_line_end ? 1 : 2);
  }
}

// An unclosed string ends the text.
void PtxScanner::SkipString() {
  for (++at_; at_ < text_.size(); ++at_) {
    if (text_[at_] == '\\') {
      ++at_;
    } else if (text_[at_] == '"') {
      ++at_;
      return;
    }
  }
  at_ = text_.size();
}

}  // namespace outboard::image

#pragma once

namespace outboard {

// Tells the process that made it from its forked children, however they were forked: the page it keeps is zeroed in a
// child.
class ProcessMark {
 public:
  ProcessMark();
  ProcessMark(const ProcessMark&) = delete;
  ProcessMark& operator=(const ProcessMark&) = delete;

  bool InMaker() const { return *page_ != 0; }

 private:
  const volatile unsigned char* page_;  // never unmapped
};

}  // namespace outboard

#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tests/instructions/machine.h"

// What the tests of branches and calls have in common.

namespace outboard::softgpu::testing {

// A kernel whose thread number is in %i and whose cell of 8 bytes is at %out. `body` begins with declarations of its
// own.
inline std::string Kernel(const std::string& body) {
  return R"(.visible .entry test(.param .u64 out)
{
.reg .b64 %out, %base, %o;
.reg .b32 %i, %b, %n;
ld.param.u64 %base, [out];
mov.u32 %i, %tid.x;
mov.u32 %b, %ctaid.x;
mov.u32 %n, %ntid.x;
mad.lo.u32 %i, %b, %n, %i;
mul.wide.u32 %o, %i, 8;
add.u64 %out, %base, %o;
)" + body +
         "ret;\n}\n";
}

class Control : public LevelTest {
 protected:
  Control() : machine_(level()) {}

  // Runs `ptx` with `threads` threads in a block over zeros and expects expected(i) in the cell of thread i.
  template <class Expected>
  void Expect(const std::string& ptx, uint32_t threads, Expected expected) {
    machine_.Fill(0);
    ASSERT_TRUE(machine_.Load(ptx));
    ASSERT_TRUE(machine_.RunWell("test", {2}, {threads}, Params().Add(kDataAddress)));
    for (uint32_t i = 0; i < 2 * threads; ++i) ASSERT_EQ(machine_.Read<uint32_t>(8 * i), expected(i)) << "thread " << i;
  }
  // Expects one block of 32 threads to fault so, at the line of `where`.
  Fault ExpectFault(const std::string& ptx, FaultKind kind, const std::string& where) {
    const std::optional<Fault> fault =
        machine_.Load(ptx) ? machine_.Run("test", {}, {32}, Params().Add(kDataAddress)) : std::nullopt;
    if (!fault) {
      ADD_FAILURE() << "no fault";
      return {};
    }
    EXPECT_EQ(static_cast<int>(fault->kind), static_cast<int>(kind)) << fault->message;
    EXPECT_EQ(fault->ptx_line, machine_.LineOf(where)) << fault->message;
    return *fault;
  }

  Machine machine_;
};

}  // namespace outboard::softgpu::testing

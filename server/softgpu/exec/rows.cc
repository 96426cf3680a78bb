#include "server/softgpu/exec/rows.h"

#include <algorithm>
#include <limits>

#include "server/softgpu/exec/invariants.h"
#include "server/softgpu/exec/uses.h"

namespace outboard::softgpu {
namespace {

using ptx::Body;
using ptx::Instruction;
using ptx::Operand;

struct BasicBlock {
  uint32_t begin, end;
  std::vector<uint32_t> next;
};

std::vector<BasicBlock> MakeBlocks(const Body& body) {
  const uint32_t count = static_cast<uint32_t>(body.instructions.size());
  std::vector<BasicBlock> blocks;
  std::vector<uint32_t> block_at(count + 1, 0);
  for (uint32_t i = 0; i < count; ++i) {
    const std::string_view previous = i == 0 ? std::string_view() : BaseOf(body.instructions[i - 1].opcode);
    const bool after_jump = previous == "bra" || previous == "brx" || previous == "ret" || previous == "exit";
    if (i == 0 || body.is_target[i] || after_jump) {
      if (!blocks.empty()) blocks.back().end = i;
      blocks.push_back({i, count, {}});
    }
    block_at[i] = static_cast<uint32_t>(blocks.size() - 1);
  }
  const auto add = [&](BasicBlock& block, int64_t instruction) {
    if (instruction >= 0 && instruction < count) block.next.push_back(block_at[static_cast<size_t>(instruction)]);
  };
  for (BasicBlock& block : blocks) {
    const Instruction& last = body.instructions[block.end - 1];
    const std::string_view base = BaseOf(last.opcode);
    if (base == "bra") {
      for (const Operand& operand : last.operands) {
        if (operand.kind == Operand::Kind::kLabel) add(block, operand.value);
      }
    } else if (base == "brx") {
      for (const ptx::BranchTargets& list : body.branch_targets) {
        for (const int64_t target : list.instructions) add(block, target);
      }
    }
    const bool leaves = base == "bra" || base == "brx" || base == "ret" || base == "exit" || base == "trap";
    if (!leaves || last.guard >= 0) add(block, block.end);
  }
  return blocks;
}

// One bit per register and block.
class BitRows {
 public:
  BitRows(size_t rows, size_t bits) : words_((bits + 63) / 64), data_(rows * words_) {}
  uint64_t* operator[](size_t row) { return data_.data() + row * words_; }
  size_t words() const { return words_; }

 private:
  size_t words_;
  std::vector<uint64_t> data_;
};

struct Interval {
  uint32_t begin = std::numeric_limits<uint32_t>::max(), end = 0;
  void Cover(uint32_t from, uint32_t to) {
    begin = std::min(begin, from);
    end = std::max(end, to);
  }
};

// Past this size of the sets, which no compiler's output comes near, every register is taken to be live everywhere.
constexpr size_t kMaxLivenessWords = size_t{1} << 25;

// The stretch of the code, in order of its text, in which each register may hold a value that is still needed.
std::vector<Interval> LiveIntervals(const Body& body) {
  const std::vector<BasicBlock> blocks = MakeBlocks(body);
  const size_t registers = body.registers.size();
  if (blocks.size() * (registers / 64 + 1) > kMaxLivenessWords) {
    return std::vector<Interval>(registers, Interval{0, static_cast<uint32_t>(body.instructions.size())});
  }
  BitRows upward(blocks.size(), registers), killed(blocks.size(), registers), in(blocks.size(), registers);
  const auto test = [](const uint64_t* row, int32_t bit) { return (row[bit / 64] >> (bit % 64)) & 1; };
  const auto set = [](uint64_t* row, int32_t bit) { row[bit / 64] |= uint64_t{1} << (bit % 64); };

  std::vector<Interval> intervals(registers);
  for (size_t b = 0; b < blocks.size(); ++b) {
    for (uint32_t i = blocks[b].begin; i < blocks[b].end; ++i) {
      const Instruction& instruction = body.instructions[i];
      ForUsesAndDefs(
          instruction,
          [&](int32_t reg) {
            if (!test(killed[b], reg)) set(upward[b], reg);
            intervals[static_cast<size_t>(reg)].Cover(i, i);
          },
          [&](int32_t reg) { intervals[static_cast<size_t>(reg)].Cover(i, i); });
      if (instruction.guard < 0) {
        ForUsesAndDefs(
            instruction, [](int32_t) {}, [&](int32_t reg) { set(killed[b], reg); });
      }
    }
  }
  const size_t words = in.words();
  std::vector<uint64_t> out(words);
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t b = blocks.size(); b-- > 0;) {
      std::fill(out.begin(), out.end(), 0);
      for (const uint32_t next : blocks[b].next) {
        for (size_t w = 0; w < words; ++w) out[w] |= in[next][w];
      }
      for (size_t w = 0; w < words; ++w) {
        const uint64_t live = upward[b][w] | (out[w] & ~killed[b][w]);
        changed |= live != in[b][w];
        in[b][w] = live;
      }
    }
  }
  for (size_t b = 0; b < blocks.size(); ++b) {
    const auto cover = [&](const uint64_t* row, uint32_t from, uint32_t to) {
      for (size_t w = 0; w < words; ++w) {
        for (uint64_t rest = row[w]; rest != 0; rest &= rest - 1) {
          intervals[w * 64 + static_cast<size_t>(__builtin_ctzll(rest))].Cover(from, to);
        }
      }
    };
    cover(in[b], blocks[b].begin, blocks[b].begin);
    for (const uint32_t next : blocks[b].next) cover(in[next], blocks[b].end - 1, blocks[b].end - 1);
  }
  return intervals;
}

enum Kind { kWord, kLong, kPredicate };

Kind KindOf(const ptx::Register& reg) {
  if (reg.type == ptx::Type::kB1) return kPredicate;
  return ptx::SizeOf(reg.type) == 8 ? kLong : kWord;
}

// Whether the instruction only copies a register's value.
bool IsCopy(const Instruction& instruction) {
  const std::string_view base = BaseOf(instruction.opcode);
  if (base != "mov" && instruction.opcode != "cvta.to.global.u64" && instruction.opcode != "cvta.global.u64")
    return false;
  return instruction.guard < 0 && instruction.operands.size() == 2 &&
         instruction.operands[0].kind == Operand::Kind::kRegister &&
         instruction.operands[1].kind == Operand::Kind::kRegister && !instruction.operands[1].negated;
}

// For each register the one whose row it can use because it only ever holds a copy of it; itself for most.
//
// Both must be written in one place, the original before the copy, and the copy must not be needed before it is made:
// then no later round of a loop can change the original while the copy's old value is still to be read.
std::vector<uint32_t> CopiedFrom(const Body& body, std::vector<Interval>* intervals) {
  constexpr uint32_t kNever = std::numeric_limits<uint32_t>::max(), kOften = kNever - 1;
  std::vector<uint32_t> written(body.registers.size(), kNever);
  std::vector<uint32_t> original(body.registers.size());
  for (uint32_t reg = 0; reg < original.size(); ++reg) original[reg] = reg;
  for (uint32_t i = 0; i < body.instructions.size(); ++i) {
    ForUsesAndDefs(
        body.instructions[i], [](int32_t) {},
        [&](int32_t reg) {
          uint32_t& place = written[static_cast<size_t>(reg)];
          place = place == kNever && body.instructions[i].guard < 0 ? i : kOften;
        });
  }
  for (uint32_t i = 0; i < body.instructions.size(); ++i) {
    if (!IsCopy(body.instructions[i])) continue;
    const uint32_t to = static_cast<uint32_t>(body.instructions[i].operands[0].reg);
    const uint32_t from = original[static_cast<size_t>(body.instructions[i].operands[1].reg)];
    if (KindOf(body.registers[to]) != KindOf(body.registers[from]) || written[to] != i || written[from] >= i) continue;
    if ((*intervals)[to].begin != i) continue;
    original[to] = from;
    (*intervals)[from].Cover((*intervals)[to].begin, (*intervals)[to].end);
  }
  return original;
}

}  // namespace

RowPlan PlanRows(const ptx::Function& function, const Body& body) {
  std::vector<Interval> intervals = LiveIntervals(body);
  RowPlan plan;
  plan.invariant =
      function.is_entry ? LaunchInvariants(function, body) : std::vector<bool>(body.instructions.size(), false);
  for (size_t i = 0; i < body.instructions.size(); ++i) {
    if (!plan.invariant[i]) continue;
    intervals[static_cast<size_t>(body.instructions[i].operands[0].reg)].Cover(
        0, static_cast<uint32_t>(body.instructions.size()));
  }
  const std::vector<uint32_t> original = CopiedFrom(body, &intervals);
  std::vector<uint32_t> order;
  for (uint32_t reg = 0; reg < intervals.size(); ++reg) {
    if (original[reg] == reg && intervals[reg].begin <= intervals[reg].end) order.push_back(reg);
  }
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return intervals[a].begin < intervals[b].begin; });

  // Per kind: rows in use until a position, as a min-heap of {end, row}, and rows that are free.
  using Busy = std::pair<uint32_t, uint32_t>;
  std::vector<Busy> busy[3];
  std::vector<uint32_t> free_rows[3];
  uint32_t count[3] = {0, 0, 0};
  std::vector<uint32_t> row_of(body.registers.size(), 0);
  for (const uint32_t reg : order) {
    const Kind kind = KindOf(body.registers[reg]);
    while (!busy[kind].empty() && busy[kind].front().first < intervals[reg].begin) {
      std::pop_heap(busy[kind].begin(), busy[kind].end(), std::greater<>());
      free_rows[kind].push_back(busy[kind].back().second);
      busy[kind].pop_back();
    }
    uint32_t row = count[kind];
    if (free_rows[kind].empty()) {
      ++count[kind];
    } else {
      row = free_rows[kind].back();
      free_rows[kind].pop_back();
    }
    row_of[reg] = row;
    busy[kind].emplace_back(intervals[reg].end, row);
    std::push_heap(busy[kind].begin(), busy[kind].end(), std::greater<>());
  }

  plan.scratch_predicate = 4 * count[kPredicate];
  const uint32_t words = (plan.scratch_predicate + 4 * kScratchRows + 63) / 64 * 64;
  plan.scratch_word = words + kWordRowBytes * count[kWord];
  const uint32_t longs = plan.scratch_word + kWordRowBytes * kScratchRows;
  plan.scratch_long = longs + kLongRowBytes * count[kLong];
  plan.frame_bytes = plan.scratch_long + kLongRowBytes * kScratchRows;
  plan.slots.assign(body.registers.size(), kNoSlot);
  for (const uint32_t reg : order) {
    switch (KindOf(body.registers[reg])) {
      case kPredicate:
        plan.slots[reg] = 4 * row_of[reg];
        break;
      case kWord:
        plan.slots[reg] = words + kWordRowBytes * row_of[reg];
        break;
      case kLong:
        plan.slots[reg] = longs + kLongRowBytes * row_of[reg];
        break;
    }
  }
  plan.needed_until.resize(original.size());
  for (uint32_t reg = 0; reg < original.size(); ++reg) {
    plan.slots[reg] = plan.slots[original[reg]];
    plan.needed_until[reg] = intervals[original[reg]].end;
  }
  return plan;
}

}  // namespace outboard::softgpu

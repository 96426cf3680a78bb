#include "server/softgpu/ptx/symbol_table.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace outboard::softgpu::ptx {
namespace {

SymbolTable::Entry Entry(std::string_view name, uint32_t depth, int32_t index) {
  return {name, depth, 0, index, 0, -1};
}

TEST(SymbolTable, FindsNothingAtFirst) {
  SymbolTable table;
  EXPECT_EQ(table.Find("a"), nullptr);
  table.Drop(0);
}

TEST(SymbolTable, InnerNameHidesTheOuterUntilItsScopeEnds) {
  SymbolTable table;
  table.Add(Entry("a", 1, 10));
  table.Add(Entry("a", 2, 20));
  EXPECT_EQ(table.Find("a")->index, 20);
  table.Drop(2);
  EXPECT_EQ(table.Find("a")->index, 10);
  table.Drop(1);
  EXPECT_EQ(table.Find("a"), nullptr);
}

TEST(SymbolTable, KeepsScopesWhileItGrows) {
  std::vector<std::string> names;
  for (int i = 0; i < 5000; ++i) names.push_back("a_name_of_some_length_" + std::to_string(i));
  SymbolTable table;
  for (int i = 0; i < 5000; ++i) table.Add(Entry(names[i], i < 2500 ? 1 : 2, i));
  for (int i = 0; i < 5000; ++i) ASSERT_EQ(table.Find(names[i])->index, i);
  table.Drop(2);
  EXPECT_EQ(table.Find(names[2499])->index, 2499);
  EXPECT_EQ(table.Find(names[2500]), nullptr);
}

}  // namespace
}  // namespace outboard::softgpu::ptx

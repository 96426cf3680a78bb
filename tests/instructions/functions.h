#pragma once

#include <string>

// Functions in PTX that tests call.

namespace outboard::softgpu::testing {

// A function's own shared memory, which nobody else's may lie in, is there until the block ends.
inline std::string Keeping(const std::string& name, int bytes) {
  return ".func (.param .b32 result) " + name + R"((.param .b32 n)
{
.shared .align 4 .b8 mine[)" +
         std::to_string(bytes) +
         R"(];
.reg .b32 %n, %t, %a;
.reg .pred %p;
ld.param.b32 %n, [n];
mov.u32 %t, %tid.x;
mov.u32 %a, mine;
mad.lo.u32 %a, %t, 4, %a;
setp.ne.u32 %p, %n, 0;
@%p st.shared.u32 [%a], %n;
ld.shared.u32 %n, [%a];
st.param.b32 [result], %n;
ret;
}
)";
}

// Leaves in %r what a function makes of %t.
inline std::string CallOf(const std::string& function) {
  return R"({
.param .b32 p;
.param .b32 r;
st.param.b32 [p], %t;
call (r), )" +
         function + R"(, (p);
ld.param.b32 %r, [r];
}
)";
}

// Calls itself.
inline constexpr char kFibonacci[] = R"(.func (.param .b32 result) fibonacci(.param .b32 n)
{
.reg .b32 %n, %a, %b, %m;
.reg .pred %p;
ld.param.b32 %n, [n];
setp.lt.u32 %p, %n, 2;
@%p bra SMALL;
sub.u32 %m, %n, 1;
{
.param .b32 p;
.param .b32 r;
st.param.b32 [p], %m;
call (r), fibonacci, (p);
ld.param.b32 %a, [r];
}
sub.u32 %m, %n, 2;
{
.param .b32 p;
.param .b32 r;
st.param.b32 [p], %m;
call (r), fibonacci, (p);
ld.param.b32 %b, [r];
}
add.u32 %n, %a, %b;
SMALL:
st.param.b32 [result], %n;
ret;
}
)";

// Three functions and a table of their addresses.
inline constexpr char kVirtual[] = R"(.func (.param .b32 result) twice(.param .b32 n)
{
.reg .b32 %n;
ld.param.b32 %n, [n];
shl.b32 %n, %n, 1;
st.param.b32 [result], %n;
ret;
}
.func (.param .b32 result) square(.param .b32 n)
{
.reg .b32 %n;
.reg .pred %p;
ld.param.b32 %n, [n];
setp.gt.u32 %p, %n, 30;
@%p bra LARGE;
mul.lo.u32 %n, %n, %n;
LARGE:
st.param.b32 [result], %n;
ret;
}
.func (.param .b32 result) negate(.param .b32 n)
{
.reg .b32 %n;
ld.param.b32 %n, [n];
neg.s32 %n, %n;
st.param.b32 [result], %n;
ret;
}
.global .align 8 .u64 methods[3] = {twice, square, negate};
)";
// Writes what the function of the table makes of %i that %i chooses.
inline constexpr char kVirtualCall[] = R"(.reg .b32 %r, %k;
.reg .b64 %f, %a;
rem.u32 %k, %i, 3;
mul.wide.u32 %a, %k, 8;
mov.u64 %f, methods;
add.u64 %a, %f, %a;
ld.global.u64 %f, [%a];
{
.param .b32 p;
.param .b32 r;
st.param.b32 [p], %i;
prototype: .callprototype (.param .b32 _) _ (.param .b32 _);
call (r), %f, (p), prototype;
ld.param.b32 %r, [r];
}
st.global.u32 [%out], %r;
)";

}  // namespace outboard::softgpu::testing

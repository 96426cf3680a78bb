#pragma once

#include <string_view>

namespace outboard {

enum class LogLevel { kError, kWarn, kInfo, kDebug };

// The level comes from OUTBOARD_LOG (error, warn, info or debug), read once; warn by default.
bool LogEnabled(LogLevel level);

// Writes one line "outboard: level: text" to stderr, or where SetLogDescriptor says, with a single write(2), never to
// stdout. Thread-safe; keeps errno.
// `format` is printf's.
void Log(LogLevel level, const char* format, ...) __attribute__((format(printf, 2, 3)));

// Where lines go from now on: a descriptor that stays open. For programs of which others get the standard error.
void SetLogDescriptor(int descriptor);

}  // namespace outboard

#pragma once

#include <string_view>

namespace outboard {

enum class LogLevel { kError, kWarn, kInfo, kDebug };

// The level comes from OUTBOARD_LOG (error, warn, info or debug), read once; warn by default.
bool LogEnabled(LogLevel level);

// Writes one line "outboard: level: text" to stderr with a single write(2), never to stdout. Thread-safe; keeps errno.
// `format` is printf's.
void Log(LogLevel level, const char* format, ...) __attribute__((format(printf, 2, 3)));

}  // namespace outboard

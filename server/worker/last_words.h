#pragma once

namespace outboard::worker {

class Output;

// When the process aborts, writes what `errors` has not been read of to descriptor `log`: what the C library, or a
// failed assertion, says last goes to standard error, which is the client's by then. Both live as long as the process.
// Once.
void SaveLastWords(const Output* errors, int log);

}  // namespace outboard::worker

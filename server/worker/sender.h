#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "common/wire/frame.h"

namespace outboard::worker {

// Sends one command of the worker to the client, of lane 0, with `head` and then `bytes` as its body
// (worker::Session::Send). Takes the bytes before it returns. Thread-safe; never waits for the client.
using Sender =
    std::function<void(wire::Control control, std::span<const std::byte> head, std::span<const std::byte> bytes)>;

}  // namespace outboard::worker

#pragma once

#include <string_view>

namespace outboard {

// Tells whoever started this process as a service how it stands: "READY=1", "STOPPING=1" (sd_notify(3) lists the
// words). Does nothing when nobody asked for that in NOTIFY_SOCKET.
void TellServiceManager(std::string_view state);

}  // namespace outboard

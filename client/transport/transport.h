#pragma once

#include <stddef.h>
#include <stdint.h>

// The seam between the session and what carries its frames: a C ABI, because a transport lives in a plugin with its own
// copies of everything. No exception and no C++ type crosses it; nothing here refers to CUDA.
//
// A plugin exports one function, OutboardTransportEntry. All functions are thread-safe unless said otherwise.

extern "C" {

typedef struct OutboardConnection OutboardConnection;

// What a connection tells its user. Called from a thread of the transport or, within poll, from the caller's; one call
// at a time, and never from within send. These functions may call send: no lock that send takes is held around them.
typedef struct OutboardTransportEvents {
  void* user;
  // A frame of the peer, whole. `data` is aligned to 8 and valid until the function returns.
  void (*frame)(void* user, const void* data, size_t bytes);
  // The connection is gone, for good: a sentence that says why. Called once, last. Not called after close.
  void (*closed)(void* user, const char* reason);
} OutboardTransportEvents;

typedef struct OutboardTransport {
  uint32_t version;  // kOutboardTransportVersion

  // Connects to a node and hands it `preamble` (node.h says what is in it), then frames may be sent. `address`:
  // "unix:/path" or "host:port". Null on failure, with a sentence in error[0 .. error_bytes).
  OutboardConnection* (*open)(const char* address, const void* preamble, size_t preamble_bytes,
                              const OutboardTransportEvents* events, char* error, size_t error_bytes);

  // Sends one frame; takes the bytes before it returns. Frames go out in the order of the calls; the caller holds a
  // lock that orders them. Does not wait for the peer (the session's credits bound what is under way). After closed it
  // does nothing.
  void (*send)(OutboardConnection* connection, const void* frame, size_t bytes);

  // Lends the calling thread to the connection for at most `nanoseconds`, so that a frame that arrives is delivered
  // without waking another thread. Returns early after a delivery. May do nothing.
  void (*poll)(OutboardConnection* connection, uint64_t nanoseconds);

  // Sends what is queued, as far as that takes no longer than about a second, and ends the connection. When it returns,
  // no event function runs or will run. Not to be called from one.
  void (*close)(OutboardConnection* connection);

  // In a forked child: closes the descriptors and nothing else. The connection must not be used again.
  void (*abandon)(OutboardConnection* connection);
} OutboardTransport;

enum { kOutboardTransportVersion = 1 };

// Null when the plugin does not speak this version.
const OutboardTransport* OutboardTransportEntry(uint32_t version);
}

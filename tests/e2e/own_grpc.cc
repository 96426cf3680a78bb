// What a program exports that brings its own gRPC and protobuf, as Python's and TensorFlow's do. Whoever calls into
// these has got hold of the wrong copy.

#include <cstdlib>
#include <string>

#define OWN __attribute__((visibility("default")))

extern "C" {
OWN void grpc_init() { std::abort(); }
OWN void* grpc_channel_create_from_fd(const char*, int, void*, const void*) { std::abort(); }
OWN void* grpc_completion_queue_create_for_next(void*) { std::abort(); }
OWN void gpr_log(const char*, int, int, const char*, ...) { std::abort(); }
}

namespace google::protobuf {
class MessageLite {
 public:
  OWN bool ParseFromString(const std::string& data);
};
bool MessageLite::ParseFromString(const std::string&) { std::abort(); }

namespace internal {
OWN void VerifyVersion(int, int, const char*) { std::abort(); }
}  // namespace internal
}  // namespace google::protobuf

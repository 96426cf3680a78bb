// Asks a pool what tests want to know, or does to it what they want done.
//
// usage: pool_query ADDRESS list                  everything, in JSON
//        pool_query ADDRESS drain|undrain NODE
//        pool_query ADDRESS revoke LEASE REASON

#include <google/protobuf/util/json_util.h>
#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <string>
#include <vector>

#include "proto/pool.grpc.pb.h"

namespace outboard {
namespace {

grpc::Status List(Pool::Stub& pool) {
  grpc::ClientContext context;
  ListRequest request;
  request.set_nodes(true);
  request.set_leases(true);
  request.set_queue(true);
  request.set_usage(true);
  const auto stream = pool.List(&context, request);
  ListReply all;
  for (ListReply part; stream->Read(&part);) all.MergeFrom(part);
  const grpc::Status status = stream->Finish();
  if (!status.ok()) return status;
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(all, &text, options).ok()) std::abort();
  std::puts(text.c_str());
  return status;
}

grpc::Status Do(Pool::Stub& pool, const std::vector<std::string>& words) {
  if (words == std::vector<std::string>{"list"}) return List(pool);
  grpc::ClientContext context;
  Done done;
  if (words.size() == 3 && words[0] == "revoke") {
    RevokeRequest request;
    request.set_lease(words[1]);
    request.set_reason(words[2]);
    return pool.Revoke(&context, request, &done);
  }
  if (words.size() == 2 && (words[0] == "drain" || words[0] == "undrain")) {
    ChangeNodeRequest request;
    request.set_node(words[1]);
    request.set_what(words[0] == "drain" ? ChangeNodeRequest::DRAIN : ChangeNodeRequest::UNDRAIN);
    return pool.ChangeNode(&context, request, &done);
  }
  return {grpc::StatusCode::INVALID_ARGUMENT, "see the usage in pool_query.cc"};
}

int Main(int argc, char** argv) {
  if (argc < 3) return 2;
  const auto pool = Pool::NewStub(grpc::CreateChannel(argv[1], grpc::InsecureChannelCredentials()));
  const grpc::Status status = Do(*pool, {argv + 2, argv + argc});
  if (!status.ok()) std::fprintf(stderr, "pool_query: %s\n", status.error_message().c_str());
  return status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace outboard

int main(int argc, char** argv) { return outboard::Main(argc, argv); }

#include "client/admin/pool_client.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <utility>

#include "proto/pool.grpc.pb.h"

namespace outboard::admin {
namespace {

constexpr std::chrono::seconds kTime{10};

std::shared_ptr<grpc::Channel> Open(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);  // which the machine may have for other ends
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

void SetDeadline(grpc::ClientContext* context) { context->set_deadline(std::chrono::system_clock::now() + kTime); }

}  // namespace

class PoolClient::Connection {
 public:
  explicit Connection(const std::string& address)
      : address_(address), channel_(Open(address)), stub_(Pool::NewStub(channel_)) {}

  Pool::Stub& stub() { return *stub_; }

  Error Complain(const grpc::Status& status) const {
    switch (status.error_code()) {
      case grpc::StatusCode::UNAVAILABLE:
        if (channel_->GetState(false) == GRPC_CHANNEL_READY) break;  // the pool itself says so
        return {"cannot reach the pool at " + address_ + ": " + status.error_message() +
                ". Is gpu-pool running there, and may you connect? --pool and OUTBOARD_POOL name another address."};
      case grpc::StatusCode::DEADLINE_EXCEEDED:
        return {"the pool at " + address_ + " does not answer within " + std::to_string(kTime.count()) +
                " seconds. Its log says what it waits for."};
      case grpc::StatusCode::UNIMPLEMENTED:
        return {"the pool at " + address_ + " does not know this question. Install the same version at both ends."};
      case grpc::StatusCode::PERMISSION_DENIED:
        return {status.error_message() + " Use an address of the pool that is for administrators."};
      default:
        break;
    }
    return {status.error_message()};
  }

  template <class Request>
  std::optional<Error> Do(grpc::Status (Pool::Stub::*call)(grpc::ClientContext*, const Request&, Done*),
                          const Request& request) {
    grpc::ClientContext context;
    SetDeadline(&context);
    Done done;
    if (const grpc::Status status = ((*stub_).*call)(&context, request, &done); !status.ok()) return Complain(status);
    return std::nullopt;
  }

 private:
  const std::string address_;
  const std::shared_ptr<grpc::Channel> channel_;
  const std::unique_ptr<Pool::Stub> stub_;
};

PoolClient::PoolClient(const std::string& address) : connection_(std::make_unique<Connection>(address)) {}
PoolClient::~PoolClient() = default;

Result<ListReply> PoolClient::List(const ListRequest& request) {
  grpc::ClientContext context;
  SetDeadline(&context);
  const auto stream = connection_->stub().List(&context, request);
  ListReply all;
  for (ListReply part; stream->Read(&part);) all.MergeFrom(part);
  if (const grpc::Status status = stream->Finish(); !status.ok()) return connection_->Complain(status);
  return all;
}

Result<WhyReply> PoolClient::Why(uint64_t request) {
  grpc::ClientContext context;
  SetDeadline(&context);
  WhyRequest question;
  question.set_request(request);
  WhyReply reply;
  const grpc::Status status = connection_->stub().Why(&context, question, &reply);
  if (!status.ok()) return connection_->Complain(status);
  return reply;
}

std::optional<Error> PoolClient::ChangeNode(const ChangeNodeRequest& request) {
  return connection_->Do(&Pool::Stub::ChangeNode, request);
}
std::optional<Error> PoolClient::Revoke(const RevokeRequest& request) {
  return connection_->Do(&Pool::Stub::Revoke, request);
}
std::optional<Error> PoolClient::Resize(const ResizeRequest& request) {
  return connection_->Do(&Pool::Stub::Resize, request);
}
std::optional<Error> PoolClient::SetTenant(const PoolTenant& tenant) {
  return connection_->Do(&Pool::Stub::SetTenant, tenant);
}

}  // namespace outboard::admin

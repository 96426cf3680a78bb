#include "common/graphs/user_object.h"

#include <climits>
#include <memory>

#include "common/graphs/calls.h"
#include "common/graphs/graphs.h"
#include "common/graphs/object_call.h"

namespace outboard::graphs {

bool UserObject::Release(uint64_t count) {
  uint64_t before = references_.load(std::memory_order_relaxed);
  do {
    if (before < count) return false;
  } while (!references_.compare_exchange_weak(before, before - count, std::memory_order_acq_rel));
  if (before > count) return true;
  graphs_.host.Post([destroy = destroy_, object = object_] { destroy(object); });
  graphs_.handles.Remove<UserObject>(handle());
  return true;
}

// Graph management: user objects.

namespace {

bool IsCount(unsigned count) { return count > 0 && count <= INT_MAX; }

}  // namespace

CUresult cuUserObjectCreate(Graphs& graphs, CUuserObject* object_out, void* ptr, CUhostFn destroy,
                            unsigned int initialRefcount, unsigned int flags) {
  if (!object_out || !destroy || !IsCount(initialRefcount) || flags != CU_USER_OBJECT_NO_DESTRUCTOR_SYNC)
    return CUDA_ERROR_INVALID_VALUE;
  const auto object = std::make_shared<UserObject>(graphs, destroy, ptr, initialRefcount);
  graphs.handles.Add(object);
  *object_out = static_cast<CUuserObject>(object->handle());
  return CUDA_SUCCESS;
}

CUresult cuUserObjectRetain(Graphs& graphs, CUuserObject object, unsigned int count) {
  return ObjectCall<UserObject>(graphs, object, [&](UserObject& found) -> CUresult {
    if (!IsCount(count)) return CUDA_ERROR_INVALID_VALUE;
    found.Retain(count);
    return CUDA_SUCCESS;
  });
}

CUresult cuUserObjectRelease(Graphs& graphs, CUuserObject object, unsigned int count) {
  return ObjectCall<UserObject>(graphs, object, [&](UserObject& found) {
    return IsCount(count) && found.Release(count) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuGraphRetainUserObject(Graphs& graphs, CUgraph graph, CUuserObject object, unsigned int count,
                                 unsigned int flags) {
  return ObjectCall<Graph>(graphs, graph, [&](Graph& found) -> CUresult {
    const auto user = graphs.handles.Find<UserObject>(object);
    if (!user || !IsCount(count) || (flags & ~unsigned{CU_GRAPH_USER_OBJECT_MOVE}) != 0)
      return CUDA_ERROR_INVALID_VALUE;
    if (flags != CU_GRAPH_USER_OBJECT_MOVE) user->Retain(count);
    found.TakeUserObject(user, count);
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphReleaseUserObject(Graphs& graphs, CUgraph graph, CUuserObject object, unsigned int count) {
  return ObjectCall<Graph>(graphs, graph, [&](Graph& found) -> CUresult {
    const auto user = graphs.handles.Find<UserObject>(object);
    if (!user || !IsCount(count) || !found.DropUserObject(user, count)) return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
  });
}

}  // namespace outboard::graphs

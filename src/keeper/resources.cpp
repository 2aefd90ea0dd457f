#include "keeper/resources.h"

namespace agentrouter::keeper {
namespace {

using Cause = sandbox::DiskStop::Cause;

std::string_view limit_of(Cause cause) {
  switch (cause) {
    case Cause::inodes:
      return "maxDiskInodes";
    case Cause::depth:
      return "diskDepth";
    case Cause::reserve:
      return "diskReserve";
    case Cause::bytes:
      break;
  }
  return "maxDiskBytes";
}

std::string reason_of(const sandbox::DiskStop& stop) {
  const auto used = [](std::uint64_t is, std::uint64_t most, const char* what) {
    return "The agent wrote more than it may: " + std::to_string(is) + " of " + std::to_string(most) + " " +
           what;
  };
  switch (stop.cause) {
    case Cause::inodes:
      return used(stop.inodes, stop.most_inodes, "files and folders");
    case Cause::depth:
      return "The agent nested folders deeper, or had more files open, than can be counted";
    case Cause::reserve:
      return "The machine's disk is nearly full; the agent had written " + std::to_string(stop.bytes) +
             " bytes";
    case Cause::bytes:
      break;
  }
  return used(stop.bytes, stop.most_bytes, "bytes");
}

}  // namespace

model::RunFailure record_disk_stop(Recorder& recorder, const sandbox::DiskStop& stop) {
  const auto limit = limit_of(stop.cause);
  auto reason = reason_of(stop);
  const bool inodes = stop.cause == Cause::inodes;
  json::object payload{{"limit", limit}, {"reason", reason}, {"used", inodes ? stop.inodes : stop.bytes}};
  if (stop.cause == Cause::inodes || stop.cause == Cause::bytes)
    payload["max"] = inodes ? stop.most_inodes : stop.most_bytes;
  recorder.event("limit.exceeded", model::Visibility::open, std::move(payload));
  return {"disk_limit", std::move(reason), std::string(limit)};
}

void MemoryKills::see(Recorder& recorder, std::uint64_t total) {
  if (total <= told_) return;
  const auto killed = total - told_;
  told_ = total;
  recorder.event("sandbox.memory_kill", model::Visibility::open, {{"processes", killed}, {"total", total}});
}

void RecentKills::begin(base::Deadline now, std::uint64_t kills) {
  before_ = last_ = kills;
  next_ = now + apart;
}

void RecentKills::look(base::Deadline now, std::uint64_t kills) {
  if (now < next_) return;
  before_ = std::exchange(last_, kills);
  next_ = now + apart;
}

}  // namespace agentrouter::keeper

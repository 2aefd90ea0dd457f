// covers: src/workspace/file_request.cpp src/workspace/push_order.cpp src/worker/exit_record.cpp
// What our helpers and keepers are told and report, from arbitrary bytes, each line: an error, or something that is written and read
// in the same way.
#include <string_view>

#include "base/needles.h"
#include "bytes_file.h"
#include "require.h"
#include "worker/exit_record.h"
#include "workspace/checkpoint.h"
#include "workspace/collector.h"
#include "workspace/file_request.h"
#include "workspace/image.h"
#include "workspace/push_order.h"
#include "workspace/unpack.h"

using namespace agentrouter;

namespace {

// What `parse` gives for its own text again.
template <class Parse>
void round_trip(Parse parse, std::string_view line) {
  const auto value = parse(line);
  if (!value) return;
  const auto text = to_json(*value);
  const auto again = parse(text);
  require(again.has_value() && to_json(*again) == text);
}

// An answer in frames is as long as what is in it.
void tell(const json::object& head, std::string_view content) {
  const auto file = file_of("");
  workspace::FrameWriter writer(file.get());
  require(writer.head(head) && writer.content(content) && writer.end() && ::lseek(file.get(), 0, SEEK_SET) == 0);
  const auto text = base::to_text(head);
  const auto frames = 2 + (content.size() + workspace::frame_bytes - 1) / workspace::frame_bytes;
  require(base::read_all(file.get(), 1u << 24).value().size() == text.size() + content.size() + 4 * frames);
  require(workspace::parse_head(text).has_value());
}

void look(std::string_view line) {
  round_trip(workspace::parse_file_request, line);
  round_trip(workspace::parse_push_order, line);
  round_trip(workspace::parse_pushed, line);
  round_trip(workspace::parse_checkpoint_report, line);
  round_trip(workspace::parse_unpack_report, line);
  round_trip(workspace::parse_image_report, line);
  round_trip(workspace::parse_report, line);
  if (const auto done = workspace::parse_restore_report(line); !done) require(!workspace::parse_head(base::to_text(workspace::error_head(done.error()))).has_value());
  if (const auto head = workspace::parse_head(line)) tell(*head, line);
  if (const auto limits = workspace::parse_unpack_argument(line))
    require(workspace::to_argument(workspace::parse_unpack_argument(workspace::to_argument(*limits)).value()) == workspace::to_argument(*limits));
  if (const auto order = workspace::parse_push_order(line)) require(workspace::is_branch_name(order->request.branch));
  if (const auto needles = base::Needles::parse(line)) {
    require(base::Needles::parse(needles->to_text()).has_value());
    std::ignore = needles->find(line);
  }
  if (const auto value = base::parse_json(line); value && value->is_object()) {
    const auto exit = worker::parse_exit(value->get_object());
    if (exit) require(model::is_terminal(exit->outcome));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    look(line);
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return 0;
}

#include "workspace/files_command.h"

#include <csignal>

#include "workspace/file_archive.h"
#include "workspace/file_list.h"
#include "workspace/self_limits.h"

namespace agentrouter::workspace {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::chrono::minutes wall_time{15};
constexpr std::size_t request_bytes = 256 * 1024;

Result<MergedFolder::Found> find_file(const FileView& view, const std::string& path) {
  AGENTROUTER_TRY(const auto found, view.stat(path));
  if (found.node.kind == Kind::absent)
    return fail(Code::not_found, "There is no file " + path, "file_not_found");
  if (found.node.kind == Kind::file) return found;
  const auto slash = path.rfind('/');
  const auto parent = slash == std::string::npos ? std::string() : path.substr(0, slash);
  AGENTROUTER_TRY(const auto folder, view.folder(parent));
  if (!folder) return fail(Code::not_found, "There is no file " + path, "file_not_found");
  const auto name = slash == std::string::npos ? path : path.substr(slash + 1);
  return tl::unexpected(not_a_file(*folder, name, found));
}

// The part of it that was asked for. Errors: invalid (range_not_satisfiable), exhausted (file_too_large).
Result<std::uint64_t> length_of(std::uint64_t size, const FileRequest& request, const FileReadLimits& limits) {
  if (request.offset > size || (request.offset == size && size > 0)) {
    return fail(Code::invalid, "The file has " + std::to_string(size) + " bytes", "range_not_satisfiable",
                base::to_text(json::object{{"size", size}}));
  }
  const auto length = std::min(size - request.offset, request.length.value_or(~0ull));
  if (length > limits.bytes) {
    return fail(Code::exhausted,
                "The file has " + std::to_string(size) + " bytes: ask for ranges of at most " +
                    std::to_string(limits.bytes),
                "file_too_large", base::to_text(json::object{{"size", size}, {"most", limits.bytes}}));
  }
  return length;
}

// An error after the head cuts the answer off: the frame that says that all is there is missing.
Result<void> answer_read(const FileView& view, const FileRequest& request, FrameWriter& out,
                         const FileReadLimits& limits) {
  const auto found = find_file(view, request.path);
  if (!found) return out.head(error_head(found.error()));
  const auto length = length_of(found->node.size, request, limits);
  if (!length) return out.head(error_head(length.error()));
  const json::object head{{"size", found->node.size},
                          {"mode", found->node.executable ? "100755" : "100644"},
                          {"offset", request.offset},
                          {"length", *length}};
  if (auto written = out.head(head); !written) return written;
  const auto read = view.read(request.path, *found, request.offset, *length,
                              [&out](std::string_view piece) { return out.content(piece); });
  if (!read) return read;
  return out.end();
}

Result<void> answer_list(const FileView& view, const FileRequest& request, FrameWriter& out) {
  const auto page = list_files(view, request);
  if (!page) return out.head(error_head(page.error()));
  if (auto written = out.head({}); !written) return written;
  if (auto written = out.content(*page); !written) return written;
  return out.end();
}

Result<void> answer_archive(const FileView& view, const FileRequest& request, FrameWriter& out) {
  if (auto written = out.head({}); !written) return written;
  if (auto done = archive_files(view, request, out); !done) return done;
  return out.end();
}

Result<FileRequest> read_request() {
  AGENTROUTER_TRY(const auto text, base::read_all(files_fd::request, request_bytes));
  return parse_file_request(text);
}

Result<void> answer_request(std::string_view where, FrameWriter& out) {
  const auto request = read_request();
  if (!request) return out.head(error_head(request.error()));
  auto view = where == "live" ? FileView::live(files_fd::base, Stack::numbered(files_fd::state))
                              : FileView::kept(files_fd::base, files_fd::state);
  if (!view) return out.head(error_head(view.error()));
  return answer_files(*view, *request, out);
}

}  // namespace

Result<void> answer_files(const FileView& view, const FileRequest& request, FrameWriter& out,
                          const FileReadLimits& limits) {
  if (request.what == FileRequest::What::list) return answer_list(view, request, out);
  if (request.what == FileRequest::What::archive) return answer_archive(view, request, out);
  return answer_read(view, request, out, limits);
}

int run_files(std::string_view where) {
  ::signal(SIGPIPE, SIG_IGN);
  limit_self(wall_time);
  FrameWriter out(files_fd::out);
  return answer_request(where, out) ? 0 : 1;
}

}  // namespace agentrouter::workspace

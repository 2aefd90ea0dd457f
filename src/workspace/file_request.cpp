#include "workspace/file_request.h"

#include <algorithm>
#include <utility>

#include "base/fd.h"
#include "workspace/path_text.h"

namespace agentrouter::workspace {

using base::Code;
using base::fail;
using base::Result;

namespace {

constexpr std::size_t path_bytes = 16'400;

constexpr std::pair<FileRequest::What, std::string_view> words[] = {{FileRequest::What::list, "list"},
                                                                    {FileRequest::What::read, "read"},
                                                                    {FileRequest::What::archive, "archive"},
                                                                    {FileRequest::What::log, "log"}};

constexpr std::size_t details_bytes = 32 * 1024;  // the target of a link may be 16 KiB

constexpr std::pair<std::string_view, Code> reasons[] = {{"file_not_found", Code::not_found},
                                                         {"not_a_file", Code::conflict},
                                                         {"not_a_folder", Code::conflict},
                                                         {"file_too_large", Code::exhausted},
                                                         {"range_not_satisfiable", Code::invalid}};

std::string_view text_of(FileRequest::What what) {
  return std::ranges::find(words, what, &std::pair<FileRequest::What, std::string_view>::first)->second;
}

std::optional<FileRequest::What> what_of(std::string_view text) {
  for (const auto& [what, word] : words)
    if (text == word) return what;
  return std::nullopt;
}

std::optional<std::string> path_of(const json::object& object, std::string_view key) {
  const auto text = base::get_string(object, key);
  return text ? std::optional(unescape_path(*text)) : std::nullopt;
}

base::Code code_of(std::string_view text) {
  for (int i = 0; i <= static_cast<int>(Code::internal); ++i)
    if (base::to_string(static_cast<Code>(i)) == text) return static_cast<Code>(i);
  return Code::unavailable;
}

// Of any bytes, as text of one line.
std::string plain(std::string_view message) {
  std::string text;
  for (const char c : message.substr(0, 500)) text += c >= ' ' && c <= '~' ? c : '?';
  return text;
}

std::string object_in(std::string_view text) {
  if (text.size() > details_bytes) return {};
  const auto document = base::parse_json(text);
  return document && document->is_object() ? base::to_text(*document) : std::string();
}

}  // namespace

std::string to_json(const FileRequest& request) {
  json::object object{{"what", text_of(request.what)},
                      {"path", escape_path(request.path)},
                      {"all", request.depth == FileRequest::Depth::all},
                      {"after", escape_path(request.after)},
                      {"limit", request.limit},
                      {"offset", request.offset},
                      {"zstd", request.format == FileRequest::Format::tar_zst},
                      {"changed", request.files == FileRequest::Files::changed}};
  if (request.length) object["length"] = *request.length;
  return base::to_text(object);
}

Result<FileRequest> parse_file_request(std::string_view text) {
  const auto bad = fail(Code::invalid, "cannot read the request for files");
  const auto document = base::parse_json(text);
  const auto* object = document ? document->if_object() : nullptr;
  if (!object) return bad;
  const auto what = what_of(base::get_string(*object, "what").value_or(""));
  const auto path = path_of(*object, "path"), after = path_of(*object, "after");
  const auto limit = base::get_int(*object, "limit"), offset = base::get_int(*object, "offset");
  const auto length = base::get_int(*object, "length");
  if (!what || !path || !after || !limit || *limit < 1 || !offset || *offset < 0 || length.value_or(0) < 0)
    return bad;
  if ((!path->empty() && !is_file_path(*path)) || (!after->empty() && !is_file_path(*after))) return bad;
  FileRequest request;
  request.what = *what;
  request.path = *path;
  request.after = *after;
  request.limit = *limit;
  request.offset = static_cast<std::uint64_t>(*offset);
  if (length) request.length = static_cast<std::uint64_t>(*length);
  if (base::get_bool(*object, "all").value_or(false)) request.depth = FileRequest::Depth::all;
  if (base::get_bool(*object, "zstd").value_or(false)) request.format = FileRequest::Format::tar_zst;
  if (base::get_bool(*object, "changed").value_or(false)) request.files = FileRequest::Files::changed;
  return request;
}

bool is_file_path(std::string_view path) {
  if (path.size() > path_bytes || path.find('\0') != std::string_view::npos) return false;
  for (;;) {
    const auto slash = path.find('/');
    const auto part = path.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

json::object error_head(const base::Error& error) {
  json::object told{{"code", base::to_string(error.code)},
                    {"message", plain(error.message)},
                    {"reason", error.reason}};
  if (!error.details.empty()) told["details"] = error.details;
  return {{"error", told}};
}

Result<json::object> parse_head(std::string_view text) {
  auto document = base::parse_json(text);
  if (!document || !document->is_object()) return fail(Code::corrupt, "cannot read what is said of files");
  auto& head = document->get_object();
  const auto* told = base::get_object(head, "error");
  if (!told) return std::move(head);
  const auto part = [&](std::string_view key) {
    return std::string(base::get_string(*told, key).value_or(""));
  };
  return fail(code_of(part("code")), part("message"), part("reason"), part("details"));
}

Result<json::object> parse_files_head(std::string_view text) {
  auto head = parse_head(text);
  if (head) return head;
  const auto& told = head.error();
  const auto known = std::ranges::find(reasons, told.reason, &std::pair<std::string_view, Code>::first);
  if (known != std::end(reasons))
    return fail(known->second, plain(told.message), told.reason, object_in(told.details));
  return fail(told.code == Code::corrupt ? Code::corrupt : Code::unavailable, plain(told.message));
}

Result<void> FrameWriter::frame(std::string_view bytes) {
  const auto size = static_cast<std::uint32_t>(bytes.size());
  std::string whole;
  whole.reserve(4 + bytes.size());
  for (const int shift : {24, 16, 8, 0}) whole += static_cast<char>(size >> shift & 0xff);
  return base::write_all(fd_, whole.append(bytes));
}

Result<void> FrameWriter::head(const json::object& head) {
  return frame(base::to_text(head));
}

Result<void> FrameWriter::content(std::string_view bytes) {
  while (!bytes.empty()) {
    if (auto written = frame(bytes.substr(0, frame_bytes)); !written) return written;
    bytes.remove_prefix(std::min(frame_bytes, bytes.size()));
  }
  return {};
}

Result<void> FrameWriter::end() {
  return frame({});
}

}  // namespace agentrouter::workspace

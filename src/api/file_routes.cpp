// Routes that give the files of a run. What is in them was written by an agent: it is passed on as bytes that
// no browser makes anything of.

#include <charconv>

#include "api/call.h"
#include "api/query.h"
#include "base/utf8.h"
#include "runs/queries.h"
#include "workspace/path_text.h"

namespace agentrouter::api {

namespace {

using base::Result;
using workspace::FileRequest;

constexpr std::int64_t most_entries = 1000;
constexpr std::int64_t usual_entries = 200;
constexpr std::int64_t most_offset = 9007199254740991;
constexpr std::int64_t max_path_units = 16'400;  // 4096 bytes, each escaped
constexpr std::uint64_t max_page_bytes = 24u << 20;

// The raw path that a text of the request stands for. What can be none is a finding.
std::string path_of(const std::string& text, bool escaped, const Path& place, Issues& issues) {
  auto path = escaped ? workspace::unescape_path(text) : text;
  if (base::is_utf8(text) && workspace::is_file_path(path)) return path;
  issues.other(place, "Invalid path: expected names between slashes, none of them . or ..");
  return {};
}

bool is_escaped(Query& query) {
  return query.choice("encoding", {"escaped"}).has_value();
}

bool is_true(Query& query, std::string_view key) {
  return query.choice(key, {"true", "false"}) == "true";
}

FileRequest list_request(const net::Request& http, Issues& issues) {
  Query query(http, issues);
  FileRequest request;
  const bool escaped = is_escaped(query);
  auto prefix = query.text("prefix", max_path_units).value_or("");
  if (prefix.ends_with('/')) prefix.pop_back();
  if (!prefix.empty()) request.path = path_of(prefix, escaped, {"prefix"}, issues);
  if (is_true(query, "recursive")) request.depth = FileRequest::Depth::all;
  request.limit = query.number("limit", usual_entries, 1, most_entries);
  if (const auto cursor = query.text("cursor", max_path_units))
    request.after = path_of(*cursor, true, {"cursor"}, issues);
  return request;
}

std::optional<std::uint64_t> number_of(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc() && end == text.data() + text.size() && !text.empty();
  return whole && number <= static_cast<std::uint64_t>(most_offset) ? std::optional(number) : std::nullopt;
}

struct Range {
  std::uint64_t first = 0;
  std::optional<std::uint64_t> length;
};

// "bytes=5-9", "bytes=5-". Whatever else a Range says is ignored, as RFC 9110 allows.
std::optional<Range> range_of(const net::Request& http) {
  constexpr std::string_view unit = "bytes=";
  auto text = http.headers.get("Range");
  if (http.headers.count("Range") != 1 || http.headers.find("If-Range") || !text.starts_with(unit))
    return std::nullopt;
  text.remove_prefix(unit.size());
  const auto dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto first = number_of(text.substr(0, dash));
  if (!first) return std::nullopt;
  if (dash + 1 == text.size()) return Range{*first, std::nullopt};
  const auto last = number_of(text.substr(dash + 1));
  if (!last || *last < *first) return std::nullopt;
  return Range{*first, *last - *first + 1};
}

FileRequest read_request(const net::Request& http, std::size_t first_segment, Issues& issues) {
  Query query(http, issues);
  const bool escaped = is_escaped(query);
  std::string path;
  for (auto i = first_segment; i < http.segments.size(); ++i)
    path += (i == first_segment ? "" : "/") + http.segments[i];
  FileRequest request;
  request.what = FileRequest::What::read;
  request.path = path_of(path, escaped, {"path"}, issues);
  if (const auto range = range_of(http)) {
    request.offset = range->first;
    request.length = range->length;
  }
  return request;
}

FileRequest archive_request(const net::Request& http, Issues& issues) {
  Query query(http, issues);
  FileRequest request;
  request.what = FileRequest::What::archive;
  if (query.choice("format", {"tar.gz", "tar.zst"}) == "tar.zst")
    request.format = FileRequest::Format::tar_zst;
  if (is_true(query, "changes")) request.files = FileRequest::Files::changed;
  return request;
}

net::Response bytes_head(std::string type) {
  net::Response head;
  head.headers.add("Content-Type", std::move(type));
  head.headers.add("Content-Disposition", "attachment");
  head.headers.add("Content-Security-Policy", "sandbox; default-src 'none'");
  return head;
}

std::uint64_t size_of(const json::object& head, std::string_view key) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(0, base::get_int(head, key).value_or(0)));
}

// Exactly as many bytes as were promised, or the connection is cut.
base::Task<void> pass_on(workspace::FileAnswer& answer, net::StreamWriter& writer,
                         std::optional<std::uint64_t> promised) {
  std::uint64_t sent = 0;
  while (!writer.ended()) {
    const auto piece = co_await answer.next();
    if (!piece) co_return writer.abort();
    if (piece->empty()) break;
    sent += piece->size();
    if (promised && sent > *promised) co_return writer.abort();
    if (!co_await writer.write(*piece)) co_return;
  }
  if (promised && sent != *promised && !writer.ended()) writer.abort();
}

FileRequest log_request(const net::Request& http, Issues& issues) {
  Query query(http, issues);
  FileRequest request;
  request.what = FileRequest::What::log;
  request.path = http.segments.back();
  request.offset = static_cast<std::uint64_t>(query.number("offset", 0, 0, most_offset));
  return request;
}

}  // namespace

// Who answers knows no workspaces.
base::Task<void> Api::admit_run(Call& call) {
  const auto id = call.run();
  const auto run = co_await needs_.store.read_in(
      call.workspace, [&id](store::Reader& reader) { return runs::find_run(reader, id); });
  if (!run) throw base::Failure(run.error());
}

base::Task<Api::FileReply> Api::ask_files(Call& call, workspace::FileRequest request) {
  if (!options_.files) {
    base::throw_failure(base::Code::unavailable, "This server does not read the files of runs");
  }
  co_await admit_run(call);
  auto answer = co_await options_.files(call.run(), std::move(request));
  if (!answer) throw base::Failure(answer.error());
  co_return std::move(*answer);
}

base::Task<void> Api::list_files(Call& call) {
  Issues issues;
  auto request = list_request(call.request(), issues);
  if (!issues.empty()) throw base::Failure(issues.to_error());
  const auto answer = co_await ask_files(call, std::move(request));
  std::string body;
  for (;;) {
    const auto piece = co_await answer->next();
    if (!piece) throw base::Failure(base::Error{base::Code::unavailable, piece.error().message});
    if (piece->empty()) break;
    body += *piece;
    if (body.size() > max_page_bytes)
      base::throw_failure(base::Code::unavailable, "The list of files is too long");
  }
  // It comes from inside a sandbox: nothing is passed on that is not read first.
  const auto page = base::parse_json(body, {.max_bytes = max_page_bytes});
  if (!page || !page->is_object())
    base::throw_failure(base::Code::unavailable, "The list of files cannot be read");
  co_await call.respond_json(200, base::to_text(*page));
}

base::Task<void> Api::read_file(Call& call) {
  constexpr std::size_t first_segment = 4;
  Issues issues;
  auto request = read_request(call.request(), first_segment, issues);
  if (!issues.empty()) throw base::Failure(issues.to_error());
  const bool partial = range_of(call.request()).has_value();
  const auto answer = co_await ask_files(call, std::move(request));
  const auto size = size_of(answer->head(), "size"), offset = size_of(answer->head(), "offset"),
             length = size_of(answer->head(), "length");
  auto head = bytes_head("application/octet-stream");
  head.headers.add("Accept-Ranges", "bytes");
  head.headers.add("Content-Length", std::to_string(length));
  if (partial && length > 0) {
    head.status = 206;
    head.headers.add("Content-Range", "bytes " + std::to_string(offset) + "-" +
                                          std::to_string(offset + length - 1) + "/" + std::to_string(size));
  }
  auto* writer = co_await call.exchange.start_stream(call.finished(std::move(head)));
  co_await pass_on(*answer, *writer, length);
}

base::Task<void> Api::download_archive(Call& call) {
  Issues issues;
  auto request = archive_request(call.request(), issues);
  if (!issues.empty()) throw base::Failure(issues.to_error());
  const bool zstd = request.format == FileRequest::Format::tar_zst;
  const auto answer = co_await ask_files(call, std::move(request));
  auto head = bytes_head(zstd ? "application/zstd" : "application/gzip");
  auto* writer = co_await call.exchange.start_stream(call.finished(std::move(head)));
  co_await pass_on(*answer, *writer, std::nullopt);
}

base::Task<void> Api::read_log(Call& call) {
  Issues issues;
  auto request = log_request(call.request(), issues);
  if (!issues.empty()) throw base::Failure(issues.to_error());
  if (request.path != "stdout" && request.path != "stderr")
    base::throw_failure(base::Code::not_found, "A run has two logs: stdout and stderr", "artifact_not_found");
  const auto answer = co_await ask_files(call, std::move(request));
  auto* writer = co_await call.exchange.start_stream(call.finished(bytes_head("application/x-ndjson")));
  co_await pass_on(*answer, *writer, std::nullopt);
}

}  // namespace agentrouter::api

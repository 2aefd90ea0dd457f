#include "scripted_agent/files.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>

#include "base/utf8.h"

namespace agentrouter::scripted_agent {

namespace {

std::string absolute(const std::string& path, const std::string& directory) {
  return path.starts_with('/') ? path : directory + "/" + path;
}

std::string with_end(std::string text) {
  if (!text.empty() && !text.ends_with('\n')) text += '\n';
  return text;
}

std::string marked(char mark, std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    out.append(1, mark).append(line).append(1, '\n');
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return out;
}

// Where `lines` begin as whole lines.
std::optional<std::size_t> find_lines(const std::string& text, const std::string& lines) {
  for (auto at = text.find(lines); at != std::string::npos; at = text.find(lines, at + 1)) {
    if (at == 0 || text[at - 1] == '\n') return at;
  }
  return std::nullopt;
}

json::object shown(const std::string& path, json::object kind, const std::string& diff) {
  return {{"path", path}, {"kind", std::move(kind)}, {"diff", base::to_utf8(diff)}};
}

}  // namespace

Change plan(const sim::WriteFile& step, const std::string& directory) {
  const auto path = absolute(step.path, directory);
  const auto content = with_end(step.text);
  return {path, shown(path, {{"type", "add"}}, content), content};
}

std::optional<Change> plan(const sim::EditFile& step, const std::string& directory) {
  const auto path = absolute(step.path, directory);
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  auto text = with_end(std::string(std::istreambuf_iterator<char>(file), {}));
  const auto before = with_end(step.before);
  const auto after = with_end(step.after);
  const auto at = find_lines(text, before);
  if (!at) return std::nullopt;

  const auto count = [](std::string_view lines) {
    return std::to_string(std::count(lines.begin(), lines.end(), '\n'));
  };
  const auto line =
      std::to_string(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(*at), '\n') + 1);
  const auto diff = "@@ -" + line + "," + count(before) + " +" + line + "," + count(after) + " @@\n" +
                    marked('-', before) + marked('+', after);
  text.replace(*at, before.size(), after);
  return Change{path, shown(path, {{"type", "update"}, {"move_path", nullptr}}, diff), std::move(text)};
}

bool apply(const Change& change) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(change.path).parent_path(), error);
  std::ofstream file(change.path, std::ios::binary | std::ios::trunc);
  file << change.content;
  return static_cast<bool>(file.flush());
}

}  // namespace agentrouter::scripted_agent

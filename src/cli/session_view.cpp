#include "cli/session_view.h"

#include "base/clock.h"
#include "cli/text.h"

namespace agentrouter::cli {
namespace {

constexpr std::size_t most_files = 50;
constexpr std::int64_t largest_index = 32 << 20;

std::string duration_between(const std::string& from, const std::string& to) {
  const auto begin = base::parse_iso(from);
  const auto end = base::parse_iso(to);
  return begin && end ? human_duration(*end - *begin) : std::string();
}

void print_changed_files(const ChangedFiles& changed, Output& output) {
  output.out << '\n';
  if (changed.files.empty()) {
    output.out << "No file was changed.\n";
    return;
  }
  output.out << "Changed files (" << changed.files.size() << (changed.truncated ? "+" : "") << "):\n";
  for (std::size_t i = 0; i < changed.files.size() && i < most_files; ++i) {
    output.out << "  " << changed.files[i].mark << "  " << changed.files[i].path << '\n';
  }
  if (changed.files.size() > most_files) {
    output.out << "  ... and " << changed.files.size() - most_files << " more\n";
  }
}

void print_file_index(const Client& client, const RunSession& session, Output& output) {
  for (const auto& artifact : session.artifacts) {
    if (artifact.kind != "workspace_file_index" || artifact.size_bytes > largest_index) continue;
    try {
      if (const auto changed = parse_file_index(client.download_artifact(session.run.id, artifact.id))) {
        print_changed_files(*changed, output);
      }
    } catch (const Error& error) {
      output.err << "cannot list the changed files: " << one_line(error.message()) << '\n';
    }
    return;
  }
}

}  // namespace

std::string mark_of(std::string_view porcelain) {
  if (porcelain == "??") return "A";
  for (const char c : porcelain) {
    if (c != ' ') return std::string(1, c);
  }
  return "?";
}

std::optional<ChangedFiles> parse_file_index(std::string_view json) {
  try {
    const auto index = Json::parse(json);
    if (!index["files"].is_array()) return std::nullopt;
    ChangedFiles changed{.truncated = index["truncated"].as_bool()};
    for (const auto& file : index["files"].as_array()) {
      changed.files.push_back(
          {one_line(mark_of(file["status"].as_string())), one_line(file["path"].as_string())});
    }
    return changed;
  } catch (const Error&) {
    return std::nullopt;
  }
}

void print_artifacts(const std::vector<Artifact>& artifacts, std::ostream& out) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& artifact : artifacts) {
    rows.push_back({"  " + one_line(artifact.kind), human_size(artifact.size_bytes), one_line(artifact.id)});
  }
  out << table(rows);
}

void print_outcome(const Client& client, const RunSession& session, Output& output) {
  if (session.response) {
    auto text = printable(session.response->text);
    output.out << text << (text.ends_with('\n') ? "" : "\n");
  }
  print_file_index(client, session, output);
  if (session.artifacts.empty()) return;
  output.out << "\nArtifacts:\n";
  print_artifacts(session.artifacts, output.out);
  output.out.flush();
}

std::string state_line(const Run& run) {
  std::string text(run.status == RunStatus::unknown ? one_line(run.raw["status"].as_string("unknown"))
                                                    : std::string(to_string(run.status)));
  if (run.failure) {
    text += " (" + one_line(run.failure->code);
    if (!run.failure->cause.empty()) text += ", " + one_line(run.failure->cause);
    text += ")";
    if (!run.failure->reason.empty()) text += ": " + one_line(run.failure->reason);
    return text;
  }
  const auto duration = duration_between(run.started_at, run.completed_at);
  return duration.empty() ? text : text + " in " + duration;
}

}  // namespace agentrouter::cli

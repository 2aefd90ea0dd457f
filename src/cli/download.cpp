#include <filesystem>
#include <fstream>

#include "base/hash.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/text.h"

namespace agentrouter::cli {
namespace {

// The last part of the key, which a server chose: never a path, never hidden.
std::string file_name_of(const Artifact& artifact) {
  const auto slash = artifact.r2_key.rfind('/');
  auto name = slash == std::string::npos ? artifact.r2_key : artifact.r2_key.substr(slash + 1);
  if (artifact.kind.ends_with("_log")) name = artifact.kind + "-" + name;  // both logs are 000001.ndjson.gz
  for (char& c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '.' || c == '-' || c == '_';
    if (!plain) c = '_';
  }
  const auto first = name.find_first_not_of('.');
  return first == std::string::npos ? artifact.id : name.substr(first);
}

const Artifact& chosen(const std::vector<Artifact>& artifacts, const std::string& wanted) {
  for (const auto& artifact : artifacts) {
    if (artifact.id == wanted || artifact.kind == wanted) return artifact;
  }
  std::string kinds;
  for (const auto& artifact : artifacts) kinds += (kinds.empty() ? "" : ", ") + one_line(artifact.kind);
  throw UsageError{"this run has no artifact " + one_line(wanted) +
                   (kinds.empty() ? "" : "; it has " + kinds)};
}

std::string digest_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::vector<char> piece(1u << 16);
  base::Sha256 digest;
  while (in.read(piece.data(), static_cast<std::streamsize>(piece.size())) || in.gcount() > 0) {
    digest.update({piece.data(), static_cast<std::size_t>(in.gcount())});
  }
  return digest.hex();
}

void check_digest(const Artifact& artifact, const std::string& sha256) {
  if (!artifact.sha256.empty() && artifact.sha256 != sha256) {
    throw Error("corrupt_download",
                "the bytes of " + one_line(artifact.id) + " are not what the server recorded");
  }
}

// Bytes for a terminal are made fit for it; a pipe gets them as they are.
void to_stdout(const Artifact& artifact, Context& context) {
  auto& output = context.output;
  const CallOptions call{.stop = context.interrupt};
  if (output.out_terminal) {
    const auto bytes = context.client.download_artifact(artifact.run_id, artifact.id, call);
    if (bytes.starts_with("\x1f\x8b")) {
      throw UsageError{one_line(artifact.kind) +
                       " is compressed: write it to a file, or pipe it through zcat"};
    }
    output.out << printable(bytes) << std::flush;
    return;
  }
  base::Sha256 digest;
  context.client.download_artifact(
      artifact.run_id, artifact.id, Sink([&](std::string_view bytes) {
        digest.update(bytes);
        if (!output.out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()))) {
          throw Error("write_failed", "cannot write to standard output");
        }
      }),
      call);
  output.out.flush();
  check_digest(artifact, digest.hex());
}

// Checks the digest before the file appears under its name.
void to_file(const Artifact& artifact, const std::filesystem::path& file, const Command& command,
             Context& context) {
  auto partial = file;
  partial += ".unchecked";
  context.client.download_artifact(artifact.run_id, artifact.id, partial, {.stop = context.interrupt});
  std::error_code error;
  try {
    check_digest(artifact, digest_of(partial));
  } catch (const Error&) {
    std::filesystem::remove(partial, error);
    throw;
  }
  std::filesystem::rename(partial, file, error);
  if (error) throw Error("write_failed", "cannot write " + file.string() + ": " + error.message());
  auto& out = context.output.out;
  if (command.json) {
    out << Json::object({{"file", file.string()},
                         {"artifactId", artifact.id},
                         {"kind", artifact.kind},
                         {"sizeBytes", artifact.size_bytes},
                         {"sha256", artifact.sha256}})
               .dump()
        << '\n';
  } else {
    out << one_line(file.string()) << "  " << human_size(artifact.size_bytes) << '\n';
  }
}

std::filesystem::path unused(const std::filesystem::path& file) {
  if (std::filesystem::exists(file)) {
    throw UsageError{one_line(file.string()) + " is there already: name another file with -o"};
  }
  return file;
}

void all_to_folder(const std::vector<Artifact>& artifacts, const Command& command, Context& context) {
  if (command.output == "-") throw UsageError{"name the artifact that shall go to standard output"};
  const std::filesystem::path folder = command.output.empty() ? one_line(command.run_id) : command.output;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw UsageError{"cannot make " + one_line(folder.string()) + ": " + error.message()};
  for (const auto& artifact : artifacts) to_file(artifact, folder / file_name_of(artifact), command, context);
}

}  // namespace

int download_artifacts(const Command& command, Context& context) {
  const auto page = context.client.list_run_artifacts(command.run_id, {.stop = context.interrupt});
  if (command.artifact.empty()) {
    all_to_folder(page.items, command, context);
    return exit_code::completed;
  }
  auto artifact = chosen(page.items, command.artifact);
  if (artifact.run_id.empty()) artifact.run_id = command.run_id;
  if (command.output == "-") {
    to_stdout(artifact, context);
  } else {
    const std::filesystem::path named = command.output;
    to_file(artifact, named.empty() ? unused(file_name_of(artifact)) : named, command, context);
  }
  return exit_code::completed;
}

}  // namespace agentrouter::cli

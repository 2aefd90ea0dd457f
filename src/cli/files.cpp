#include <algorithm>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/session_view.h"
#include "cli/text.h"

namespace agentrouter::cli {
namespace {

constexpr std::int64_t most_on_terminal = 1 << 20;

void list_files(const Command& command, Context& context) {
  auto& out = context.output.out;
  ListFilesRequest request{.folder = command.folder, .recursive = command.recursive};
  std::vector<std::vector<std::string>> rows;
  do {
    const auto page = context.client.list_run_files(command.run_id, request, {.stop = context.interrupt});
    for (const auto& file : page.items) {
      if (command.json) {
        out << file.raw.dump() << '\n';
      } else {
        rows.push_back(
            {file.status.empty() ? std::string() : one_line(mark_of(file.status)), one_line(file.mode),
             file.type == "file" ? human_size(file.size) : one_line(file.type), one_line(file.path)});
      }
    }
    request.cursor = page.next_cursor;
  } while (!request.cursor.empty());
  out << table(rows) << std::flush;
}

Sink standard_output(Context& context) {
  return [&out = context.output.out](std::string_view bytes) {
    if (!out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()))) {
      throw Error("write_failed", "cannot write to standard output");
    }
  };
}

// Bytes for a terminal are made fit for it; a pipe gets them as they are.
void print_file(const Command& command, Context& context) {
  auto& output = context.output;
  const CallOptions call{.stop = context.interrupt};
  if (!output.out_terminal) {
    context.client.read_run_file(command.run_id, command.path, standard_output(context), call);
    output.out.flush();
    return;
  }
  std::string text;
  const Sink collect = [&text](std::string_view bytes) {
    text += bytes;
    if (text.size() > most_on_terminal)
      throw UsageError{"the file is over 1 MiB: write it to a file with -o"};
  };
  context.client.read_run_file(command.run_id, command.path, collect, call);
  output.out << printable(text) << std::flush;
}

void write_file(const Command& command, Context& context) {
  const std::filesystem::path file = command.output;
  const auto bytes =
      context.client.read_run_file(command.run_id, command.path, file, {.stop = context.interrupt});
  context.output.out << one_line(file.string()) << "  " << human_size(bytes) << '\n';
}

}  // namespace

int show_files(const Command& command, Context& context) {
  if (command.path.empty()) {
    list_files(command, context);
  } else if (command.output.empty() || command.output == "-") {
    print_file(command, context);
  } else {
    write_file(command, context);
  }
  return exit_code::completed;
}

int archive_files(const Command& command, Context& context) {
  const CallOptions call{.stop = context.interrupt};
  DownloadWorkspaceRequest request{.only_changes = command.changes};
  if (command.output.ends_with(".zst")) request.format = "tar.zst";
  if (command.output == "-") {
    if (context.output.out_terminal)
      throw UsageError{"an archive is not for a terminal: name a file with -o"};
    context.client.download_workspace(command.run_id, standard_output(context), request, call);
    context.output.out.flush();
    return exit_code::completed;
  }
  const std::filesystem::path file =
      command.output.empty() ? one_line(command.run_id) + ".tar.gz" : command.output;
  if (command.output.empty() && std::filesystem::exists(file)) {
    throw UsageError{one_line(file.string()) + " is there already: name another file with -o"};
  }
  const auto bytes = context.client.download_workspace(command.run_id, file, request, call);
  if (command.json) {
    context.output.out << Json::object({{"file", file.string()}, {"sizeBytes", bytes}}).dump() << '\n';
  } else {
    context.output.out << one_line(file.string()) << "  " << human_size(bytes) << '\n';
  }
  return exit_code::completed;
}

int push_changes(const Command& command, Context& context) {
  const auto pushed = context.client.push_run(
      {.run_id = command.run_id, .branch = command.branch, .message = command.message},
      {.stop = context.interrupt});
  if (command.json) {
    context.output.out << pushed.raw.dump() << '\n';
  } else {
    context.output.out << "Pushed " << one_line(pushed.commit) << " to " << one_line(pushed.branch) << " of "
                       << one_line(pushed.url) << '\n';
  }
  return exit_code::completed;
}

}  // namespace agentrouter::cli

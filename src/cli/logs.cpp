#include <condition_variable>
#include <mutex>
#include <utility>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/text.h"

namespace agentrouter::cli {
namespace {

constexpr auto between_looks = std::chrono::milliseconds(500);

// True when it was interrupted meanwhile.
bool pause(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::unique_lock lock(mutex);
  return changed.wait_for(lock, stop, between_looks, [] { return false; }) || stop.stop_requested();
}

class LogPrinter {
 public:
  LogPrinter(const Command& command, Context& context)
      : context_(context), run_(command.run_id), log_(command.errors ? "stderr" : "stdout") {}

  // What has come since the last look.
  void look() {
    const Sink sink = [this](std::string_view bytes) { print(bytes); };
    context_.client.read_run_log(run_, log_, sink, offset_, {.stop = context_.interrupt});
    context_.output.out.flush();
  }
  // What came without the end of its line.
  void finish() { write(std::exchange(rest_, {})); }

 private:
  void print(std::string_view bytes) {
    offset_ += static_cast<std::int64_t>(bytes.size());
    if (!context_.output.out_terminal) return write(bytes);
    // In whole lines: a character may come in two pieces.
    rest_ += bytes;
    const auto lines = rest_.rfind('\n') + 1;
    write(std::string_view(rest_).substr(0, lines));
    rest_.erase(0, lines);
  }
  void write(std::string_view bytes) {
    auto& out = context_.output.out;
    const auto text = context_.output.out_terminal ? printable(bytes) : std::string(bytes);
    if (!out.write(text.data(), static_cast<std::streamsize>(text.size())))
      throw Error("write_failed", "cannot write to standard output");
  }

  Context& context_;
  std::string run_;
  std::string log_;
  std::int64_t offset_ = 0;
  std::string rest_;  // for a terminal: of a line
};

}  // namespace

int show_log(const Command& command, Context& context) {
  LogPrinter printer(command, context);
  for (;;) {
    const bool last = !command.follow ||
                      is_terminal(context.client.get_run(command.run_id, {.stop = context.interrupt}).status);
    printer.look();
    if (last) break;
    if (pause(context.interrupt)) return exit_code::cancelled;
  }
  printer.finish();
  return exit_code::completed;
}

}  // namespace agentrouter::cli

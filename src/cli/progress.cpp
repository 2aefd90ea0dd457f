#include "cli/progress.h"

#include <array>
#include <sstream>

#include "cli/text.h"

namespace agentrouter::cli {
namespace {

constexpr std::array<std::string_view, 10> round_frames = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
constexpr std::array<std::string_view, 4> ascii_frames = {"|", "/", "-", "\\"};

struct Look {
  std::string_view ascii;
  std::string_view symbol;
  Tone tone;
};

Look look_of(StepKind kind) {
  switch (kind) {
    case StepKind::tool:
      return {">", "▸", Tone::bold};
    case StepKind::message:
      return {"*", "●", Tone::plain};
    case StepKind::good:
      return {"+", "✓", Tone::good};
    case StepKind::warning:
      return {"!", "!", Tone::warning};
    case StepKind::bad:
      return {"x", "✗", Tone::bad};
    case StepKind::note:
    case StepKind::activity:
      break;
  }
  return {"-", "·", Tone::dim};
}

}  // namespace

Progress::Progress(Output& output, std::function<std::chrono::milliseconds()> elapsed)
    : output_(output), elapsed_(std::move(elapsed)) {}

void Progress::show(const Step& step) {
  if (step.kind == StepKind::activity || step.kind == StepKind::tool) activity_ = one_line(step.text);
  if (step.kind == StepKind::note || step.kind == StepKind::message) activity_ = "Working";
  if (step.kind == StepKind::activity && output_.err_terminal) return draw();
  clear();
  print_line(step);
  draw();
}

std::chrono::milliseconds Progress::tick_interval() const {
  return output_.err_terminal ? std::chrono::milliseconds(100) : std::chrono::hours(1);
}

void Progress::tick() {
  ++frame_;
  draw();
}

void Progress::clear() {
  if (!drawn_) return;
  output_.err << "\r\x1b[K" << std::flush;
  drawn_ = false;
}

// The lines behind the first are indented like it.
void Progress::print_line(const Step& step) {
  const auto look = look_of(step.kind);
  auto mark = std::string(output_.utf8 ? look.symbol : look.ascii);
  std::istringstream lines(step.text);
  std::string line;
  while (std::getline(lines, line)) {
    output_.err << toned(output_.colour, look.tone, mark + " " + line) << '\n';
    mark = " ";
  }
  output_.err.flush();
}

void Progress::draw() {
  if (!output_.err_terminal) return;
  const auto frame =
      output_.utf8 ? round_frames[frame_ % round_frames.size()] : ascii_frames[frame_ % ascii_frames.size()];
  const auto time = human_duration(elapsed_());
  const auto room = output_.columns > time.size() + 6 ? output_.columns - time.size() - 6 : 0;
  output_.err << "\r\x1b[K" << frame << ' ' << fit(activity_, room) << "  "
              << toned(output_.colour, Tone::dim, time) << std::flush;
  drawn_ = true;
}

}  // namespace agentrouter::cli

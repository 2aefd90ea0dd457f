#pragma once
// Figures about a running server, and the text in which Prometheus reads them.

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace agentrouter::base {

// How often which size was seen. Safe from any thread.
class Histogram {
 public:
  // `bounds` are upper bounds, ascending; above them all there is one more bucket.
  explicit Histogram(std::vector<double> bounds) : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {}

  void add(double value);

  struct Seen {
    std::vector<double> bounds;
    std::vector<std::uint64_t> counts;  // of each bucket by itself; one more than bounds
    double sum = 0;
  };
  [[nodiscard]] Seen seen() const;

 private:
  const std::vector<double> bounds_;
  mutable std::mutex mutex_;
  std::vector<std::uint64_t> counts_;
  double sum_ = 0;
};

// The exposition format, version 0.0.4.
class FigureText {
 public:
  using Labels = std::vector<std::pair<std::string_view, std::string>>;

  // Begins a family; what follows belongs to it.
  void counter(std::string_view name, std::string_view help) { begin(name, help, "counter"); }
  void gauge(std::string_view name, std::string_view help) { begin(name, help, "gauge"); }
  void histogram(std::string_view name, std::string_view help) { begin(name, help, "histogram"); }

  void value(double value, const Labels& labels = {});
  void values(const Histogram::Seen& seen, const Labels& labels = {});

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  void begin(std::string_view name, std::string_view help, std::string_view type);
  void line(std::string_view suffix, const Labels& labels, double value);

  std::string name_;
  std::string text_;
};

}  // namespace agentrouter::base

#include "apps/cluster_config.h"

#include <algorithm>
#include <array>
#include <sstream>

#include "apps/flags.h"
#include "apps/settings.h"
#include "net/listener.h"
#include "runs/placement.h"

namespace agentrouter::apps {

namespace {

using base::Code;
using base::fail;

constexpr std::string_view label_prefix = "worker.labels.";
// What a worker says of itself.
constexpr std::array<std::string_view, 5> own_labels{"os", "arch", "runtime", "image", "root"};

base::Result<void> set_label(ClusterConfig& config, const std::string& name, const std::string& value) {
  if (!runs::is_label_text(name) || !runs::is_label_text(value))
    return fail(Code::invalid,
                "worker.labels has " + name + " = \"" + value + "\": want at most 64 of A-Z a-z 0-9 . _ - for both",
                "usage");
  if (std::ranges::find(own_labels, name) != own_labels.end())
    return fail(Code::invalid, "worker.labels has \"" + name + "\": a worker finds that out by itself", "usage");
  config.labels[name] = value;
  return {};
}

base::Result<void> set_metrics(ClusterConfig& config, const std::string& text) {
  config.metrics_host.clear();
  if (text.empty()) return {};
  AGENTROUTER_TRY(auto listen, parse_listen("metrics.listen", text));
  config.metrics_host = std::move(listen.host);
  config.metrics_port = listen.port;
  return {};
}

}  // namespace

bool is_cluster_setting(const std::string& key) {
  return key.starts_with(label_prefix) || key == "cluster.lease_seconds" || key == "metrics.listen";
}

base::Result<void> set_cluster_value(ClusterConfig& config, const std::string& key, const std::string& text) {
  if (key.starts_with(label_prefix)) return set_label(config, key.substr(label_prefix.size()), text);
  if (key == "metrics.listen") return set_metrics(config, text);
  AGENTROUTER_TRY(const auto seconds, parse_number(text, "cluster.lease_seconds", 3, 600));
  config.lease = std::chrono::seconds(seconds);
  return {};
}

std::string print_cluster(const ClusterConfig& config) {
  std::ostringstream out;
  if (!config.labels.empty()) out << "\n[worker.labels]\n";
  for (const auto& [name, value] : config.labels) out << "\"" << name << "\" = \"" << value << "\"\n";
  out << "\n[cluster]\nlease_seconds = "
      << std::chrono::duration_cast<std::chrono::seconds>(config.lease).count() << "\n";
  if (!config.metrics_host.empty())
    out << "\n[metrics]\nlisten = \"" << net::ListenerAddress{config.metrics_host, config.metrics_port}.name() << "\"\n";
  return out.str();
}

}  // namespace agentrouter::apps

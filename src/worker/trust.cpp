#include "worker/trust.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/file.h"

namespace agentrouter::worker {

namespace {

constexpr const char* trust_folder = "trust";
constexpr std::size_t bundle_bytes = 8u << 20;
constexpr const char* bundles[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                                   "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"};

std::string of_machine() {
  for (const auto* path : bundles) {
    if (auto text = base::read_file(path, bundle_bytes)) return std::move(*text);
  }
  return {};
}

std::string joined(std::string all, const std::string& more) {
  if (!all.empty() && !all.ends_with('\n')) all += '\n';
  return all + more;
}

base::Result<void> write_certificates(int folder, const char* name, const std::string& text) {
  const base::Fd file(::openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!file || ::fchmod(file.get(), 0644) != 0) return base::fail_errno("cannot write certificates", errno);
  return base::write_all(file.get(), text);
}

}  // namespace

bool needs_trust(const keeper::EgressPlan& egress) {
  return !egress.authority.empty() || !egress.ca_certificates.empty();
}

base::Result<void> give_trust(const keeper::EgressPlan& egress, int attempt, const std::string& path,
                              sandbox::Plan& plan) {
  if (::mkdirat(attempt, trust_folder, 0755) != 0 && errno != EEXIST)
    return base::fail_errno("cannot make the folder of certificates", errno);
  const base::Fd folder(::openat(attempt, trust_folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder || ::fchmod(folder.get(), 0755) != 0)
    return base::fail_errno("cannot open the folder of certificates", errno);
  const auto own = joined(egress.ca_certificates, egress.authority);
  if (auto done = write_certificates(folder.get(), "agentrouter.pem", own); !done) return tl::unexpected(done.error());
  if (auto done = write_certificates(folder.get(), "ca-certificates.crt", joined(of_machine(), own)); !done) return tl::unexpected(done.error());
  std::erase_if(plan.binds, [](const auto& bind) { return bind.to == trust_path; });
  plan.binds.push_back({.from = path + "/" + trust_folder, .to = trust_path, .of_run = true});
  return {};
}

std::vector<std::string> trust_environment() {
  std::vector<std::string> environment{std::string("NODE_EXTRA_CA_CERTS=") + extra_trust_file};
  for (const auto* name : {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO",
                           "CURL_CA_BUNDLE", "CARGO_HTTP_CAINFO"})
    environment.push_back(std::string(name) + "=" + trust_file);
  return environment;
}

}  // namespace agentrouter::worker

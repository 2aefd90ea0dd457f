#include "sandbox/plan.h"

namespace agentrouter::sandbox {
namespace {

std::vector<SyntheticFile> own_files(const std::string& shell) {
  return {
      {"/etc/passwd",
       std::string("root:x:0:0:root:/root:/usr/sbin/nologin\n") +
           "agent:x:1000:1000:agent:/home/agent:" + shell + "\n" +
           "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"},
      {"/etc/group", "root:x:0:\nagent:x:1000:\nnogroup:x:65534:\n"},
      {"/etc/hosts", "127.0.0.1 localhost sandbox\n::1 localhost\n"},
      {"/etc/hostname", "sandbox\n"},
      {"/etc/resolv.conf", "options timeout:1 attempts:1\n"},
      {"/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\nservices: files\n"},
  };
}

}  // namespace

Plan curated_plan() {
  Plan plan;
  plan.binds.push_back({"/usr", "/usr"});
  // Of /etc only what every user may read and programs look for; never the folder itself.
  for (const char* path :
       {"/etc/alternatives", "/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/pki/tls/certs",
        "/etc/pki/ca-trust/extracted", "/etc/ca-certificates.conf", "/etc/ld.so.cache", "/etc/ld.so.conf",
        "/etc/ld.so.conf.d", "/etc/lsb-release", "/etc/debian_version", "/etc/services", "/etc/protocols"}) {
    plan.binds.push_back({path, path, Missing::skip});
  }
  plan.files = own_files("/bin/bash");
  return plan;
}

Plan image_plan(const std::string& shell) {
  Plan plan;
  plan.files = own_files(shell);
  // The image's is for its own programs, and the loader of ours would follow it, too.
  plan.files.push_back({"/etc/ld.so.preload", ""});
  return plan;
}

void let_out(Plan& plan, std::vector<std::uint16_t> ports) {
  plan.outbound_ports = std::move(ports);
  if (plan.outbound_ports.empty()) return;
  for (auto& file : plan.files) {
    if (file.path == "/etc/resolv.conf")
      file.content = "nameserver " + std::string(provider_address) + "\noptions timeout:5 attempts:2\n";
    if (file.path == "/etc/nsswitch.conf")
      file.content = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\n";
  }
}

std::vector<std::string> base_environment() {
  return {"PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
          "HOME=/home/agent",
          "USER=agent",
          "LOGNAME=agent",
          "SHELL=/bin/bash",
          "TMPDIR=/tmp",
          "LANG=C.UTF-8",
          "TZ=UTC",
          "TERM=dumb"};
}

}  // namespace agentrouter::sandbox

// Each surface with a planted secret, in a folder that stands for the root of a sandbox.

#include "keeper/boundary_view.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "base/hmac.h"
#include "testing/fixed_entropy.h"
#include "testing/temp_dir.h"

namespace agentrouter::keeper {
namespace {

constexpr std::string_view secret = "sk-planted-4be1c07d/9+x";

class BoundaryLook : public ::testing::Test {
 protected:
  BoundaryLook() {
    for (const auto* folder : {"proc/self/fd", "proc/net", "proc/1", "home/agent", "workspace", "etc", "usr/share"})
      std::filesystem::create_directories(root_.path() / folder);
    put("proc/self/environ", std::string("PATH=/bin\0HOME=/home/agent\0", 28));
    put("proc/1/cmdline", "init");
    put("proc/net/dev", "Inter-|   Receive\n face |bytes\n    lo: 0 0\n");
    put("proc/net/tcp", "  sl  local_address rem_address   st\n   0: 0101537F:0050 00000000:0000 0A 0\n");
    put("proc/net/unix", "Num       RefCount Protocol Flags    Type St Inode Path\n0000: 00000003 00000000 00000000 0001 03 11\n");
    view_.root = root_.path().string();
    // Sanitizers take long for what a processor does at once.
    for (auto* limits : {&view_.home, &view_.files, &view_.image, &view_.workspace})
      limits->time = std::chrono::seconds(10);
  }
  void put(const std::string& name, const std::string& text) {
    std::filesystem::create_directories((root_.path() / name).parent_path());
    std::ofstream(root_.path() / name, std::ios::binary) << text;
  }
  BoundaryReport look() {
    return look_around(view_, base::Redactor(std::vector<std::string_view>{secret}, entropy_));
  }
  std::string finding() {
    const auto report = look();
    EXPECT_EQ(base::to_text(report.to_json()).find(secret), std::string::npos);
    return report.surface + ": " + report.where;
  }

  testing::TempDir root_;
  testing::FixedEntropy entropy_;
  BoundaryView view_;
};

TEST_F(BoundaryLook, FindsNothingWhereNothingIs) {
  put("home/agent/.codex/config.toml", "model = \"x\"");
  const auto report = look();
  EXPECT_EQ(report.surface, "");
  EXPECT_TRUE(report.complete);
  EXPECT_TRUE(report.workspace_complete);
  EXPECT_FALSE(report.workspace_holds_secret);
  EXPECT_EQ(report.files, 1u);
  EXPECT_EQ(report.processes, 1u);
}

TEST_F(BoundaryLook, FindsASecretInTheEnvironmentAndNamesTheVariable) {
  put("proc/self/environ", "PATH=/bin" + std::string(1, '\0') + "TOKEN=Bearer " + std::string(secret));
  EXPECT_EQ(finding(), "env: variable TOKEN");
}

TEST_F(BoundaryLook, FindsASecretInTheEnvironmentThatTheAgentWillHave) {
  view_.environment = {"PATH=/bin", "TOKEN=" + std::string(secret)};
  EXPECT_EQ(finding(), "env: variable TOKEN");
}

TEST_F(BoundaryLook, FindsASecretInWhatProcShows) {
  put("proc/1/environ", "A=" + std::string(secret));
  EXPECT_EQ(finding(), "proc: environ of process 1");
  put("proc/1/environ", "");
  put("proc/1/cmdline", "init" + std::string(1, '\0') + std::string(secret));
  EXPECT_EQ(finding(), "proc: cmdline of process 1");
  put("proc/1/cmdline", "init");
  put("proc/1/maps", "10-80 ---p 0 0 0\n40-a0 r--p 0 0 0 [heap]\n");
  put("proc/1/mem", std::string(0x40, 'x') + "..." + std::string(secret) + std::string(0x60, 'x'));
  EXPECT_EQ(finding(), "proc: memory of process 1");
}

TEST_F(BoundaryLook, FindsASecretInTheHomeInEveryEncoding) {
  for (const auto& text : {std::string(secret), base::to_base64("user:" + std::string(secret)),
                           std::string("sk-planted-4be1c07d%2F9%2Bx"),
                           base::to_hex(reinterpret_cast<const std::uint8_t*>(secret.data()), secret.size())}) {
    put("home/agent/.config/notes", "something before " + text + "\nand behind");
    EXPECT_EQ(finding(), "home: /home/agent/.config/notes") << text;
  }
  const auto wrapped = base::to_base64(std::string(40, 'x') + std::string(secret));
  put("home/agent/.config/notes", wrapped.substr(0, 70) + "\n" + wrapped.substr(70));
  EXPECT_EQ(finding(), "home: /home/agent/.config/notes");
}

TEST_F(BoundaryLook, FindsASecretAcrossThePiecesOfALargeFile) {
  for (const std::size_t before : {(256u << 10) - 5u, (256u << 10) - 1u, (900u << 10) + 7u}) {
    put("home/agent/large", std::string(before, 'x') + std::string(secret) + std::string(100, 'y'));
    EXPECT_EQ(finding(), "home: /home/agent/large") << before;
  }
}

TEST_F(BoundaryLook, FindsASecretInNamesAndLinksWithoutShowingIt) {
  std::filesystem::create_symlink("/nowhere/sk-planted-4be1c07d%2F9%2Bx", root_.path() / "home/agent/link");
  EXPECT_EQ(finding(), "home: /home/agent/link");
  std::filesystem::remove(root_.path() / "home/agent/link");
  put("home/agent/sk-planted-4be1c07d%2F9%2Bx", "");
  EXPECT_EQ(finding(), "home: /home/agent/...");
}

TEST_F(BoundaryLook, FindsASecretInOtherFilesButNotInTheHostsPrograms) {
  put("usr/share/doc", std::string(secret));
  EXPECT_EQ(finding(), ": ");
  put("etc/passwd", "root:" + std::string(secret));
  EXPECT_EQ(finding(), "files: /etc/passwd");
}

TEST_F(BoundaryLook, FindsASecretInTheSystemOfAnImage) {
  view_.system = BoundaryView::System::of_image;
  EXPECT_EQ(finding(), ": ");
  for (const char* place : {"usr/src/app/.env", "usr/local/etc/app.conf", "usr/share/app/key"}) {
    put(place, "KEY=" + std::string(secret));
    EXPECT_EQ(finding(), "files: /" + std::string(place));
    std::filesystem::remove(root_.path() / place);
  }
  view_.image.entries = 3;
  for (const char* name : {"a", "b", "c", "d", "e"}) put(std::string("usr/lib/") + name, name);
  EXPECT_FALSE(look().complete) << "it was not looked at to its end";
}

TEST_F(BoundaryLook, SecretInTheWorkspaceIsTheUsersOwnAndReported) {
  put("workspace/.env", "KEY=" + std::string(secret));
  const auto report = look();
  EXPECT_EQ(report.surface, "");
  EXPECT_TRUE(report.workspace_holds_secret);
}

TEST_F(BoundaryLook, FindsListenersAndInterfacesThatAreNotTheWayOut) {
  const std::string head = "  sl  local_address rem_address   st\n";
  put("proc/net/tcp", head + "   0: 0100007F:1F90 00000000:0000 0A 0\n");
  EXPECT_EQ(finding(), "sockets: tcp 0100007F:1F90");
  put("proc/net/tcp", head + "   0: 0100007F:1F90 0100007F:0050 01 0\n");
  EXPECT_EQ(finding(), ": ") << "a connection is no listener";
  put("proc/net/tcp", head + "   0: 00000000:01BB 00000000:0000 0A 0\n");
  EXPECT_EQ(finding(), "sockets: tcp 00000000:01BB");
  view_.outbound_ports = {443};
  EXPECT_EQ(finding(), ": ");
  put("proc/net/udp", head + "   0: 0101537F:0035 00000000:0000 07 0\n");
  EXPECT_EQ(finding(), ": ");
  put("proc/net/udp", head + "   0: 00000000:0044 00000000:0000 07 0\n");
  EXPECT_EQ(finding(), "sockets: udp 00000000:0044");
  put("proc/net/udp", head);
  put("proc/net/dev", "Inter-|\n face |\n    lo: 0\n  eth0: 0\n");
  EXPECT_EQ(finding(), "sockets: interface eth0");
}

TEST_F(BoundaryLook, FindsUnixSocketsThatSomebodyListensOn) {
  put("proc/net/unix", "Num RefCount Protocol Flags Type St Inode Path\n0: 2 0 00010000 0001 01 7 @docker\n");
  EXPECT_EQ(finding(), "sockets: unix @docker");
  put("proc/net/unix", "");
  const base::Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto folder = base::value_or_throw(base::open_directory(root_.path() / "home/agent"));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  base::path_through_fd(folder.get(), "agent.sock").copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(finding(), ": ") << "nobody listens";
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  EXPECT_EQ(finding(), "sockets: /home/agent/agent.sock");
}

TEST_F(BoundaryLook, FindsDescriptorsThatAreNotItsOwn) {
  view_.own_descriptors = {0};
  std::filesystem::create_symlink("/dev/null", root_.path() / "proc/self/fd/0");
  EXPECT_EQ(finding(), ": ");
  std::filesystem::create_symlink("socket:[7]", root_.path() / "proc/self/fd/9");
  EXPECT_EQ(finding(), "descriptors: 9, socket:[7]");
}

TEST_F(BoundaryLook, SaysWhenALimitKeptItFromLookingAtEverything) {
  put("home/agent/a", std::string(1000, 'x'));
  put("home/agent/b", std::string(1000, 'x'));
  view_.home.file_bytes = 500;
  EXPECT_FALSE(look().complete);
  view_.home = {.entries = 1, .bytes = 1 << 20, .file_bytes = 1 << 20, .time = std::chrono::seconds(10)};
  EXPECT_FALSE(look().complete);
  view_.home = {.entries = 100, .bytes = 1500, .file_bytes = 1 << 20, .time = std::chrono::seconds(10)};
  EXPECT_FALSE(look().complete);
  view_.home = {.entries = 100, .bytes = 1 << 20, .file_bytes = 1 << 20, .time = std::chrono::seconds(0)};
  EXPECT_FALSE(look().complete);
  view_.home.time = std::chrono::seconds(10);
  put("etc/program", std::string(300u << 10, 'x'));
  EXPECT_TRUE(look().complete);
  put("workspace/a", std::string(1000, 'x'));
  view_.workspace.file_bytes = 500;
  EXPECT_TRUE(look().complete);
  EXPECT_FALSE(look().workspace_complete);
}

}  // namespace
}  // namespace agentrouter::keeper

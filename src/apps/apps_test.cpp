#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "apps/config.h"

namespace agentrouter::apps {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Flags flags(const std::vector<std::string>& words) {
  return base::value_or_throw(parse_flags(words, serve_flags()));
}

std::string temporary_file(const std::string& text) {
  std::string path = ::testing::TempDir() + "config-XXXXXX";
  const int fd = ::mkstemp(path.data());
  std::ofstream(path) << text;
  ::close(fd);
  return path;
}

base::Result<Config> load(const std::string& text) {
  return load_config(flags({"--config", temporary_file(text), "--data", ::testing::TempDir()}),
                     Environment({{"HOME", "/nowhere"}}), false);
}

TEST(Flags, UnknownFlagAndMissingValueAreUsageErrors) {
  EXPECT_THAT(parse_flags({"--lisen", "x"}, serve_flags()).error().message,
              HasSubstr("unknown flag --lisen"));
  EXPECT_THAT(parse_flags({"--listen"}, serve_flags()).error().message, HasSubstr("needs a value"));
  EXPECT_EQ(flags({"--listen=127.0.0.1:0", "--sim"}).value("listen"), "127.0.0.1:0");
}

TEST(Config, FlagsWinOverEnvironmentWhichWinsOverTheFile) {
  const auto file = temporary_file(
      "listen = \"127.0.0.1:1\"\nconcurrency = 3\nmax_attempts = 5\n[providers.openai]\nbase_url = "
      "\"http://127.0.0.1:9/v1/\"\n");
  const auto base_flags = std::vector<std::string>{"--config", file, "--data", ::testing::TempDir()};
  const Environment environment({{"AGENTROUTER_PORT", "2"}, {"OPENAI_BASE_URL", "http://127.0.0.1:8/v1"}});
  auto config = base::value_or_throw(load_config(flags(base_flags), environment, false));
  EXPECT_EQ(config.listen_port, 2);
  EXPECT_EQ(config.concurrency, 3);
  EXPECT_EQ(config.max_attempts, 5);
  EXPECT_EQ(config.openai_base_url, "http://127.0.0.1:8/v1");
  auto more = base_flags;
  more.insert(more.end(), {"--listen", "127.0.0.1:4"});
  EXPECT_EQ(base::value_or_throw(load_config(flags(more), environment, false)).listen_port, 4);
}

TEST(Config, McpServersAreReadAndTheirFoldersNamed) {
  const auto file = temporary_file(
      "[quota]\nfirst_wait_seconds = 3\nmax_wait_minutes = 0\n[mcp_servers.notes]\ncommand = "
      "\"{mount}/run\"\n"
      "args = [\"--data\", \"{mount}/{mount}\"]\nmount = \"/srv/notes\"\nruntimes = [\"codex\"]\n"
      "[mcp_servers.notes.env]\nTOKEN = \"secret-word\"\n");
  const std::vector<std::string> from_file{"--config", file, "--data", ::testing::TempDir()};
  const auto config = base::value_or_throw(load_config(flags(from_file), Environment({}), false));
  EXPECT_EQ(config.quota.first, std::chrono::seconds(3));
  EXPECT_EQ(config.quota.most, std::chrono::minutes(0));
  ASSERT_EQ(config.mcp_servers.size(), 1u);
  const auto& notes = config.mcp_servers[0];
  EXPECT_EQ(notes.server.command, "/opt/mcp/notes/run");
  EXPECT_EQ(notes.server.args.at(1), "/opt/mcp/notes//opt/mcp/notes");
  EXPECT_EQ(notes.server.env.at(0).second, "secret-word");
  EXPECT_TRUE(notes.serves(model::RuntimeKind::codex));
  EXPECT_FALSE(notes.serves(model::RuntimeKind::claude_code));
  EXPECT_THAT(print_config(config), HasSubstr("[mcp_servers.notes]"));
  EXPECT_EQ(print_config(config).find("secret-word"), std::string::npos);
}

TEST(Config, HeadersOfAnMcpServerComeFromFilesAndVariablesAndAreNotShown) {
  const auto secret = temporary_file("Bearer word-of-file\n");
  const auto file = temporary_file(
      "[mcp_servers.far]\nurl = \"https://far.test/mcp\"\n"
      "[mcp_servers.far.headers]\nX-Plain = \"word-of-text\"\n"
      "[mcp_servers.far.headers_file]\nAuthorization = \"" +
      secret +
      "\"\n"
      "[mcp_servers.far.headers_env]\nX-Key = \"FAR_KEY\"\n");
  const std::vector<std::string> from_file{"--config", file, "--data", ::testing::TempDir()};
  const Environment environment({{"FAR_KEY", "word-of-variable"}});
  const auto config = base::value_or_throw(load_config(flags(from_file), environment, false));
  ASSERT_EQ(config.mcp_servers.size(), 1u);
  const auto& far = config.mcp_servers[0];
  EXPECT_EQ(far.server.url, "http://127.83.1.1/mcp/far");
  EXPECT_EQ(far.upstream.name, "far");
  EXPECT_EQ(far.upstream.url, "https://far.test/mcp");
  std::map<std::string, std::string> headers;
  for (const auto& header : far.upstream.headers) headers[header.name] = header.value;
  EXPECT_EQ(headers, (std::map<std::string, std::string>{{"X-Plain", "word-of-text"},
                                                         {"Authorization", "Bearer word-of-file"},
                                                         {"X-Key", "word-of-variable"}}));
  const auto shown = print_config(config);
  EXPECT_THAT(shown, HasSubstr("[mcp_servers.far]\nurl = 'https://far.test/mcp'\n"));
  EXPECT_EQ(shown.find("word-of"), std::string::npos);
}

TEST(Config, WhatIsWrongWithAnMcpServerIsNamedWithItsLine) {
  for (const auto& [text, problem] : std::vector<std::pair<std::string, std::string>>{
           {"[mcp_servers.a]\nargs = []\n", "mcp_servers.a needs either a command or a url"},
           {"[mcp_servers.a__b]\ncommand = \"c\"\n", ":2: \"a__b\" is no name"},
           {"[mcp_servers.A]\ncommand = \"c\"\n", ":2: \"A\" is no name"},
           {"[mcp_servers.a]\ncommand = 7\n", ":2: \"command\" has the wrong type"},
           {"[mcp_servers.a]\ncommand = [\"c\"]\n", ":2: \"command\" has the wrong type"},
           {"[mcp_servers.a]\nargs = \"c\"\n", ":2: \"args\" has the wrong type"},
           {"[mcp_servers.a]\nargs = [7]\n", ":2: \"args\" has the wrong type"},
           {"[mcp_servers.a]\nmount = \"here\"\n", ":2: mount: want an absolute path"},
           {"[mcp_servers.a]\nruntimes = [\"vim\"]\n", ":2: runtimes holds \"vim\""},
           {"[mcp_servers.a]\nport = \"1\"\n", ":2: unknown key \"port\""},
           {"[mcp_servers.a.env]\n\"A B\" = \"1\"\n", ":2: unknown key \"env.A B\""},
           {"[mcp_servers.a]\ncommand = \"c\"\nurl = \"https://h.test/\"\n",
            "needs either a command or a url"},
           {"[mcp_servers.a]\ncommand = \"c\"\nheaders.X = \"y\"\n", "headers go with a url"},
           {"[mcp_servers.a]\nurl = \"http://h.test/\"\n", "plain http would show"},
           {"[mcp_servers.a]\nurl = \"https://h.test/?k=1\"\n", "it has a query"},
           {"[mcp_servers.a]\nurl = \"https://h.test/\"\nargs = [\"x\"]\n", "are for a command"},
           {"[mcp_servers.a]\nurl = \"https://h.test/\"\nheaders.Host = \"x\"\n",
            ":3: \"Host\" is no header"},
           {"[mcp_servers.a]\nurl = \"https://h.test/\"\nheaders.\"X Y\" = \"x\"\n",
            ":3: \"X Y\" is no header"},
           {"[mcp_servers.a]\nurl = \"https://h.test/\"\nheaders.X = \"x\"\nheaders_env.x = \"Y\"\n",
            "given twice"},
           {"[mcp_servers.a]\nurl = \"https://h.test/\"\nheaders.X = \"a\\r\\nb\"\n", "the header X: "},
           {"[mcp_servers.a]\nurl = \"https://h.test/\"\nheaders_env.X = \"NOT_SET\"\n", "the header X: "},
           {"[mcp_servers.a]\nurl = \"https://h.test/\"\nheaders_file.X = \"/nowhere\"\n", "/nowhere"},
           {"mcp_servers = 7\n", ":1: unknown key \"mcp_servers\""}}) {
    const auto file = temporary_file(text);
    const auto refused =
        load_config(flags({"--config", file, "--data", ::testing::TempDir()}), Environment({}), false);
    ASSERT_FALSE(refused) << text;
    EXPECT_THAT(refused.error().message, HasSubstr(problem)) << text;
  }
}

TEST(Config, WebhooksMayReachTheHostsThatItNames) {
  const auto config = base::value_or_throw(
      load("[webhooks]\nallow_hosts = [\"hooks.lan\", \"127.0.0.1:8080\"]\nca_file = \"/etc/ca.pem\"\n"));
  EXPECT_EQ(config.webhooks.allow_hosts, (std::vector<std::string>{"hooks.lan", "127.0.0.1:8080"}));
  EXPECT_EQ(config.webhooks_ca_file, "/etc/ca.pem");
  EXPECT_THAT(print_config(config), HasSubstr("allow_hosts = ['hooks.lan', '127.0.0.1:8080']"));
  EXPECT_THAT(load("[webhooks]\nallow_hosts = [\"http://x\"]\n").error().message, HasSubstr("host:port"));
  EXPECT_THAT(load("[webhooks]\nallow_hosts = \"x\"\n").error().message, HasSubstr("wrong type"));
}

TEST(Config, ConversationsHaveTheirTimesAndTheirCompatibility) {
  const auto file = temporary_file(
      "[conversations]\none_shot_grace_minutes = 5\nidle_ttl_minutes = 0\n[compat]\npublished_turn2 = "
      "true\n");
  const std::vector<std::string> from_file{"--config", file, "--data", ::testing::TempDir()};
  auto config = base::value_or_throw(load_config(flags(from_file), Environment({}), false)).conversations;
  EXPECT_EQ(config.one_shot_grace, std::chrono::minutes(5));
  EXPECT_EQ(config.idle_ttl, std::chrono::minutes(0));
  EXPECT_TRUE(config.published_turn2);
  const Environment environment(
      {{"AGENTROUTER_ONESHOT_GRACE_MINUTES", "7"}, {"AGENTROUTER_SESSION_IDLE_TTL_MINUTES", "8"}});
  const auto whole = base::value_or_throw(load_config(flags(from_file), environment, false));
  EXPECT_EQ(whole.conversations.one_shot_grace, std::chrono::minutes(7));
  EXPECT_EQ(whole.conversations.idle_ttl, std::chrono::minutes(8));
  EXPECT_THAT(print_config(whole),
              HasSubstr("[conversations]\none_shot_grace_minutes = 7\nidle_ttl_minutes = 8\n\n"
                        "[compat]\npublished_turn2 = true\n"));
  const Environment wrong({{"AGENTROUTER_ONESHOT_GRACE_MINUTES", "soon"}});
  EXPECT_THAT(load_config(flags({}), wrong, false).error().message,
              HasSubstr("AGENTROUTER_ONESHOT_GRACE_MINUTES"));
}

TEST(Config, ThePushingAuthorIsOneThatGitTakes) {
  EXPECT_EQ(base::value_or_throw(load("[push]\nauthor_name = \"J. R.\"\n")).push.author_name, "J. R.");
  EXPECT_THAT(load("[push]\nauthor_name = \".\"\n").error().message, HasSubstr("push.author_name"));
  EXPECT_THAT(load("[push]\nauthor_email = \"a<b\"\n").error().message, HasSubstr("push.author_email"));
}

TEST(Config, RunsAreEitherRecordedOrPlayed) {
  EXPECT_EQ(base::value_or_throw(load("record = \"tapes\"\n")).record_dir, "tapes");
  EXPECT_EQ(base::value_or_throw(load("replay = \"/\"\n")).replay_dir, "/");
  EXPECT_THAT(load("record = \"/\"\nreplay = \"/\"\n").error().message, HasSubstr("record and replay"));
  EXPECT_THAT(load("provider = \"sim\"\nreplay = \"/\"\n").error().message, HasSubstr("sim and replay"));
  EXPECT_THAT(load("replay = \"/no/such/folder\"\n").error().message,
              HasSubstr("no folder that can be read"));
}

TEST(Config, UnknownKeyNamesTheKeyAndTheLine) {
  const auto file = temporary_file("\nlisten_port = 1\n");
  const auto error =
      load_config(flags({"--config", file, "--data", ::testing::TempDir()}), Environment({}), false).error();
  EXPECT_EQ(error.code, base::Code::invalid);
  EXPECT_THAT(error.message, HasSubstr(":2: unknown key \"listen_port\""));
}

TEST(Config, WrongTypesRangesAndBrokenTomlAreNamed) {
  const auto message = [](const std::string& text) {
    return load_config(flags({"--config", temporary_file(text), "--data", ::testing::TempDir()}),
                       Environment({}), false)
        .error()
        .message;
  };
  EXPECT_THAT(message("concurrency = [1]\n"), HasSubstr("wrong type"));
  EXPECT_THAT(message("concurrency = -1\n"), HasSubstr("want a whole number"));
  EXPECT_THAT(message("max_attempts = 0\n"), HasSubstr("want a whole number"));
  EXPECT_THAT(message("role = \"boss\"\n"), HasSubstr("want all, api or worker"));
  EXPECT_THAT(message("listen = \"8787\"\n"), HasSubstr("want HOST:PORT"));
  EXPECT_THAT(message("listen = \"::1:8787\"\n"), HasSubstr("want HOST:PORT, or [ADDRESS]:PORT"));
  EXPECT_THAT(message("listen = \"[::1]\"\n"), HasSubstr("want HOST:PORT, or [ADDRESS]:PORT"));
  EXPECT_THAT(message("listen = \"[]:1\"\n"), HasSubstr("want HOST:PORT, or [ADDRESS]:PORT"));
  EXPECT_THAT(message("listen = \"[::1]:70000\"\n"), HasSubstr("the port of listen"));
  EXPECT_THAT(message("workspace_roots = [\"relative\"]\n"), HasSubstr("want absolute paths"));
  EXPECT_THAT(message("listen = \n"), HasSubstr(":1:"));
}

TEST(Config, AnAddressOfIPv6StandsInBrackets) {
  const auto config = base::value_or_throw(load("listen = \"[::1]:8787\"\n"));
  EXPECT_EQ(config.listen_host, "::1");
  EXPECT_EQ(config.listen_port, 8787);
  EXPECT_THAT(print_config(config), HasSubstr("listen = '[::1]:8787'"));
}

TEST(Config, TheExampleKeyIsRefusedAndSecretsAreNeverPrinted) {
  EXPECT_FALSE(
      load_config(flags({}), Environment({{"AGENTROUTER_API_KEY", "ar_dev_local_change_me"}}), false));
  const Environment environment(
      {{"AGENTROUTER_API_KEY", "secret-a"}, {"OPENAI_API_KEY", "secret-b"}, {"HOME", "/nowhere"}});
  const auto config = base::value_or_throw(load_config(flags({}), environment, false));
  EXPECT_EQ(config.openai_key, "secret-b");
  EXPECT_THAT(print_config(config), Not(HasSubstr("secret-")));
}

TEST(Config, LimitsOfConnectionsAreSettingsAndArePrintedAsTheyAreRead) {
  const std::string text =
      "[http]\nmax_connections = 7\nhead_timeout_ms = 1\nbody_timeout_ms = 2\nidle_timeout_ms = "
      "3\nwrite_timeout_ms = 4\n";
  const auto config = base::value_or_throw(load(text));
  EXPECT_EQ(config.http.max_connections, 7);
  EXPECT_EQ(config.http.head_timeout, std::chrono::milliseconds(1));
  EXPECT_EQ(config.http.body_timeout, std::chrono::milliseconds(2));
  EXPECT_EQ(config.http.idle_timeout, std::chrono::milliseconds(3));
  EXPECT_EQ(config.http.write_timeout, std::chrono::milliseconds(4));
  EXPECT_THAT(print_config(config), HasSubstr(text));
  EXPECT_EQ(base::value_or_throw(load("")).http.max_connections, default_connections);
  EXPECT_THAT(load("[http]\nmax_connections = 0\n").error().message, HasSubstr("http.max_connections"));
  EXPECT_THAT(load("[http]\nidle_timeout_ms = 0\n").error().message, HasSubstr("http.idle_timeout_ms"));
}

TEST(Config, CodexKeyWinsOverTheOpenaiKeyAndAFileMayHoldIt) {
  const auto file = temporary_file("from-file\n");
  const Environment environment(
      {{"CODEX_API_KEY_FILE", file}, {"OPENAI_API_KEY", "other"}, {"HOME", "/nowhere"}});
  EXPECT_EQ(base::value_or_throw(load_config(flags({}), environment, false)).openai_key, "from-file");
}

TEST(Config, AnthropicHasAKeyAndAnAddressOfItsOwn) {
  const auto file = temporary_file("from-file\n");
  const Environment environment({{"ANTHROPIC_API_KEY_FILE", file},
                                 {"ANTHROPIC_BASE_URL", "http://127.0.0.1:8/"},
                                 {"OPENAI_API_KEY", "other"},
                                 {"HOME", "/nowhere"}});
  const auto config = base::value_or_throw(load_config(flags({}), environment, false));
  EXPECT_EQ(config.anthropic_key, "from-file");
  EXPECT_EQ(config.anthropic_base_url, "http://127.0.0.1:8");
  EXPECT_EQ(config.openai_key, "other");
  EXPECT_THAT(print_config(config), Not(HasSubstr("from-file")));
}

}  // namespace
}  // namespace agentrouter::apps

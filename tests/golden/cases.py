"""What is recorded: per case the provider's script for each turn, and how the client decides."""

PATCH = "*** Begin Patch\n*** Add File: added.txt\n+line one\n+line two\n*** Update File: hello.txt\n@@\n-hello\n+hello patched\n*** End Patch\n"
STUB = '\n[mcp_servers.stub]\ncommand = "/usr/bin/python3"\nargs = ["/golden/mcp_stub.py"]\n'
PLAN = '\n[tools.update_plan]\nenabled = true\n'


def sh(command, **more):
    return {"call": "exec_command", "args": {"cmd": command, **more}}


def refusing(status, code, message, **headers):
    return {"turns": [[{"status": status, "error": {"type": code, "code": code, "message": message},
                        "headers": headers}]]}


def plan(first, second):
    return {"call": "update_plan", "args": {"plan": [{"step": "one", "status": first}, {"step": "two", "status": second}]}}


CASES = {
    "rich": {
        "config": STUB + PLAN,
        "files": {"hello.txt": "hello\n"},
        "turns": [[
            [{"reasoning": "**Thinking** about it"}, {"text": "I'll make a plan first."}, plan("in_progress", "pending")],
            [sh("cat hello.txt")],
            [sh("echo out; echo err >&2; exit 3")],
            [{"custom": "apply_patch", "input": PATCH}],
            [{"search": "rust async"}, {"call": "add", "namespace": "mcp__stub", "args": {"a": 2, "b": 3}}],
            [plan("completed", "completed")],
            [{"text": "All done."}]]]},
    "declined": {
        "config": STUB,
        "files": {"hello.txt": "hello\n"},
        "decisions": ["accept", "decline"],
        "turns": [[
            [sh("echo one > one.txt")], [sh("echo two > two.txt")], [{"custom": "apply_patch", "input": PATCH}],
            [{"call": "add", "namespace": "mcp__stub", "args": {"a": 2, "b": 3}}], [{"text": "Two of four."}]]]},
    "parallel": {
        "turns": [[[sh("echo one"), sh("echo two")], [{"text": "Both done."}]]]},
    "terminal": {
        "turns": [[[sh("cat > typed.txt", tty=True, yield_time_ms=300)],
                   [{"call": "write_stdin", "args": {"session_id": "${session}", "chars": "typed\n\u0004", "yield_time_ms": 1000}}],
                   [{"text": "Typed."}]]]},
    "resume": {
        "prompts": ["please do it", "and again"],
        "turns": [[[sh("echo first")], [{"text": "First turn."}]], [[sh("echo second")], [{"text": "Second turn."}]]]},
    "resume_unknown": {"resume": "01a2029c-4268-7000-8000-000000000000", "turns": [[[{"text": "never"}]]]},
    "interrupt_asking": {
        "decisions": ["wait"], "interrupt": "item/commandExecution/requestApproval",
        "turns": [[[sh("echo never > never.txt")], [{"text": "never"}]]]},
    "interrupt_running": {
        "interrupt": "item/commandExecution/outputDelta",
        "turns": [[[sh("for i in 1 2 3 4 5 6 7 8 9; do echo tick $i; sleep 1; done; sleep 50", yield_time_ms=30000)],
                   [{"text": "never"}]]]},
    "interrupt_streaming": {
        "interrupt": "item/agentMessage/delta",
        "turns": [[[{"text": "I begin."}, {"sleep": 20}, {"text": "never"}]]]},
    "killed": {"kill": "item/commandExecution/requestApproval", "decisions": ["wait"],
               "turns": [[[sh("echo never")], [{"text": "never"}]]]},
    "circles": {"turns": [[[sh("exit 7")], [sh("exit 7")], [sh("exit 7")], [{"text": "I give up."}]]]},
    "retried": {"turns": [[[{"text": "Before."}, sh("true")],
                           {"first": {"status": 401, "error": {"message": "try again"}}, "then": [{"text": "After."}]}]]},
    # A repository that wants to run things unasked: its config, rules and MCP server must not be read.
    "hostile_repo": {
        "files": {".codex/config.toml": 'approval_policy = "never"\n' + STUB,
                  ".codex/rules/open.rules": 'prefix_rule(pattern=["ls"], decision="allow")\n'},
        "turns": [[[sh("ls")], [{"text": "Looked."}]]]},
    "unknown_model": {"model": "no-such-model", "turns": [[[sh("echo hi")], [{"text": "Hi."}]]]},
    "fail_401": refusing(401, "invalid_api_key", "invalid key"),
    "fail_429": refusing(429, "rate_limit_exceeded", "Rate limited", **{"retry-after": "1"}),
    "fail_quota": refusing(429, "insufficient_quota", "You exceeded your current quota"),
    "fail_500": refusing(500, "server_error", "Internal server error"),
    "fail_400": refusing(400, "invalid_request", "bad request"),
    "fail_404": refusing(404, "model_not_found", "model: nope"),
    "fail_rate_in_stream": {"turns": [[[{"fail": {"code": "rate_limit_exceeded", "message": "Rate limit reached. Please try again in 1s."}}]]]},
    "fail_context": {"turns": [[[{"fail": {"code": "context_length_exceeded", "message": "too long"}}]]]},
    "fail_drop": {"turns": [[[{"text": "partial"}, {"drop": True}]]]},
    "fail_refused": {"refused": True, "turns": []},
}

#!/usr/bin/env python3
"""A scripted model provider for recording transcripts: the streaming half of Anthropic's Messages API that Claude Code needs.

usage: claude_provider.py SCENARIO.json LOG.json [ADDRESS PORT]

Scenarios as in provider.py. Acts: {"thinking"}, {"text"}, {"tool", "input"}, {"search"}, {"sleep"}, {"drop"}, {"fail": error},
{"stop": stop_reason}. Which step it is follows from the request alone: the number of messages with tool results after the last
prompt. A request of a subagent (its prompt is "SUB" and a name) plays scenario["sub"] instead, or what that has under the name.
"""
import json
import sys
import time

import provider

USAGE = {"input_tokens": 1200, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 200, "output_tokens": 1,
         "service_tier": "standard"}


def blocks_of(message):
    content = message.get("content")
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


def is_noise(text):
    return not text.strip() or text.lstrip().startswith(("<system-reminder>", "[Request interrupted"))


def position(body):
    """Turn (from 0), step, and the prompt of the subagent that asks."""
    turn, step, sub = -1, 0, ""
    for message in body.get("messages", []):
        if message.get("role") != "user":
            continue
        blocks = blocks_of(message)
        if any(block.get("type") == "tool_result" for block in blocks):
            step += 1
            continue
        prompts = [b["text"] for b in blocks if b.get("type") == "text" and not is_noise(b["text"])]
        if prompts:
            turn, step, sub = turn + 1, 0, sub or (prompts[-1].strip() if prompts[-1].startswith("SUB") else "")
    return max(turn, 0), step, sub


def block_of(act, name):
    if "thinking" in act:
        return {"type": "thinking", "thinking": act["thinking"], "signature": "c2lnbmF0dXJl"}
    if "text" in act:
        return {"type": "text", "text": act["text"]}
    if "search" in act:
        return {"type": "server_tool_use", "id": "srvtoolu_" + name, "name": "web_search", "input": {"query": act["search"]}}
    return {"type": "tool_use", "id": "toolu_" + name, "name": act["tool"], "input": act.get("input", {})}


def deltas_of(block):
    if block["type"] == "text":
        for start in range(0, len(block["text"]), 12):
            yield {"type": "text_delta", "text": block["text"][start:start + 12]}
    elif block["type"] == "thinking":
        yield {"type": "thinking_delta", "thinking": block["thinking"]}
        yield {"type": "signature_delta", "signature": block["signature"]}
    else:
        yield {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}


class Handler(provider.Handler):
    def reject(self, step):
        super().reject({**step, "envelope": True})

    def stream(self, step, name, model):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.event("message_start", message={"id": "msg_" + name, "type": "message", "role": "assistant", "model": model,
                                             "content": [], "stop_reason": None, "stop_sequence": None, "usage": USAGE})
        stop, index = "end_turn", 0
        for act in step:
            if "sleep" in act:
                time.sleep(act["sleep"])
            elif "drop" in act:
                self.close_connection = True
                return
            elif "fail" in act:
                self.event("error", error=act["fail"])
                self.chunk(b"")
                return
            elif "stop" in act:
                stop = act["stop"]
            else:
                block = block_of(act, f"{name}_{index}")
                stop = "tool_use" if block["type"] == "tool_use" else stop
                opened = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}}.get(block["type"], {"input": {}})
                self.event("content_block_start", index=index, content_block={**block, **opened})
                for delta in deltas_of(block):
                    self.event("content_block_delta", index=index, delta=delta)
                self.event("content_block_stop", index=index)
                index += 1
        self.event("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage={"output_tokens": 34})
        self.event("message_stop")
        self.chunk(b"")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        turn, step, sub = position(body)
        names = sorted({tool.get("name") or tool["type"] for tool in body.get("tools", [])})
        with open(self.server.log, "a", encoding="utf-8") as log:
            log.write(json.dumps({"turn": turn, "step": step, "sub": sub, "tools": names, "path": self.path,
                                  "body": body}) + "\n")
        named = self.server.scenario["sub"]
        by_name = isinstance(named, dict)
        script = (named[sub[4:]] if by_name else named) if sub else self.server.scenario["turns"]
        chosen = script if sub else script[min(turn, len(script) - 1)]
        chosen = chosen[min(step, len(chosen) - 1)]
        if "first" in chosen:
            seen = (turn, step) in self.server.seen
            self.server.seen.add((turn, step))
            chosen = chosen["then" if seen else "first"]
        # What failed in a stream is asked for again without one.
        broken = [act["fail"] for act in chosen if "fail" in act] if isinstance(chosen, list) else []
        if broken and not body.get("stream"):
            chosen = {"status": 529, "error": broken[0]}
        if isinstance(chosen, dict):
            self.reject(chosen)
        else:
            place = sub[4:] + "_" if sub and by_name else "s" if sub else ""
            self.stream(chosen, f"{place}{turn}_{step}", body["model"])


if __name__ == "__main__":
    provider.main(Handler)

#!/usr/bin/env python3
"""A scripted model provider for recording transcripts: the streaming half of OpenAI's Responses API that Codex needs.

usage: provider.py SCENARIO.json LOG.json [ADDRESS PORT]

A scenario is a list of turns, a turn a list of steps, one per response. A step is a list of acts (see `item_of`),
or {"status", "error"}, or {"first": step, "then": step} that differs when it is asked for again. Which step it is
follows from the request alone: the number of tool results after the last user message.
Every request's tool names are appended to LOG.
"""
import http.server
import json
import re
import sys
import time

USAGE = {"input_tokens": 1200, "input_tokens_details": {"cached_tokens": 200}, "output_tokens": 34,
         "output_tokens_details": {"reasoning_tokens": 10}, "total_tokens": 1234}


def position(body):
    """Turn (from 0) and step of a request."""
    turn, step = -1, 0
    for item in body.get("input", []):
        if item.get("type") == "message" and item.get("role") == "user":
            text = json.dumps(item)
            if "<environment_context>" in text or "# AGENTS.md" in text or "<turn_aborted>" in text:
                continue
            turn, step = turn + 1, 0
        elif item.get("type", "").endswith("_output"):
            step += 1
    return max(turn, 0), step


def item_of(act, name):
    if "reasoning" in act:
        return {"type": "reasoning", "id": "rs_" + name, "encrypted_content": "c2VjcmV0",
                "summary": [{"type": "summary_text", "text": act["reasoning"]}]}
    if "text" in act:
        return {"type": "message", "id": "msg_" + name, "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": act["text"], "annotations": []}]}
    if "call" in act:
        item = {"type": "function_call", "id": "fc_" + name, "call_id": "call_" + name, "name": act["call"],
                "arguments": json.dumps(act.get("args", {}))}
        return item | ({"namespace": act["namespace"]} if "namespace" in act else {})
    if "custom" in act:
        return {"type": "custom_tool_call", "id": "ctc_" + name, "call_id": "call_" + name, "name": act["custom"],
                "input": act["input"]}
    if "search" in act:
        return {"type": "web_search_call", "id": "ws_" + name, "status": "completed",
                "action": {"type": "search", "query": act["search"]}}
    raise ValueError(act)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def event(self, kind, **fields):
        data = {"type": kind, **fields}
        self.chunk(f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode())

    def reject(self, step):
        data = json.dumps({"type": "error", "error": step["error"]} if step.get("envelope") else {"error": step["error"]}).encode()
        self.send_response(step["status"])
        for key, value in {"content-type": "application/json", "content-length": len(data),
                           **step.get("headers", {})}.items():
            self.send_header(key, str(value))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, step, name):
        response = {"id": "resp_" + name, "object": "response", "status": "in_progress", "output": []}
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self.event("response.created", response=response)
        for index, act in enumerate(step):
            if "sleep" in act:
                time.sleep(act["sleep"])
            elif "drop" in act:
                self.close_connection = True
                return
            elif "fail" in act:
                self.event("response.failed", response={**response, "status": "failed", "error": act["fail"]})
                self.chunk(b"")
                return
            else:
                self.act(act, index, f"{name}_{index}")
        self.event("response.completed", response={**response, "status": "completed", "usage": USAGE})
        self.chunk(b"")

    def act(self, act, index, name):
        item = item_of(act, name)
        opened = {"reasoning": {"summary": []}, "message": {"content": []}, "web_search_call": {}}
        if item["type"] in opened:
            self.event("response.output_item.added", output_index=index,
                       item={**item, **opened[item["type"]], "status": "in_progress"})
        if "text" in act:
            for start in range(0, len(act["text"]), 12):
                self.event("response.output_text.delta", item_id=item["id"], output_index=index, content_index=0,
                           delta=act["text"][start:start + 12])
        if "reasoning" in act:
            part = {"item_id": item["id"], "output_index": index, "summary_index": 0}
            self.event("response.reasoning_summary_part.added", **part, part={"type": "summary_text", "text": ""})
            self.event("response.reasoning_summary_text.delta", **part, delta=act["reasoning"])
        self.event("response.output_item.done", output_index=index, item=item)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        turn, step = position(body)
        names = sorted({tool.get("name") or tool["type"] for tool in body.get("tools", [])})
        with open(self.server.log, "a", encoding="utf-8") as log:
            log.write(json.dumps({"turn": turn, "step": step, "tools": names, "path": self.path,
                                  "outputs": [i for i in body["input"] if i["type"].endswith("_output")]}) + "\n")
        script = self.server.scenario[min(turn, len(self.server.scenario) - 1)]
        chosen = script[min(step, len(script) - 1)]
        if "first" in chosen:
            seen = (turn, step) in self.server.seen
            self.server.seen.add((turn, step))
            chosen = chosen["then" if seen else "first"]
        if isinstance(chosen, dict):
            self.reject(chosen)
        else:
            # "${session}" stands for the number of the terminal that the agent opened last.
            sessions = re.findall(r"session ID (\d+)", json.dumps(body["input"]))
            chosen = json.loads(json.dumps(chosen).replace('"${session}"', sessions[-1] if sessions else "0"))
            self.stream(chosen, f"{turn}_{step}")


def main(handler=Handler):
    scenario, log, *rest = sys.argv[1:]
    address, port = (rest + ["127.83.1.1", "80"])[:2]
    server = http.server.ThreadingHTTPServer((address, int(port)), handler)
    server.scenario = json.load(open(scenario, encoding="utf-8"))
    server.log = log
    server.seen = set()
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()

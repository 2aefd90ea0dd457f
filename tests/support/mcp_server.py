#!/usr/bin/env python3
"""A small MCP server on stdio for tests: `add`, `environ` (one variable), `write` (a file below its own folder, which is read-only), `mark` (a line in
the workspace), `note` (nothing but an answer), `fail`."""
import json
import os
import pathlib
import sys

TOOLS = {
    "add": ({"a": {"type": "number"}, "b": {"type": "number"}}, lambda args: str(args["a"] + args["b"])),
    "environ": ({"name": {"type": "string"}}, lambda args: os.environ.get(args["name"], "not set")),
    "write": ({"text": {"type": "string"}}, lambda args: str(pathlib.Path(__file__).with_name("written").write_text(args["text"]))),
    "mark": ({"text": {"type": "string"}}, lambda args: str(open("/workspace/marks.txt", "a").write(args["text"] + "\n"))),
    "note": ({"text": {"type": "string"}}, lambda args: "noted"),
    "fail": ({}, lambda args: [][0]),
}


def answer(method, params):
    if method == "initialize":
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": {"name": "test", "version": "1"}}
    if method == "tools/list":
        return {"tools": [{"name": name, "description": name, "inputSchema": {"type": "object", "properties": properties}}
                          for name, (properties, _) in TOOLS.items()]}
    if method == "tools/call":
        try:
            return {"content": [{"type": "text", "text": TOOLS[params["name"]][1](params.get("arguments") or {})}]}
        except Exception as problem:  # noqa: BLE001 - whatever it is, the caller is told
            return {"content": [{"type": "text", "text": type(problem).__name__}], "isError": True}
    return {}


if __name__ == "__main__":
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message:
            print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": answer(message["method"], message.get("params") or {})}), flush=True)

"""A model provider of both APIs that never lets an agent finish, and lies about what that costs.

Each answer has a text and one harmless shell call, so that only a limit ends the run. How it reports its usage is named in the task ("lie: NAMEXX", with two letters
of whoever asks):
never, late, less, negative, absurd, flood (a text without end), honest.
"""
import http.server
import json
import re
import threading
import time

TEXT = "All work and no play makes a dull boy. " * 40  # 1560 bytes
KEY = "sk-liar-0123456789"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def event(self, kind, **fields):
        data = f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def do_POST(self):
        raw = self.rfile.read(int(self.headers["content-length"]))
        lie = re.search(rb"lie: (\w+)", raw)
        lie = lie[1].decode() if lie else "honest"
        with self.server.lock:
            self.server.asked.setdefault(lie, []).append(len(raw))
            count = len(self.server.asked[lie])
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            (self.openai if self.path.startswith("/v1/responses") else self.anthropic)(lie, count, len(raw))
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True

    def numbers(self, lie, size):
        real = (size // 4, len(TEXT) // 4)
        return {"never": None, "flood": None, "less": (0, 1), "negative": (-100_000, -1), "absurd": (10**12, 10**14)}.get(lie[:-2], real)

    def say(self, lie, send):
        """The text in pieces; a flood goes on until the other side has had enough."""
        pieces = [TEXT[i:i + 60] for i in range(0, len(TEXT), 60)]
        sent = 0
        while True:
            for piece in pieces:
                send(piece)
                sent += len(piece)
                with self.server.lock:
                    self.server.said[lie] = self.server.said.get(lie, 0) + len(piece)
            if lie[:-2] != "flood" or sent > 64 << 20:
                return

    def openai(self, lie, count, size):
        response = {"id": f"resp_{count}", "object": "response", "status": "in_progress", "output": []}
        self.event("response.created", response=response)
        message = {"type": "message", "id": f"msg_{count}", "role": "assistant", "content": []}
        self.event("response.output_item.added", output_index=0, item=message)
        self.say(lie, lambda piece: self.event("response.output_text.delta", item_id=message["id"], output_index=0, content_index=0, delta=piece))
        self.event("response.output_item.done", output_index=0, item={**message, "content": [{"type": "output_text", "text": TEXT, "annotations": []}]})
        self.event("response.output_item.done", output_index=1, item={"type": "function_call", "id": f"fc_{count}", "call_id": f"call_{count}",
                   "name": "exec_command", "arguments": json.dumps({"cmd": f"echo {count}"})})
        numbers = self.numbers(lie, size)
        if lie[:-2] == "late":
            time.sleep(0.3)
        usage = {"usage": {"input_tokens": numbers[0], "output_tokens": numbers[1], "total_tokens": sum(numbers)}} if numbers else {}
        self.event("response.completed", response={**response, "status": "completed", **usage})

    def anthropic(self, lie, count, size):
        numbers = self.numbers(lie, size)
        shown = numbers or (0, 0)
        early = (0, 0) if lie[:-2] == "late" else shown
        self.event("message_start", message={"id": f"msg_{count}", "type": "message", "role": "assistant", "model": "claude-liar", "content": [],
                   "stop_reason": None, "stop_sequence": None, **({"usage": {"input_tokens": early[0], "output_tokens": early[1]}} if numbers else {})})
        self.event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        self.say(lie, lambda piece: self.event("content_block_delta", index=0, delta={"type": "text_delta", "text": piece}))
        self.event("content_block_stop", index=0)
        self.event("content_block_start", index=1, content_block={"type": "tool_use", "id": f"toolu_{count}", "name": "Bash", "input": {}})
        self.event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": json.dumps({"command": f"echo {count}"})})
        self.event("content_block_stop", index=1)
        if lie[:-2] == "late":
            time.sleep(0.3)
        usage = {"usage": {"input_tokens": shown[0], "output_tokens": shown[1]}} if numbers else {}
        self.event("message_delta", delta={"stop_reason": "tool_use", "stop_sequence": None}, **usage)
        self.event("message_stop")


class Liar(http.server.ThreadingHTTPServer):
    """With `asked` (sizes of the requests) and `said` (bytes of text) by the name of the lie."""
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.said, self.lock = {}, {}, threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_):
        pass

    def __enter__(self):
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.shutdown()
        self.server_close()

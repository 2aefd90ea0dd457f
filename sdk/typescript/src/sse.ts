/** One server-sent event. `data` is absent on frames that only had other fields. */
export interface Frame {
  event?: string;
  id?: string;
  data?: string;
  retry?: number;
}

/**
 * Takes the text of an event stream in pieces of any size and gives complete frames. LF, CR and CRLF end lines. What
 * stands after the last empty line when the stream ends is not a frame, and is never given. Time is linear in the text.
 */
export class FrameParser {
  /** Whether anything came that only a server that holds streams open sends: a comment or `retry:`. */
  live = false;
  #parts: string[] = [];
  #afterCr = false;
  #frame: Frame = {};
  #data: string[] = [];

  push(text: string): Frame[] {
    const frames: Frame[] = [];
    let from = 0;
    if (this.#afterCr && text !== "") {
      this.#afterCr = false;
      if (text[0] === "\n") from = 1;
    }
    const end = /\r\n|\n|\r/g;
    end.lastIndex = from;
    for (let found = end.exec(text); found; found = end.exec(text)) {
      this.#parts.push(text.slice(from, found.index));
      from = end.lastIndex;
      this.#afterCr = found[0] === "\r" && from === text.length;
      const line = this.#parts.length === 1 ? this.#parts[0]! : this.#parts.join("");
      this.#parts = [];
      this.#line(line, frames);
    }
    if (from < text.length) this.#parts.push(text.slice(from));
    return frames;
  }

  #line(line: string, frames: Frame[]): void {
    if (line === "") {
      if (this.#data.length > 0) this.#frame.data = this.#data.join("\n");
      if (Object.keys(this.#frame).length > 0) frames.push(this.#frame);
      this.#frame = {};
      this.#data = [];
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "") this.live = true;
    else if (field === "data") this.#data.push(value);
    else if (field === "event") this.#frame.event = value;
    else if (field === "id") this.#frame.id = value;
    else if (field === "retry" && /^\d+$/.test(value)) {
      this.live = true;
      this.#frame.retry = Number(value);
    }
  }
}

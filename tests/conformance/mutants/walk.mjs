// Ways through the values of a reply, for mutants.

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

// Calls change(object) on every object in `value`.
export function everyObject(value, change) {
  if (Array.isArray(value)) for (const item of value) everyObject(item, change);
  else if (isObject(value)) {
    change(value);
    for (const item of Object.values(value)) everyObject(item, change);
  }
}

// A mutant on each run that is shown, with the reply it is in.
export const runs = (change) => ({
  reply(x) {
    everyObject(x.json, (object) => typeof object.queuedAt === "string" && "lastEventSeq" in object && change(object, x));
  },
});

// A mutant on each event, in pages, streams and replies to decisions alike. change() gives false to leave it out.
export const events = (change) => ({
  reply(x) {
    const isEvent = (value) => isObject(value) && "sequence" in value && "payload" in value;
    if (isEvent(x.json)) change(x.json, x);
    if (Array.isArray(x.json?.items) && /\/events$/.test(x.path)) x.json.items = x.json.items.filter((item) => !isEvent(item) || change(item, x) !== false);
  },
  frame(text, x) {
    const at = text.indexOf("\ndata: {");
    if (at < 0) return text;
    const event = JSON.parse(text.slice(at + 7));
    if (!("sequence" in event)) return text;
    if (change(event, x) === false) return null;
    return `id: ${event.sequence}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}`;
  },
});

// A mutant on events of one type.
export const eventsOf = (type, change) => events((event, x) => (event.type === type ? change(event, x) : undefined));

export const error = (x) => (isObject(x.json) ? x.json.error : undefined);

// Answers with another status and value.
export function answer(x, status, value) {
  x.status = status;
  x.json = value;
}

export const setHeader = (x, name, value) => {
  x.headers = x.headers.filter(([key]) => key.toLowerCase() !== name.toLowerCase());
  if (value !== undefined) x.headers.push([name, value]);
};

export const isCreate = (x) => x.method === "POST" && x.path === "/v1/runs";
export const isList = (x) => x.method === "GET" && x.path === "/v1/runs";
export const isDownload = (x) => /\/download$/.test(x.path);
export const isStream = (x) => /\/stream$/.test(x.path);

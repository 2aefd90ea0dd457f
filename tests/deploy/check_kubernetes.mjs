// Reads Kubernetes objects as a JSON list on stdin and prints what is wrong with each, judged by the schemas of npm's kubernetes-models: one line
// "INDEX: where what". Those schemas let unknown fields pass, as the API server's do with a warning; here a field that no schema has looked at is a fault.
// Beside them: node_modules. Exit code 1 when anything was printed.
import { readFileSync } from "node:fs";

const packages = [
  [/^[a-z0-9.]*monitoring\.coreos\.com\//, "@kubernetes-models/prometheus-operator"],
  [/^keda\.sh\//, "@kubernetes-models/keda"],
  [/^/, "kubernetes-models"],
];

async function modelOf({ apiVersion, kind }) {
  const found = packages.find(([pattern]) => pattern.test(apiVersion));
  const models = await import(`${found[1]}/${apiVersion}/${kind}`);
  return models[kind];
}

// The same value, which remembers which of its fields somebody has read; `unread()` gives the paths of the others.
function watched(value, path = "") {
  if (value === null || typeof value !== "object") return { value, unread: () => [] };
  const inner = new Map(), read = new Set();
  const target = Array.isArray(value) ? [] : {};
  for (const [key, each] of Object.entries(value)) {
    inner.set(key, watched(each, Array.isArray(value) ? `${path}[${key}]` : `${path}.${key}`));
    target[key] = inner.get(key).value;
  }
  const proxy = new Proxy(target, {
    get(object, key) {
      read.add(key);
      return object[key];
    },
  });
  const unread = () => [...inner].flatMap(([key, each]) =>
    read.has(key) || Array.isArray(value) ? each.unread() : [Array.isArray(value) ? `${path}[${key}]` : `${path}.${key}`]);
  return { value: proxy, unread };
}

const problems = [];
for (const [index, object] of JSON.parse(readFileSync(0, "utf8")).entries()) {
  let model;
  try {
    model = await modelOf(object);
  } catch {
    problems.push(`${index}: no schema for ${object.apiVersion} ${object.kind}`);
    continue;
  }
  const seen = watched(object);
  try {
    model.prototype.validate.call(seen.value);
  } catch (error) {
    problems.push(`${index}: ${error.message.replace(/\s+/g, " ")}`);
  }
  problems.push(...seen.unread().map((path) => `${index}: ${path.slice(1)} is no field of ${object.kind}`));
}
for (const line of problems) console.log(line);
process.exitCode = problems.length ? 1 : 0;

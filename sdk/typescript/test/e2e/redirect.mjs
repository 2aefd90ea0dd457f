// The samples name the default address of a local server: requests to it go to the one under test.
const { fetch } = globalThis;
globalThis.fetch = (input, init) => fetch(String(input).replace("http://127.0.0.1:8787", process.env.AGENTROUTER_API_BASE_URL), init);

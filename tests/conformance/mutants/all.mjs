// Every mutant by its name: what a server could get wrong.
import { mutants as transport } from "./transport.mjs";
import { mutants as runs } from "./runs.mjs";
import { mutants as events } from "./events.mjs";
import { mutants as rest } from "./rest.mjs";
import { mutants as additions } from "./additions.mjs";

export const mutants = { ...transport, ...runs, ...events, ...rest, ...additions };

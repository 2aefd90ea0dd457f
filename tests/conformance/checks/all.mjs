// Every area, in the order in which they are reported.
import "./fixtures.mjs";
import "./transport.mjs";
import "./messages.mjs";
import "./create.mjs";
import "./runs.mjs";
import "./events.mjs";
import "./chain.mjs";
import "./approvals.mjs";
import "./artifacts.mjs";
import "./conversations.mjs";
import "./additions.mjs";

// Shows the document of the socket, and lets one send commands and watch what comes.
"use strict";
const SHOWN_FRAMES = 200;
const element = (id) => document.getElementById(id);
let socket = null;

function add(parent, name, text = "") {
  const child = document.createElement(name);
  child.textContent = text;
  parent.append(child);
  return child;
}

// What a reference in the document leads to.
function find(api, reference) {
  return reference.slice(2).split("/").reduce((at, name) => at[name], api);
}

// Something of the form that `schema` describes.
function example(api, schema, depth = 0) {
  if (depth > 12) return null;
  const deeper = (inner) => example(api, inner, depth + 1);
  if (schema.const !== undefined) return schema.const;
  if (schema.examples) return schema.examples[0];
  if (schema.$ref) return deeper(find(api, schema.$ref));
  if (schema.allOf) return Object.assign({}, ...schema.allOf.map(deeper));
  const choices = schema.oneOf || schema.anyOf;
  if (choices) return deeper(choices.find((choice) => choice.type !== "null") || choices[0]);
  if (schema.enum) return schema.enum[0];
  switch ([].concat(schema.type).find((type) => type !== "null")) {
    case "object":
      return Object.fromEntries(Object.entries(schema.properties || {}).map(([name, inner]) => [name, deeper(inner)]));
    case "array": return [deeper(schema.items || {})];
    case "string":
      if (schema.format === "uuid") return "0197a3c0-6f1e-7c3a-9d4e-2f6b8a1c5d7e";
      return schema.format === "date-time" ? "2026-01-01T08:00:00Z" : "";
    case "integer": return 1;
    case "number": return 0.5;
    case "boolean": return true;
    default: return null;
  }
}

// Of a command, what it must have, and words: the rest may contradict each other.
function shortest(api, schema) {
  const words = ["content"].filter((name) => name in schema.properties);
  const needed = [...new Set([...schema.required, ...words])].map((name) => [name, example(api, schema.properties[name])]);
  return { ...Object.fromEntries(needed), ref: "1" };
}

const pretty = (value) => JSON.stringify(value, null, 2);

// `schema` with what it refers to written out, for people.
function whole(api, schema, depth = 0) {
  if (Array.isArray(schema)) return schema.map((inner) => whole(api, inner, depth));
  if (schema === null || typeof schema !== "object") return schema;
  if (schema.$ref) return depth > 6 ? schema : whole(api, find(api, schema.$ref), depth + 1);
  return Object.fromEntries(Object.entries(schema).map(([name, inner]) => [name, whole(api, inner, depth + 1)]));
}

function describe(api, parent, message, sample) {
  const details = add(parent, "details");
  const summary = add(details, "summary");
  add(summary, "code", message.title);
  summary.append(` — ${message.summary}`);
  details.addEventListener("toggle", () => {
    if (details.childElementCount > 1) return;
    if (sample) {
      const use = add(details, "button", "Use");
      use.addEventListener("click", () => { element("command").value = pretty(sample); });
    }
    add(details, "pre", pretty(sample || example(api, message.payload)));
    const schema = add(details, "details");
    add(schema, "summary", "Schema");
    add(schema, "pre", pretty(whole(api, message.payload)));
  });
  return details;
}

async function show() {
  const api = await (await fetch("/asyncapi.json")).json();
  element("about").textContent = api.info.description;
  for (const [name, operation] of Object.entries(api.operations)) {
    const message = api.components.messages[name];
    if (operation.action === "send") {
      describe(api, element("events"), message);
      continue;
    }
    const described = describe(api, element("commands"), message, shortest(api, message.payload));
    const answer = api.components.messages[`${name}.ack`];
    described.addEventListener("toggle", () => describe(api, described, answer), { once: true });
  }
}

function log(direction, text) {
  const item = add(element("frames"), "li");
  item.className = direction;
  add(item, "pre", text);
  while (element("frames").childElementCount > SHOWN_FRAMES) element("frames").firstElementChild.remove();
  item.scrollIntoView({ block: "nearest" });
}

function connected(yes, words) {
  element("state").textContent = words;
  element("send").querySelector("button").disabled = !yes;
}

element("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const body = JSON.stringify({ email: element("email").value, password: element("password").value });
  const headers = { "Content-Type": "application/json", "Accept-Language": navigator.language };
  try {
    const answer = await (await fetch("/api/v1/auth/login", { method: "POST", headers, body })).json();
    if (!answer.access_token) throw new Error(answer.message || "Not signed in");
    element("token").value = answer.access_token;
    element("connect").requestSubmit();
  } catch (error) {
    element("state").textContent = error.message;
  }
});

element("connect").addEventListener("submit", (event) => {
  event.preventDefault();
  if (socket) socket.close();
  const address = `${location.protocol.replace("http", "ws")}//${location.host}/api/v1/ws`;
  const opened = new WebSocket(address, ["alivio.v1", `bearer.${element("token").value.trim()}`]);
  socket = opened;
  opened.addEventListener("open", () => connected(true, "Connected"));
  opened.addEventListener("message", ({ data }) => {
    const frame = JSON.parse(data);
    log(frame.type === "error" ? "refused" : "in", pretty(frame));
  });
  opened.addEventListener("close", ({ code, reason }) => {
    if (socket === opened) connected(false, `Closed: ${code} ${reason}`);
  });
});

element("send").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = element("command").value;
  socket.send(text);
  log("out", text);
});

show();

// The event stream of all tabs of one project: a browser has six connections to a server, and the seventh tab would hang.
import { Board, openStream } from "/static/stream.js";

const FORGOTTEN_MS = 180_000;
const ports = new Map();
let board = new Board();
let close = null;
let last = { type: "connecting" };

function tell(message) {
  for (const port of ports.keys()) port.postMessage(message);
}

function become(message) {
  last = message;
  tell(message);
}

function open() {
  board = new Board();
  last = { type: "connecting" };
  close = openStream({
    live: () => become({ type: "live" }),
    lost: () => become({ type: "lost" }),
    silent: (since) => become({ type: "silent", since }),
    signedOut: () => {
      close = null;
      become({ type: "signed-out" });
    },
    frame: (frame) => {
      board.take(frame);
      tell({ type: "goals", frame });
    },
  });
}

function leave(port) {
  ports.delete(port);
  if (ports.size === 0 && close) {
    close();
    close = null;
  }
}

addEventListener("connect", ({ ports: [port] }) => {
  port.addEventListener("message", ({ data }) => {
    if (data === "bye") return leave(port);
    if (!ports.has(port)) join(port);
    ports.set(port, Date.now());
  });
  port.start();
  join(port);
});

// Also of a tab that was frozen and comes back.
function join(port) {
  ports.set(port, Date.now());
  if (!close) open();
  port.postMessage(last);
  if (board.project !== null) port.postMessage({ type: "goals", frame: board.whole() });
}

// A tab that crashed says nothing; hidden ones are slowed down to one word a minute.
setInterval(() => {
  for (const [port, heardAt] of ports) if (Date.now() - heardAt > FORGOTTEN_MS) leave(port);
}, 30_000);

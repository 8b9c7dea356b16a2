// One event stream of goals, kept open: reconnects by itself, tells signed out from disconnected, notices silence.
// Runs in the shared worker, or in the page where there is none.
const SILENT_MS = 10_000;
const LONGEST_WAIT_MS = 8_000;

// `on` has: live(), lost(), silent(), signedOut(), frame(data). Returns a function that ends the stream.
export function openStream(on) {
  let source = null;
  let timer = null;
  let heardAt = Date.now();
  let wait = 500;
  let isEnded = false;

  function connect() {
    if (isEnded) return;
    source = new EventSource("/api/goals/stream");
    source.addEventListener("open", () => {
      wait = 500;
      heard();
      on.live();
    });
    source.addEventListener("still-here", heard);
    source.addEventListener("goals", (message) => {
      heard();
      on.frame(JSON.parse(message.data));
    });
    source.addEventListener("ended", end);
    source.addEventListener("error", lost);
  }

  function heard() {
    if (Date.now() - heardAt > SILENT_MS) on.live();
    heardAt = Date.now();
  }

  async function lost() {
    if (isEnded) return;
    on.lost();
    try {
      // An event source tells nothing of its error: ask whether we are still signed in.
      if ((await fetch("/session")).status === 401) return end();
    } catch {
      // The server is away: try again below.
    }
    // While it is connecting, the browser tries again and says what it had last. On any answer but 200 it gives up.
    if (isEnded || source.readyState !== EventSource.CLOSED) return;
    clearTimeout(timer);
    timer = setTimeout(connect, wait + Math.random() * wait);
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  }

  function end() {
    close();
    on.signedOut();
  }

  const watch = setInterval(() => {
    if (source.readyState === EventSource.OPEN && Date.now() - heardAt > SILENT_MS) on.silent(heardAt);
  }, 1_000);

  function close() {
    isEnded = true;
    clearTimeout(timer);
    clearInterval(watch);
    source.close();
  }

  connect();
  return close;
}

// What is known of the goals: frames in, the whole out.
export class Board {
  goals = new Map();
  state = {};
  project = null;

  take({ project, state, order, goals }) {
    this.project = project;
    this.state = state;
    for (const goal of goals) this.goals.set(goal.id, goal);
    if (order) this.goals = new Map(order.map((id) => [id, this.goals.get(id)]));
  }

  whole() {
    return { project: this.project, state: this.state, order: [...this.goals.keys()], goals: [...this.goals.values()] };
  }
}

// Times and numbers that the server wrote plainly, in the reader's language and time zone; "… ago" goes on counting.
import { set } from "./dom.js";
import { ago, exact, fullTime, time } from "./format.js";

export function localise(root = document) {
  for (const node of root.querySelectorAll("data[value]")) set(node, exact(Number(node.value)));
  for (const node of root.querySelectorAll("time[data-show=ago][datetime]")) {
    const isAhead = Date.parse(node.dateTime) > Date.now() + 60_000;
    set(node, isAhead ? fullTime(node.dateTime) : ago(node.dateTime));
    node.title = fullTime(node.dateTime);
  }
  for (const node of root.querySelectorAll("time[data-show=clock][datetime]")) set(node, time(node.dateTime));
}

localise();
setInterval(localise, 5000);

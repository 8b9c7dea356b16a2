// Copies the secret, where the browser allows it.
import { byId, set } from "./dom.js";

byId("copy").hidden = !navigator.clipboard;
byId("copy").addEventListener("click", async () => {
  const isDone = await navigator.clipboard.writeText(byId("secret").textContent).then(() => true, () => false);
  set(byId("copied"), isDone ? "Copied." : "The browser does not allow it: select the secret and copy it.");
});

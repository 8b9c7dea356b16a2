// A link from elsewhere arrives without the strict cookie, though the reader is signed in; our own request carries it.
// The way goes on to the path that the server wrote into the form after checking it.
const answer = await fetch("/session/state").catch(() => null);
if (answer?.ok && (await answer.json()).signedIn) location.replace(document.querySelector("input[name=next]").value);

// Exchanges an API key for a session. The key stays in this function.
const form = document.getElementById("sign-in");
const problem = document.getElementById("problem");

async function goOnWhenSignedIn() {
  // A link from elsewhere arrives without the strict cookie; our own request carries it.
  const answer = await fetch("/session");
  if (answer.ok) location.replace("/");
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  problem.textContent = "";
  try {
    const answer = await fetch("/session", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ apiKey: form.elements.key.value }),
    });
    if (answer.ok) {
      form.reset();
      location.replace("/");
      return;
    }
    problem.textContent = (await answer.json()).detail;
  } catch {
    problem.textContent = "The server does not answer. Try again in a moment.";
  }
});

goOnWhenSignedIn().catch(() => {});

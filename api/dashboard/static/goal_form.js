// Shows the second metric for a rate only. Without a script it is always there, and left empty.
const form = document.getElementById("goal-form");
const part = form.querySelector("[data-only=rate]");

function show() {
  part.hidden = form.elements.aggregation.value !== "rate";
  form.elements.denominatorMetric.required = !part.hidden;
}

form.addEventListener("change", show);
show();

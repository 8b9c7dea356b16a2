// Acts when it is called, but never twice within `ms`: of the calls in between one is made up for when they are over.
export function atMostEvery(ms, act) {
  let actedAt = -ms;
  let timer = null;

  function run() {
    timer = null;
    actedAt = performance.now();
    act();
  }

  return () => {
    if (timer !== null) return;
    const rest = actedAt + ms - performance.now();
    if (rest > 0) timer = setTimeout(run, rest);
    else run();
  };
}

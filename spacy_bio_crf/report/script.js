// Filter and sort the list of errors. The address keeps the state, "#kind=missed&gold=PER", so that
// a view can be linked to: the cells of the confusion matrix are such links. Without this script the
// page shows all errors in the order of the corpus.
"use strict";
(() => {
  const form = document.getElementById("filters");
  if (!form) return;
  const names = ["kind", "label", "gold", "predicted", "order", "text"];
  const field = (name) => form.elements.namedItem(name);
  const groups = [...document.querySelectorAll(".kind")].map((section) => ({
    section,
    list: section.querySelector(".list"),
    heading: section.querySelector(".count"),
    all: section.querySelector(".count").textContent,
    errors: [...section.querySelectorAll(".error")].map((node, place) => ({
      node,
      place,
      ...node.dataset,
      score: node.dataset.confidence === "" ? null : Number(node.dataset.confidence),
      text: node.querySelector(".pair").textContent.toLowerCase(),
    })),
  }));
  const noun = form.dataset.noun ?? "errors";
  const total = groups.reduce((sum, group) => sum + group.errors.length, 0);

  const fits = (error, wanted) =>
    (!wanted.kind || error.kind === wanted.kind) &&
    (!wanted.label || error.gold === wanted.label || error.predicted === wanted.label) &&
    (!wanted.gold || error.gold === wanted.gold) &&
    (!wanted.predicted || error.predicted === wanted.predicted) &&
    error.text.includes(wanted.text.toLowerCase());

  // Errors without a confidence come last, whatever the order is.
  const compare = (order) => (a, b) => {
    if (order === "text" || a.score === b.score) return a.place - b.place;
    if (a.score === null || b.score === null) return a.score === null ? 1 : -1;
    return order === "sure" ? b.score - a.score : a.score - b.score;
  };

  const show = () => {
    const wanted = Object.fromEntries(names.map((name) => [name, field(name).value]));
    let count = 0;
    for (const { section, list, heading, all, errors } of groups) {
      let here = 0;
      for (const error of errors) {
        error.node.hidden = !fits(error, wanted);
        here += !error.node.hidden;
      }
      list.append(...[...errors].sort(compare(wanted.order)).map((error) => error.node));
      section.hidden = !here;
      heading.textContent = here === errors.length ? all : `${here.toLocaleString("en")} of ${all}`;
      count += here;
    }
    const numbers = [count, total].map((n) => n.toLocaleString("en"));
    document.getElementById("shown").textContent = `${numbers[0]} of ${numbers[1]} ${noun}`;
    return wanted;
  };

  const remember = () => {
    const wanted = show();
    const state = new URLSearchParams();
    for (const name of names) {
      const plain = name === "order" ? "text" : "";
      if (wanted[name] !== plain) state.set(name, wanted[name]);
    }
    history.replaceState(null, "", String(state) ? `#${state}` : "#errors");
  };

  const recall = () => {
    const hash = location.hash.slice(1);
    if (hash && !hash.includes("=")) return; // a part of the page
    const state = new URLSearchParams(hash);
    form.reset();
    for (const name of names) {
      if (!state.has(name)) continue;
      const control = field(name);
      const before = control.value;
      control.value = state.get(name);
      if (control.value !== state.get(name)) control.value = before; // no such choice
    }
    show();
    if (hash) {
      document.getElementById("errors").focus({ preventScroll: true });
      form.scrollIntoView();
    }
  };

  form.addEventListener("input", remember);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.querySelector("button").addEventListener("click", () => {
    form.reset();
    remember();
  });
  addEventListener("hashchange", recall);
  form.hidden = false;
  show();
  recall();
})();

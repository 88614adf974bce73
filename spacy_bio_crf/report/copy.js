// Buttons that copy a line of JSON, and one that copies those of all that are shown.
"use strict";
(() => {
  const status = document.getElementById("copied");
  const lineOf = (item) => item.querySelector(".line").textContent.trim();

  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without permission, or where the page is no secure context.
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  };

  for (const button of document.querySelectorAll("button.copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const all = button.dataset.all !== undefined;
      const items = all
        ? [...document.querySelectorAll(".error")].filter((item) => !item.hidden)
        : [button.closest(".error")];
      await copy(items.map((item) => `${lineOf(item)}\n`).join(""));
      for (const item of items) item.classList.add("taken");
      status.textContent = items.length === 1 ? "Copied." : `Copied ${items.length} corrections.`;
      button.focus();
    });
  }
})();

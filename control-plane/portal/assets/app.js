// What pages do beyond themselves: copying, closing menus, keeping relative times true. Everything works without it.
"use strict";

const announce = (text) => {
  const region = document.getElementById("announce");
  region.textContent = "";
  // A text that was there already is not read again.
  requestAnimationFrame(() => { region.textContent = text; });
};

const copy = async (button) => {
  const label = button.firstChild.textContent;
  let word = "Copied";
  try {
    await navigator.clipboard.writeText(textOf(button));
  } catch {
    const selection = getSelection();
    selection.selectAllChildren(sourceOf(button));
    word = document.execCommand("copy") ? "Copied" : "Press Ctrl+C";
  }
  button.firstChild.textContent = word;
  announce(word);
  setTimeout(() => { button.firstChild.textContent = label; }, 2000);
};

const sourceOf = (button) => button.parentElement.querySelector("code, [data-text]");
const textOf = (button) => sourceOf(button).dataset.text ?? sourceOf(button).textContent;

const units = [[60, 1, "s"], [3600, 60, "min"], [172800, 3600, "h"], [Infinity, 86400, "d"]];

const ago = (seconds) => {
  if (seconds < 10) return "just now";
  const [, size, unit] = units.find(([end]) => seconds < end);
  return `${Math.floor(seconds / size)} ${unit} ago`;
};

const tick = () => {
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const seconds = (Date.now() - Date.parse(time.dateTime)) / 1000;
    if (seconds >= 0 && time.textContent !== ago(seconds)) time.textContent = ago(seconds);
  }
};

const prepare = (root) => {
  for (const button of root.querySelectorAll("[data-copy]")) button.hidden = false;
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
  for (const open of document.querySelectorAll("details[data-closes][open]")) {
    if (!open.contains(event.target)) open.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const open of document.querySelectorAll("details[data-closes][open]")) {
    open.open = false;
    open.querySelector("summary").focus();
  }
});

document.addEventListener("htmx:after:swap", () => prepare(document));
prepare(document);
setInterval(tick, 10000);

"use strict";
const body = document.querySelector(".rows tbody"), rows = [...body.rows], details = document.querySelector(".details");
document.body.classList.add("chooses");
const shown = () => [...body.rows].filter(row => !row.hidden);
function choose(number) {
  for (const one of document.querySelectorAll(".chosen")) one.classList.remove("chosen");
  const section = number === null ? null : document.getElementById("row-" + number);
  details.classList.toggle("some", section !== null);
  if (section === null) return;
  for (const one of document.querySelectorAll(`[data-row="${number}"]`)) one.classList.add("chosen");
  section.classList.add("chosen");
  details.scrollTop = 0;
  history.replaceState(null, "", "#row-" + number);
}
function fromAddress() {
  const found = /^#row-(\d+)$/.exec(location.hash);
  choose(found ? found[1] : null);
}
document.addEventListener("click", event => {
  const owner = event.target.closest("[data-row]");
  if (!owner || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  choose(owner.dataset.row);
  if (owner.closest("svg")) body.querySelector(`[data-row="${owner.dataset.row}"]`).scrollIntoView({block: "center"});
});
document.addEventListener("keydown", event => {
  const field = document.querySelector(".tools input");
  if (event.key === "Escape") { field.value = ""; sift(); choose(null); return; }
  if (event.target === field) return;
  if (event.key === "/") { event.preventDefault(); field.focus(); return; }
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const here = shown(), at = here.findIndex(row => row.classList.contains("chosen"));
  if (!body.contains(event.target) && at < 0) return;
  event.preventDefault();
  const next = here[Math.min(here.length - 1, Math.max(0, at + (event.key === "ArrowDown" ? 1 : -1)))];
  if (next) { choose(next.dataset.row); next.querySelector("a").focus(); next.scrollIntoView({block: "nearest"}); }
});
function sift() {
  const words = document.querySelector(".tools input").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of rows) row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
  document.querySelector(".tools .count").textContent = words.length ? `${shown().length} of ${rows.length}` : "";
}
document.querySelector(".tools input").addEventListener("input", sift);
const value = (row, at) => {
  const text = row.cells[at].textContent, number = parseFloat(text.replace(/,/g, ""));
  return /^-?[\d.,]/.test(text) ? number : text === "-" || text === "" ? -Infinity : text;
};
const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
[...document.querySelectorAll(".rows thead th")].forEach((head, at) => {
  if (!head.textContent) return;
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener("click", () => {
    const next = {ascending: "none", descending: "ascending"}[head.ariaSort] ?? "descending";
    for (const other of document.querySelectorAll(".rows thead th")) other.ariaSort = "none";
    head.ariaSort = next;
    const sign = next === "ascending" ? 1 : -1;
    body.append(...(next === "none" ? rows : [...rows].sort((a, b) => sign * compare(value(a, at), value(b, at)))));
  });
});
window.addEventListener("hashchange", fromAddress);
fromAddress();

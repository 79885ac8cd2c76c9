// Cards move by dragging, by the list on each card, or by [ and ] on the focused card.
export function enableBoard() {
  const board = document.querySelector("[data-board]");
  if (!board) return;
  let dragged = null;
  document.addEventListener("dragstart", (event) => {
    dragged = event.target.closest?.(".lead") ?? null;
    if (!dragged) return;
    dragged.classList.add("moving");
    event.dataTransfer.effectAllowed = "move";
    event.dataTransfer.setData("text/plain", dragged.dataset.contact);
  });
  document.addEventListener("dragover", (event) => {
    const column = dragged && event.target.closest?.(".column");
    if (column) event.preventDefault();
    mark(column);
  });
  document.addEventListener("drop", (event) => {
    const column = event.target.closest?.(".column");
    if (dragged && column) { event.preventDefault(); move(dragged, column.dataset.stage); }
  });
  document.addEventListener("dragend", () => { dragged?.classList.remove("moving"); dragged = null; mark(null); });
  document.addEventListener("change", ({ target }) => {
    if (target.matches(".lead select")) move(target.closest(".lead"), target.value);
  });
  document.addEventListener("keydown", (event) => {
    const lead = document.activeElement?.closest(".lead");
    const by = { "]": 1, "[": -1 }[event.key];
    if (!lead || !by || document.activeElement.matches("select")) return;
    const columns = [...document.querySelectorAll(".column[data-stage]")];
    const next = columns[columns.indexOf(lead.closest(".column")) + by];
    if (next) { event.preventDefault(); move(lead, next.dataset.stage); }
  });
}

function mark(column) {
  for (const each of document.querySelectorAll(".column.over")) if (each !== column) each.classList.remove("over");
  column?.classList.add("over");
}

// The card moves at once. If the server refuses, it moves back and the page says why.
async function move(lead, stage) {
  const form = lead.querySelector("form");
  const column = document.querySelector(`.column[data-stage="${CSS.escape(stage)}"]`);
  if (!form || !column || lead.closest(".column") === column) return;
  const [cards, next] = [lead.parentElement, lead.nextElementSibling];
  place(lead, column.querySelector(".cards"), column.querySelector(".lead"));
  const refusal = await refusalOf(lead.dataset.contact, stage, form.elements.csrf.value);
  if (refusal) place(lead, cards, next?.parentElement === cards ? next : null);
  form.elements.stage.value = lead.closest(".column").dataset.stage;
  const message = document.querySelector("[data-board-message]");
  message.className = refusal ? "flash problem" : "away";
  message.textContent = refusal || `${lead.querySelector("a").textContent} moved to ${stage}`;
}

function place(lead, cards, before) {
  const hadFocus = lead.contains(document.activeElement);
  cards.insertBefore(lead, before);
  if (hadFocus) lead.querySelector("a").focus();
}

// Returns an empty string when the contact was moved.
async function refusalOf(contact, stage, csrf) {
  const headers = { "Content-Type": "application/json", "X-CSRF-Token": csrf };
  const request = { method: "PATCH", headers, body: JSON.stringify({ stage }) };
  const answer = await fetch(`/api/contacts/${encodeURIComponent(contact)}`, request).catch(() => null);
  if (answer?.ok) return "";
  const problem = await answer?.json().catch(() => null);
  return `Not moved: ${problem?.error ?? "the console does not answer"}`;
}

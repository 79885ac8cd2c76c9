// Cards are moved by dragging, by the list on each card, or by [ and ] while one has the focus.
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

// Shown at once; where the server refuses, the page says why and the card is back.
async function move(lead, stage) {
  const form = lead.querySelector("form");
  const column = document.querySelector(`.column[data-stage="${CSS.escape(stage)}"]`);
  if (!form || lead.closest(".column") === column) return;
  form.elements.stage.value = stage;
  const body = new URLSearchParams(new FormData(form));
  const hadFocus = lead.contains(document.activeElement);
  column?.querySelector(".cards").prepend(lead);
  if (hadFocus) lead.querySelector("a").focus();
  const answer = await fetch(form.action, { method: "POST", body }).catch(() => null);
  if (!answer?.ok || answer.redirected === false) return location.reload();
  document.querySelector("[data-board-said]").textContent = `${lead.querySelector("a").textContent} is in ${stage}`;
  form.elements.was_stage.value = stage;
}

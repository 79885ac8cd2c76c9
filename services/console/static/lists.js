// Filters that apply as they change, and the bar of actions for the selected contacts.
const PAUSE_MS = 350;

export function enableLists() {
  foldFilters();
  const filters = document.querySelector("[data-filters]");
  if (filters) applyAtOnce(filters);
  document.addEventListener("change", ({ target }) => {
    if (target.matches("[data-select-all]")) selectAll(target);
    if (target.closest("[data-bulk]")) showBulk();
  });
  document.addEventListener("renewed", showBulk);
  document.addEventListener("input", ({ target }) => {
    const form = target.closest("[data-edit]");
    if (form) form.dataset.changed = "yes";
  });
  showBulk();
}

// On a phone the filters are folded, unless one is set.
function foldFilters() {
  const more = document.querySelector("[data-fold]");
  if (more && matchMedia("(max-width: 820px)").matches && !more.querySelector(".set")) more.open = false;
}

function applyAtOnce(form) {
  let timer;
  form.addEventListener("change", (event) => { if (!event.target.matches("[type=search]")) submit(form); });
  form.addEventListener("submit", (event) => { event.preventDefault(); submit(form); });
  const search = form.querySelector("[data-search]");
  if (!search) return;
  const before = search.value;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => { if (search.value !== before) submit(form); }, PAUSE_MS);
  });
  if (sessionStorage.getItem("searching") === location.pathname) {
    search.focus();
    search.setSelectionRange(before.length, before.length);
  }
  sessionStorage.removeItem("searching");
}

// Empty fields are left out, so that a shared URL holds only what was chosen.
function submit(form) {
  const chosen = [...new FormData(form)].filter(([, value]) => value !== "");
  if (document.activeElement?.matches("[data-search]")) sessionStorage.setItem("searching", location.pathname);
  const query = new URLSearchParams(chosen).toString();
  location.assign(query ? `${form.getAttribute("action")}?${query}` : form.getAttribute("action"));
}

function selectAll(box) {
  for (const each of box.form.querySelectorAll("input[name=id]")) each.checked = box.checked;
}

function showBulk() {
  const bar = document.querySelector("[data-bulk-bar]");
  if (!bar) return;
  const count = document.querySelectorAll("[data-bulk] input[name=id]:checked").length;
  const every = bar.querySelector("input[name=every]");
  bar.hidden = count === 0 && !every?.checked;
  bar.querySelector("[data-bulk-count]").textContent = `${count} selected`;
  const action = bar.querySelector("[data-bulk-action]").value;
  bar.querySelector("[data-bulk-value]").hidden = !["tag", "untag", "stage"].includes(action);
}

// Keyboard shortcuts. They do nothing in a field or with a modifier.
const PLACES = { o: "/", c: "/contacts", b: "/board", i: "/integrations", p: "/pipelines", d: "/dead-letters" };
let isGoing = false;

export function listenForKeys() {
  document.querySelector("[data-keys-button]")?.addEventListener("click", showKeys);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input:not([type=checkbox]), textarea, select")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (act(event.key)) event.preventDefault();
  });
}

function act(key) {
  if (isGoing) {
    isGoing = false;
    if (PLACES[key]) location.assign(PLACES[key]);
    return Boolean(PLACES[key]);
  }
  switch (key) {
    case "g": isGoing = true; setTimeout(() => { isGoing = false; }, 1500); return true;
    case "/": return focus(document.querySelector("[data-search]"));
    case "?": return showKeys();
    case "j": return step(1);
    case "k": return step(-1);
    case "x": return click(document.querySelector("tr.at input[name=id]"));
    case "]": return !document.activeElement.closest(".lead") && click(document.querySelector("a[rel=next]"));
    case "[": return !document.activeElement.closest(".lead") && click(document.querySelector("a[rel=prev]"));
    default: return false;
  }
}

function showKeys() {
  document.getElementById("keys").showModal();
  return true;
}

function focus(element) {
  element?.focus();
  element?.select();
  return Boolean(element);
}

function click(element) {
  element?.click();
  return Boolean(element);
}

function step(by) {
  const rows = [...document.querySelectorAll("tr[data-contact]")];
  if (!rows.length) return false;
  const now = rows.findIndex((row) => row.classList.contains("at"));
  const next = rows[Math.min(Math.max(now + by, 0), rows.length - 1)];
  rows[now]?.classList.remove("at");
  next.classList.add("at");
  next.scrollIntoView({ block: "nearest" });
  next.querySelector("a").focus({ preventScroll: true });
  return true;
}

// Regions marked data-live are fetched anew when the server tells of a change that concerns them.
const PAUSE_MS = 1000;
const PATIENCE_MS = 15000;
const SCROLLING = ".board, .cards, .scroll";
let pending = false;
let wasLost = false;
let loadedAt = 0;

export function followLive() {
  if (!document.querySelector(".side")) return;
  const source = new EventSource("/events");
  source.addEventListener("open", () => { say("Live", false); if (wasLost) refreshSoon(); wasLost = false; });
  source.addEventListener("error", () => { say("Reconnecting …", true); wasLost = true; });
  for (const kind of ["contact", "run"]) {
    source.addEventListener(kind, (event) => hear(kind, JSON.parse(event.data)));
  }
  source.addEventListener("reset", refreshSoon);
  document.addEventListener("visibilitychange", () => { if (pending && !document.hidden) refreshSoon(); });
  setInterval(() => { if (document.querySelector("[data-live~=time]")) refreshSoon(); }, 5000);
  addEventListener("pagehide", () => source.close());
}

// Seen always, spoken only when it changes while one is on the page.
function say(word, isLost) {
  const state = document.querySelector("[data-live-state]");
  state.hidden = false;
  state.classList.toggle("lost", isLost);
  state.querySelector("[data-live-word]").textContent = word;
  if (isLost !== wasLost) document.querySelector("[data-live-said]").textContent = isLost ? "Not live any more" : "Live again";
}

function hear(kind, change) {
  const regions = [...document.querySelectorAll(`[data-live~=${kind}]`)];
  const concerned = regions.some((region) => !region.dataset.liveId || region.dataset.liveId === change.id);
  if (concerned) refreshSoon();
}

function refreshSoon() {
  if (pending && !document.hidden && performance.now() - loadedAt < PATIENCE_MS) return;
  pending = true;
  if (document.hidden) return;
  loadedAt = performance.now();
  setTimeout(refresh, PAUSE_MS);
}

async function refresh() {
  pending = false;
  let answer;
  try {
    answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  } catch {
    return; // the stream says when the server is back
  }
  if (answer.redirected && new URL(answer.url).pathname === "/login") return location.reload();
  if (!answer.ok && answer.status !== 404) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const region of document.querySelectorAll("[data-live]")) {
    const newer = fresh.getElementById(region.id);
    if (newer && !isInUse(region)) replace(region, newer);
  }
}

// What somebody types in, has opened or drags stays as it is until they are done.
function isInUse(region) {
  const active = document.activeElement;
  const isTyping = region.contains(active) && active.matches("input:not([type=checkbox]), textarea, select");
  const isChanged = [...region.querySelectorAll("[data-edit]")].some((form) => form.dataset.changed);
  return isTyping || isChanged || region.querySelector(".moving") !== null;
}

function replace(region, newer) {
  const ticked = new Set([...region.querySelectorAll("input[name=id]:checked")].map((each) => each.value));
  const opened = [...region.querySelectorAll("details")].map((each) => each.open);
  const at = region.querySelector("tr.at")?.dataset.contact;
  const focused = region.contains(document.activeElement) ? selectorOf(document.activeElement, region) : null;
  const scrolled = [...region.querySelectorAll(SCROLLING)].map((each) => [each.scrollLeft, each.scrollTop]);
  region.replaceChildren(...newer.childNodes);
  for (const each of region.querySelectorAll("input[name=id]")) each.checked = ticked.has(each.value);
  region.querySelectorAll("details").forEach((each, i) => { each.open = opened[i] ?? each.open; });
  region.querySelectorAll(SCROLLING).forEach((each, i) => { [each.scrollLeft, each.scrollTop] = scrolled[i] ?? [0, 0]; });
  if (at) region.querySelector(`tr[data-contact="${CSS.escape(at)}"]`)?.classList.add("at");
  if (focused) region.querySelectorAll(focused.like)[focused.place]?.focus({ preventScroll: true });
  region.dispatchEvent(new CustomEvent("renewed", { bubbles: true }));
}

// By what says which it is; a button is known by where its form goes, anything else by its place among its kind.
function selectorOf(element, region) {
  const card = element.closest("[data-contact]");
  const within = card ? `[data-contact="${CSS.escape(card.dataset.contact)}"] ` : "";
  const link = element.getAttribute("href");
  const action = element.matches("button") && element.form?.getAttribute("action");
  const every = (selector) => [...region.querySelectorAll(selector)];
  const like = element.id ? `#${CSS.escape(element.id)}`
    : link ? `${within}a[href="${CSS.escape(link)}"]`
    : action ? `form[action="${CSS.escape(action)}"] button`
    : element.name ? `${within}${element.localName}[name="${CSS.escape(element.name)}"]`
    : element.localName;
  return { like, place: every(like).indexOf(element) };
}

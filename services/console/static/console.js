// Pages work without scripts, except for live changes.
import { followLive } from "./live.js";
import { listenForKeys } from "./keys.js";
import { enableBoard } from "./board.js";
import { enableLists } from "./lists.js";

document.documentElement.classList.add("js");
nameTheme();
enableLists();
enableBoard();
listenForKeys();
followLive();

// "auto" follows the system, so only the browser knows which theme the button switches to.
function nameTheme() {
  const button = document.querySelector("[data-theme-button]");
  if (!button || document.documentElement.dataset.theme !== "auto") return;
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  button.value = isDark ? "light" : "dark";
  button.querySelector("span").textContent = isDark ? "Light theme" : "Dark theme";
}

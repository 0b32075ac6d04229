// Routes, keys, theme and print.
const route = () => {
  const found = location.hash.match(/^#star=(.+)$/);
  if (!found) return hide_star();
  let name = found[1];
  try {
    name = decodeURIComponent(name);
  } catch {
    // Not an encoded name: shown as it is.
  }
  return show_star(name);
};

const step_star = (key) => {
  const button = sheet.querySelectorAll(".sheet-nav button")[key === "ArrowLeft" ? 1 : 2];
  if (button && !button.disabled) button.click();
};

document.addEventListener("keydown", (event) => {
  if (sheet.hidden || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const inside = event.target instanceof Element ? event.target : document.body;
  if (event.key === "Escape") close_star();
  // Arrows move within controls and tables that scroll.
  else if (["ArrowLeft", "ArrowRight"].includes(event.key) && !inside.closest("input, select, .scroll")) step_star(event.key);
});

const theme_button = document.getElementById("theme");
const set_theme = (name) => {
  document.documentElement.dataset.theme = name;
  theme_button.setAttribute("aria-pressed", String(name === "dark"));
};
const preferred = window.matchMedia("(prefers-color-scheme: dark)");
// What the reader chose in this page counts more than what the system says; it is kept nowhere.
let chosen_theme = null;
set_theme(preferred.matches ? "dark" : "light");
preferred.addEventListener("change", () => {
  if (chosen_theme === null) { set_theme(preferred.matches ? "dark" : "light"); redraw(); }
});
theme_button.addEventListener("click", () => {
  chosen_theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  set_theme(chosen_theme);
  redraw();
});

let theme_before_print = "light";
window.addEventListener("beforeprint", () => {
  theme_before_print = document.documentElement.dataset.theme;
  document.documentElement.dataset.printing = "yes";
  set_theme("light");
  redraw();
});
window.addEventListener("afterprint", () => {
  delete document.documentElement.dataset.printing;
  set_theme(theme_before_print);
  redraw();
});

// An address of its own would close the sheet.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  const main = document.getElementById("main");
  main.focus({ preventScroll: true });
  main.scrollIntoView();
});

window.addEventListener("hashchange", route);
start_overview();
route();

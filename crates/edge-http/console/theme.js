// Runs before the first paint, so that a chosen theme does not flash in late.
try {
  const chosen = localStorage.getItem("headwater-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage may be forbidden; the system's theme is used then.
}

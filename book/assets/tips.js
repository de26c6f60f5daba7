// What a number was made from: point at it, tap it, or reach it by Tab. Within a table arrow keys go from number to number, so that
// a table is one stop of the Tab key. Escape closes. It takes the place of the cell's title, which only a mouse can read.
document.addEventListener("DOMContentLoaded", () => {
  const tip = document.createElement("div");
  tip.id = "radlib-tip";
  tip.setAttribute("role", "tooltip");
  tip.hidden = true;
  let shown = null, leaving = 0;

  function show(button) {
    clearTimeout(leaving);
    if (shown === button) return;
    hide();
    shown = button;
    tip.textContent = button.radlibTip;
    button.setAttribute("aria-describedby", tip.id);
    tip.hidden = false;
    place();
  }

  function place() {
    if (!shown) return;
    const at = shown.getBoundingClientRect(), own = tip.getBoundingClientRect(), edge = 8;
    const below = at.bottom + 6 + own.height < innerHeight || at.top < own.height + 6;
    tip.style.left = `${Math.max(edge, Math.min(at.left, document.documentElement.clientWidth - own.width - edge))}px`;
    tip.style.top = `${below ? at.bottom + 6 : at.top - own.height - 6}px`;
  }

  function hide() {
    clearTimeout(leaving);
    shown?.removeAttribute("aria-describedby");
    shown = null;
    tip.hidden = true;
  }

  const hideSoon = () => { leaving = setTimeout(hide, 150); }; // time to move the pointer onto what it says
  tip.addEventListener("pointerenter", () => clearTimeout(leaving));
  tip.addEventListener("pointerleave", hideSoon);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  document.addEventListener("pointerdown", (event) => { if (!event.target.closest("button.tip, #radlib-tip")) hide(); });
  addEventListener("scroll", place, { capture: true, passive: true });

  for (const table of document.querySelectorAll("table.radlib-table")) {
    for (const cell of table.querySelectorAll("tbody :is(td, th)[title]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "tip";
      button.tabIndex = -1;
      button.radlibTip = cell.title;
      cell.removeAttribute("title");
      button.append(...[...cell.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE && node.data.trim()));
      cell.prepend(button);
      button.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse") show(button); });
      button.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") hideSoon(); });
      button.addEventListener("focus", () => show(button));
      button.addEventListener("blur", hide);
      button.addEventListener("click", () => show(button));
    }
    const first = table.querySelector("tbody button.tip");
    if (!first) continue;
    first.tabIndex = 0;
    table.addEventListener("keydown", (event) => {
      const from = event.target.closest?.("tbody button.tip");
      if (!from || event.ctrlKey || event.altKey || event.metaKey) return;
      const rows = [...table.tBodies[0].rows].filter((row) => !row.hidden && row.querySelector("button.tip"));
      const row = from.closest("tr"), here = [...row.querySelectorAll("button.tip")], place = here.indexOf(from);
      const line = (step) => {
        const other = rows[rows.indexOf(row) + step];
        const column = from.closest("td, th").cellIndex;
        return other && (other.cells[column]?.querySelector("button.tip") ?? other.querySelector("button.tip"));
      };
      const next = { ArrowLeft: () => here[place - 1], ArrowRight: () => here[place + 1], ArrowUp: () => line(-1),
        ArrowDown: () => line(1), Home: () => here[0], End: () => here[here.length - 1] }[event.key];
      if (!next) return;
      event.preventDefault();
      const to = next();
      if (!to) return;
      table.querySelectorAll("tbody button.tip").forEach((each) => { each.tabIndex = -1; });
      to.tabIndex = 0;
      to.focus({ preventScroll: true });
      to.scrollIntoView({ block: "nearest", inline: "nearest" });
      show(to);
    });
  }
  (document.querySelector("article") ?? document.body).append(tip);
});

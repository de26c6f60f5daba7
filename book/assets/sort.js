// Click a column's name to sort table.sortable by it: numbers as numbers (data-v where a cell shows more than one), largest first;
// text as text. A second click turns the order round, a third brings the page's own order back.
document.addEventListener("DOMContentLoaded", () => {
  const missing = (text) => text === "" || text === "–" || text === "—";
  const compare = (a, b) => (isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b);
  for (const table of document.querySelectorAll("table.sortable")) {
    const [body] = table.tBodies, original = [...body.rows];
    for (const header of table.querySelectorAll("thead tr:last-child th")) {
      const column = header.cellIndex, first = body.rows[0]?.cells[column];
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      header.append(button);
      header.classList.toggle("num", first?.classList.contains("num") ?? false); // a column's name stands over its numbers
      const orders = header.classList.contains("num") ? ["descending", "ascending"] : ["ascending", "descending"];
      const value = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
      button.addEventListener("click", () => {
        const next = orders[orders.indexOf(header.getAttribute("aria-sort")) + 1];
        header.parentNode.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
        if (!next) return body.append(...original);
        header.setAttribute("aria-sort", next);
        const sign = next === "descending" ? -1 : 1;
        const rows = original.filter((row) => row.cells.length > column);
        rows.sort((a, b) => missing(value(a)) - missing(value(b)) || sign * compare(value(a), value(b)));
        body.append(...rows);
      });
    }
  }
});

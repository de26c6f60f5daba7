// Click a column's name to sort table.sortable by it: numbers as numbers (data-v where a cell shows more than one), text as text.
document.addEventListener("DOMContentLoaded", () => {
  for (const header of document.querySelectorAll("table.sortable thead tr:last-child th")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    const first = header.closest("table").tBodies[0]?.rows[0]?.cells[header.cellIndex];
    header.classList.toggle("num", first?.classList.contains("num") ?? false); // a column's name stands over its numbers
    button.addEventListener("click", () => {
      const [body] = header.closest("table").tBodies, column = header.cellIndex;
      const value = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
      const descending = header.getAttribute("aria-sort") !== "descending";
      header.parentNode.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const missing = (text) => text === "" || text === "–" || text === "—";
      const compare = (a, b) => (isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b) * (descending ? -1 : 1);
      const rows = [...body.rows].filter((row) => row.cells.length > column);
      rows.sort((a, b) => missing(value(a)) - missing(value(b)) || compare(value(a), value(b)));
      body.append(...rows);
    });
  }
});

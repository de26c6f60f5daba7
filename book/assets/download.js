// Every table as a CSV and a JSON file, written from what stands in it: numbers in full (data-v), the ends of their intervals, notes,
// and what each number was made from. Nothing is asked of a server, so that it works on a page opened from disk as well.
document.addEventListener("DOMContentLoaded", () => {
  const tidy = (text) => text.replace(/\s+/g, " ").trim();
  const own = (cell) => tidy([...cell.childNodes].filter((node) => !node.classList?.contains("interval") && !node.classList?.contains("note"))
    .map((node) => node.textContent).join(" "));
  const number = (text) => (text === "" ? null : Number(text));

  // Each column of the page becomes one or more of the file; `of` gives a cell's value there, null where it has none.
  const parts = [
    { name: "", of: (cell) => (cell.dataset.v !== undefined ? number(cell.dataset.v) : own(cell).replace(/^[–—]$/, "") || null) },
    { name: ", 95 % low", of: (cell) => number(cell.dataset.low ?? "") },
    { name: ", 95 % high", of: (cell) => number(cell.dataset.high ?? "") },
    { name: ", note", of: (cell) => tidy(cell.querySelector(".note")?.textContent ?? "") || null },
    { name: ", made from", of: (cell) => cell.querySelector("button.tip")?.radlibTip.replaceAll("\n", "; ") ?? (cell.title || null) },
  ];

  function content(table) {
    const names = [...table.tHead.rows[table.tHead.rows.length - 1].cells].map((cell) => tidy(cell.textContent));
    const rows = [...table.tBodies[0].rows].filter((row) => !row.hidden);
    const columns = names.flatMap((name, k) => parts
      .filter((part, first) => first === 0 || rows.some((row) => row.cells[k] && part.of(row.cells[k]) !== null))
      .map((part) => ({ name: name + part.name, of: (row) => (row.cells[k] ? part.of(row.cells[k]) : null) })));
    return { columns: columns.map((column) => column.name), rows: rows.map((row) => columns.map((column) => column.of(row))) };
  }

  const quoted = (value) => (/[",\n\r]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const csv = ({ columns, rows }) => [columns, ...rows].map((row) => row.map((value) => quoted(String(value ?? ""))).join(",") + "\r\n").join("");
  const json = ({ columns, rows }, caption) => JSON.stringify({
    caption, page: document.title, rows: rows.map((row) => Object.fromEntries(columns.map((name, k) => [name, row[k]]))),
  }, null, 1) + "\n";

  function save(text, type, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  document.querySelectorAll("table.radlib-table.sortable").forEach((table, k) => {
    const caption = tidy(table.caption?.textContent ?? "");
    const title = caption.split(/[:.] |[:.]$/)[0] || `table ${k + 1}`;
    const page = location.pathname.split("/").pop().replace(/\.html$/, "") || "page";
    const name = `${page}-${k + 1}-${title.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 40)}`;
    const bar = document.createElement("p");
    bar.className = "radlib-download";
    for (const [ending, type, write] of [["csv", "text/csv", csv], ["json", "application/json", json]]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = ending.toUpperCase();
      button.setAttribute("aria-label", `${ending.toUpperCase()} of the table: ${title}`);
      button.title = `Download this table as ${ending.toUpperCase()}`;
      button.addEventListener("click", () => save(write(content(table), caption), type, `${name}.${ending}`));
      bar.append(button);
    }
    (table.closest(".radlib-scroll") ?? table).after(bar);
  });
});

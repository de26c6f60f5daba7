// Choices above the tables of a page: .radlib-filter[data-by="mark:Label, …"] gets one list for each mark that rows bear (data-mark, several
// values apart by |), and a field for words. Rows that do not fit are hidden in every table; what is chosen stands in the address and can be sent.
document.addEventListener("DOMContentLoaded", () => {
  const box = document.querySelector(".radlib-filter");
  if (!box) return;
  const marks = box.dataset.by.split(",").map((pair) => pair.trim().split(":"));
  const rows = [...document.querySelectorAll(`table.radlib-table tbody tr[data-${marks[0][0]}]`)];
  const tables = [...new Set(rows.map((row) => row.closest("table")))];
  const fields = {};

  const values = (row, mark) => row.dataset[mark].split("|");
  function field(name, label, element) {
    const holder = document.createElement("label");
    holder.append(label, element);
    box.append(holder);
    fields[name] = element;
  }
  for (const [mark, label] of marks) {
    const list = document.createElement("select");
    list.append(new Option("all", ""), ...[...new Set(rows.flatMap((row) => values(row, mark)))].map((value) => new Option(value, value)));
    field(mark, label, list);
  }
  const words = document.createElement("input");
  words.type = "search";
  words.placeholder = "e.g. ViT-L";
  field("words", "Words", words);
  const clear = document.createElement("button");
  clear.type = "button";
  clear.textContent = "Show all";
  const count = document.createElement("output");
  box.append(clear, count);
  box.setAttribute("role", "group");

  function apply(event) {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = marks.some(([mark]) => fields[mark].value && !values(row, mark).includes(fields[mark].value)) || !wanted.every((word) => text.includes(word));
    }
    const left = rows.filter((row) => !row.hidden).length;
    count.textContent = `${left} of ${rows.length} rows`;
    for (const table of tables) {
      const none = ![...table.tBodies[0].rows].some((row) => !row.hidden);
      table.closest(".radlib-scroll").classList.toggle("radlib-none", none);
    }
    if (!event) return; // the address of a page just opened is left as it is
    const chosen = new URLSearchParams(Object.entries(fields).filter(([, each]) => each.value).map(([name, each]) => [name, each.value]));
    history.replaceState(null, "", location.pathname + location.search + (String(chosen) ? `#${chosen}` : ""));
  }

  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    if (fields[name] && (name === "words" || [...fields[name].options].some((option) => option.value === value))) fields[name].value = value;
  }
  box.addEventListener("input", apply);
  clear.addEventListener("click", () => { Object.values(fields).forEach((each) => { each.value = ""; }); apply(true); });
  apply();
});

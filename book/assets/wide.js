// What is wider than its place scrolls sideways by itself, by finger or, once it is focused, by the arrow keys; it fades where more of
// it follows, and a table says so in words. A plot or a sheet of images keeps its letters legible on a narrow screen in this way.
document.addEventListener("DOMContentLoaded", () => {
  for (const picture of document.querySelectorAll(".cell_output > img, .cell_output img.radlib-sheet")) {
    const frame = document.createElement("div");
    frame.className = "radlib-frame";
    picture.replaceWith(frame);
    frame.append(picture);
  }
  const hidden = (frame) => {
    const edge = frame.getBoundingClientRect().right;
    return [...frame.querySelectorAll("thead th")].filter((head) => head.getBoundingClientRect().right > edge + 1).length;
  };
  for (const frame of document.querySelectorAll(".radlib-frame, .radlib-scroll")) {
    const table = frame.matches(".radlib-scroll");
    const words = document.createElement("p");
    words.className = "radlib-wider";
    words.hidden = true;
    if (table) frame.before(words);
    const look = () => {
      const wider = frame.scrollWidth > frame.clientWidth + 1;
      frame.classList.toggle("radlib-more-follows", frame.scrollLeft + frame.clientWidth < frame.scrollWidth - 1);
      words.hidden = !wider;
      if (wider && table) {
        const n = hidden(frame);
        words.textContent = n ? `${n} more column${n > 1 ? "s" : ""} to the right: scroll the table →` : "← scroll back to the first columns";
      }
      if (!wider) return frame.removeAttribute("tabindex");
      frame.tabIndex = 0;
      frame.setAttribute("role", "group");
      frame.setAttribute("aria-label", `${table ? "table" : "picture"}, wider than the page: scroll sideways`);
    };
    frame.addEventListener("scroll", look, { passive: true });
    new ResizeObserver(look).observe(frame);
    for (const picture of frame.querySelectorAll("img")) picture.addEventListener("load", look);
    look();
  }
});

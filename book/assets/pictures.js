// A plot or a sheet of images keeps its letters legible on a narrow screen: it stays wide and scrolls sideways by itself, by finger or,
// once it is focused, by the arrow keys.
document.addEventListener("DOMContentLoaded", () => {
  for (const picture of document.querySelectorAll(".cell_output > img, .cell_output img.radlib-sheet")) {
    const frame = document.createElement("div");
    frame.className = "radlib-frame";
    picture.replaceWith(frame);
    frame.append(picture);
    const fit = () => {
      const wider = frame.scrollWidth > frame.clientWidth + 1;
      frame.toggleAttribute("tabindex", wider);
      if (!wider) return;
      frame.tabIndex = 0;
      frame.setAttribute("role", "group");
      frame.setAttribute("aria-label", "picture, wider than the page: scroll sideways");
    };
    picture.addEventListener("load", fit);
    addEventListener("resize", fit);
    fit();
  }
});

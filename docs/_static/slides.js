"use strict";
// Sizes follow the window: 1 at 1280 x 720. Reveal.js would scale slides by a transform, under which the pointer is not
// where Bokeh believes it to be.
function follow() {
  document.documentElement.style.setProperty("--scale", Math.min(innerWidth / 1280, innerHeight / 720));
}

// Make the text of a slide smaller, down to a limit, until it fits; what is still longer scrolls.
function fit() {
  const slide = Reveal.getCurrentSlide();
  for (let size = 100; slide && size >= 65; size -= 5) {
    slide.style.fontSize = `${size}%`;
    if (slide.scrollHeight <= slide.clientHeight) break;
  }
}

follow();
addEventListener("resize", () => (follow(), fit()));
Reveal.on("slidechanged", fit);
addEventListener("load", async () => {
  await window.MathJax?.startup.promise; // formulas have their size only then
  const sizes = new ResizeObserver(fit);
  document.querySelectorAll(".interactive-figure").forEach((figure) => sizes.observe(figure));
  fit();
});

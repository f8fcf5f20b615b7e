"use strict";
// Make the text of a slide smaller, down to a limit, until it fits; what is still longer scrolls.
function fit() {
  const slide = Reveal.getCurrentSlide();
  for (let size = 100; size >= 65; size -= 5) {
    slide.style.fontSize = `${size}%`;
    if (slide.scrollHeight <= slide.clientHeight) break;
  }
}

Reveal.on("ready", () => (window.MathJax?.startup?.promise ?? Promise.resolve()).then(fit));
Reveal.on("slidechanged", fit);

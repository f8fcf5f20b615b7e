"use strict";
// Draw the figures of docs/book/interactive.py when they are first visible: a slide that is not shown has no size.
{
  const folder = new URL("bokeh/", document.currentScript.src);
  let loaded = null;

  function load(name) {
    return new Promise((resolve, reject) => {
      const script = Object.assign(document.createElement("script"), { src: new URL(name, folder), onload: resolve, onerror: reject });
      document.head.append(script);
    });
  }

  async function draw(box) {
    loaded ??= load("bokeh.min.js").then(() => load("bokeh-widgets.min.js"));
    await loaded;
    const place = box.querySelector(".interactive-figure");
    place.id = `interactive-${[...document.querySelectorAll(".interactive")].indexOf(box)}`;
    box.classList.add("interactive-drawn");
    await Bokeh.embed.embed_item(JSON.parse(box.querySelector("script").textContent), place.id);
  }

  addEventListener("DOMContentLoaded", () => {
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries.filter((entry) => entry.isIntersecting)) {
        seen.unobserve(entry.target);
        draw(entry.target);
      }
    });
    for (const box of document.querySelectorAll(".interactive")) {
      box.addEventListener("keydown", (event) => event.stopPropagation()); // arrow keys move the slider, not the slide
      seen.observe(box);
    }
  });
}

"use strict";
// Draw the figures of docs/book/interactive.py when they are first visible: a slide that is not shown has no size.
{
  const folder = new URL("bokeh/", document.currentScript.src);
  const SIZES = ["width", "height", "max_width"];
  const FONTS = {
    LinearAxis: { axis_label_text_font_size: 13, major_label_text_font_size: 11 },
    LogAxis: { axis_label_text_font_size: 13, major_label_text_font_size: 11 },
    Legend: { label_text_font_size: 11 },
    Title: { text_font_size: 13 },
  };
  let loaded = null;

  function load(name) {
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      document.head.append(Object.assign(script, { src: new URL(name, folder), onload: resolve, onerror: reject }));
    });
  }

  // Enlarge plots and their texts, as the slides are enlarged on a large screen.
  function enlarge(node, scale) {
    if (node === null || typeof node !== "object") return;
    if (node.name === "Figure" || node.name === "Slider") {
      for (const size of SIZES) if (typeof node.attributes?.[size] === "number") node.attributes[size] *= scale;
    }
    for (const [font, size] of Object.entries((node.type === "object" && FONTS[node.name]) || {})) {
      (node.attributes ??= {})[font] = `${size * scale}px`;
    }
    Object.values(node).forEach((inner) => enlarge(inner, scale));
  }

  async function draw(box) {
    loaded ??= load("bokeh.min.js").then(() => load("bokeh-widgets.min.js"));
    await loaded;
    const place = box.querySelector(".interactive-figure");
    place.id = `interactive-${[...document.querySelectorAll(".interactive")].indexOf(box)}`;
    const item = JSON.parse(box.querySelector("script").textContent);
    enlarge(item, Number(getComputedStyle(box).getPropertyValue("--scale")) || 1);
    box.classList.add("interactive-drawn");
    await Bokeh.embed.embed_item(item, place.id);
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

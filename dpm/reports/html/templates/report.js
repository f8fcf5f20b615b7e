"use strict";
const page = JSON.parse(document.getElementById("data").textContent);
const STRIP = 5, FRAME = 150, CALM_FRAME = 1000, POLL = 3000, PAPER = 660;
const calm = matchMedia("(prefers-reduced-motion: reduce)");

// ---------------------------------------------------------------- charts

document.querySelectorAll(".chart").forEach((place, i) => {
  place.id = `chart${i}`;
  Bokeh.embed.embed_item(page.charts[i], place.id);
});

// Bokeh lays out charts for the window. Paper is narrower and printing does not wait for a new layout: scale them.
addEventListener("beforeprint", () => {
  for (const place of document.querySelectorAll(".chart")) {
    const width = place.clientWidth;
    Object.assign(place.style, { width: `${width}px`, zoom: Math.min(1, PAPER / width) });
  }
});
addEventListener("afterprint", () => {
  document.querySelectorAll(".chart").forEach((place) => Object.assign(place.style, { width: "", zoom: "" }));
});

function sources(name) {
  return Bokeh.documents.map((doc) => doc.get_model_by_name(name)).filter((model) => model !== null);
}

// ---------------------------------------------------------------- players

function player(box) {
  const { times, panels, plays } = page.players[Number(box.dataset.number)];
  const images = [...box.querySelectorAll(".panels img")];
  const [button, slider, shown] = ["button", "input", "output"].map((name) => box.querySelector(name));
  const frame = (panel, i) => panel.frames[Math.min(i, panel.frames.length - 1)];
  const alt = (panel, i) => panel.alt + (panel.frames.length > 1 ? `, t = ${times[i]}` : "");
  let timer = null;

  function show(i) {
    slider.value = i;
    slider.setAttribute("aria-valuetext", `t = ${times[i]}`);
    shown.textContent = times[i];
    panels.forEach((panel, k) => Object.assign(images[k], { src: frame(panel, i), alt: alt(panel, i) }));
  }
  function pause() {
    clearInterval(timer);
    timer = null;
    button.textContent = "Play";
  }
  function step() {
    const next = Number(slider.value) + 1;
    show(next);
    if (next === times.length - 1) pause();
  }
  function play() {
    if (Number(slider.value) === times.length - 1) show(0);
    timer = setInterval(step, calm.matches ? CALM_FRAME : FRAME);
    button.textContent = "Pause";
  }
  button.addEventListener("click", () => (timer === null ? play() : pause()));
  slider.addEventListener("input", () => { pause(); show(Number(slider.value)); });
  show(times.length - 1);
  box.querySelector(".controls").hidden = times.length < 2;
  strip(box.querySelector(".strip"));

  // For print: some of the frames next to each other.
  function strip(place) {
    for (const panel of panels) {
      const count = Math.min(STRIP, panel.frames.length), row = document.createElement("div");
      place.append(row);
      for (let k = 0; k < count; k++) {
        const i = count > 1 ? Math.round((k * (times.length - 1)) / (count - 1)) : times.length - 1;
        const figure = document.createElement("figure"), image = document.createElement("img");
        Object.assign(image, { src: frame(panel, i), alt: alt(panel, i) });
        const caption = document.createElement("figcaption");
        caption.textContent = k ? `t = ${times[i]}` : `${panel.label}${count > 1 ? `; t = ${times[i]}` : ""}`;
        figure.append(image, caption);
        row.append(figure);
      }
    }
  }

  // Play once when first visible, unless the system asks for reduced motion.
  if (plays && !calm.matches) {
    const seen = new IntersectionObserver(([entry]) => {
      if (!entry.isIntersecting) return;
      seen.disconnect();
      if (timer === null) play();
    }, { threshold: 0.6 });
    seen.observe(box);
  }
}
document.querySelectorAll(".player").forEach(player);

// ---------------------------------------------------------------- updates during training

async function read(address) {
  const answer = await fetch(address, { cache: "no-store" });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.text();
}

// Replace the tables and samples by those of the current page.
async function refresh() {
  const fresh = new DOMParser().parseFromString(await read("./"), "text/html");
  const data = JSON.parse(fresh.getElementById("data").textContent);
  Object.assign(page, { players: data.players, stamps: data.stamps });
  for (const id of ["comparison", "samples", "facts"]) document.getElementById(id).replaceWith(fresh.getElementById(id));
  document.querySelectorAll(".player").forEach(player);
}

async function poll() {
  const line = document.getElementById("live");
  try {
    const { logs, limits, states, stamps } = JSON.parse(await read("curves.json"));
    logs.forEach((data, i) => sources(`log${i}`).forEach((source) => { source.data = data; }));
    for (const [i, [start, end, note]] of Object.entries(limits)) {
      sources(`limits${i}`).forEach((range) => range.setv({ start, end, reset_start: start, reset_end: end }));
      sources(`note${i}`).forEach((title) => { title.text = note; });
    }
    document.querySelectorAll(".state").forEach((place, i) => { place.textContent = states[i]; });
    if (String(stamps) !== String(page.stamps)) await refresh();
    line.textContent = `Curves updated at ${new Date().toLocaleTimeString()}; tables and samples update when training saves new samples.`;
  } catch (error) {
    line.textContent = `Not updated: ${error.message}`;
  }
  setTimeout(poll, POLL);
}
if (page.live) poll();

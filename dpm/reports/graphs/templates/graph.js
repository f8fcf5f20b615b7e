// Draws the graphs in #data; `dagreD3.layout` (above) places the boxes of one group.
const page = JSON.parse(document.getElementById("data").textContent);
const canvas = document.getElementById("canvas");
const drawing = document.getElementById("drawing");
const details = document.getElementById("details");
const pen = document.createElement("canvas").getContext("2d");
const FONT = 15, SMALL = 14, LINE = 20, GAP = 12, LEAST = 0.8, MOST = 1.2;
const state = { graph: 0, stacked: true, open: page.graphs.map(() => new Set()), view: { x: 0, y: 0, scale: 1 } };

const svg = (name, attributes, parent) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (parent) parent.append(made);
  return made;
};

// "x^{(t)} of q_{t}" as runs of text, each with its level: 0, 1 above or -1 below the line.
const runs = (text) =>
  text.split(/([_^]\{[^{}]*\})/).filter((part) => part).map((part) => {
    const index = /^[_^]\{/.test(part);
    return { text: index ? part.slice(2, -1) : part, level: index ? (part[0] === "^" ? 1 : -1) : 0 };
  });
const plain = (text) => runs(text).map((run) => run.text).join("");
const sizeOf = (size, run) => (run.level ? size * 0.78 : size);

const widthOf = (line) =>
  runs(line.text).reduce((sum, run) => {
    pen.font = `${line.bold ? 600 : 400} ${sizeOf(line.size, run)}px system-ui, "DejaVu Sans", sans-serif`;
    return sum + pen.measureText(run.text).width;
  }, 0);

const write = (parent, line, x, y, anchor) => {
  const text = svg("text", { x, y, "text-anchor": anchor, "font-size": line.size }, parent);
  if (line.bold) text.classList.add("title");
  let level = 0;
  for (const run of runs(line.text)) {
    const span = svg("tspan", { dy: (level - run.level) * line.size * 0.32, "font-size": sizeOf(line.size, run) }, text);
    span.textContent = run.text;
    level = run.level;
  }
};

// ---- what is seen: each node stands for itself, or for its outermost closed group

const graph = () => page.graphs[state.graph];
const opened = () => state.open[state.graph];
const index = page.graphs.map((g) => new Map([...g.groups, ...g.nodes].map((item) => [item.id, item])));
const find = (id) => index[state.graph].get(id);

const chain = (item) => {
  const groups = [];
  for (let id = item.parent; id; id = find(id).parent) groups.unshift(id);
  return groups;
};
const seenAs = (item) => chain(item).find((id) => !opened().has(id)) || item.id;

const linesOf = (item) => {
  if (item.title === undefined) {
    const label = { text: item.label, size: FONT };
    return item.short && item.short !== item.label ? [label, { text: item.short, size: SMALL }] : [label];
  }
  const title = { text: item.title, size: FONT, bold: true };
  const text = [item.formula, item.equation].filter((part) => part).join("  ·  ");
  return text ? [title, { text, size: SMALL }] : [title];
};
const lengthOf = (lines) =>
  state.stacked ? Math.max(...lines.map(widthOf)) : lines.reduce((sum, line) => sum + widthOf(line), GAP * (lines.length - 1));

// ---- where things are: each open group is laid out by itself, with ports on its border for what passes it

const HEADER = 26, PAD = 12;

// The edges inside each open group, by its id ("" outside of all). An edge that enters a group starts there at the port
// "in ID", and one that leaves it ends at the port "out ID", with the id of the box at the other end of the crossing.
const linksByGroup = () => {
  const links = new Map();
  const add = (group, v, w, ends) => {
    if (!links.has(group)) links.set(group, new Map());
    const inside = links.get(group);
    if (!inside.has(`${v} > ${w}`)) inside.set(`${v} > ${w}`, { v, w, ends: new Set() });
    ends.forEach((end) => inside.get(`${v} > ${w}`).ends.add(end));
  };
  for (const [from, to] of graph().edges) {
    const ends = [seenAs(find(from)), seenAs(find(to))];
    if (ends[0] === ends[1]) continue;
    const [above, below] = ends.map((id) => [...chain(find(id)), id]);
    let level = 0;
    while (above[level] === below[level]) level++;
    add(level ? above[level - 1] : "", above[level], below[level], ends);
    for (let i = level; i < above.length - 1; i++) add(above[i], above[i + 1], `out ${below[level]}`, ends);
    for (let i = level; i < below.length - 1; i++) add(below[i], `in ${above[level]}`, below[i + 1], ends);
  }
  return links;
};

// Where an edge to a point leaves a box: at its lower or upper side, as near to the point as the side allows.
const border = (box, point) => {
  const reach = Math.max(0, box.width / 2 - 10);
  const x = box.x + Math.min(reach, Math.max(-reach, (point.x - box.x) / 3));
  return { x, y: box.y + (point.y > box.y ? box.height / 2 : -box.height / 2) };
};

const measure = (item) => {
  const lines = linesOf(item);
  return { item, lines, width: Math.max(40, lengthOf(lines)) + 2 * GAP, height: (state.stacked ? lines.length : 1) * LINE + 10 };
};

// The boxes and edges in a group, with places relative to its upper left corner.
const arrange = (group, links) => {
  const edges = [...(links.get(group) || new Map()).values()];
  const boxes = new Map();
  for (const item of [...graph().groups, ...graph().nodes]) {
    if ((item.parent || "") !== group) continue;
    const inner = item.title !== undefined && opened().has(item.id) ? arrange(item.id, links) : undefined;
    boxes.set(item.id, inner ? { item, inner, lines: linesOf(item), width: inner.width, height: inner.height } : measure(item));
  }
  const ports = new Set(edges.flatMap(({ v, w }) => [v, w]).filter((id) => !boxes.has(id)));
  const plan = new dagreD3.Digraph();
  for (const [id, { width, height }] of boxes) plan.addNode(id, { width, height });
  for (const id of ports) plan.addNode(id, { width: 10, height: 0 });
  for (const end of ["in ", "out "]) {
    // One more node pulls all ports to the upper or lower end.
    const here = [...ports].filter((id) => id.startsWith(end));
    if (here.length) plan.addNode(end, { width: 0, height: 0 });
    for (const id of here) plan.addEdge(null, ...(end === "in " ? [end, id] : [id, end]), { weight: 100 });
  }
  edges.forEach((edge, number) => plan.addEdge(number, edge.v, edge.w, {}));
  const placed = dagreD3.layout().nodeSep(26).edgeSep(12).rankSep(30).run(plan);
  return frame(group, boxes, ports, edges, placed);
};

const frame = (group, boxes, ports, edges, placed) => {
  const at = (id) => placed.node(id);
  const bends = edges.map((_, number) => placed.edge(number).points);
  for (const [id, box] of boxes) Object.assign(box, { x: at(id).x, y: at(id).y });
  const xs = [...bends.flat().map((p) => [p.x, p.x]), ...[...boxes.values()].map((b) => [b.x - b.width / 2, b.x + b.width / 2])];
  const ys = [...boxes.values()].map((b) => [b.y - b.height / 2, b.y + b.height / 2]);
  const [left, top] = [Math.min(...xs.map((x) => x[0])), Math.min(...ys.map((y) => y[0]))];
  const [right, bottom] = [Math.max(...xs.map((x) => x[1])), Math.max(...ys.map((y) => y[1]))];
  const title = group ? widthOf({ ...linesOf(find(group))[0], text: `▾ ${find(group).title}` }) + 16 : 0;
  const pad = group ? PAD : 0;
  const gaps = ["in ", "out "].map((end) => ([...ports].some((id) => id.startsWith(end)) ? PAD : 0));
  const width = Math.max(title, right - left + 2 * pad);
  const shift = { x: (width - right + left) / 2 - left, y: (group ? HEADER + gaps[0] : 0) - top };
  const height = bottom + shift.y + (group ? pad + gaps[1] : 0);
  for (const box of boxes.values()) Object.assign(box, { x: box.x + shift.x, y: box.y + shift.y });
  const portPlaces = new Map([...ports].map((id) => [id, { x: at(id).x + shift.x, y: id.startsWith("in ") ? 0 : height }]));
  // Boxes of one row have one middle; an edge leaves and reaches the row of a low box straight.
  const rows = new Map();
  for (const box of boxes.values()) rows.set(box.y, Math.max(rows.get(box.y) || 0, box.height / 2));
  const row = (id, point) => {
    const box = boxes.get(id);
    if (!box || box.inner || box.height / 2 === rows.get(box.y)) return [];
    return [{ x: point.x, y: box.y + Math.sign(point.y - box.y) * rows.get(box.y) }];
  };
  const lines = edges.map(({ v, w, ends }, number) => {
    const middle = bends[number].map((p) => ({ x: p.x + shift.x, y: Math.min(Math.max(p.y + shift.y, group ? HEADER - 6 : 0), height) }));
    const end = (id, other, next, port) => {
      const box = boxes.get(id);
      if (!box) return portPlaces.get(id);
      const door = box.inner?.ports.get(port);
      return door ? { x: box.x - box.width / 2 + door.x, y: box.y - box.height / 2 + door.y } : border(box, next || middleOf(other));
    };
    const middleOf = (id) => boxes.get(id) || portPlaces.get(id);
    const first = end(v, w, middle[0], `out ${w.replace(/^out /, "")}`);
    const last = end(w, v, middle[middle.length - 1], `in ${v.replace(/^in /, "")}`);
    const arrow = boxes.has(w) && !boxes.get(w).inner;
    return { points: [first, ...row(v, first), ...middle, ...row(w, last), last], ends, arrow };
  });
  return { boxes: [...boxes.values()], lines, ports: portPlaces, width, height };
};

// All boxes and edges, with places in the whole drawing; the boxes of open groups before what is in them.
const place = () => {
  const found = { boxes: [], lines: [] };
  const collect = ({ boxes, lines }, x, y) => {
    found.lines.push(...lines.map((line) => ({ ...line, points: line.points.map((p) => ({ x: p.x + x, y: p.y + y })) })));
    for (const box of boxes) {
      found.boxes.push({ ...box, x: box.x + x, y: box.y + y });
      if (box.inner) collect(box.inner, x + box.x - box.width / 2, y + box.y - box.height / 2);
    }
  };
  const all = arrange("", linksByGroup());
  collect(all, 0, 0);
  return { ...found, width: all.width, height: all.height };
};

// ---- drawing

const RADIUS = 16;

// A line through the points with rounded corners.
const path = (points) => {
  let d = `M${points[0].x},${points[0].y}`;
  for (let i = 1; i < points.length - 1; i++) {
    const [before, corner, after] = points.slice(i - 1, i + 2);
    const toward = (end) => {
      const length = Math.hypot(end.x - corner.x, end.y - corner.y) || 1;
      const part = Math.min(RADIUS, length / 2) / length;
      return `${corner.x + (end.x - corner.x) * part},${corner.y + (end.y - corner.y) * part}`;
    };
    d += `L${toward(before)}Q${corner.x},${corner.y} ${toward(after)}`;
  }
  const last = points[points.length - 1];
  return `${d}L${last.x},${last.y}`;
};

const drawBox = (box) => {
  const { item, inner, lines } = box;
  const open = inner !== undefined;
  const isGroup = item.title !== undefined;
  const label = isGroup
    ? `${item.title}${item.equation ? `, ${item.equation}` : ""}: group of ${item.size} operations`
    : plain(item.label);
  const part = svg("g", {
    class: `box ${isGroup ? `group ${open ? "open" : "closed"}` : "node"} ${item.kind} ${isGroup ? "" : item.part}`,
    "data-id": item.id, tabindex: 0, "aria-label": label, role: isGroup ? "button" : "img",
    ...(isGroup && { "aria-expanded": open }),
  }, drawing);
  const [left, top] = [box.x - box.width / 2, box.y - box.height / 2];
  const input = item.kind === "input" || item.kind === "parameter" || item.kind === "constant";
  svg("rect", { x: left, y: top, width: box.width, height: box.height, rx: input ? Math.min(14, box.height / 2) : 4 }, part);
  if (open) {
    write(part, { ...lines[0], text: `▾ ${item.title}` }, left + 8, top + 17, "start");
  } else {
    let [x, y] = state.stacked ? [box.x, box.y - ((lines.length - 1) * LINE) / 2 + 5] : [box.x - lengthOf(lines) / 2, box.y + 5];
    for (const line of lines) {
      write(part, line, x, y, state.stacked ? "middle" : "start");
      if (state.stacked) y += LINE;
      else x += widthOf(line) + GAP;
    }
  }
  if (open) return;
  part.addEventListener("pointerenter", (event) => show(item, event.clientX, event.clientY));
  part.addEventListener("pointerleave", hide);
  part.addEventListener("focus", () => part.matches(":focus-visible") && show(item, ...corner(part)));
  part.addEventListener("blur", hide);
};

// The lines of a box stand below each other, or one after the other where the drawing then gets larger.
const choose = () => {
  const area = canvas.getBoundingClientRect();
  const [stacked, flat] = [true, false].map((choice) => {
    state.stacked = choice;
    const found = place();
    return { ...found, scale: Math.min(area.width / found.width, area.height / found.height, MOST) };
  });
  state.stacked = stacked.scale >= flat.scale;
  return state.stacked ? stacked : flat;
};

const render = () => {
  const { boxes, lines, width, height } = choose();
  Object.assign(state, { boxes, size: { width, height } });
  drawing.replaceChildren();
  boxes.filter((box) => box.inner).forEach(drawBox);
  for (const { points, ends, arrow } of lines) {
    const line = svg("path", { class: "edge", d: path(points) }, drawing);
    if (arrow) line.setAttribute("marker-end", "url(#arrow)");
    line.ends = ends;
  }
  boxes.filter((box) => !box.inner).forEach(drawBox);
};

// ---- view

const move = (view) => {
  state.view = view;
  drawing.setAttribute("transform", `translate(${view.x},${view.y}) scale(${view.scale})`);
};

// Show everything; or, where that is too small to read, the part around the box `id`.
const fit = (id) => {
  const area = canvas.getBoundingClientRect();
  if (area.width < 48 || area.height < 48) return; // not shown yet, as on a slide further on: a resize follows
  const { width, height } = state.size;
  const whole = Math.min((area.width - 24) / width, (area.height - 24) / height, MOST);
  const scale = id === undefined ? whole : Math.max(whole, LEAST);
  const box = state.boxes.find((one) => one.item.id === id);
  // Of a group that is larger than the window, its beginning.
  const start = (middle, extent, length) => middle - Math.max(0, extent - (length - 48) / scale) / 2;
  const center = (length, extent, at) =>
    extent * scale <= length - 24
      ? (length - extent * scale) / 2
      : Math.min(12, Math.max(length / 2 - at * scale, length - 12 - extent * scale));
  const at = box
    ? { x: start(box.x, box.width, area.width), y: start(box.y, box.height, area.height) }
    : { x: width / 2, y: height / 2 };
  move({ scale, x: center(area.width, width, at.x), y: center(area.height, height, at.y) });
};

const zoom = (factor, x, y) => {
  const { view } = state;
  const scale = Math.min(4, Math.max(0.05, view.scale * factor));
  move({ scale, x: x - ((x - view.x) * scale) / view.scale, y: y - ((y - view.y) * scale) / view.scale });
};

// ---- details of a node or group

const show = (item, x, y) => {
  const line = (text, tag) => Object.assign(document.createElement(tag), { textContent: text });
  const rows = item.title !== undefined
    ? [line(plain([item.title, item.formula, item.equation].filter((text) => text).join(" · ")), "b"), line(`${item.size} operations`, "div")]
    : [line(plain(item.label), "b"), ...(item.operation ? [line(item.operation, "div")] : []),
       ...item.types.map((type) => line(type, "div")), ...(item.name ? [line(item.name, "div")] : [])];
  details.replaceChildren(...rows);
  details.hidden = false;
  const area = canvas.getBoundingClientRect();
  details.style.left = `${Math.max(0, Math.min(x - area.left + 14, area.width - details.offsetWidth - 4))}px`;
  const below = y - area.top + 16;
  details.style.top = `${below + details.offsetHeight > area.height ? Math.max(0, y - area.top - details.offsetHeight - 10) : below}px`;
  for (const edge of drawing.querySelectorAll(".edge")) {
    edge.classList.toggle("near", edge.ends.has(item.id));
  }
};
const hide = () => {
  details.hidden = true;
  for (const edge of drawing.querySelectorAll(".edge.near")) edge.classList.remove("near");
};
const corner = (part) => {
  const box = part.getBoundingClientRect();
  return [box.left, box.bottom];
};

// ---- what the user does

const toggle = (id) => {
  if (!opened().delete(id)) opened().add(id);
  hide();
  render();
  fit(id);
  drawing.querySelector(`[data-id="${id}"]`)?.focus({ preventScroll: true });
};

const select = (number) => {
  state.graph = number;
  [...document.getElementById("tabs").children].forEach((tab, i) => tab.setAttribute("aria-selected", i === number));
  hide();
  render();
  fit();
};

const setOpen = (ids) => {
  state.open[state.graph] = new Set(ids);
  hide();
  render();
  fit();
};

let pressed = null;
canvas.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  pressed = { x: event.clientX, y: event.clientY, view: state.view, moved: false, target: event.target.closest(".group") };
});
window.addEventListener("pointermove", (event) => {
  if (!pressed) return;
  const [dx, dy] = [event.clientX - pressed.x, event.clientY - pressed.y];
  pressed.moved ||= Math.hypot(dx, dy) > 4;
  if (!pressed.moved) return;
  canvas.classList.add("moving");
  move({ ...pressed.view, x: pressed.view.x + dx, y: pressed.view.y + dy });
});
window.addEventListener("pointerup", () => {
  const { moved, target } = pressed || { moved: true };
  pressed = null;
  canvas.classList.remove("moving");
  if (!moved && target) toggle(target.dataset.id);
});
const framed = window !== window.parent; // in a notebook the wheel scrolls the notebook
canvas.addEventListener("wheel", (event) => {
  if (framed && !event.ctrlKey) return;
  event.preventDefault();
  const area = canvas.getBoundingClientRect();
  zoom(Math.exp(-event.deltaY / 500), event.clientX - area.left, event.clientY - area.top);
}, { passive: false });
canvas.addEventListener("keydown", (event) => {
  const group = event.target.closest(".group");
  if (group && (event.key === "Enter" || event.key === " ")) {
    event.preventDefault();
    toggle(group.dataset.id);
  }
});
document.getElementById("open").addEventListener("click", () => setOpen(graph().groups.map((group) => group.id)));
document.getElementById("close").addEventListener("click", () => setOpen([]));
document.getElementById("fit").addEventListener("click", () => fit());
window.addEventListener("resize", () => { render(); fit(); });

for (const run of runs(page.title)) {
  const part = document.createElement(["sub", "span", "sup"][run.level + 1]);
  part.textContent = run.text;
  document.getElementById("title").append(part);
}
document.getElementById("wheel").textContent = framed ? "Ctrl and wheel" : "wheel";
page.graphs.forEach((g, number) => {
  const tab = Object.assign(document.createElement("button"), { textContent: `${g.name} (${g.size})` });
  tab.setAttribute("role", "tab");
  tab.addEventListener("click", () => select(number));
  document.getElementById("tabs").append(tab);
  if (g.size <= page.small) g.groups.forEach((group) => state.open[number].add(group.id));
});
select(0);

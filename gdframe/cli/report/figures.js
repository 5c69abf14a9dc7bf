/* the figures of a page: curves, their legend, and the point that is shown */
const SVG = "http://www.w3.org/2000/svg";
const data = JSON.parse(document.getElementById("data").textContent);
const LEFT = 74, RIGHT = 14, TOP = 12, BOTTOM = 44;
let WIDTH = 900, HEIGHT = 340;
const fit = () => { /* sets the size of figures to the width of the page */
  const width = Math.round(Math.max(340, Math.min(900, document.querySelector("main").clientWidth)));
  const changed = width !== WIDTH;
  [WIDTH, HEIGHT] = [width, Math.round(Math.max(240, Math.min(340, 0.6 * width)))];
  return changed;
};
const COLORS = 8, SHOWN = 8;
const DASHES = ["", "7 3", "2 3", "9 3 2 3"];
const AXES = { step: "steps", samples: "samples", seconds: "seconds of training" };
const form = document.getElementById("axes");
const axes = { axis: form ? form.elements.axis.value : "step", logx: false };
const redraw = [];

const name = (column) => data.names[column] || column;
const node = (kind, attributes, parent) => {
  const created = document.createElementNS(SVG, kind);
  for (const [key, value] of Object.entries(attributes)) created.setAttribute(key, value);
  if (parent) parent.appendChild(created);
  return created;
};
const element = (kind, content, parent) => {
  const created = document.createElement(kind);
  if (content) created.textContent = content;
  if (parent) parent.appendChild(created);
  return created;
};
const color = (index) => `var(--c${index % COLORS})`;
const dash = (index) => DASHES[Math.floor(index / COLORS) % DASHES.length];

const alongAxis = (run) => run.x[axes.axis];

/* returns the configurations that a figure draws, with their numbers */
const groupsOf = (spec) => spec.groups || data.groups.map((_, index) => index);

/* returns the curves of a figure: points, label, and place in the legend */
const seriesOf = (spec, measure) => {
  const curves = [];
  if (spec.together) {
    spec.measures.forEach((column, entry) => {
      const run = data.runs.find((curve) => curve.y[column]);
      if (run) curves.push({ x: alongAxis(run), y: run.y[column], label: name(column), entry });
    });
    return curves;
  }
  const groups = groupsOf(spec);
  for (const run of data.runs) {
    const entry = groups.indexOf(run.group);
    if (run.y[measure] && entry >= 0) curves.push({ x: alongAxis(run), y: run.y[measure], label: run.name, entry, lost: run.lost });
  }
  return curves;
};

const draw = (place, spec, state) => {
  const series = seriesOf(spec, state.measure).filter((curve) => curve.x && !state.hidden.has(curve.entry));
  let dropped = 0;
  const drawn = series.map((curve) => {
    const pairs = [];
    curve.y.forEach((y, i) => {
      const x = curve.x[i];
      if (y === null || x === null || x === undefined) return;
      if ((state.logy && y <= 0) || (axes.logx && x <= 0)) { dropped += 1; return; }
      pairs.push([x, y]);
    });
    return { ...curve, pairs };
  }).filter((curve) => curve.pairs.length);
  const valid = drawn.some((curve) => !curve.lost) ? drawn.filter((curve) => !curve.lost) : drawn;
  const ys = valid.flatMap((curve) => curve.pairs.map((point) => point[1]));
  if (spec.reference && ys.length) ys.push(spec.reference[0]);
  const xScale = scale(drawn.flatMap((curve) => curve.pairs.map((point) => point[0])), axes.logx, LEFT, WIDTH - RIGHT);
  const yScale = scale(ys, state.logy, HEIGHT - BOTTOM, TOP, 0.04);
  const measure = spec.together ? "" : `${name(state.measure)} of ${drawn.length} runs`;
  const label = `${spec.title} ${measure} against ${AXES[axes.axis]}. ${spec.together ? drawn.map((curve) => curve.label).join(", ") : ""}`;
  const svg = node("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label, tabindex: 0 });
  const clip = `clip${redraw.length}-${Math.random().toString(36).slice(2)}`;
  const inside = node("clipPath", { id: clip }, svg);
  node("rect", { x: LEFT - 5, y: TOP - 5, width: WIDTH - LEFT - RIGHT + 10, height: HEIGHT - TOP - BOTTOM + 10 }, inside);
  const curves = node("g", { "clip-path": `url(#${clip})` });
  for (const tick of xScale.ticks) {
    const x = xScale.at(tick);
    node("line", { class: "grid", x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM }, svg);
    node("text", { x, y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" }, svg).textContent = text(tick);
  }
  for (const tick of yScale.ticks) {
    const y = yScale.at(tick);
    node("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y, y2: y }, svg);
    node("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, svg).textContent = text(tick);
  }
  node("path", { class: "frame", d: `M${LEFT} ${TOP}V${HEIGHT - BOTTOM}H${WIDTH - RIGHT}` }, svg);
  node("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 8, "text-anchor": "middle" }, svg).textContent = AXES[axes.axis];
  for (const curve of drawn) {
    curve.points = curve.pairs.map(([x, y]) => [xScale.at(x), yScale.at(y)]);
    const style = `stroke:${color(curve.entry)}`;
    curve.path = curve.points.length > 1
      ? node("polyline", { class: spec.together ? "curve" : "curve many", style, "stroke-dasharray": dash(curve.entry),
        points: curve.points.map((p) => `${p[0].toFixed(1)},${p[1].toFixed(1)}`).join(" ") }, curves)
      : node("circle", { cx: curve.points[0][0], cy: curve.points[0][1], r: 4, style: `fill:${color(curve.entry)}` }, curves);
  }
  svg.appendChild(curves);
  if (spec.reference && drawn.length) {
    const y = yScale.at(spec.reference[0]);
    node("line", { class: "reference", x1: LEFT, x2: WIDTH - RIGHT, y1: y, y2: y }, svg);
    node("text", { class: "reference-text", x: WIDTH - RIGHT, y: y - 5, "text-anchor": "end" }, svg)
      .textContent = `${spec.reference[1]}: ${text(spec.reference[0])}`;
  }
  if (!drawn.length) {
    node("text", { x: WIDTH / 2, y: HEIGHT / 2, "text-anchor": "middle" }, svg).textContent = "nothing is shown";
  }
  place.replaceChildren(svg);
  if (dropped) element("p", `${dropped} points at or below 0 are not shown on a logarithmic axis.`, place).className = "note";
  const lost = drawn.length - valid.length;
  if (lost) element("p", `${lost} of the runs shown diverged or failed: their curves may leave the figure.`, place).className = "note";
  point(place, svg, drawn);
};

/* shows the values of the point next to the pointer, or selected by arrow keys */
const point = (place, svg, drawn) => {
  const tip = element("div", "", place);
  tip.className = "tip";
  tip.hidden = true;
  tip.setAttribute("role", "status");
  const mark = node("circle", { r: 5, fill: "none", "stroke-width": 2, visibility: "hidden" }, svg);
  let active = null;
  const show = (curve, i) => {
    if (active) active.path.classList.remove("hit");
    active = curve;
    curve.path.classList.add("hit");
    const [x, y] = curve.points[i];
    for (const [key, value] of [["cx", x], ["cy", y], ["visibility", "visible"]]) mark.setAttribute(key, value);
    mark.style.stroke = color(curve.entry);
    tip.textContent = `${curve.label}: ${text(curve.pairs[i][1])} at ${text(curve.pairs[i][0])} ${AXES[axes.axis]}`;
    tip.hidden = false;
    const wide = svg.clientWidth;
    tip.style.left = `${Math.min(x / WIDTH * wide + 12, Math.max(0, wide - tip.offsetWidth - 4))}px`;
    tip.style.top = `${y / WIDTH * wide + 12}px`;
  };
  const hide = () => {
    tip.hidden = true;
    mark.setAttribute("visibility", "hidden");
    if (active) active.path.classList.remove("hit");
    active = null;
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * WIDTH, y = (event.clientY - box.top) / box.width * WIDTH;
    let nearest = 900, hit = null;
    for (const curve of drawn) {
      curve.points.forEach(([px, py], i) => {
        const distance = py < TOP - 5 ? Infinity : (px - x) ** 2 + (py - y) ** 2;
        if (distance < nearest) [nearest, hit] = [distance, [curve, i]];
      });
    }
    if (hit) show(...hit); else hide();
  });
  svg.addEventListener("pointerleave", hide);
  const at = { series: 0, i: 0 };
  svg.addEventListener("keydown", (event) => {
    const moves = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
    const move = moves[event.key];
    if (!move || !drawn.length) return;
    event.preventDefault();
    at.series = (at.series + move[0] + drawn.length) % drawn.length;
    at.i = Math.max(0, Math.min(drawn[at.series].points.length - 1, at.i + move[1]));
    show(drawn[at.series], at.i);
  });
  svg.addEventListener("blur", hide);
};

const legend = (tools, spec, state, update) => {
  const entries = spec.together ? spec.measures.map(name) : groupsOf(spec).map((group) => data.groups[group]);
  const box = element("div", "", tools);
  box.className = "legend";
  const buttons = entries.map((label, entry) => {
    const button = element("button", "", null);
    button.type = "button";
    const sample = node("svg", { viewBox: "0 0 26 10", "aria-hidden": "true" }, button);
    node("line", { x1: 0, x2: 26, y1: 5, y2: 5, "stroke-width": 3, style: `stroke:${color(entry)}`, "stroke-dasharray": dash(entry) }, sample);
    button.appendChild(document.createTextNode(label));
    button.addEventListener("click", () => {
      if (!state.hidden.delete(entry)) state.hidden.add(entry);
      press();
      update();
    });
    box.appendChild(button);
    return button;
  });
  const press = () => buttons.forEach((button, entry) => button.setAttribute("aria-pressed", String(!state.hidden.has(entry))));
  if (entries.length > SHOWN) {
    const choose = (words, keeps) => {
      const button = element("button", words, null);
      button.type = "button";
      button.addEventListener("click", () => {
        entries.forEach((_, entry) => (keeps(entry) ? state.hidden.delete(entry) : state.hidden.add(entry)));
        press();
        update();
      });
      tools.insertBefore(button, box);
    };
    choose(`best ${SHOWN}`, (entry) => entry < SHOWN);
    choose("all", () => true);
    choose("none", () => false);
    entries.forEach((_, entry) => entry >= SHOWN && state.hidden.add(entry));
  }
  press();
};

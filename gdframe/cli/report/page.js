"use strict";
(() => {
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
  const NAMES = {
    objective: "objective", train_loss: "training loss", validation_loss: "validation loss",
    gradient_norm: "gradient norm", lr: "learning rate", "theory/gap": "gap to the minimum",
    "curvature/lr_times_lambda_max": "learning rate times largest eigenvalue",
    "loss/step": "loss of a step's batch", "gradient_norm/step": "gradient norm of a step's batch",
  };
  const AXES = { step: "steps", samples: "samples", evaluations: "gradient evaluations", seconds: "seconds of training" };
  const form = document.getElementById("axes");
  const axes = { axis: form ? form.elements.axis.value : "step", logx: false };
  const redraw = [];

  const name = (column) => {
    if (NAMES[column]) return NAMES[column];
    const at = column.indexOf("/");
    const [part, rest] = [column.slice(0, at), column.slice(at + 1)];
    if (part === "gradient_norm") return `gradient norm of ${rest}`;
    if (part === "update_ratio") return `update to weight of ${rest}`;
    if (part === "train") return `${rest}, training`;
    return at < 0 ? column : `${rest}, ${part}`;
  };
  const text = (value) => {
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (size >= 1e6 || size < 1e-3) return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
    return String(Number(value.toPrecision(5)));
  };
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

  const alongAxis = (run) => run.x[axes.axis === "evaluations" ? "step" : axes.axis];

  /* returns the curves of a figure: points, label, and index in the legend */
  const seriesOf = (spec, measure) => {
    const curves = [];
    if (spec.together) {
      spec.measures.forEach((column, entry) => {
        const run = data.runs.find((curve) => curve.y[column]);
        if (run) curves.push({ x: alongAxis(run), y: run.y[column], label: name(column), entry });
      });
      return curves;
    }
    for (const run of data.runs) {
      if (run.y[measure]) curves.push({ x: alongAxis(run), y: run.y[measure], label: run.name, entry: run.group, lost: run.lost });
    }
    return curves;
  };

  const scale = (values, log, low, high) => {
    let least = Infinity, most = -Infinity;
    for (const value of values) {
      if (value < least) least = value;
      if (value > most) most = value;
    }
    if (least === Infinity) [least, most] = log ? [1, 10] : [0, 1];
    if (log) [least, most] = [Math.log10(least), Math.log10(most)];
    if (most - least < 1e-12 * Math.max(1, Math.abs(most))) {
      const half = log ? 0.5 : Math.abs(most) * 0.1 || 0.5;
      [least, most] = [least - half, most + half];
    }
    const at = (value) => low + ((log ? Math.log10(value) : value) - least) / (most - least) * (high - low);
    return { at, ticks: log ? logTicks(least, most) : evenTicks(least, most) };
  };
  const evenTicks = (least, most) => {
    const rough = (most - least) / 5;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
    const ticks = [];
    for (let i = Math.ceil(least / step - 1e-9); i * step <= most + 1e-9 * step; i++) ticks.push(i * step);
    return ticks;
  };
  const logTicks = (least, most) => {
    const every = Math.max(1, Math.ceil((most - least) / 7));
    const ticks = [];
    for (let i = Math.ceil(least - 1e-9); i <= most + 1e-9; i += every) ticks.push(10 ** i);
    if (most - least < 2.2) {
      ticks.length = 0;
      for (let i = Math.floor(least); i <= most; i++) ticks.push(...[1, 2, 5].map((m) => m * 10 ** i));
      const shown = ticks.filter((tick) => Math.log10(tick) > least - 1e-9 && Math.log10(tick) < most + 1e-9);
      if (shown.length >= 2) return shown;
      ticks.length = 0;
    }
    if (ticks.length >= 2) return ticks;
    return evenTicks(10 ** least, 10 ** most).filter((tick) => tick > 0);
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
    const yScale = scale(ys, state.logy, HEIGHT - BOTTOM, TOP);
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
    const entries = spec.together ? spec.measures.map(name) : data.groups;
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

  if (form) {
    for (const radio of form.elements.axis) {
      const key = radio.value === "evaluations" ? "step" : radio.value;
      radio.disabled = !data.runs.some((run) => run.x[key]);
      if (radio.disabled && radio.checked) form.elements.axis.value = axes.axis = "step";
    }
  }

  fit();
  window.addEventListener("resize", () => { if (fit()) redraw.forEach((update) => update()); });

  document.querySelectorAll("figure[data-figure]").forEach((figure) => {
    const spec = data.figures[Number(figure.dataset.figure)];
    const values = seriesOf(spec, spec.measures[0]).flatMap((curve) => curve.y).filter((y) => y !== null);
    const positive = values.length && values.every((y) => y > 0);
    const extremes = values.reduce(([a, b], y) => [Math.min(a, y), Math.max(b, y)], [Infinity, -Infinity]);
    const state = { hidden: new Set(), measure: spec.measures[0], logy: Boolean(positive && extremes[1] > 30 * extremes[0]) };
    const place = figure.querySelector(".plot");
    const tools = element("div", "");
    tools.className = "tools";
    figure.insertBefore(tools, place);
    const update = () => draw(place, spec, state);
    if (!spec.together && spec.measures.length > 1) {
      const chooser = element("label", "show ", tools);
      const select = element("select", "", chooser);
      spec.measures.forEach((column) => { element("option", name(column), select).value = column; });
      select.addEventListener("change", () => { state.measure = select.value; update(); });
    }
    const switcher = element("label", "", tools);
    const box = element("input", "", switcher);
    box.type = "checkbox";
    box.checked = state.logy;
    switcher.appendChild(document.createTextNode(" logarithmic vertical axis"));
    box.addEventListener("change", () => { state.logy = box.checked; update(); });
    legend(tools, spec, state, update);
    redraw.push(update);
    update();
  });

  if (form) {
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", () => {
      axes.axis = form.elements.axis.value;
      axes.logx = form.elements.logx.checked;
      redraw.forEach((update) => update());
    });
  }

  /* opens all details for printing */
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    folded.forEach((part) => { part.open = true; });
  });
  window.addEventListener("afterprint", () => {
    folded.forEach((part) => { part.open = false; });
  });

  /* sorts a table by the column whose head is pressed */
  document.querySelectorAll("table.sortable").forEach((table) => {
    const body = table.tBodies[0];
    if (body.rows.length < 3) return;
    table.querySelectorAll("th").forEach((head, column) => {
      const button = element("button", head.textContent, null);
      button.type = "button";
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const upward = head.getAttribute("aria-sort") !== "ascending";
        table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", upward ? "ascending" : "descending");
        const key = (row) => row.cells[column].textContent;
        const number = (value) => (value === "" ? NaN : Number(value.replaceAll(",", "")));
        const compare = (a, b) => {
          const [p, q] = [number(key(a)), number(key(b))];
          if (!Number.isNaN(p) && !Number.isNaN(q)) return p - q;
          if (Number.isNaN(p) !== Number.isNaN(q)) return Number.isNaN(p) ? 1 : -1;
          return key(a).localeCompare(key(b));
        };
        body.append(...[...body.rows].sort((a, b) => (upward ? compare(a, b) : compare(b, a))));
      });
    });
  });
})();

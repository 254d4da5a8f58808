// The training monitor: buttons, figures, two charts, and a player of reconstructions.

const CHART = 210, LEFT = 46, BELOW = 36;
const ACTIVE = ["starting", "running", "pausing", "paused", "stopping"];
const STATES = {
  ready: "Not started.", starting: "Building the model; the first step compiles it.", running: "Running.", pausing: "Pausing after this step…",
  paused: "Paused. A checkpoint is in the run folder; the model stays in memory.", stopping: "Stopping after this step…",
  stopped: "A checkpoint is in the run folder; Resume continues from it.", finished: "The checkpoint is in the run folder.", failed: "Failed.",
};
/** Say what the training does, or why it ended; a page has no buttons and shows the end only. */
function stateText(state, reason, page) {
  const name = state[0].toUpperCase() + state.slice(1);
  const end = ["finished", "stopped"].includes(state) ? `${name}${reason && `: ${reason}`}. ` : "";
  return page ? end : end + STATES[state];
}
const HELP = [["S", "start or resume"], ["P", "pause"], ["X", "stop"]];

function duration(seconds) {
  if (!(seconds >= 0)) return "–";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
const last = (points) => (points.length ? points[points.length - 1][1] : NaN);
const number = (value, digits) => (Number.isFinite(value) ? value.toLocaleString("en", { maximumFractionDigits: digits, minimumFractionDigits: digits }) : "–");

function render({ model, el }) {
  const page = model.get("page"), send = (what) => { if (!kernel.gone) model.send({ do: what }); };
  const start = h("button", { class: "vq-primary vq-start", onclick: () => send("start") });
  const pause = h("button", { class: "vq-pause", onclick: () => send("pause") }, ...symbol("❚❚", "Pause"));
  const stop = h("button", { class: "vq-stop", onclick: () => send("stop") }, ...symbol("■", "Stop"));
  const fill = h("div", { class: "vq-fill" }), bar = h("div", { class: "vq-progress", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": "share of the training that is done" }, fill);
  const steps = h("span", { class: "vq-time vq-steps" });
  const status = h("div", { class: "vq-note vq-state", role: "status" }), problem = h("div", { class: "vq-problem" }), doctor = h("div", { class: "vq-doctor" });
  const tiles = h("div", { class: "vq-tiles" });
  const loss = chart("loss and held-out loss over steps"), codes = chart("codes over steps");
  const charts = h("div", { class: "vq-columns" }, loss.box, codes.box);
  const within = h("div", { class: "vq-within" });
  el.append(...[model.get("title") && h("div", { class: "vq-title" }, model.get("title")),
    h("div", { class: "vq-bar" }, ...(page ? [] : [start, pause, stop]), bar, steps), status, doctor, problem, tiles, charts, within,
    page ? null : h("div", { class: "vq-help" }, ...helpOf(HELP))].filter(Boolean));
  prepareRoot(el, "monitor", model.get("title") || "training", onkey);
  const kernel = watchKernel(model, el, () => dress());

  function chart(label) {
    const title = h("div", { class: "vq-legend" }), canvas = h("canvas", { role: "img", "aria-label": label }), over = h("canvas");
    const stack = h("div", { class: "vq-stack" }, canvas, over), box = h("div", { class: "vq-map" }, title, stack);
    const all = { box, title, stack, canvas, over, hover: null, lines: [] };
    over.onpointermove = (event) => { all.hover = event.clientX - over.getBoundingClientRect().left; drawHover(all); };
    over.onpointerleave = () => { all.hover = null; drawHover(all); };
    return all;
  }

  // ---- what is said of the training
  function advise() {
    doctor.replaceChildren(...model.get("diagnosis").map(({ text, copied }) => {
      if (!copied) return h("div", { class: "vq-note" }, text);
      const remedy = h("code", {}, copied);
      return h("div", { class: "vq-note vq-finding" }, `${text} `, remedy, " ", h("button", { class: "vq-copy", onclick: () => copy(remedy) }, "Copy remedy"));
    }));
  }
  /** Copy the text of an element; where the browser does not allow it, select it. */
  async function copy(element) {
    getSelection().selectAllChildren(element);
    try { await navigator.clipboard.writeText(element.textContent); } catch { document.execCommand("copy"); }
  }

  // ---- figures
  function dress() {
    const state = model.get("state"), { step = 0, steps: all = 0, share: done = 0, seconds = 0, speed = 0, left = -1 } = model.get("progress");
    const about = model.get("about"), curves = model.get("curves"), active = ACTIVE.includes(state);
    start.replaceChildren(...symbol("▶", state === "paused" || step ? "Resume" : "Start"));
    allow(start, kernel.gone ? GONE : active && state !== "paused" ? `the training is ${state}` : state === "finished" ? "all its steps are taken, or its time is spent" : "");
    allow(pause, kernel.gone ? GONE : ["starting", "running"].includes(state) ? "" : "the training is not running");
    allow(stop, kernel.gone ? GONE : !active ? "the training is not running" : state === "stopping" ? "the training stops after this step" : "");
    const share = 100 * done;
    fill.style.width = `${share}%`;
    bar.setAttribute("aria-valuenow", share.toFixed(0));
    steps.textContent = `step ${number(step, 0)} of ${number(all, 0)}`;
    steps.dataset.step = step;
    el.dataset.state = state;
    const ended = kernel.gone && active;
    status.textContent = [ended ? "The training ended with its kernel; its last checkpoint is in the run folder." : stateText(state, model.get("reason"), page), about.stage, about.where && `run folder: ${about.where}`].filter(Boolean).join("  ·  ");
    problem.textContent = model.get("problem");
    problem.hidden = !problem.textContent;
    const K = about.codes, of = K ? ` of ${number(K, 0)}` : "";
    const [own, predicted] = about.lpc ? [", own filters", ", predicted filters"] : ["", ""];
    const shown = [["loss", number(last(curves.loss), 3), about.unit + own], ["held-out loss", number(last(curves.held_out), 3), about.unit + predicted],
      ...(K ? [["codes in use", number(last(curves.codes), 0), of], ["dead codes", number(last(curves.dead), 0), of], ["perplexity", number(last(curves.perplexity), 1), "codes"]] : []),
      ["speed", !speed ? "–" : about.rate ? `${number(speed / about.rate, 1)} ×` : number(speed, 0), about.rate ? "real time" : "samples/s"], ["trained", duration(seconds), ""], ["time left", active && !ended ? duration(left) : "–", about.stage ? "of this stage" : ""]];
    tiles.style.setProperty("--tiles", K ? 4 : shown.length); // full rows
    tiles.replaceChildren(...shown.map(([name, value, unit]) => h("div", { class: "vq-tile" }, h("span", {}, name), h("b", {}, value), h("small", {}, unit))));
    codes.box.hidden = !K;
  }

  // ---- charts
  const colours = () => ({ first: colourOf(el, "--accent"), second: colourOf(el, "--mark"), third: colourOf(el, "--faint") });
  function draw() {
    const curves = model.get("curves"), { codes: K, unit, lpc } = model.get("about"), { first, second, third } = colours();
    drawChart(loss, `${unit}`, [[lpc ? "training, filters of the recording" : "training", curves.loss, first], [lpc ? "held-out utterances, predicted filters" : "held-out utterances", curves.held_out, second, "dots"]], null);
    if (K) drawChart(codes, "codes", [["in use", curves.codes, first], ["perplexity", curves.perplexity, second, "dashes"], ["dead", curves.dead, third, "fine"]], [0, K]);
  }
  function drawChart(all, unit, lines, range) {
    const width = all.stack.clientWidth;
    if (width < 2 * LEFT) return;
    const g = fitCanvas(all.canvas, width, CHART), faint = colourOf(el, "--faint"), line = colourOf(el, "--line");
    all.title.replaceChildren(...lines.map(([name, , colour, style]) => h("span", { class: "vq-key" }, swatch(colour, style), name)), h("span", { class: "vq-unit" }, unit));
    const points = lines.flatMap(([, pairs]) => pairs), inner = width - LEFT - 10, tall = CHART - BELOW - 8;
    const end = Math.max(model.get("progress").step || 0, ...points.map(([x]) => x), 1);
    const values = points.map(([, y]) => y), low = range ? range[0] : Math.min(...values), high = range ? range[1] : Math.max(...values);
    const pad = range ? 0 : Math.max(0.04 * (high - low), 0.01), bottom = low - pad, top = high + pad;
    g.fillStyle = colourOf(el, "--field"); g.fillRect(LEFT, 8, inner, tall);
    g.fillStyle = faint; g.textAlign = "center";
    g.fillText("training step", LEFT + inner / 2, CHART - 8);
    if (!points.length) { g.fillText("no measurements yet", LEFT + inner / 2, 8 + tall / 2); all.axes = null; drawHover(all); return; }
    const xOf = (x) => LEFT + (x / end) * inner, yOf = (y) => 8 + tall * (1 - (y - bottom) / (top - bottom));
    const across = Math.max(1, niceStep(end, inner, 70)), up = niceStep(top - bottom, tall, 34), digits = Math.max(0, -Math.floor(Math.log10(up) + 1e-9));
    for (let n = 0; n * across <= end; n++) {
      g.fillStyle = line; g.fillRect(xOf(n * across), 8 + tall, 1, 4);
      g.fillStyle = faint; g.fillText(number(n * across, 0), Math.min(xOf(n * across), width - 16), CHART - BELOW + 14);
    }
    g.textAlign = "right";
    for (let n = Math.ceil(bottom / up); n * up <= top + 1e-9; n++) {
      g.fillStyle = line; g.globalAlpha = 0.5; g.fillRect(LEFT, yOf(n * up), inner, 1); g.globalAlpha = 1;
      g.fillStyle = faint; g.fillText(number(n * up, digits), LEFT - 6, yOf(n * up));
    }
    for (const [, pairs, colour, style] of lines) {
      g.strokeStyle = g.fillStyle = colour; g.lineWidth = style === "fine" ? 1.2 : 2; g.lineJoin = "round";
      g.setLineDash(style === "dashes" ? [6, 4] : style === "fine" ? [2, 3] : []);
      g.beginPath(); pairs.forEach(([x, y], n) => (n ? g.lineTo(xOf(x), yOf(y)) : g.moveTo(xOf(x), yOf(y)))); g.stroke();
      g.setLineDash([]);
      if (style === "dots" || pairs.length === 1) pairs.forEach(([x, y]) => { g.beginPath(); g.arc(xOf(x), yOf(y), pairs.length > 60 ? 2 : 3.5, 0, 7); g.fill(); });
    }
    Object.assign(all, { lines, axes: { xOf, yOf, end, inner, tall, digits: range ? 0 : 3 } });
    drawHover(all);
  }
  function swatch(colour, style) {
    const canvas = h("canvas"), g = fitCanvas(canvas, 22, 12);
    canvas.style.width = "22px";
    g.strokeStyle = g.fillStyle = colour; g.lineWidth = style === "fine" ? 1.2 : 2;
    g.setLineDash(style === "dashes" ? [6, 4] : style === "fine" ? [2, 3] : []);
    g.beginPath(); g.moveTo(0, 6); g.lineTo(22, 6); g.stroke();
    if (style === "dots") { g.beginPath(); g.arc(11, 6, 3.5, 0, 7); g.fill(); }
    return canvas;
  }
  /** Show the values under the pointer. */
  function drawHover(all) {
    const width = all.stack.clientWidth, g = fitCanvas(all.over, width, CHART), axes = all.axes;
    if (all.hover === null || !axes || all.hover < LEFT) return;
    const at = ((all.hover - LEFT) / axes.inner) * axes.end;
    const values = all.lines.filter(([, pairs]) => pairs.length).map(([name, pairs, colour]) => [name, pairs.reduce((a, b) => (Math.abs(b[0] - at) < Math.abs(a[0] - at) ? b : a)), colour]);
    const x = axes.xOf(values[0][1][0]);
    g.fillStyle = colourOf(el, "--faint"); g.fillRect(x, 8, 1, axes.tall);
    for (const [, [a, b], colour] of values) { g.fillStyle = colour; g.beginPath(); g.arc(axes.xOf(a), axes.yOf(b), 4, 0, 7); g.fill(); }
    const text = [`step ${number(values[0][1][0], 0)}`, ...values.map(([name, [, value]]) => `${name} ${number(value, axes.digits)}`)];
    const wide = Math.max(...text.map((line) => g.measureText(line).width)) + 12, tall = 17 * text.length + 6;
    const left = x + 8 + wide > width ? x - 8 - wide : x + 8;
    g.fillStyle = colourOf(el, "--paper"); g.strokeStyle = colourOf(el, "--line"); g.lineWidth = 1;
    g.fillRect(left, 14, wide, tall); g.strokeRect(left + 0.5, 14.5, wide, tall);
    g.fillStyle = colourOf(el, "--ink"); g.textAlign = "left";
    text.forEach((line, n) => g.fillText(line, left + 6, 26 + 17 * n));
  }

  // ---- what the user does
  function onkey({ key }) {
    if (page) return false;
    const button = { s: start, p: pause, x: stop }[key.toLowerCase()];
    if (!button) return false;
    if (!button.disabled) button.click();
    return true;
  }
  let gone = false, leavePlayer = () => {};
  modelWithin(model, "player").then((inner) => {
    if (!inner || gone) return;
    const box = h("div");
    within.append(box);
    leavePlayer = player.render({ model: inner, el: box });
  });
  const all = () => { dress(); draw(); advise(); };
  const unfollow = follow(model, { "state progress problem reason": dress, "curves about": all, diagnosis: advise });
  const resize = new ResizeObserver(draw);
  resize.observe(charts);
  const unwatch = watchTheme(el, draw);
  all();
  return () => { gone = true; leavePlayer(); kernel.leave(); unfollow(); unwatch(); resize.disconnect(); };
}

export default { ...hooks, render };

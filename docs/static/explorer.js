(() => {
const KIND = "explorer";
// What all widgets share: elements, bytes, theme, canvases, sound. Prepended to each widget.

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const rgb = (table, index) => `rgb(${table[3 * index]},${table[3 * index + 1]},${table[3 * index + 2]})`;

/** Make an element: h("button", { class: "x", onclick: f }, "text", child). */
function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (key.startsWith("on")) node[key] = value;
    else if (value !== false && value != null) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

/** The content of a button: a symbol, which is not read out, and its text. */
const symbol = (sign, text) => [h("span", { "aria-hidden": "true" }, `${sign} `), text];

/** Copy the bytes of a trait (a DataView) into a typed array. */
function bytesOf(view, Type = Uint8Array) {
  if (!view || !view.byteLength) return new Type(0);
  const buffer = view.buffer ?? view;
  const start = view.byteOffset ?? 0;
  return new Type(buffer.slice(start, start + view.byteLength));
}

/** Codes of a trait, N numbers or N lists of Q numbers, as N lists. */
const framesOf = (codes) => codes.map((code) => [code].flat());

const floatsOf = (view) => Float32Array.from(bytesOf(view, Int16Array), (sample) => sample / 32767);

function formatTime(seconds, digits = 2) {
  const minutes = Math.floor(seconds / 60);
  const rest = (seconds - 60 * minutes).toFixed(digits);
  return minutes ? `${minutes}:${rest.padStart(digits + 3, "0")}` : rest;
}

/** Prepare the root element of a widget; keys stay in it instead of reaching JupyterLab. */
function prepareRoot(el, name, label, onkey) {
  el.classList.add("vq", `vq-${name}`);
  el.tabIndex = 0;
  el.setAttribute("role", "group");
  el.setAttribute("aria-label", label);
  // On the focused element itself, too: Notebook 7 has shortcuts, such as O, of whatever has the focus.
  el.addEventListener("focusin", (event) => event.target.setAttribute("data-lm-suppress-shortcuts", "true"));
  el.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input, select");
    const pressing = event.target.matches("button") && ["Enter", " "].includes(event.key);
    if (typing || pressing) { event.stopPropagation(); return; }
    if (onkey(event)) { event.preventDefault(); event.stopPropagation(); }
  });
  // A button clicked by mouse would otherwise receive the space bar instead of the player.
  el.addEventListener("click", (event) => { if (event.detail && event.target.closest("button")?.closest(".vq") === el) el.focus({ preventScroll: true }); });
}

const GONE = "The kernel of this widget is gone: run its cell again. Sounds that are in the page still play.";

/** The keys of the widgets on the page whose kernel is gone. */
const goneKeys = () => (globalThis.vqwnGone ??= new Set());

/** Jupyter calls this once per widget, before it is shown; later it says that the kernel is lost. */
const hooks = { initialize({ model }) { model.on("comm_live_update", () => { goneKeys().add(model.get("key")); }); } };

/**
 * Watch the kernel of a widget. When it is restarted, dies or is shut down, a notice is shown in `el`
 * and `changed` is called. Returns { gone, leave }.
 */
function watchKernel(model, el, changed) {
  const notice = h("div", { class: "vq-problem vq-gone", role: "alert" });
  const kernel = { gone: false, leave: () => model.off("comm_live_update", lose) };
  function lose() {
    kernel.gone = true;
    goneKeys().add(model.get("key"));
    notice.textContent = GONE;
    if (!el.parentElement?.closest(".vq")) el.prepend(notice); // else the outer widget shows it
    changed();
  }
  model.on("comm_live_update", lose);
  if (goneKeys().has(model.get("key"))) setTimeout(lose); // shown again later
  return kernel;
}

/** Enable a control; or disable it and say why, as its tooltip and description. */
function allow(node, reason = "") {
  node.hint ??= node.title;
  node.disabled = Boolean(reason);
  node.title = reason || node.hint;
}

/** Disable the controls in an element that need the kernel, which is gone. */
const disableAll = (el) => el.querySelectorAll("button:not(.vq-part), select, input").forEach((node) => allow(node, GONE));

/** Black or white, whichever has the higher contrast on a colour of 0 to 255: at least 4.5. */
function readableOn(red, green, blue) {
  const [r, g, b] = [red, green, blue].map((part) => (part <= 10 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

const OPEN_HELP = ["O", "open the page"];
const helpOf = (keys) => keys.flatMap(([key, what]) => [h("span", {}, h("kbd", {}, key), ` ${what}`), " "]);

/** Replace an element's children; the button that had the focus keeps it. */
function refill(parent, ...children) {
  const buttons = () => [...parent.querySelectorAll("button")];
  const focused = buttons().indexOf(parent.getRootNode().activeElement);
  parent.replaceChildren(...children);
  if (focused >= 0) buttons()[Math.min(focused, buttons().length - 1)]?.focus({ preventScroll: true });
}

/**
 * Whether the page around an element is dark: by Jupyter's colours, else by the page's CSS
 * `color-scheme`, as in marimo, else by the system's theme.
 */
function isDark(el) {
  const style = getComputedStyle(el);
  if (style.getPropertyValue("--jp-layout-color1")) {
    const [r, g, b] = style.backgroundColor.match(/[\d.]+/g).map(Number);
    return 0.299 * r + 0.587 * g + 0.114 * b < 128;
  }
  const [light, dark] = ["light", "dark"].map((word) => style.colorScheme.split(" ").includes(word));
  return light === dark ? matchMedia("(prefers-color-scheme: dark)").matches : dark;
}

/** Set the class of the dark theme, and call back when it changes. */
function watchTheme(el, changed) {
  const dress = () => el.classList.toggle("vq-dark", isDark(el));
  const update = () => {
    if (!el.isConnected) return; // JupyterLab removes distant cells from the page
    dress();
    changed();
  };
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const observer = new MutationObserver(() => setTimeout(update, 60)); // the new styles are applied later
  observer.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-name", "data-jp-theme-light", "data-theme", "class"] });
  scheme.addEventListener("change", update);
  const back = new ResizeObserver(update); // also called when the cell is put back
  back.observe(el);
  const late = [0, 400].map((wait) => setTimeout(update, wait));
  dress();
  return () => { observer.disconnect(); back.disconnect(); scheme.removeEventListener("change", update); late.forEach(clearTimeout); };
}

const colourOf = (el, name) => getComputedStyle(el).getPropertyValue(name).trim();

/** Fit a canvas to its box at the screen's resolution; returns its context, in CSS pixels. */
function fitCanvas(node, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (node.width !== w || node.height !== h) { node.width = w; node.height = h; }
  node.style.height = `${height}px`;
  const context = node.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = "12px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif";
  context.textBaseline = "middle";
  return context;
}

/** Round steps of an axis: 1, 2 or 5 times a power of ten, at least `least` pixels apart. */
function niceStep(span, pixels, least) {
  const raw = (span * least) / pixels;
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((n) => n * power).find((step) => step >= raw);
}

/** One audio context for each sample rate on the page, so that nothing is resampled here. */
function contextOf(rate) {
  const all = (globalThis.vqwnContexts ??= new Map());
  if (!all.has(rate)) all.set(rate, new AudioContext({ sampleRate: rate, latencyHint: "interactive" }));
  return all.get(rate);
}

/**
 * Plays tracks that run together, of which one is audible; dispatches `change` when it starts or
 * stops. Only one transport of a page plays at a time.
 */
class Transport extends EventTarget {
  constructor(rate) {
    super();
    Object.assign(this, { rate, tracks: [], active: 0, decibels: [], loop: null, views: 0 });
    Object.assign(this, { offset: 0, startedAt: null, sources: [], gains: [], limits: null });
  }

  get context() { return contextOf(this.rate); }
  get playing() { return this.startedAt !== null; }
  get duration() { return Math.max(0, ...this.tracks.map((track) => track.length)) / this.rate; }

  get position() {
    if (!this.playing) return this.offset;
    const now = this.offset + Math.max(0, this.context.currentTime - this.startedAt);
    if (!this.limits) return Math.min(now, this.duration);
    const [start, end] = this.limits;
    return now < end ? now : start + ((now - start) % (end - start));
  }

  load(tracks, offset = 0) {
    this.stop();
    Object.assign(this, { tracks, offset, active: Math.min(this.active, tracks.length - 1) });
  }

  volume(index) { return index === this.active ? 10 ** ((this.decibels[index] || 0) / 20) : 0; }

  play() {
    if (this.playing || !this.duration) return;
    globalThis.vqwnPlaying?.stop();
    globalThis.vqwnPlaying = this;
    const context = this.context;
    context.resume();
    if (this.loop && (this.offset < this.loop[0] || this.offset >= this.loop[1])) this.offset = this.loop[0];
    if (this.offset >= this.duration - 1e-3) this.offset = 0;
    this.limits = this.loop;
    const start = context.currentTime + 0.02;
    this.master = context.createGain();
    this.master.gain.setValueAtTime(0, start);
    this.master.gain.linearRampToValueAtTime(1, start + 0.004); // a sudden start would click
    this.master.connect(context.destination);
    this.gains = this.tracks.map((_, index) => {
      const gain = context.createGain();
      gain.gain.value = this.volume(index);
      gain.connect(this.master);
      return gain;
    });
    this.sources = this.tracks.map((track, index) => {
      const buffer = context.createBuffer(1, track.length, this.rate);
      buffer.copyToChannel(track, 0);
      const source = context.createBufferSource();
      source.buffer = buffer;
      if (this.limits) Object.assign(source, { loop: true, loopStart: this.limits[0], loopEnd: this.limits[1] });
      source.connect(this.gains[index]);
      source.start(start, this.offset);
      return source;
    });
    const longest = this.sources.reduce((a, b) => (a.buffer.length >= b.buffer.length ? a : b));
    longest.onended = () => { if (this.sources.includes(longest)) { this.stop(); this.offset = this.loop ? this.loop[0] : 0; this.notify(); } };
    this.startedAt = start;
    this.notify();
  }

  stop() {
    if (!this.playing) return;
    this.offset = this.position;
    const now = this.context.currentTime;
    this.master.gain.cancelScheduledValues(now);
    this.master.gain.setValueAtTime(this.master.gain.value, now);
    this.master.gain.linearRampToValueAtTime(0, now + 0.008);
    this.sources.forEach((source) => { source.onended = null; source.stop(now + 0.02); });
    this.sources = [];
    this.startedAt = null;
    this.notify();
  }

  seek(seconds) {
    const was = this.playing;
    if (was) this.stop();
    this.offset = clamp(seconds, 0, this.duration);
    if (was) this.play();
    this.notify();
  }

  setLoop(loop) {
    this.loop = loop;
    if (this.playing) this.seek(this.position);
  }

  /** Switch to another track, or level, within 12 ms and without a click. */
  choose(index, decibels = this.decibels) {
    Object.assign(this, { active: index, decibels });
    if (!this.playing) return;
    const now = this.context.currentTime;
    this.gains.forEach((gain, track) => {
      gain.gain.cancelScheduledValues(now);
      gain.gain.setValueAtTime(gain.gain.value, now);
      gain.gain.linearRampToValueAtTime(this.volume(track), now + 0.012);
    });
  }

  notify() { this.dispatchEvent(new Event("change")); }
}

/** The transport of a widget, which all its views on the page share. */
function transportOf(key, rate) {
  const all = (globalThis.vqwnTransports ??= new Map());
  if (!all.has(key)) all.set(key, new Transport(rate));
  const transport = all.get(key);
  transport.views += 1;
  const leave = () => { if (--transport.views === 0) { transport.stop(); all.delete(key); } };
  return [transport, leave];
}

/**
 * Follow traits: follow(model, { "active loop": f }) calls f after changes, once for all that come
 * together: Jupyter sets the traits of a message at once, marimo one after another in any order.
 * Returns how to end it.
 */
function follow(model, handlers) {
  const waiting = new Set();
  let ended = false;
  const pairs = Object.entries(handlers).flatMap(([names, call]) => {
    const run = () => { waiting.delete(call); if (!ended) call(); };
    const later = () => { if (!waiting.has(call)) { waiting.add(call); queueMicrotask(run); } };
    return names.split(" ").map((name) => [`change:${name}`, later]);
  });
  pairs.forEach(([event, call]) => model.on(event, call));
  return () => { ended = true; pairs.forEach(([event, call]) => model.off(event, call)); };
}

/** Set traits and send them to Python. */
function put(model, values) {
  for (const [name, value] of Object.entries(values)) model.set(name, value);
  model.save_changes();
}

/** Replaces Jupyter's model in a page of its own: traits in memory, which are sent nowhere. */
function pageModel(text) {
  const unpack = (value) => {
    if (Array.isArray(value)) return value.map(unpack);
    if (!value || typeof value !== "object") return value;
    if (typeof value.base64 === "string") return new DataView(Uint8Array.from(atob(value.base64), (c) => c.charCodeAt(0)).buffer);
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unpack(item)]));
  };
  return modelOf(unpack(JSON.parse(text)));
}

function modelOf(state) {
  const calls = new Map();
  return {
    get: (name) => state[name],
    set(name, value) {
      if (JSON.stringify(state[name]) === JSON.stringify(value)) return;
      state[name] = value;
      [...(calls.get(`change:${name}`) ?? [])].forEach((call) => call());
    },
    on(event, call) { calls.set(event, [...(calls.get(event) ?? []), call]); },
    off(event, call) { calls.set(event, (calls.get(event) ?? []).filter((other) => other !== call)); },
    save_changes() {},
    send() {},
  };
}

/** The model of a widget within a widget, by its trait; null where there is none. */
async function modelWithin(model, name) {
  const value = model.get(name);
  if (!value) return null;
  return typeof value === "string" ? model.widget_manager.get_model(value.slice("IPY_MODEL_".length)) : modelOf(value);
}

/**
 * Opens what belongs to a number, such as the page of a code, in `box`: the widget that Python makes
 * of it, by anywidget's `host`, while the `kernel` is not gone, or in a page of its own the file that
 * `hrefs` names.
 */
function openerOf(model, box, kernel, host) {
  let shown = null, view = new AbortController(); // which ends the view that is shown
  const waiting = h("div", { class: "vq-note", role: "status" });
  const hrefs = () => model.get("hrefs") ?? {};
  async function show() {
    const opened = model.get("opened"), refused = model.get("refused");
    if (refused) box.replaceChildren(h("div", { class: "vq-problem", role: "alert" }, refused));
    if (!opened || opened === shown || !host) return;
    shown = opened;
    view.abort();
    const { signal } = (view = new AbortController());
    const widget = await host.getWidget(opened.replace("IPY_MODEL_", "anywidget:")), root = h("div");
    if (signal.aborted) return;
    box.replaceChildren(root);
    await widget.render({ el: root, signal });
    requestAnimationFrame(() => root.scrollIntoView({ block: "nearest", behavior: "smooth" }));
  }
  const unfollow = follow(model, { "opened refused": show }), lose = () => waiting.remove();
  model.on("comm_live_update", lose);
  show();
  return {
    ready: () => Boolean(model.get("opens")) || Object.keys(hrefs()).length > 0,
    text: (number) => `${model.get("opens") || "page of code"}${number === undefined ? "" : ` ${number}`}`,
    /** Why what belongs to a number cannot be opened; "" where it can. */
    refusal(number) {
      if (hrefs()[number]) return "";
      if (kernel.gone) return GONE;
      return model.get("opens") ? "" : "this file has no page of it";
    },
    open(number) {
      const file = hrefs()[number];
      if (file) { location.href = file; return; }
      if (!model.get("opens") || kernel.gone) return;
      waiting.textContent = `Opening ${model.get("opens")} ${number} …`;
      box.replaceChildren(waiting);
      shown = null;
      model.send({ do: "open", number });
    },
    leave: () => { view.abort(); unfollow(); model.off("comm_live_update", lose); },
  };
}

/** Decode any sound that the browser knows to 16-bit samples of one channel at a rate. */
async function decode(blob, name, wanted, most) {
  const rate = wanted >= 8000 && wanted <= 96000 ? wanted : 48000; // the rates that every browser supports
  let sound;
  try { sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(await blob.arrayBuffer()); }
  catch { throw new Error(`${name}: this browser cannot decode it${blob.type ? ` (${blob.type})` : ""}. Give a WAV, FLAC, MP3 or Ogg file.`); }
  if (!sound.length) throw new Error(`${name}: it contains no sound.`);
  const length = Math.min(sound.length, Math.ceil(most * rate) + 1), pcm = new Int16Array(length);
  const channels = [...Array(sound.numberOfChannels).keys()].map((n) => sound.getChannelData(n));
  for (let k = 0; k < length; k++) {
    let sum = 0;
    for (const channel of channels) sum += channel[k];
    pcm[k] = Math.round(32767 * clamp(sum / channels.length, -1, 1));
  }
  return { pcm, rate };
}

/** Take a file that is dropped on a widget, where `ready` says so. */
function takeDrops(el, ready, take) {
  el.addEventListener("dragover", (event) => { if ([...event.dataTransfer.types].includes("Files")) { event.preventDefault(); event.stopPropagation(); el.classList.toggle("vq-drop", ready()); } });
  el.addEventListener("dragleave", () => el.classList.remove("vq-drop"));
  el.addEventListener("drop", (event) => {
    const dropped = event.dataTransfer.files[0];
    el.classList.remove("vq-drop");
    if (!dropped) return;
    event.preventDefault(); event.stopPropagation();
    if (ready()) take(dropped);
  });
}

// The explorer: points on maps, with facts, links to other points, and a sound on each click.

/** What other maps mark in a map, by its key: { points, from, text }. */
const marks = (globalThis.vqwnMarks ??= new Map());
const MARGIN = 30, MAP_HEIGHT = 470;
const HELP = [["← ↑ → ↓", "next point"], ["Enter", "play"], ["1–9", "sound"], ["/", "find"], ["C", "colour"], ["M", "map"],
  ["+ − 0", "zoom"], ["Shift drag", "choose points"], ["Esc", "clear selection"]];

function render({ model, el, host }) {
  const names = model.get("names"), count = names.length;
  const numbers = bytesOf(model.get("numbers"), Int32Array), sizes = bytesOf(model.get("sizes"), Float32Array);
  const crosses = bytesOf(model.get("crosses")), viridis = bytesOf(model.get("viridis")), palette = model.get("palette");
  const maps = model.get("maps").map(({ name, xy }) => ({ name, xy: unit(bytesOf(xy, Float32Array)) }));
  const colours = model.get("colours").map((colour) => ({ ...colour, values: bytesOf(colour.values, { number: Float32Array, rgb: Uint8Array, name: Int32Array }[colour.kind]) }));
  const links = model.get("links").map((link) => ({ ...link, to: bytesOf(link.to, Int32Array), weights: bytesOf(link.weights, Float32Array) }));
  const facts = model.get("facts"), sounds = model.get("sounds");
  const rate = model.get("sample_rate");
  const [transport, leave] = transportOf(model.get("key"), rate);
  const played = (transport.played ??= new Map(Object.entries(model.get("played") ?? {}).map(([key, pcm]) => [key, floatsOf(pcm)])));
  const order = [...sizes.keys()].sort((a, b) => crosses[a] - crosses[b] || sizes[b] - sizes[a]); // small dots and crosses on top
  const uniform = sizes.every((size) => size === sizes[0]);
  const largest = count <= 60 ? 13 : count <= 700 ? 12 : uniform ? 4.5 : 7, least = count <= 700 ? 3 : 2.2;
  const radius = (n) => (crosses[n] ? 4 : (least + (largest - least) * Math.sqrt(sizes[n])) * view()[2] ** 0.4);
  let hover = -1, focus = -1, pending = null, width = 0, drag = null, positions = new Float32Array(2 * count), message = "";

  const mapBar = h("span", { class: "vq-bar", style: "margin:0" });
  const colourSelect = h("select", { class: "vq-colour", onchange: () => put(model, { colour: Number(colourSelect.value) }) },
    ...colours.map(({ name }, n) => h("option", { value: n }, name)));
  const search = h("input", { class: "vq-search", size: 12, placeholder: "name, number", "aria-label": "find by number or name", onkeydown: onsearch });
  const zoomBar = h("span", { class: "vq-bar", style: "margin:0" }, ...[["−", "zoom out", () => zoom(0.6)], ["+", "zoom in", () => zoom(1 / 0.6)], ["all", "show all", () => put(model, { view: [] })]]
    .map(([text, title, onclick]) => h("button", { title, "aria-label": title, onclick }, text)));
  const base = h("canvas", { "aria-hidden": "true" }), over = h("canvas", { "aria-hidden": "true" }), tip = h("div", { class: "vq-tip", hidden: true });
  const stack = h("div", { class: "vq-stack vq-map", tabindex: 0, role: "application", "aria-label": `map of ${count} points: arrow keys move, Enter plays` }, base, over, tip);
  const announced = h("div", { class: "vq-unseen", role: "status" }); // what a screen reader says of the selected point
  const side = h("div", { class: "vq-side" }), legend = h("div", { class: "vq-legend" });
  const status = h("div", { class: "vq-note vq-status", role: "status" });
  const kernel = watchKernel(model, el, () => { pending = null; message = ""; dress(); });
  const below = h("div", { class: "vq-within" }), door = openerOf(model, below, kernel, host), opens = (n) => door.ready() && (model.get("opens") || (model.get("hrefs") ?? {})[n]);
  const help = h("div", { class: "vq-help" }, ...helpOf([...HELP, ...(door.ready() ? [OPEN_HELP] : [])]));
  el.append(...[model.get("title") && h("div", { class: "vq-title" }, model.get("title")),
    h("div", { class: "vq-bar" }, mapBar, colours.length ? h("label", {}, "colour", colourSelect) : null, h("label", {}, "find", search), h("span", { class: "vq-grow" }), zoomBar),
    h("div", { class: "vq-columns" }, stack, side), legend, status, announced, help, below].filter(Boolean));
  prepareRoot(el, "explorer", model.get("title") || "explorer", onkey);

  // ---- where things are drawn
  const view = () => { const v = model.get("view"); return v.length === 3 ? v : [0.5, 0.5, 1]; };
  function positionAll() {
    const { xy } = maps[model.get("map")], [cx, cy, scale] = view();
    const wide = width - 2 * MARGIN, tall = MAP_HEIGHT - 2 * MARGIN;
    for (let n = 0; n < count; n++) {
      positions[2 * n] = MARGIN + wide * (0.5 + scale * (xy[2 * n] - cx));
      positions[2 * n + 1] = MARGIN + tall * (0.5 - scale * (xy[2 * n + 1] - cy));
    }
    over.positions = positions;
  }
  const colour = () => colours[model.get("colour")];
  function paint() { // a function of a point's number: its fill
    const faint = colourOf(el, "--faint"), accent = colourOf(el, "--accent"), chosen = colour();
    if (!chosen) return () => accent;
    if (chosen.kind === "rgb") return (n) => rgb(chosen.values, n);
    if (chosen.kind === "name") return (n) => (chosen.values[n] < 0 ? faint : palette[chosen.values[n] % palette.length]);
    const scale = chosen.log ? Math.log : (value) => value, [low, high] = rangeOf(chosen.values).map(scale);
    return (n) => (Number.isFinite(chosen.values[n]) ? rgb(viridis, Math.round(255 * clamp((scale(chosen.values[n]) - low) / (high - low || 1), 0, 1))) : faint);
  }
  const shapeOf = (n) => { const chosen = colour(); return chosen?.kind === "name" && chosen.values[n] >= 0 ? Math.floor(chosen.values[n] / palette.length) % 4 : 0; };

  function draw() {
    width = stack.clientWidth;
    if (width < 100) return;
    positionAll();
    const g = fitCanvas(base, width, MAP_HEIGHT), fill = paint(), chosen = colour();
    const faint = colourOf(el, "--faint"), paper = colourOf(el, "--paper"), rim = colourOf(el, "--rim"), ink = colourOf(el, "--ink");
    g.fillStyle = colourOf(el, "--field"); g.fillRect(0, 0, width, MAP_HEIGHT);
    for (const n of order) {
      const dim = focus >= 0 && (!chosen?.values || chosen.values[n] !== focus);
      g.globalAlpha = dim ? 0.12 : crosses[n] ? 0.6 : 0.9;
      if (crosses[n]) { g.strokeStyle = ink; drawCross(g, positions[2 * n], positions[2 * n + 1], 3); continue; }
      g.fillStyle = fill(n); g.strokeStyle = rim; g.lineWidth = 1;
      drawMark(g, shapeOf(n), positions[2 * n], positions[2 * n + 1], radius(n)); g.fill(); g.stroke();
    }
    g.globalAlpha = 1;
    if (chosen?.labels?.length) drawInside(g, chosen, fill);
    else if (count <= 60) drawBeside(g, ink, paper);
    drawOver();
  }
  /** Write the label of a colour, such as a phone, into the dots that have room for it. */
  function drawInside(g, chosen, fill) {
    g.save();
    g.font = g.font.replace("12px", "11px");
    g.textAlign = "center";
    const taken = [];
    for (const n of order) {
      const x = positions[2 * n], y = positions[2 * n + 1], text = chosen.labels[n], wide = text ? g.measureText(text).width : 0;
      if (crosses[n] || !text || radius(n) < 7 || wide > 2 * radius(n) || (focus >= 0 && chosen.values[n] !== focus)) continue;
      if (taken.some(([a, b]) => Math.abs(a - x) < 17 && Math.abs(b - y) < 13)) continue;
      taken.push([x, y]);
      g.fillStyle = readableOn(...(fill(n).startsWith("#") ? [1, 3, 5].map((at) => parseInt(fill(n).slice(at, at + 2), 16)) : fill(n).match(/\d+/g).map(Number)));
      g.fillText(text, x, y + 0.5);
    }
    g.restore();
  }
  /** Write the names of a few points beside their dots, where there is room. */
  function drawBeside(g, ink, paper) {
    const taken = [...positions.keys()].filter((n) => n % 2 === 0).map((n) => [positions[n] - 12, positions[n + 1], 24]);
    g.lineWidth = 3; g.lineJoin = "round"; g.strokeStyle = paper; g.fillStyle = ink; g.textAlign = "left";
    for (const n of order) {
      const x = positions[2 * n], y = positions[2 * n + 1], wide = g.measureText(names[n]).width, r = radius(n);
      if (x < 0 || x > width || y < 0 || y > MAP_HEIGHT) continue;
      const middle = clamp(x - wide / 2, 4, width - wide - 4);
      const spots = [[x + r + 3, y], [x - r - 3 - wide, y], [middle, y - r - 9], [middle, y + r + 10]];
      const free = ([a, b]) => a > 2 && a + wide < width - 2 && b > 8 && b < MAP_HEIGHT - 8 &&
        !taken.some(([c, d, w], k) => k !== n && a < c + w + 3 && c < a + wide + 3 && Math.abs(b - d) < 15);
      const spot = spots.find(free) ?? (count <= 20 ? spots[2] : null);
      if (!spot) continue;
      taken.push([...spot, wide]);
      g.strokeText(names[n], ...spot); g.fillText(names[n], ...spot);
    }
  }
  function drawOver() {
    const g = fitCanvas(over, width, MAP_HEIGHT), ink = colourOf(el, "--ink"), mark = colourOf(el, "--mark"), accent = colourOf(el, "--accent");
    const selected = model.get("selected");
    g.strokeStyle = accent; g.lineWidth = 2;
    for (const n of marks.get(model.get("key"))?.points ?? []) { g.fillStyle = mark; drawMark(g, 0, positions[2 * n], positions[2 * n + 1], radius(n) + 4); g.globalAlpha = 0.35; g.fill(); g.globalAlpha = 1; g.strokeStyle = mark; g.stroke(); }
    g.strokeStyle = accent;
    for (const n of model.get("chosen")) { g.beginPath(); g.arc(positions[2 * n], positions[2 * n + 1], radius(n) + 2, 0, 7); g.stroke(); }
    if (drag?.box) { const [a, b, c, d] = drag.box; g.globalAlpha = 0.15; g.fillStyle = accent; g.fillRect(a, b, c - a, d - b); g.globalAlpha = 1; g.strokeRect(a, b, c - a, d - b); }
    if (selected >= 0) {
      links.forEach((link, k) => {
        g.strokeStyle = g.fillStyle = k % 2 ? mark : accent; g.lineWidth = 1.6;
        for (const n of leadsTo(link, selected)) drawArrow(g, positions, selected, n, radius(n), k % 2);
      });
    }
    for (const [n, style, wide] of [[hover, ink, 1.5], [selected, mark, 3]]) {
      if (n < 0) continue;
      g.strokeStyle = style; g.lineWidth = wide;
      g.beginPath(); g.arc(positions[2 * n], positions[2 * n + 1], radius(n) + 3, 0, 7); g.stroke();
    }
    if (selected >= 0 && (count > 60 || colour()?.labels?.length)) {
      const text = names[selected], wide = g.measureText(text).width;
      const x = clamp(positions[2 * selected] - wide / 2, 4, width - wide - 4), y = positions[2 * selected + 1] - radius(selected) - 14;
      g.font = `600 ${g.font}`; g.textAlign = "left"; g.lineWidth = 4; g.lineJoin = "round"; g.strokeStyle = colourOf(el, "--paper"); g.fillStyle = ink;
      g.strokeText(text, x, Math.max(10, y)); g.fillText(text, x, Math.max(10, y));
    }
    tip.hidden = hover < 0 || Boolean(drag?.moved);
    if (!tip.hidden) {
      tip.replaceChildren(h("b", {}, names[hover]), ...factsOf(hover));
      const x = positions[2 * hover], y = positions[2 * hover + 1];
      tip.style.left = `${x > width - 280 ? Math.max(0, x - 12 - tip.offsetWidth) : x + 14}px`;
      tip.style.top = `${clamp(y - tip.offsetHeight / 2, 0, Math.max(0, MAP_HEIGHT - tip.offsetHeight))}px`;
    }
  }
  const leadsTo = (link, n) => [...link.to.subarray(n * link.count, (n + 1) * link.count)].filter((other) => other >= 0);
  const factsOf = (n) => facts.filter(({ values }) => values[n]).length ? [h("dl", {}, ...facts.filter(({ values }) => values[n]).flatMap(({ name, values }) => [h("dt", {}, name), h("dd", {}, values[n])]))] : [];

  // ---- panel, legend, buttons
  function dress() {
    refill(mapBar, ...maps.map(({ name }, n) => h("button", { class: "vq-map-name", "aria-pressed": String(n === model.get("map")), onclick: () => put(model, { map: n, view: [] }) }, name)));
    colourSelect.value = model.get("colour");
    const n = model.get("selected");
    const rows = [h("h4", {}, n < 0 ? "Nothing selected" : names[n])];
    if (n < 0) rows.push(h("div", {}, sounds.length ? "Click a point to play it, or move with the arrow keys." : "Click a point, or move with the arrow keys."));
    if (sounds.length) rows.push(h("div", { class: "vq-chips" }, ...sounds.map((name, k) => soundButton(name, k, n))));
    if (n >= 0) {
      if (opens(n)) rows.push(h("div", { class: "vq-chips" }, openButton(n)));
      rows.push(...factsOf(n));
      links.forEach((link, k) => {
        const others = leadsTo(link, n);
        if (!others.length) return;
        rows.push(h("h5", { style: `color:var(${k % 2 ? "--mark" : "--accent"})` }, `${k % 2 ? "→" : "—"} ${link.name}`), h("div", { class: "vq-chips" },
          ...others.map((other, rank) => h("button", { onclick: () => select(other, true) }, short(other) + weight(link, n, rank)))));
      });
    }
    const chosen = model.get("chosen").length;
    rows.push(h("div", { class: "vq-chips vq-take" }, h("button", { class: "vq-csv", title: "a CSV file of the points that were chosen by a drag with Shift, or of all", onclick: saveTable }, `Save ${chosen ? `${chosen} points` : "all points"} as CSV`),
      ...(chosen ? [h("button", { onclick: () => put(model, { chosen: [] }) }, "choose none")] : [])));
    refill(side, ...rows);
    announced.textContent = n < 0 ? "" : [names[n], ...facts.filter(({ values }) => values[n]).map(({ name, values }) => `${name} ${values[n]}`)].join(", ");
    status.textContent = [message, marks.get(model.get("key"))?.text].filter(Boolean).join("\n"); status.hidden = !status.textContent;
    dressLegend();
  }
  function openButton(n) {
    const node = h("button", { class: "vq-open", title: "key O", onclick: () => door.open(n) }, model.get("opens") || "open the page", h("span", { "aria-hidden": "true" }, " ▸"));
    allow(node, door.refusal(n));
    return node;
  }
  function soundButton(name, k, n) {
    const node = h("button", { class: "vq-sound", "aria-pressed": String(k === model.get("sound")), title: `key ${k + 1}`, onclick: () => { put(model, { sound: k }); play(n, k); } }, ...symbol("▶", name));
    allow(node, n < 0 ? "select a point first" : kernel.gone && !played.has(`${n} ${k}`) ? GONE : "");
    return node;
  }
  const short = (n) => names[n].replace(/^(code|frame) /, "");
  const weight = (link, n, rank) => { const w = link.weights[n * link.count + rank]; return w === undefined ? "" : link.unit ? ` · ${w.toFixed(0)} ${link.unit}` : ` · ${w.toPrecision(2)}`; };
  function dressLegend() {
    const chosen = colour(), items = [];
    if (chosen?.kind === "number") {
      const [low, high] = rangeOf(chosen.values), bar = h("canvas", { width: 160, height: 12 }), g = bar.getContext("2d");
      for (let x = 0; x < 160; x++) { g.fillStyle = rgb(viridis, Math.round((x / 159) * 255)); g.fillRect(x, 0, 1, 12); }
      const text = (value) => `${Number(value.toPrecision(2))}${chosen.unit ? ` ${chosen.unit}` : ""}`;
      items.push(h("span", {}, chosen.name), h("span", {}, text(low)), bar, h("span", {}, text(high)), chosen.log ? "logarithmic" : "");
    } else if (chosen?.kind === "rgb") items.push(h("span", {}, `colour: ${chosen.name}`));
    else if (chosen) {
      items.push(...chosen.groups.map((name, n) => !chosen.values.includes(n) ? "" : h("button", { "aria-pressed": String(focus === n), title: "show only these", onclick: () => { focus = focus === n ? -1 : n; dress(); draw(); } }, swatch(n), name)));
    }
    if (model.get("size_name")) items.push(h("span", {}, `area: ${model.get("size_name")}`));
    if (crosses.some(Boolean)) items.push(h("span", {}, `× ${model.get("cross_name")}`));
    refill(legend, ...items);
  }
  function swatch(n) {
    const canvas = h("canvas"), g = fitCanvas(canvas, 14, 14);
    canvas.style.width = "14px";
    g.fillStyle = palette[n % palette.length];
    drawMark(g, Math.floor(n / palette.length) % 4, 7, 7, 5.5); g.fill();
    return canvas;
  }

  // ---- what the user does
  /** Save the columns of `Explorer.table`, without the sizes, of the chosen points, or of all. */
  function saveTable() {
    const chosen = model.get("chosen"), rows = chosen.length ? chosen : [...Array(count).keys()];
    const columns = [["point", (n) => n], ["name", (n) => names[n]],
      ...maps.flatMap((map, m) => [0, 1].map((axis) => [`${map.name} ${axis + 1}`, (n) => bytesOf(model.get("maps")[m].xy, Float32Array)[2 * n + axis]])),
      ...colours.map((colour) => [colour.unit ? `${colour.name} (${colour.unit})` : colour.name, (n) => (colour.kind === "number" ? colour.values[n] : colour.labels[n] ?? colour.groups[colour.values[n]] ?? "")]),
      ...facts.map(({ name, values }) => [name, (n) => values[n]])];
    const cell = (value) => (/[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : Number.isNaN(value) ? "" : value);
    const text = [columns.map(([name]) => cell(name)), ...rows.map((n) => columns.map(([, of]) => cell(of(n))))].map((row) => row.join(",")).join("\r\n");
    const link = h("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: "points.csv" });
    link.click();
    URL.revokeObjectURL(link.href);
  }
  /** Mark points of the other maps for some of this one, and say which share of their frames they cover. */
  function mark(points) {
    for (const { key, from, rule, count, ...counts } of model.get("partners") ?? []) {
      if (!points.length && marks.get(key)?.from !== from) continue; // its marks are of another map
      const to = bytesOf(counts.to, Int32Array), marked = [...new Set(points.flatMap((n) => leadsTo({ count, to }, n)))];
      const [every, covered] = [counts.every, counts.covered].map((bytes) => { const values = bytesOf(bytes, Float32Array); return points.reduce((sum, n) => sum + values[n], 0); });
      const of = points.length === 1 ? names[points[0]] : `${points.length} points`, share = Math.round((100 * covered) / Math.max(1, every));
      const text = points.length && `marked: ${marked.length} points, ${points.length > 1 ? "at least " : ""}${share} % of the codes at the frames of ${of} of ${from} (${rule})`;
      marks.set(key, { points: marked, from, text });
      window.dispatchEvent(new CustomEvent("vq-mark", { detail: key }));
    }
  }
  const markSelected = () => { const n = model.get("selected"); mark(n < 0 ? model.get("chosen") : [n]); };
  const markChosen = () => { const chosen = model.get("chosen"); if (chosen.length) mark(chosen); else markSelected(); };
  function onmark({ detail }) { if (detail === model.get("key")) { dress(); drawOver(); } }
  function select(n, audible) {
    put(model, { selected: n });
    if (n >= 0) bringIntoView(n);
    if (audible && n >= 0) play(n, model.get("sound"));
  }
  function play(n, sound) {
    if (!sounds.length) return;
    const known = played.get(`${n} ${sound}`);
    pending = null;
    if (known) { message = `${names[n]}: ${sounds[sound]}, ${(known.length / rate).toFixed(2)} s`; transport.load([known]); transport.play(); dress(); return; }
    if (model.get("page")) { message = `This page does not contain the sound of ${names[n]}.`; dress(); return; }
    if (kernel.gone) { message = GONE; dress(); return; }
    pending = `${n} ${sound}`;
    message = `${names[n]}: requesting ${sounds[sound]} …`;
    dress();
    model.send({ do: "hear", point: n, sound });
  }
  function onmessage(reply, buffers) {
    const key = `${reply.point} ${reply.sound}`;
    if (reply.do === "sound") played.set(key, floatsOf(buffers[0]));
    if (key !== pending) return;
    if (reply.do === "sound") play(reply.point, reply.sound);
    if (reply.do === "failed") { pending = null; message = `${names[reply.point]}: no sound. ${reply.why}`; dress(); }
  }
  function move(dx, dy) {
    const from = model.get("selected");
    if (from < 0) { select(order.find((n) => !crosses[n]) ?? 0, false); return; }
    let best = -1, cost = Infinity;
    for (let n = 0; n < count; n++) {
      const x = positions[2 * n] - positions[2 * from], y = positions[2 * n + 1] - positions[2 * from + 1];
      const along = x * dx + y * dy, across = Math.abs(x * dy) + Math.abs(y * dx);
      if (n === from || along <= 0.5 || across > along || along + 2 * across >= cost) continue;
      best = n; cost = along + 2 * across;
    }
    if (best >= 0) select(best, false);
  }
  function bringIntoView(n) {
    const { xy } = maps[model.get("map")], [cx, cy, scale] = view(), half = 0.5 / scale;
    if (Math.abs(xy[2 * n] - cx) > half || Math.abs(xy[2 * n + 1] - cy) > half) put(model, { view: [xy[2 * n], xy[2 * n + 1], scale] });
  }
  function zoom(factor, at = null) {
    const [cx, cy, scale] = view(), next = clamp(scale * factor, 1, 40), n = model.get("selected"), { xy } = maps[model.get("map")];
    const [px, py] = at ?? (n >= 0 ? [xy[2 * n], xy[2 * n + 1]] : [cx, cy]);
    put(model, { view: next <= 1 ? [] : [px + ((cx - px) * scale) / next, py + ((cy - py) * scale) / next, next] });
  }
  function find(text) {
    const wanted = text.trim().toLowerCase(), number = Number(wanted);
    let n = wanted === "" ? -1 : Number.isInteger(number) ? numbers.indexOf(number) : -1;
    if (n < 0 && wanted) n = names.findIndex((name) => name.toLowerCase() === wanted);
    if (n < 0 && wanted) n = names.findIndex((name) => name.toLowerCase().includes(wanted));
    message = n < 0 ? `No point is named ${text.trim() || "that"}.` : "";
    if (n >= 0) select(n, true); else dress();
  }
  function onsearch(event) {
    if (event.key === "Enter") { find(search.value); event.preventDefault(); }
    if (["Enter", "Escape"].includes(event.key)) el.focus({ preventScroll: true });
  }
  function onkey({ key, target }) {
    if (target.closest(".vq") !== el) return false; // of the page that is opened below
    const n = model.get("selected"), digit = "123456789".indexOf(key);
    if (key === "ArrowLeft") move(-1, 0);
    else if (key === "ArrowRight") move(1, 0);
    else if (key === "ArrowUp") move(0, -1);
    else if (key === "ArrowDown") move(0, 1);
    else if (key === "Enter" || key === " ") { if (n >= 0) play(n, model.get("sound")); }
    else if (digit >= 0 && digit < sounds.length) { put(model, { sound: digit }); if (n >= 0) play(n, digit); }
    else if ((key === "o" || key === "O") && n >= 0 && opens(n)) door.open(n);
    else if (key === "/") { search.value = ""; search.focus(); }
    else if (key === "c" || key === "C") { if (colours.length) put(model, { colour: (model.get("colour") + 1) % colours.length }); }
    else if (key === "m" || key === "M") put(model, { map: (model.get("map") + 1) % maps.length, view: [] });
    else if (key === "+" || key === "=") zoom(1 / 0.6);
    else if (key === "-") zoom(0.6);
    else if (key === "0") put(model, { view: [] });
    else if (key === "Escape") { transport.stop(); focus = -1; message = ""; put(model, { selected: -1, chosen: [] }); dress(); draw(); }
    else return false;
    return true;
  }
  const pointer = (event) => { const box = over.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  function under([x, y]) {
    let best = -1, least = 14;
    for (let n = 0; n < count; n++) {
      const far = Math.max(0, Math.hypot(positions[2 * n] - x, positions[2 * n + 1] - y) - radius(n));
      // inside several dots, the one with the nearest centre
      const cost = far > 0 ? 4 + far : Math.hypot(positions[2 * n] - x, positions[2 * n + 1] - y) / 4;
      if (cost < least) { least = cost; best = n; }
    }
    return best;
  }
  over.onpointerdown = (event) => { if (event.button === 0) { over.setPointerCapture(event.pointerId); drag = { at: pointer(event), view: view(), moved: false, choosing: event.shiftKey }; el.focus({ preventScroll: true }); } };
  over.onpointermove = (event) => {
    const at = pointer(event);
    if (drag) {
      const [dx, dy] = [at[0] - drag.at[0], at[1] - drag.at[1]], [cx, cy, scale] = drag.view;
      drag.moved ||= Math.hypot(dx, dy) > 5;
      if (drag.moved && drag.choosing) { drag.box = [Math.min(at[0], drag.at[0]), Math.min(at[1], drag.at[1]), Math.max(at[0], drag.at[0]), Math.max(at[1], drag.at[1])]; hover = -1; drawOver(); return; }
      if (drag.moved && scale > 1) { put(model, { view: [cx - dx / (width - 2 * MARGIN) / scale, cy + dy / (MAP_HEIGHT - 2 * MARGIN) / scale, scale] }); return; }
    }
    hover = under(at);
    drawOver();
  };
  over.onpointerup = (event) => {
    const was = drag; drag = null;
    if (was?.box) {
      const [a, b, c, d] = was.box, within = (n) => positions[2 * n] >= a && positions[2 * n] <= c && positions[2 * n + 1] >= b && positions[2 * n + 1] <= d;
      put(model, { chosen: [...Array(count).keys()].filter(within) });
      return;
    }
    if (!was || was.moved) return;
    const n = under(pointer(event));
    if (n >= 0) select(n, true);
  };
  over.onpointercancel = () => { drag = null; };
  over.onpointerleave = () => { hover = -1; drawOver(); };
  over.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return; // a plain wheel scrolls the page
    event.preventDefault();
    const [x, y] = pointer(event), [cx, cy, scale] = view();
    zoom(event.deltaY < 0 ? 1.25 : 0.8, [cx + ((x - MARGIN) / (width - 2 * MARGIN) - 0.5) / scale, cy - ((y - MARGIN) / (MAP_HEIGHT - 2 * MARGIN) - 0.5) / scale]);
  }, { passive: false });

  const unfollow = follow(model, {
    "selected chosen opens": () => { dress(); drawOver(); },
    colour: () => { focus = -1; dress(); draw(); },
    "map view": () => { hover = -1; dress(); draw(); },
    sound: dress, selected: markSelected, chosen: markChosen,
  });
  model.on("msg:custom", onmessage);
  window.addEventListener("vq-mark", onmark);
  const resize = new ResizeObserver(draw);
  resize.observe(stack);
  const unwatch = watchTheme(el, () => { dress(); draw(); });
  dress(); draw(); markSelected();
  return () => { kernel.leave(); unfollow(); model.off("msg:custom", onmessage); window.removeEventListener("vq-mark", onmark); unwatch(); resize.disconnect(); door.leave(); leave(); };
}

/** Scale positions (x, y, x, y, …) to 0 to 1, each axis separately. */
function unit(xy) {
  const scaled = new Float32Array(xy.length);
  for (const axis of [0, 1]) {
    const values = xy.filter((_, index) => index % 2 === axis), [low, high] = rangeOf(values);
    values.forEach((value, n) => { scaled[2 * n + axis] = high > low ? (value - low) / (high - low) : 0.5; });
  }
  return scaled;
}

function rangeOf(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) if (Number.isFinite(value)) { low = Math.min(low, value); high = Math.max(high, value); }
  return low <= high ? [low, high] : [0, 1];
}

/** Outline a circle, square, triangle or diamond of about the same area. */
function drawMark(g, shape, x, y, r) {
  g.beginPath();
  if (shape === 0) g.arc(x, y, r, 0, 7);
  else if (shape === 1) g.rect(x - 0.89 * r, y - 0.89 * r, 1.78 * r, 1.78 * r);
  else {
    const corners = shape === 2 ? [[0, -1.35], [1.17, 0.75], [-1.17, 0.75]] : [[0, -1.26], [1.26, 0], [0, 1.26], [-1.26, 0]];
    corners.forEach(([a, b], n) => g[n ? "lineTo" : "moveTo"](x + a * r, y + b * r));
  }
  g.closePath();
}

function drawCross(g, x, y, r) {
  g.lineWidth = 1.2;
  g.beginPath(); g.moveTo(x - r, y - r); g.lineTo(x + r, y + r); g.moveTo(x - r, y + r); g.lineTo(x + r, y - r); g.stroke();
}

function drawArrow(g, positions, from, to, gap, head) {
  const [x, y, u, v] = [positions[2 * from], positions[2 * from + 1], positions[2 * to], positions[2 * to + 1]];
  const length = Math.hypot(u - x, v - y) || 1, [a, b] = [(u - x) / length, (v - y) / length];
  const [s, t] = [u - a * (gap + 1), v - b * (gap + 1)];
  g.beginPath(); g.moveTo(x, y); g.lineTo(s, t); g.stroke();
  if (!head || length < gap + 8) return;
  g.beginPath(); g.moveTo(s, t); g.lineTo(s - 8 * a - 4 * b, t - 8 * b + 4 * a); g.lineTo(s - 8 * a + 4 * b, t - 8 * b - 4 * a); g.fill();
}



// Shows the widgets of a page: their state and their sounds are in `globalThis.vqwnLive`, which the
// files of `live/` fill. Prepended are the widget's own code and `KIND`, its name.

const bytesIn = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

/** The text that was compressed by gzip. */
const unzipped = (bytes) => new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();

/** The sounds of a widget, decoded when they are first needed: a function of their name. */
function soundsOf(live) {
  const blocks = new Map();
  const decode = async (text) => {
    const sound = await new OfflineAudioContext(1, 1, live.rate).decodeAudioData(bytesIn(text).buffer);
    return sound.getChannelData(0);
  };
  return async (name) => {
    const [block, start, length] = live.places[name];
    if (!blocks.has(block)) blocks.set(block, decode(live.mp3[block]));
    const samples = (await blocks.get(block)).subarray(start, start + length);
    const pcm = new Int16Array(length); // a decoder may leave out the last samples
    samples.forEach((sample, n) => { pcm[n] = Math.round(32767 * clamp(sample, -1, 1)); });
    return new DataView(pcm.buffer);
  };
}

/** Answer what an explorer asks for, in place of a kernel. */
function answer(model, live, sound) {
  const replies = [], { on } = model;
  model.on = (event, call) => (event === "msg:custom" ? replies.push(call) : on(event, call));
  model.send = async ({ point, sound: kind }) => {
    const name = `${point} ${kind}`, about = { point, sound: kind };
    const reply = (message, buffers) => replies.forEach((call) => call({ ...about, ...message }, buffers));
    if (name in live.failed) return reply({ do: "failed", why: live.failed[name] }, []);
    try { reply({ do: "sound" }, [await sound(name)]); }
    catch (error) { reply({ do: "failed", why: error.message }, []); throw error; }
  };
}

async function showLive(el) {
  const live = globalThis.vqwnLive[el.dataset.live];
  if (live.widget !== KIND) return;
  const model = pageModel(await unzipped(bytesIn(live.state))), sound = soundsOf(live);
  if (KIND === "explorer") answer(model, live, sound);
  else {
    const pcm = await Promise.all(Object.keys(live.places).map(sound));
    if (KIND === "lab") model.get("player").pcm = pcm; else model.set("pcm", pcm);
  }
  el.replaceChildren();
  render({ model, el });
}

document.querySelectorAll("[data-live]").forEach((el) => showLive(el).catch((error) => {
  el.textContent = `This browser cannot show the widget: ${error.message}`;
  throw error;
}));
})();

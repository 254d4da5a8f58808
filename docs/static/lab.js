(() => {
const KIND = "lab";
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

const player = (() => {
// The player: tracks under one playhead, waveform, spectrogram, codes, phones, and the blind test.

const GUTTER = 58; // pixels at the left, for names of lanes
const HELP = [["Space", "play"], ["1–9", "track"], ["← →", "0.1 s; with Shift 1 s"], ["Home", "start"], ["L", "loop here"],
  ["[ ]", "loop start, end"], ["Esc", "no loop"], ["+ −", "zoom"], ["Z", "zoom to loop, or all"], ["M", "match levels"]];
const RATING_WORDS = ["bad", "poor", "fair", "good", "excellent"];

function render({ model, el, host }) {
  const rate = model.get("sample_rate"), [bands, frame] = model.get("spectrogram_form");
  const [transport, leave] = transportOf(model.get("key"), rate);
  let tracks, codes = [], codeColours, phones = [], marks = [], hop, pictures, total, drawn = null;
  const read = () => { // what Python may replace at any time, by `load`
    tracks = model.get("pcm").map(floatsOf);
    hop = model.get("hop_length") / rate; drawn = null;
    pictures = makeSpectrograms(model.get("spectrograms"), bands, bytesOf(model.get("magma")));
    if (transport.source !== model.get("pcm")) transport.load(tracks, clamp(model.get("position"), 0, tracks[0].length / rate));
    transport.source = model.get("pcm");
    total = transport.duration;
  };
  read();
  if (transport.views === 1 && model.get("playing")) put(model, { playing: false }); // the page was reloaded
  const sent = []; // positions sent to Python, whose echoes must not seek
  let lastSent = 0, animation = 0, drag = null, hover = null, width = 0;

  const blind = () => { const state = model.get("blind_state"); return state.mode ? state : null; };
  const hidden = () => blind() && !blind().done;
  const shown = () => (blind() ? blind().order : tracks.map((_, index) => index));
  // In ABX one track plays under two labels, so the chosen label is known here only.
  let label = Math.max(0, shown().indexOf(model.get("active")));
  /** Read the codes, phones and marks of the track that is shown, which may have its own. */
  function readStrip() {
    const strip = model.get("own")[shown()[label]] ?? Object.fromEntries(["codes", "code_colours", "phones", "marks"].map((name) => [name, model.get(name)]));
    if (drawn === `${label}`) return;
    drawn = `${label}`;
    codes = framesOf(strip.codes); codeColours = bytesOf(strip.code_colours);
    ({ phones, marks } = strip);
  }
  readStrip();

  const playButton = h("button", { class: "vq-primary vq-play", onclick: () => toggle() });
  const trackBar = h("span", { style: "display:contents" });
  const match = h("button", { class: "vq-match", onclick: () => put(model, { matched: !model.get("matched") }) });
  const time = h("span", { class: "vq-time" }), below = h("div", { class: "vq-within" });
  const kernel = watchKernel(model, el, () => dress()), door = openerOf(model, below, kernel, host);
  const openHere = () => { const here = codeAt(transport.position); if (here) door.open(here[0]); };
  const openButton = h("button", { class: "vq-open", title: "key O", onclick: openHere });
  const base = h("canvas", { "aria-hidden": "true" }), over = h("canvas", { "aria-hidden": "true" });
  const stack = h("div", { class: "vq-stack", tabindex: 0, role: "slider", "aria-label": "position", "aria-valuemin": 0 }, base, over);
  const status = h("div", { class: "vq-note vq-status" }), notes = h("div", { class: "vq-note" });
  const sheet = h("div", { class: "vq-blind", hidden: true });
  const help = h("div", { class: "vq-help" }, ...helpOf(door.ready() ? [...HELP, OPEN_HELP] : HELP));
  el.append(...[model.get("title") && h("div", { class: "vq-title" }, model.get("title")),
    h("div", { class: "vq-bar" }, playButton, trackBar, match, openButton, h("span", { class: "vq-grow" }), time),
    stack, status, notes, sheet, help, below].filter(Boolean));
  prepareRoot(el, "player", model.get("title") || "player", onkey);

  // ---- where things are drawn
  const codebooks = () => codes[0]?.length ?? 0;
  const stripHeight = () => (codebooks() > 1 ? codebooks() * clamp(Math.floor(160 / codebooks()), 6, 18) : 28 * codebooks());
  const lanes = () => {
    const list = [["time", 24], ["wave", 84], ["spectrogram", 124], ["codes", stripHeight()], ["phones", phones.length ? 22 : 0]];
    const seen = hidden() ? [["time", 24], ["hidden", 40]] : list.filter(([, height]) => height);
    let top = 0;
    return seen.map(([name, height]) => { const lane = { name, top, height }; top += height + 4; return lane; });
  };
  const view = () => { const v = model.get("view"); return v.length ? v : [0, total]; };
  const xOf = (seconds) => GUTTER + ((seconds - view()[0]) / (view()[1] - view()[0])) * (width - GUTTER);
  const secondsOf = (x) => clamp(view()[0] + ((x - GUTTER) / (width - GUTTER)) * (view()[1] - view()[0]), 0, total);
  const codeAt = (seconds) => codes[Math.floor(seconds / hop)];
  const phoneAt = (seconds) => phones.find(([start, end]) => seconds >= start && seconds < end)?.[2];
  const factsAt = (seconds) => [codes.length && codeAt(seconds) !== undefined && `code ${codeAt(seconds).join(" ")}`, phoneAt(seconds) && `phone ${phoneAt(seconds)}`].filter(Boolean).join(" · ");

  function draw() {
    width = stack.clientWidth;
    if (width < 2 * GUTTER) return;
    readStrip();
    const rows = lanes(), last = rows[rows.length - 1], height = last.top + last.height;
    const g = fitCanvas(base, width, height);
    const ink = colourOf(el, "--ink"), faint = colourOf(el, "--faint"), accent = colourOf(el, "--accent");
    const field = colourOf(el, "--field"), line = colourOf(el, "--line");
    for (const { name, top, height: tall } of rows) {
      g.save();
      g.fillStyle = faint; g.textAlign = "right";
      if (name === "wave") g.fillText("wave", GUTTER - 8, top + tall / 2);
      if (["codes", "phones"].includes(name)) g.fillText(name, GUTTER - 8, top + tall / 2);
      if (name === "spectrogram") for (const [text, y] of model.get("frequency_marks")) g.fillText(text, GUTTER - 8, top + tall * (1 - y));
      if (name === "time") g.fillText("s", GUTTER - 8, top + tall / 2);
      g.beginPath(); g.rect(GUTTER, top, width - GUTTER, tall); g.clip();
      if (name !== "time") { g.fillStyle = field; g.fillRect(GUTTER, top, width - GUTTER, tall); }
      if (name === "time") drawTime(g, top, tall, faint, line);
      if (name === "wave") drawWave(g, top, tall, accent, line);
      if (name === "spectrogram") drawSpectrogram(g, top, tall);
      if (name === "codes") drawCodes(g, top, tall);
      if (name === "phones") drawPhones(g, top, tall, ink, line);
      if (name === "hidden") { g.fillStyle = faint; g.textAlign = "center"; g.fillText("waveform, spectrogram and codes are hidden during the blind test", GUTTER + (width - GUTTER) / 2, top + tall / 2); }
      g.restore();
    }
    drawMarks(g, rows, colourOf(el, "--mark"));
    drawOver();
  }
  function drawMarks(g, rows, mark) {
    const top = rows[0].top + rows[0].height, last = rows[rows.length - 1];
    if (hidden()) return;
    for (const [start, end] of marks) {
      const a = Math.max(GUTTER, xOf(start)), b = Math.min(width, xOf(end));
      if (b <= a) continue;
      g.fillStyle = mark; g.fillRect(a, top - 4, Math.max(2, b - a), 6);
      if (b - a > 6) { g.strokeStyle = mark; g.lineWidth = 1; g.strokeRect(a + 0.5, top + 2, b - a - 1, last.top + last.height - top - 3); }
    }
  }
  function drawTime(g, top, tall, faint, line) {
    const [start, end] = view(), step = niceStep(end - start, width - GUTTER, 64);
    g.fillStyle = faint; g.textAlign = "center";
    for (let n = Math.ceil(start / step); n * step <= end + 1e-9; n++) {
      const x = xOf(n * step), text = (n * step).toFixed(step < 0.1 ? 2 : step < 1 ? 1 : 0);
      g.fillRect(x, top + tall - 4, 1, 4);
      if (n * step - start < (end - start) / 50) g.textAlign = "left";
      else g.textAlign = x > width - 16 ? "right" : "center";
      g.fillText(text, x, top + tall / 2);
    }
  }
  function drawWave(g, top, tall, accent, line) {
    const wave = tracks[shown()[label]], [start, end] = view(), pixels = width - GUTTER, middle = top + tall / 2;
    g.fillStyle = line; g.fillRect(GUTTER, middle, pixels, 1);
    g.fillStyle = accent;
    const gain = model.get("matched") ? 10 ** (model.get("gains_db")[shown()[label]] / 20) : 1;
    const perPixel = ((end - start) * rate) / pixels;
    for (let x = 0; x < pixels; x++) {
      const from = Math.floor(start * rate + x * perPixel), to = Math.max(from + 1, Math.floor(start * rate + (x + 1) * perPixel));
      let low = 1, high = -1;
      for (let k = from; k < to && k < wave.length; k++) { const s = wave[k]; if (s < low) low = s; if (s > high) high = s; }
      if (high >= low) g.fillRect(GUTTER + x, middle - (gain * high * tall) / 2, 1, Math.max(1, (gain * (high - low) * tall) / 2));
    }
  }
  function drawSpectrogram(g, top, tall) {
    const picture = pictures[shown()[label]], [start, end] = view();
    const column = (seconds) => (seconds * rate) / frame + 0.5; // a column's centre is its time
    g.drawImage(picture, column(start), 0, column(end) - column(start), picture.height, GUTTER, top, width - GUTTER, tall);
  }
  function drawCodes(g, top, tall) {
    const [start, end] = view(), wide = xOf(hop) - xOf(0), Q = codebooks(), each = tall / Q, text = wide >= 22 && each >= 11;
    g.textAlign = "center";
    for (let n = Math.max(0, Math.floor(start / hop)); n < codes.length && n * hop < end; n++) {
      const x = xOf(n * hop);
      codes[n].forEach((code, q) => {
        const cell = n * Q + q, y = top + q * each;
        g.fillStyle = rgb(codeColours, cell);
        g.fillRect(x, y, wide + (wide > 4 && codes[n + 1]?.[q] !== code ? -1 : 0.5), each); // codes of one class have one colour
        if (text) { g.fillStyle = readableOn(...codeColours.subarray(3 * cell, 3 * cell + 3)); g.fillText(code, x + wide / 2, y + each / 2 + 1); }
      });
    }
  }
  function drawPhones(g, top, tall, ink, line) {
    g.textAlign = "center";
    for (const [start, end, name] of phones) {
      const a = xOf(start), b = xOf(end);
      if (b < GUTTER || a > width) continue;
      g.fillStyle = line; g.fillRect(a, top, 1, tall);
      g.fillStyle = ink;
      const middle = (Math.max(a, GUTTER) + Math.min(b, width)) / 2;
      if (name !== "SIL" && g.measureText(name).width + 3 <= b - a) g.fillText(name, middle, top + tall / 2 + 1);
    }
  }
  function drawOver() {
    const rows = lanes(), last = rows[rows.length - 1], height = last.top + last.height;
    const g = fitCanvas(over, width, height), mark = colourOf(el, "--mark"), ink = colourOf(el, "--ink");
    const at = transport.position, loop = drag?.span ?? model.get("loop");
    if (loop.length) {
      const a = Math.max(GUTTER, xOf(loop[0])), b = Math.min(width, xOf(loop[1]));
      g.globalAlpha = 0.6; g.fillStyle = colourOf(el, "--paper");
      g.fillRect(GUTTER, 0, Math.max(0, a - GUTTER), height); g.fillRect(b, 0, Math.max(0, width - b), height);
      g.globalAlpha = 1; g.fillStyle = mark;
      if (b > a) { g.fillRect(a - 1, 0, 2, height); g.fillRect(b - 1, 0, 2, height); g.fillRect(a, 0, b - a, 3); }
    }
    const strip = rows.find((lane) => lane.name === "codes");
    for (const seconds of [at, hover].filter((value) => value !== null)) {
      const n = Math.floor(seconds / hop);
      if (!strip || n >= codes.length) continue;
      const a = xOf(n * hop), b = xOf((n + 1) * hop), pad = Math.max(0, 7 - (b - a)) / 2;
      if (b < GUTTER || a > width) continue;
      const Q = codebooks(), each = (strip.height + 6) / Q;
      codes[n].forEach((_, q) => { g.fillStyle = rgb(codeColours, n * Q + q); g.fillRect(a - pad, strip.top - 3 + q * each, b - a + 2 * pad, each); });
      g.strokeStyle = ink; g.lineWidth = 1.5; g.strokeRect(a - pad, strip.top - 3, b - a + 2 * pad, strip.height + 6);
    }
    const x = xOf(at);
    if (x >= GUTTER - 1 && x <= width + 1) {
      g.fillStyle = mark; g.fillRect(x - 1, 0, 2, height);
      g.beginPath(); g.moveTo(x - 6, 0); g.lineTo(x + 6, 0); g.lineTo(x, 8); g.fill();
    }
    time.textContent = `${formatTime(at)} / ${formatTime(total)} s`;
    time.dataset.seconds = at;
    if (!openButton.hidden) dressOpener(codeAt(at)?.[0]);
    stack.setAttribute("aria-valuenow", at.toFixed(1)); stack.setAttribute("aria-valuemax", total.toFixed(1));
    stack.setAttribute("aria-valuetext", `${formatTime(at)} of ${formatTime(total)} seconds${hidden() || !factsAt(at) ? "" : `, ${factsAt(at)}`}`);
    const instant = hover !== null ? hover : at, what = hidden() ? "" : factsAt(instant);
    const span = loop.length ? `loop ${formatTime(loop[0])}–${formatTime(loop[1])} s` : "";
    status.textContent = [hover !== null ? `pointer at ${formatTime(hover, 3)} s` : what && `at ${formatTime(at, 3)} s`, what, span].filter(Boolean).join("   ·   ");
  }

  // ---- buttons
  function dress() {
    const test = blind(), names = test ? (test.done ? test.labels.map((name, n) => `${name} = ${test.revealed[n]}`) : test.labels) : model.get("names");
    const decibels = model.get("gains_db"), on = model.get("matched");
    const spread = Math.max(...shown().map((n) => decibels[n])) - Math.min(...shown().map((n) => decibels[n]));
    refill(trackBar, ...shown().map((track, n) => {
      const change = hidden() ? null : h("span", { class: "vq-gain", hidden: !spread, style: on ? null : "visibility:hidden" }, ` ${signed(decibels[track])} dB`); // takes its room when it is not shown, too
      return h("button", { class: "vq-track", "aria-pressed": String(n === label), onclick: () => choose(n) }, test ? names[n] : `${n + 1} ${names[n]}`, change ?? "");
    }));
    match.textContent = "Match levels";
    match.setAttribute("aria-pressed", String(on));
    match.title = "set all tracks to the same RMS level, the highest at which none clips";
    const unfair = hidden() && !on && spread > 0.5 && `Levels differ by up to ${spread.toFixed(1)} dB: match them, or loudness alone may identify the tracks.`;
    notes.textContent = [model.get("notes"), unfair, on && hidden() && "All tracks have the same RMS level."].filter(Boolean).join(" ");
    notes.hidden = !notes.textContent;
    openButton.hidden = Boolean(hidden()) || !codes.length || !door.ready();
    dressOpener(codeAt(transport.position)?.[0]);
    playButton.replaceChildren(...(transport.playing ? symbol("❚❚", "Pause") : symbol("▶", "Play")));
    status.hidden = Boolean(hidden());
    dressSheet(test);
  }
  function dressOpener(code) {
    openButton.textContent = door.text(code);
    allow(openButton, door.refusal(code));
  }
  const say = (message) => { if (!kernel.gone) model.send(message); };
  function dressSheet(test) {
    sheet.hidden = !test;
    if (!test) return;
    const close = h("button", { class: "vq-close", onclick: () => say({ do: "reveal" }) }, test.done ? "Close" : "Stop the test");
    const rows = [];
    if (test.done) rows.push(h("div", { class: "vq-results", style: "white-space:pre-line" }, test.results));
    else if (test.mode === "abx") {
      rows.push(h("div", {}, `Trial ${test.trial} of ${test.trials}. Play A, B and X as often as you like. Is X A or B?`));
      rows.push(h("div", { class: "vq-row" }, ...["A", "B"].map((choice) => h("button", { class: `vq-answer-${choice}`, onclick: () => say({ do: "abx", choice }) }, `X is ${choice}  (key ${choice})`)), h("span", { class: "vq-grow" }), close));
    } else {
      rows.push(h("div", {}, "Rate the quality of each track. Shift and 1–5 rate the track that is playing."));
      test.labels.forEach((name, n) => rows.push(h("div", { class: "vq-row", role: "group", "aria-label": `rating of ${name}` }, h("b", {}, name),
        ...RATING_WORDS.map((word, k) => h("button", { class: `vq-rate vq-rate-${name}-${k + 1}`, "aria-pressed": String(test.ratings[n] === k + 1), onclick: () => say({ do: "rate", label: n, value: k + 1 }) }, `${k + 1} ${word}`)))));
      const finish = h("button", { class: "vq-primary vq-finish", onclick: () => say({ do: "finish" }) }, "Save and reveal");
      allow(finish, test.ratings.includes(0) ? "rate every track first" : "");
      rows.push(h("div", { class: "vq-row" }, finish,
        h("span", { class: "vq-grow" }), close));
    }
    if (test.done) rows.push(h("div", { class: "vq-row" }, close));
    if (test.problem) rows.push(h("div", { class: "vq-problem" }, test.problem));
    refill(sheet, ...rows);
    if (kernel.gone) disableAll(sheet);
  }

  // ---- what the user does
  function toggle() { transport.playing ? transport.stop() : transport.play(); }
  function seek(seconds) { transport.seek(seconds); sendPosition(); }
  function choose(n) {
    label = n;
    put(model, { active: shown()[n] });
    transport.choose(shown()[n]); dress(); draw();
  }
  function setLoop(span) {
    if (span && span[1] - span[0] < 0.02) span = null;
    put(model, { loop: span ?? [] });
  }
  function zoom(factor) {
    const [start, end] = view(), middle = clamp(transport.position, start, end), share = (middle - start) / (end - start);
    const span = clamp((end - start) * factor, 0.05, total), left = clamp(middle - share * span, 0, total - span);
    put(model, { view: span >= total ? [] : [left, left + span] });
  }
  function keepInView() {
    const [start, end] = view(), at = transport.position;
    if (drag || (at >= start && at <= end)) return;
    const left = clamp(at - 0.02 * (end - start), 0, total - (end - start));
    put(model, { view: [left, left + end - start] });
  }
  function onkey(event) {
    const { key, code, shiftKey } = event, at = transport.position, loop = model.get("loop"), test = blind();
    const digit = /^(Digit|Numpad)([1-9])$/.exec(code)?.[2];
    const step = shiftKey ? 1 : 0.1;
    if (key === " ") toggle();
    else if (digit && shiftKey && test?.mode === "rating" && !test.done && digit <= 5) say({ do: "rate", label, value: Number(digit) });
    else if (digit && !shiftKey && digit <= shown().length) choose(digit - 1);
    else if (key === "ArrowLeft") seek(at - step);
    else if (key === "ArrowRight") seek(at + step);
    else if (key === "Home") seek(loop.length ? loop[0] : 0);
    else if (key === "End") seek(total);
    else if (key === "l" || key === "L") setLoop(loop.length ? null : [clamp(at - 0.25, 0, total), clamp(at + 0.25, 0, total)]);
    else if (key === "[") setLoop([at, loop.length && loop[1] > at ? loop[1] : total]);
    else if (key === "]") setLoop([loop.length && loop[0] < at ? loop[0] : 0, at]);
    else if (key === "Escape") { drag = null; setLoop(null); }
    else if ((key === "o" || key === "O") && !openButton.hidden) openHere();
    else if (key === "m" || key === "M") put(model, { matched: !model.get("matched") });
    else if (key === "+" || key === "=") zoom(0.5);
    else if (key === "-") zoom(2);
    else if (key === "z" || key === "Z") put(model, { view: model.get("view").length || !loop.length ? [] : [...loop] });
    else if (test?.mode === "abx" && !test.done && /^[ab]$/i.test(key)) say({ do: "abx", choice: key.toUpperCase() });
    else return false;
    return true;
  }
  const xUnder = (event) => event.clientX - over.getBoundingClientRect().left;
  over.onpointerdown = (event) => { if (event.button === 0) { over.setPointerCapture(event.pointerId); drag = { from: xUnder(event), span: null }; el.focus({ preventScroll: true }); } };
  over.onpointermove = (event) => {
    const x = xUnder(event);
    hover = x >= GUTTER && !hidden() ? secondsOf(x) : null;
    if (drag && Math.abs(x - drag.from) > 5) { const pair = [secondsOf(drag.from), secondsOf(x)].sort((a, b) => a - b); drag.span = pair; }
    drawOver();
  };
  over.onpointerup = (event) => {
    const was = drag, x = xUnder(event); drag = null;
    if (!was) return;
    if (was.span) { setLoop(was.span); transport.seek(was.span[0]); sendPosition(); return; }
    const seconds = secondsOf(x), loop = model.get("loop");
    if (loop.length && (seconds < loop[0] || seconds >= loop[1])) setLoop(null);
    seek(seconds);
  };
  over.onpointercancel = () => { drag = null; drawOver(); };
  over.onpointerleave = () => { hover = null; drawOver(); };

  // ---- what follows what
  function sendPosition() {
    const at = transport.position;
    sent.push(at); if (sent.length > 40) sent.shift();
    lastSent = performance.now();
    put(model, { position: at });
  }
  function tick() {
    cancelAnimationFrame(animation);
    if (transport.playing) {
      if (performance.now() - lastSent > 100) sendPosition();
      keepInView();
      animation = requestAnimationFrame(tick);
    }
    drawOver();
  }
  const onTransport = () => {
    if (model.get("playing") !== transport.playing) put(model, { playing: transport.playing });
    if (!transport.playing) sendPosition();
    dress(); tick();
  };
  transport.addEventListener("change", onTransport);
  const applyLevels = () => transport.choose(model.get("active"), model.get("matched") ? model.get("gains_db") : []);
  const applyLoop = () => { const loop = model.get("loop"); transport.setLoop(loop.length ? [Math.min(loop[0], total - 0.02), Math.min(loop[1], total)] : null); };
  const unfollow = follow(model, {
    "pcm codes phones marks own": () => { read(); label = clamp(label, 0, shown().length - 1); applyLoop(); applyLevels(); dress(); draw(); },
    playing: () => { if (model.get("playing") !== transport.playing) toggle(); },
    position: () => { const p = model.get("position"); if (!sent.some((q) => Math.abs(p - q) < 1e-6)) transport.seek(p); },
    active: () => { if (shown()[label] !== model.get("active")) label = Math.max(0, shown().indexOf(model.get("active"))); applyLevels(); dress(); draw(); },
    matched: () => { applyLevels(); dress(); draw(); },
    loop: () => { applyLoop(); drawOver(); },
    view: draw,
    blind_state: () => {
      const fresh = !blind() || (blind().trial === 1 && !blind().problem && !blind().done && !blind().ratings.some(Boolean));
      if (fresh || !hidden() || blind().mode === "abx") {
        label = hidden() && blind().mode === "abx" ? Math.min(label, 2) : Math.max(0, shown().indexOf(model.get("active")));
        if (shown()[label] !== model.get("active")) choose(label);
      }
      dress(); draw();
    },
  });
  const resize = new ResizeObserver(draw);
  resize.observe(stack);
  const unwatch = watchTheme(el, draw);
  applyLoop(); applyLevels(); dress(); draw(); tick();
  return () => { cancelAnimationFrame(animation); kernel.leave(); unfollow(); unwatch(); resize.disconnect(); transport.removeEventListener("change", onTransport); door.leave(); leave(); };
}

const signed = (value) => (Math.abs(value) < 0.05 ? "±0" : `${value > 0 ? "+" : "−"}${Math.abs(value).toFixed(1)}`);

/** Turn mel spectrograms (bands x columns, uint8) into canvases, low frequencies at the bottom. */
function makeSpectrograms(views, bands, table) {
  return views.map((view) => {
    const cells = bytesOf(view), columns = cells.length / bands;
    const canvas = h("canvas", { width: columns, height: bands });
    const g = canvas.getContext("2d"), image = g.createImageData(columns, bands);
    for (let band = 0; band < bands; band++) for (let column = 0; column < columns; column++) {
      const value = cells[band * columns + column], at = 4 * ((bands - 1 - band) * columns + column);
      image.data.set([table[3 * value], table[3 * value + 1], table[3 * value + 2], 255], at);
    }
    g.putImageData(image, 0, 0);
    return canvas;
  });
}

return { render };

})();
const strip = (() => {
// The strip: codes as cells that are selected like text, cut, repeated, stretched and spliced; and
// below them, where the decoder is conditioned on pitch, the pitch as a line that is dragged.

const EDGE = 58; // pixels for times at the left
const NAMES = { cut: "Cut", copy: "Copy", splice: "Insert", repeat: "Repeat", half: "½ as long", twice: "2 × as long", higher: "Pitch +1", lower: "Pitch −1", undo: "Undo", redo: "Redo", reset: "Reset", part: "Play selection" };
const KEYS = { Delete: "cut", Backspace: "cut", d: "repeat", ",": "half", ".": "twice", p: "part", o: "open", "+": "higher", "-": "lower" };
const PITCH = 56; // pixels; height of the line of the pitch

/**
 * Show the codes of a lab in `el`, which stands in the lab's root `home`; `send` sends to Python,
 * while the `kernel` is not gone. Returns what the lab calls: when something changed, for a key, and to set the player's model.
 */
function render({ model, el, home, send, kernel, host }) {
  const page = model.get("page"), { rate, hop, codes: K, codebooks: Q, pitch: L } = model.get("about"), frame = hop / rate, palette = bytesOf(model.get("palette"));
  // Pixels: height of a code, of a frame, which has a code of each codebook, and of a line of frames.
  const ROW = Q > 1 ? 18 : 24, CELL = ROW * Math.max(1, Q), BELOW = (L ? PITCH + 8 : Q > 1 ? 8 : 2), unit = Q > 1 ? "frame" : "code";
  let waiting = null; // keys pressed during an edit, which apply after it
  let bent = null; // levels by frame while the line is dragged
  let inner = null, anchor = 0, columns = 1, width = 0, dragging = false, leaveInner = () => {};
  const does = {
    cut: () => edit("cut"), copy: () => edit("copy"), splice: () => edit("splice"), repeat: () => edit("repeat", 2), half: () => edit("stretch", 0.5),
    twice: () => edit("stretch", 2), undo: () => edit("undo"), redo: () => edit("redo"), higher: () => edit("transpose", 1), lower: () => edit("transpose", -1), reset: () => edit("reset"), part: () => playSpan(),
  };
  const buttons = Object.fromEntries(Object.entries(NAMES).filter(([name]) => L || !["higher", "lower"].includes(name)).map(([name, text]) => [name, h("button", { class: `vq-${name}`, onclick: does[name] }, ...(name === "part" ? symbol("▶", text) : [text]))]));
  const below = h("div", { class: "vq-within" }), door = openerOf(model, below, kernel, host);
  buttons.open = h("button", { class: "vq-open", title: "key O", hidden: true, onclick: () => { const code = codeHere(); if (code !== undefined) door.open(code); } });
  const bar = h("div", { class: "vq-bar" }, h("span", { class: "vq-label" }, "Codes"), ...Object.values(buttons));
  const base = h("canvas"), over = h("canvas");
  const stack = h("div", { class: "vq-stack", "aria-hidden": "true" }, base, over);
  const roll = h("div", { class: "vq-roll", tabindex: 0, role: "application", "aria-label": "the codes: arrow keys move in them, with Shift they select" }, stack), position = h("div", { class: "vq-note vq-place", role: "status" });
  el.append(...(page ? [] : [bar]), roll, position, below);

  const selected = () => { const [a, b] = model.get("selection"), N = model.get("codes").length; return [clamp(a, 0, N), clamp(b, 0, N)]; };
  /** What an edit applies to: the selection, or the code after the caret. */
  const span = () => { const [a, b] = selected(); return a < b ? [a, b] : [a, Math.min(a + 1, model.get("codes").length)]; };
  /** Whether the player's track has exactly these codes. */
  const fits = () => Boolean(inner && model.get("matching_tracks").includes(inner.get("names")[inner.get("active")]));
  /** The code of the first codebook at the caret, or the first that is selected. */
  const codeHere = () => [model.get("codes")[span()[0]]].flat()[0];
  /** Select codes; the buttons know it at once, for a key that comes next. */
  const select = (a, b) => { put(model, { selection: [a, b] }); dress(); };
  function edit(what, amount) {
    const [a, b] = what === "splice" ? selected() : span();
    waiting ??= [];
    send({ do: "edit", what, start: a, end: b, ...(amount ? { amount } : {}) });
  }
  function playSpan() {
    const [a, b] = selected();
    if (!fits() || a >= b) return;
    put(inner, { playing: false });
    put(inner, { loop: [a * frame, Math.max(b * frame, a * frame + 0.02)], position: a * frame });
    put(inner, { playing: true });
  }
  const tokenOf = (code, q) => (q * K + code) % (palette.length / 3);
  const digits = String(Math.max(10, K - 1)).length, cell = 12 + 8 * digits;
  const phones = () => model.get("phones") ?? [], above = () => (phones().some(Boolean) ? 15 : 0), lineHeight = () => above() + CELL + BELOW;
  const cellOf = (n) => [EDGE + (n % columns) * cell, Math.floor(n / columns) * lineHeight() + above()];
  function draw() {
    const frames = framesOf(model.get("codes"));
    width = stack.clientWidth;
    if (el.hidden || width < EDGE + cell) return;
    columns = Math.floor((width - EDGE) / cell);
    const height = Math.ceil(frames.length / columns) * lineHeight(), g = fitCanvas(base, width, height);
    frames.forEach((codes, n) => {
      const [x, y] = cellOf(n);
      if (n % columns === 0) { g.fillStyle = colourOf(el, "--faint"); g.textAlign = "right"; g.fillText(`${(n * frame).toFixed(2)} s`, EDGE - 8, y + CELL / 2); }
      codes.slice(0, Q).forEach((code, q) => {
        const top = y + q * ROW;
        const joined = n % columns && frames[n - 1][q] === code, token = 3 * tokenOf(code, q);
        g.fillStyle = rgb(palette, token / 3); g.fillRect(x - (joined ? 1 : 0), top, cell - 1 + (joined ? 1 : 0), Q > 1 ? ROW - 1 : ROW);
        g.fillStyle = readableOn(...palette.subarray(token, token + 3)); g.textAlign = "center";
        if (!joined) g.fillText(code, x + (cell - 1) / 2, top + ROW / 2 + 1);
      });
    });
    g.fillStyle = colourOf(el, "--faint"); g.textAlign = "left";
    phones().forEach((phone, n) => { if (phone && (n % columns === 0 || phones()[n - 1] !== phone)) { const [x, y] = cellOf(n); g.fillText(phone, x, y - 7); } });
    if (L) drawPitch(g, frames.map((codes) => codes[Q]));
    drawOver();
  }
  const heightOf = (level) => CELL + 4 + (1 - level / L) * (PITCH - 4);
  /** Draw levels by frame as a line, broken where they are unvoiced, on the speaker's mean. */
  function drawPitch(g, levels) {
    for (let n = 0; n < levels.length; n += columns) { g.fillStyle = colourOf(el, "--line"); g.fillRect(EDGE, cellOf(n)[1] + heightOf(Math.floor(L / 2)), Math.min(columns, levels.length - n) * cell, 1); }
    g.strokeStyle = colourOf(el, "--accent"); g.lineWidth = 2; g.beginPath();
    levels.forEach((level, n) => {
      if (!level) return;
      const [x, y] = cellOf(n), joined = n % columns && levels[n - 1];
      g[joined ? "lineTo" : "moveTo"](x, y + heightOf(level)); g.lineTo(x + cell, y + heightOf(level));
    });
    g.stroke();
  }
  function drawOver() {
    if (el.hidden || width < EDGE + cell) return;
    const N = model.get("codes").length, height = Math.ceil(N / columns) * lineHeight(), g = fitCanvas(over, width, height), [a, b] = selected();
    const ink = colourOf(el, "--ink"), mark = colourOf(el, "--mark");
    const from = Math.min(a, b), to = Math.max(a, b);
    if (bent) {
      const levels = framesOf(model.get("codes")).map((codes) => codes[Q]);
      g.fillStyle = colourOf(el, "--paper");
      for (const n of bent.keys()) { const [x, y] = cellOf(n); g.fillRect(x - 1, y + CELL + 2, cell + 2, PITCH); }
      drawPitch(g, levels.map((level, n) => (level && bent.get(n)) || (bent.has(n) ? 0 : level)));
    }
    if (from < to) {
      g.fillStyle = colourOf(el, "--paper"); g.globalAlpha = 0.3;
      for (let n = 0; n < N; n++) if (n < from || n >= to) { const [x, y] = cellOf(n); g.fillRect(x - 1, y, cell, CELL); }
      g.globalAlpha = 1; g.fillStyle = ink;
      for (let n = from; n < to; n++) { const [x, y] = cellOf(n); g.fillRect(x - 1, y - 2, cell, 3); g.fillRect(x - 1, y + CELL - 1, cell, 3); }
    }
    g.fillStyle = ink;
    for (const [n, end] of from < to ? [[from, 0], [to - 1, 1]] : [[Math.min(a, N - 1), a >= N ? 1 : 0]]) {
      const [x, y] = cellOf(n), edge = x + end * cell - 2;
      g.fillRect(edge, y - 2, 3, CELL + 4);
      if (from === to) { g.fillRect(edge - 2, y - 2, 7, 3); g.fillRect(edge - 2, y + CELL - 1, 7, 3); }
    }
    if (!fits()) return;
    const at = Math.floor(inner.get("position") / frame);
    if (at >= N || (at === 0 && !inner.get("playing"))) return;
    const [x, y] = cellOf(at);
    g.strokeStyle = mark; g.lineWidth = 3; g.strokeRect(x - 1, y + 1, cell + 1, CELL - 2);
  }
  const semitones = (level) => (level ? `pitch ${level < L / 2 ? "−" : "+"}${Math.abs(level - Math.floor(L / 2)) / 2} semitones` : "unvoiced");
  function showPosition() {
    const codes = model.get("codes"), [a, b] = selected(), edited = model.get("strip_state").edited ? `edited: ${codes.length} ${unit}s, ${formatTime(codes.length * frame)} s` : "";
    const what = a < b ? `selected: ${b - a} ${unit}${b - a > 1 ? "s" : ""}, ${formatTime(a * frame)}–${formatTime(b * frame)} s` : a < codes.length ? `at ${formatTime(a * frame)} s, before code ${[codes[a]].flat().slice(0, Q).join(" ")}${L ? `, ${semitones(codes[a][Q])}` : ""}` : "at the end";
    position.textContent = [what, edited, edited && !page && "Generate uses these codes"].filter(Boolean).join("   ·   ");
  }
  const codeAt = (event) => {
    const box = over.getBoundingClientRect(), N = model.get("codes").length;
    const column = clamp((event.clientX - box.left - EDGE) / cell, 0, columns), line = clamp(Math.floor((event.clientY - box.top) / lineHeight()), 0, Math.ceil(N / columns) - 1);
    return Math.min(N, line * columns + Math.round(column));
  };
  /** The frame under the pointer and the level at its height, where it is in the line of the pitch. */
  const pitchAt = (event) => {
    const box = over.getBoundingClientRect(), N = model.get("codes").length, y = event.clientY - box.top, line = Math.floor(y / lineHeight()), inside = y - line * lineHeight() - above();
    const n = line * columns + clamp(Math.floor((event.clientX - box.left - EDGE) / cell), 0, columns - 1);
    return { n: clamp(n, 0, N - 1), level: clamp(Math.round(L * (1 - (inside - CELL - 4) / (PITCH - 4))), 1, L - 1), within: inside > CELL + 2 };
  };
  function bend({ n, level }, start) {
    const [from, to] = start ? [n, n] : [Math.min(bent.at.n, n), Math.max(bent.at.n, n)];
    for (let k = from; k <= to; k++) bent.set(k, n === bent.at.n ? level : Math.round(bent.at.level + ((k - bent.at.n) / (n - bent.at.n)) * (level - bent.at.level)));
    bent.at = { n, level };
    drawOver();
  }
  function endBend() {
    const start = Math.min(...bent.keys()), end = Math.max(...bent.keys()) + 1, codes = model.get("codes");
    const levels = Array.from({ length: end - start }, (_, k) => bent.get(start + k));
    bent = null;
    if (!codes.slice(start, end).some((frame, k) => frame[Q] && frame[Q] !== levels[k])) return drawOver();
    waiting ??= [];
    send({ do: "edit", what: "draw_pitch", start, end, amount: levels });
  }
  over.onpointerdown = (event) => {
    if (event.button !== 0) return;
    over.setPointerCapture(event.pointerId);
    if (L && !page && !kernel.gone && !waiting && pitchAt(event).within) { const place = pitchAt(event); bent = Object.assign(new Map(), { at: place }); return bend(place, true); }
    dragging = true; home.focus({ preventScroll: true });
    const n = codeAt(event);
    if (!event.shiftKey) anchor = n;
    select(Math.min(anchor, n), Math.max(anchor, n));
  };
  over.onpointermove = (event) => { if (bent) bend(pitchAt(event)); else if (dragging) { const n = codeAt(event); select(Math.min(anchor, n), Math.max(anchor, n)); } };
  over.onpointerup = over.onpointercancel = () => { dragging = false; if (bent) endBend(); };

  function dress() {
    el.hidden = !K || !model.get("codes").length;
    const [a, b] = span(), { held, undo, redo, edited } = model.get("strip_state");
    const none = a < b ? "" : `select some ${unit}s first`;
    for (const name of ["cut", "copy", "repeat", "half", "twice", ...(L ? ["higher", "lower"] : [])]) allow(buttons[name], none);
    allow(buttons.splice, held ? "" : `cut or copy some ${unit}s first`);
    buttons.splice.textContent = held ? `Insert (${held})` : "Insert";
    allow(buttons.undo, undo ? "" : "nothing to undo");
    allow(buttons.redo, redo ? "" : "nothing to redo");
    allow(buttons.reset, edited ? "" : `the ${unit}s are not edited`);
    const [from, to] = selected();
    allow(buttons.part, from >= to ? `select some ${unit}s first` : fits() ? "" : "the track of the player has other codes: generate these, or choose another track");
    buttons.open.hidden = !door.ready() || a >= b;
    buttons.open.textContent = door.text(codeHere());
    allow(buttons.open, door.refusal(codeHere()));
    if (kernel.gone) { disableAll(bar); waiting = null; }
    showPosition();
  }

  // ---- keys
  function move(to, extend) {
    const N = model.get("codes").length, [a, b] = selected(), n = clamp(to, 0, N);
    if (!extend) { anchor = n; select(n, n); }
    else select(Math.min(anchor, n), Math.max(anchor, n));
    reveal(n);
  }
  function reveal(n) {
    const N = model.get("codes").length, [, y] = cellOf(Math.min(n, N - 1));
    if (y < roll.scrollTop || y + CELL > roll.scrollTop + roll.clientHeight) roll.scrollTop = y - roll.clientHeight / 2;
  }
  /** Handle a key; return whether it was one of the strip's. */
  function onkey(event) {
    if (el.hidden) return false;
    const { key, shiftKey } = event, [a, b] = selected(), caret = anchor <= a ? b : a; // the end that moves
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -1e9, End: 1e9 };
    const press = buttons[KEYS[key.length === 1 ? key.toLowerCase() : key]];
    if (!(key in steps) && !press && key !== "Escape") return false;
    if (waiting) waiting.push(() => onkey(event));
    else if (press) { if (!press.disabled) press.click(); }
    else move(caret + (steps[key] ?? 0), shiftKey && key in steps);
    return true;
  }
  function oncommand(event) { // as in a text editor
    if (!(event.ctrlKey || event.metaKey) || event.altKey || page || el.hidden) return;
    if (event.target.matches("input, select") || event.target.closest(".vq") !== home) return;
    const key = event.key.toLowerCase(), what = key === "z" ? (event.shiftKey ? "redo" : "undo") : { x: "cut", c: "copy", v: "splice", y: "redo" }[key];
    if (waiting && (what || key === "a")) waiting.push(() => oncommand(event));
    else if (key === "a") { anchor = 0; select(0, model.get("codes").length); }
    else if (!what) return;
    else if (!buttons[what].disabled) edit(what);
    event.preventDefault(); event.stopPropagation();
  }
  home.addEventListener("keydown", oncommand);
  function edited() {
    const later = waiting ?? [];
    waiting = null;
    anchor = selected()[0];
    dress(); draw(); reveal(selected()[0]);
    for (const press of later) press();
  }

  const unfollow = follow(model, {
    strip_state: edited,
    "codes phones matching_tracks": () => { dress(); draw(); },
    selection: () => { if (!dragging) { const [a, b] = selected(); if (anchor !== a && anchor !== b) anchor = a; } dress(); drawOver(); },
  });
  function setPlayer(found) {
    leaveInner();
    inner = found;
    leaveInner = follow(inner, { "position playing": drawOver, "pcm active": () => { dress(); drawOver(); } });
    dress(); draw(); reveal(selected()[0]);
  }
  dress();
  return { dress, draw, onkey, setPlayer, leave: () => { unfollow(); leaveInner(); door.leave(); home.removeEventListener("keydown", oncommand); } };
}

return { render };

})();
// The voice lab: a microphone, voices, sound that plays while it is generated, and a code editor.

const LANE = 44; // pixels; height of a voice that is generated
const FEW = 16; // up to this number voices are buttons, more are a list
const HELP = [["R", "record, end"], ["G", "generate"], ["X", "stop"]];
const STRIP_HELP = [["← → ↑ ↓", "move in the codes; with Shift select"], ["Del", "cut"], ["Ctrl C, V", "copy, insert"], ["D", "repeat"],
  [", .", "half, twice as long"], ["Ctrl Z, Y", "undo, redo"], ["P", "play selection"]];
const PITCH_HELP = [["+ −", "pitch a semitone higher, lower; or drag its line"]];
const STATES = { ready: "", encoding: "Encoding…", generating: "Starting the sampler…", adding: "" };

/** Plays sound from its start while it is generated; waits where it has caught up. */
function growingSound(rate, changed) {
  const me = { lane: -1, sounds: [], done: 0, ended: true };
  let sources = [], cursor = 0, when = 0, timer = 0, master = null;
  const now = () => contextOf(rate).currentTime;
  me.position = () => Math.max(0, cursor - Math.max(0, when - now()) * rate);
  me.waiting = () => me.lane >= 0 && cursor >= me.done && now() >= when;
  me.stop = () => {
    clearInterval(timer);
    sources.forEach((source) => source.stop());
    master?.disconnect();
    Object.assign(me, { lane: -1 }); sources = []; master = null;
    changed();
  };
  const feed = () => {
    const context = contextOf(rate);
    if (cursor < me.done && when - context.currentTime < 0.3) {
      const source = context.createBufferSource(), part = me.sounds[me.lane].subarray(cursor, me.done);
      source.buffer = context.createBuffer(1, part.length, rate);
      source.buffer.copyToChannel(part, 0);
      source.connect(master);
      const start = Math.ceil(Math.max(when, context.currentTime + 0.02) * rate) / rate;
      source.start(start);
      source.onended = () => { sources = sources.filter((other) => other !== source); };
      sources.push(source);
      [when, cursor] = [start + part.length / rate, me.done];
    }
    if (me.ended && cursor >= me.done && context.currentTime >= when) me.stop();
    else changed();
  };
  me.play = (lane) => {
    globalThis.vqwnPlaying?.stop();
    globalThis.vqwnPlaying = me;
    contextOf(rate).resume();
    master = contextOf(rate).createGain();
    master.connect(contextOf(rate).destination);
    [cursor, when, me.lane] = [0, 0, lane];
    timer = setInterval(feed, 50);
    feed();
  };
  return me;
}

/**
 * Call back with why the microphone cannot be used on this page, "" where it can, and again when the
 * permission changes. Returns how to end it.
 */
function watchMicrophone(changed) {
  if (!navigator.mediaDevices?.getUserMedia) {
    changed(isSecureContext ? "this page has no access to a microphone." : "browsers allow the microphone on localhost or over https only.");
    return () => {};
  }
  const end = new AbortController();
  navigator.permissions?.query({ name: "microphone" }).then((permission) => {
    const report = () => changed(permission.state === "denied" ? "the microphone is blocked for this page, by the browser's settings or by the editor." : "");
    if (end.signal.aborted) return;
    report();
    permission.addEventListener("change", report, end);
  }, () => {}); // a browser that does not know this permission
  return () => end.abort();
}

function render({ model, el, host }) {
  const page = model.get("page"), { rate, hop, codes: K, codebooks: Q, fewest, note, most, adds } = model.get("about"), namesNow = () => model.get("speakers").map(([name]) => name);
  const send = (message, buffers) => { complaint = ""; if (!kernel.gone) model.send(message, undefined, buffers); };
  const button = (name, text, onclick, title) => h("button", { class: `vq-${name}`, onclick, title }, ...[text].flat());
  let complaint = "", recording = null, inner = null, barred = ""; // why nothing can be recorded

  // ---- the source
  const record = button("record", "", () => (recording ? recording.end() : replaceSpeech(startRecording)));
  const file = h("input", { type: "file", accept: "audio/*,.flac,.opus,.oga", hidden: true, "aria-label": "file", onchange: () => { const chosen = file.files[0]; if (chosen) replaceSpeech(() => load(chosen, chosen.name)); file.value = ""; } });
  const choose = button("choose", "Choose a file…", () => file.click(), "or drop one on this widget");
  const utterance = h("select", { class: "vq-utterance", "aria-label": "utterance", onchange: () => { const key = utterance.value; if (key) replaceSpeech(() => send({ do: "choose", key })); } },
    h("option", { value: "" }, "choose an utterance…"), ...model.get("utterances").map(([key, text]) => h("option", { value: key }, text ? `${key}: ${text}` : key)));
  const level = h("div", { class: "vq-fill" }), meter = h("div", { class: "vq-progress vq-meter", role: "meter", "aria-valuemin": -80, "aria-valuemax": 0, "aria-label": "level of the microphone in dB", hidden: true }, level);
  const clock = h("span", { class: "vq-time vq-clock" }), without = h("span", { class: "vq-note vq-barred", role: "note" }), source = h("div", { class: "vq-note vq-source" });
  const remark = h("div", { class: "vq-note vq-remark", role: "note" });
  const question = h("div", { class: "vq-row vq-question", role: "alertdialog", "aria-label": "replace the takes", hidden: true });

  // ---- voices and settings
  const voices = h("div", { class: "vq-chips vq-voices" });
  const ends = ["first", "second"].map((end) => h("select", { "aria-label": `${end} voice`, onchange: (event) => mix({ [end]: event.target.value }) }));
  const share = h("input", { type: "range", min: 0, max: 100, step: 5, class: "vq-share", "aria-label": "point between the two voices, in percent of the second", oninput: () => mix({ share: share.value / 100 }) });
  const shares = h("span", { class: "vq-time vq-shares" });
  const mixed = button("mixed", "Include the blend", () => mix({ on: !model.get("blend").on }));
  const temperature = h("input", { type: "range", min: 0.05, max: 1.5, step: 0.05, class: "vq-temperature", "aria-label": "temperature", oninput: () => put(model, { temperature: Number(temperature.value) }) });
  const degrees = h("span", { class: "vq-time vq-degrees" });
  const voiced = h("input", { type: "checkbox", class: "vq-voiced", onchange: () => put(model, { temperature: voiced.checked ? "voiced" : Number(temperature.value) }) });
  const seed = h("input", { type: "number", min: 0, step: 1, class: "vq-seed", "aria-label": "seed", onchange: () => put(model, { seed: Math.max(0, Math.round(Number(seed.value)) || 0) }) });
  const another = button("another", "Next seed", () => put(model, { seed: model.get("seed") + 1 }), "other random numbers");
  const books = h("input", { type: "range", min: fewest, max: Q, step: 1, class: "vq-codebooks", "aria-label": "codebooks that are decoded, from the first", oninput: () => put(model, { codebooks: Number(books.value) }) });
  const used = h("span", { class: "vq-time vq-used" });
  const newName = h("input", { type: "text", class: "vq-name", maxLength: 40, placeholder: "name", "aria-label": "name of the new voice", oninput: () => dress(), onkeydown: (event) => { if (event.key === "Enter" && !add.disabled) add.click(); } });
  const add = button("add", "Add as a voice", () => send({ do: "add", name: newName.value.trim() }), `fit a new voice of this model to the original, which must have ${adds} s or more`);
  const generate = h("button", { class: "vq-primary vq-generate", onclick: () => send({ do: "generate", settings: settings() }) }, ...symbol("▶", "Generate"));
  const stop = button("stop", symbol("■", "Stop"), () => send({ do: "stop" }));
  const clear = button("clear", "Clear takes", () => send({ do: "clear" }));
  const fill = h("div", { class: "vq-fill" }), bar = h("div", { class: "vq-progress vq-done", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100, "aria-label": "generated" }, fill);
  const status = h("div", { class: "vq-note vq-state", role: "status" }), problem = h("div", { class: "vq-problem", role: "alert" });
  const stream = h("div", { class: "vq-stream", hidden: true });

  const why = h("div", { class: "vq-note vq-why" }, K ? "" : "This model has no codebook (an autoencoder), so there are no codes to edit.");
  const stripBox = h("div", { class: "vq-strip" });
  const within = h("div", { class: "vq-within" });

  const row = (name, ...children) => [h("div", { class: "vq-label" }, name), h("div", { class: "vq-row", role: name ? "group" : null, "aria-label": name || null }, ...children.filter(Boolean))];
  const form = page ? null : h("div", { class: "vq-form" },
    ...row("Source", record, choose, file, model.get("utterances").length ? utterance : null, meter, clock, without),
    ...row("", source, question),
    ...row("Voices", voices),
    ...(namesNow().length > 1 ? row("Blend", ends[0], share, ends[1], shares, mixed) : []),
    ...row("Sampling", h("label", {}, "temperature", temperature), degrees, h("label", { title: "colder where the sound is periodic, as in vowels" }, voiced, "by voicing"), h("label", {}, "seed", seed), another, ...(fewest < Q ? [h("label", {}, "codebooks", books), used] : [])),
    ...row("", generate, stop, bar, clear),
    ...(adds ? row("New voice", newName, add) : []));
  el.append(...[model.get("title") && h("div", { class: "vq-title" }, model.get("title")), form ?? source, remark, status, problem, stream, stripBox, why, within,
    page ? null : h("div", { class: "vq-help" }, ...helpOf([...HELP, ...(K ? STRIP_HELP : []), ...(model.get("about").pitch ? PITCH_HELP : []), ...(K && model.get("opens") ? [OPEN_HELP] : [])]))].filter(Boolean));
  prepareRoot(el, "lab", model.get("title") || "voice lab", onkey);
  const kernel = watchKernel(model, el, () => { recording?.drop(); question.hidden = true; dress(); codes.dress(); });
  const codes = strip.render({ model, el: stripBox, home: el, send, kernel, host });

  // A message overtakes trait changes that wait for a busy kernel, so it contains them.
  const settings = () => Object.fromEntries(["voices", "blend", "temperature", "seed", "codebooks"].map((name) => [name, model.get(name)]));

  // ---- recording
  function complain(error) { complaint = error.message ?? String(error); dress(); }
  async function startRecording() {
    complaint = "";
    let input;
    try { input = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false } }); }
    catch (error) {
      complain(error.name === "NotFoundError" ? "No microphone was found: choose a file instead." : `The microphone cannot be used (${error.name}): allow it in the browser's settings for this page, or choose a file.`);
      setTimeout(() => choose.focus()); // after the click, which moves the focus to the lab
      return;
    }
    const recorder = new MediaRecorder(input), parts = [], context = new AudioContext(), analyser = context.createAnalyser(), began = performance.now();
    context.createMediaStreamSource(input).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const watch = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      const loudest = Math.max(1e-4, ...samples.map(Math.abs)), seconds = (performance.now() - began) / 1000;
      level.style.width = `${clamp(100 + 2 * 20 * Math.log10(loudest), 0, 100)}%`; // 50 dB
      level.classList.toggle("vq-over", loudest > 0.98);
      meter.setAttribute("aria-valuenow", Math.round(20 * Math.log10(loudest)));
      clock.textContent = `${formatTime(seconds, 1)} of ${most} s`;
      if (seconds >= most) recording?.end();
    }, 60);
    const close = () => { clearInterval(watch); input.getTracks().forEach((track) => track.stop()); context.close(); recording = null; };
    recorder.ondataavailable = ({ data }) => parts.push(data);
    recorder.onstop = () => { close(); dress(); load(new Blob(parts, { type: recorder.mimeType }), "recording"); };
    recording = { end: () => { if (recorder.state !== "inactive") recorder.stop(); }, drop: () => { recorder.onstop = null; recorder.stop(); close(); } };
    globalThis.vqwnPlaying?.stop(); // or it would be recorded
    recorder.start();
    dress();
  }
  async function load(blob, name) {
    try {
      const { pcm, rate: at } = await decode(blob, name, rate, most);
      send({ do: "sound", name, rate: at }, [pcm.buffer]);
      dress();
    } catch (error) { complain(error); }
  }
  /** Do what replaces the speech; where takes would be lost with it, ask first. */
  function replaceSpeech(action) {
    const takes = (inner?.get("names").length ?? 1) - 1, answer = (act) => { question.hidden = true; dress(); el.focus({ preventScroll: true }); act?.(); };
    if (!takes) return action();
    const replace = button("replace", "Replace", () => answer(action)), keep = button("keep", "Keep", () => answer());
    question.replaceChildren(`New speech removes ${takes > 1 ? `the ${takes} takes` : "the take"} of this one.`, replace, keep);
    question.hidden = false;
    keep.focus({ preventScroll: true });
  }
  const refuses = () => kernel.gone || page || recording || model.get("state") !== "ready";
  takeDrops(el, () => !refuses(), (dropped) => replaceSpeech(() => load(dropped, dropped.name)));

  // ---- buttons
  const toggleVoice = (name) => { const now = model.get("voices"); put(model, { voices: now.includes(name) ? now.filter((other) => other !== name) : [...now, name] }); };
  const mix = (change) => put(model, { blend: { ...model.get("blend"), ...change } });
  function dressVoices() {
    const chosen = model.get("voices"), names = namesNow(), all = [...names, "no speaker"], known = Object.fromEntries(model.get("speakers"));
    for (const end of ends) if (end.options.length !== names.length) end.replaceChildren(...names.map((name) => h("option", {}, name)));
    const shown = all.length <= FEW ? all : chosen;
    const chips = shown.map((name) => h("button", { class: "vq-voice", "aria-pressed": String(chosen.includes(name)), title: name === "no speaker" ? "the decoder is not conditioned on a speaker" : known[name], onclick: () => toggleVoice(name) }, name));
    const more = all.length <= FEW ? null : h("select", { class: "vq-more", "aria-label": "add a voice", onchange: (event) => toggleVoice(event.target.value) },
      h("option", { value: "" }, "add a voice…"), ...all.filter((name) => !chosen.includes(name)).map((name) => h("option", { value: name }, known[name] ? `${name} (${known[name]})` : name)));
    refill(voices, ...chips, ...(more ? [more] : []));
    const { first, second, share: part, on } = model.get("blend"), percent = Math.round(100 * part);
    [ends[0].value, ends[1].value, share.value] = [first, second, percent];
    shares.textContent = `${100 - percent} % ${first}, ${percent} % ${second}`;
    mixed.setAttribute("aria-pressed", String(on));
  }
  function dress() {
    const state = model.get("state"), { names: lanes, done, total, speed } = model.get("progress");
    const about = model.get("source"), generating = state === "generating";
    const busy = state === "ready" ? "" : `the lab is ${state}: wait, or stop it`, waits = busy || (recording ? "end the recording first" : "");
    record.replaceChildren(...(recording ? symbol("■", "End") : symbol("●", "Record")));
    record.setAttribute("aria-pressed", String(Boolean(recording)));
    allow(record, busy || barred);
    choose.classList.toggle("vq-primary", Boolean(barred));
    without.textContent = barred && `No recording here: ${barred}`;
    without.hidden = !barred;
    for (const node of [choose, utterance]) allow(node, waits);
    meter.hidden = !recording;
    if (!recording) clock.textContent = "";
    utterance.value = model.get("utterances").some(([key]) => key === about.name) ? about.name : "";
    source.textContent = about.name ? [about.name, about.speaker, `${formatTime(about.seconds)} s`, K && `${about.codes} ${Q > 1 ? `frames of ${Q} codes` : "codes"}, ${(rate / hop).toFixed(0)} per second`, ...about.notes].filter(Boolean).join("  ·  ")
      : [barred ? "Choose an audio file, or drop one here." : "Record speech, drop an audio file here, or choose one.", note].filter(Boolean).join(" ");
    remark.textContent = about.remark ? `⚠ ${about.remark}` : "";
    remark.hidden = !about.remark;
    allow(generate, waits || (!about.name ? "record speech, or choose a file or an utterance first" : model.get("voices").length || model.get("blend").on ? "" : "choose a voice first"));
    const adding = state === "adding";
    allow(stop, generating || adding ? "" : "nothing is being generated");
    allow(newName, waits);
    allow(add, waits || (!(about.seconds >= adds) ? `a voice is added from speech of ${adds} s or more` : newName.value.trim() ? "" : "type the name of the new voice first"));
    allow(clear, waits || ((inner?.get("names").length ?? 0) < 2 ? "there are no takes" : ""));
    if (kernel.gone && form) disableAll(form);
    fill.style.width = `${total ? (100 * done) / total : 0}%`;
    bar.setAttribute("aria-valuenow", total ? Math.round((100 * done) / total) : 0);
    const amount = done ? `${formatTime(done / rate)} of ${formatTime(total / rate)} s${lanes.length > 1 ? ` in ${lanes.length} voices` : ""}, ${((speed * lanes.length) / rate).toFixed(2)} × real time` : "";
    status.setAttribute("aria-live", generating || adding ? "off" : "polite"); // or each step would be read out
    status.textContent = page || kernel.gone ? "" : adding ? `Adding the voice, ${Math.round(100 * done)} %. ${model.get("progress").text ?? ""}` : generating ? amount || STATES.generating : STATES[state] || (done ? (done < total ? `Stopped after ${amount}.` : `Generated: ${amount}.`) : "");
    status.hidden = !status.textContent;
    problem.textContent = complaint || model.get("problem");
    problem.hidden = !problem.textContent;
    el.dataset.state = state;
    const heat = model.get("temperature");
    voiced.checked = heat === "voiced";
    allow(temperature, kernel.gone ? GONE : voiced.checked ? "by voicing: the temperature follows the sound" : "");
    degrees.textContent = voiced.checked ? "" : heat.toFixed(2);
    if (!voiced.checked && document.activeElement !== temperature) temperature.value = heat;
    seed.value = model.get("seed");
    books.value = model.get("codebooks");
    used.textContent = `${model.get("codebooks")} of ${Q}`;
    why.hidden = Boolean(K);
  }

  // ---- sound during generation
  const growing = growingSound(rate, () => drawStream());
  let rows = [];
  function layStream() {
    const { names: lanes, total } = model.get("progress");
    growing.stop();
    Object.assign(growing, { sounds: lanes.map(() => new Float32Array(total)), done: 0, ended: false });
    rows = lanes.map((name, lane) => {
      const canvas = h("canvas", { role: "img", "aria-label": `${name}, while it is generated` });
      const listen = h("button", { class: "vq-listen", onclick: () => (growing.lane === lane ? growing.stop() : (growing.lane >= 0 && growing.stop(), growing.play(lane))) });
      return { name, canvas, listen, box: h("div", { class: "vq-lane" }, listen, h("div", { class: "vq-wave" }, canvas)) };
    });
    refill(stream, ...rows.map(({ box }) => box));
  }
  function addSound({ at }, buffers) {
    if (growing.sounds.length !== buffers.length) layStream();
    buffers.forEach((part, lane) => { const floats = floatsOf(part); growing.sounds[lane].set(floats, at); growing.done = Math.max(growing.done, at + floats.length); });
    drawStream();
  }
  function drawStream() {
    growing.ended = kernel.gone || model.get("state") !== "generating";
    stream.hidden = (growing.ended && growing.lane < 0) || !rows.length || !growing.done;
    if (stream.hidden) return;
    rows.forEach(({ name, canvas, listen }, lane) => {
      const on = growing.lane === lane;
      listen.replaceChildren(...symbol(on ? "■" : "▶", name));
      listen.setAttribute("aria-pressed", String(on));
      const wide = canvas.parentNode.clientWidth;
      if (wide < 20) return;
      const g = fitCanvas(canvas, wide, LANE), sound = growing.sounds[lane], perPixel = sound.length / wide;
      g.fillStyle = colourOf(el, "--field"); g.fillRect(0, 0, wide, LANE);
      g.fillStyle = colourOf(el, "--line"); g.fillRect(0, LANE / 2, wide, 1);
      g.fillStyle = colourOf(el, "--accent");
      for (let x = 0; x < growing.done / perPixel; x++) {
        let low = 1, high = -1;
        for (let k = Math.floor(x * perPixel); k < Math.min(growing.done, (x + 1) * perPixel); k++) { low = Math.min(low, sound[k]); high = Math.max(high, sound[k]); }
        if (high >= low) g.fillRect(x, (LANE / 2) * (1 - high), 1, Math.max(1, (LANE / 2) * (high - low)));
      }
      g.fillStyle = colourOf(el, "--mark");
      if (on) g.fillRect(growing.position() / perPixel - 1, 0, 2, LANE);
      if (on && growing.waiting() && !growing.ended) { g.textAlign = "right"; g.fillText("waiting for more", wide - 6, 10); }
    });
  }

  // ---- keys
  function onkey(event) {
    if (page) return false;
    const { key } = event, own = event.target.closest(".vq") === el;
    const press = { g: generate, x: stop, r: own && record }[key.toLowerCase()];
    if (press) { if (!press.disabled) press.click(); return true; }
    return own && codes.onkey(event);
  }

  // ---- what follows what
  let gone = false, leavePlayer = () => {}, unfollowPlayer = () => {};
  function showPlayer() {
    modelWithin(model, "player").then((found) => {
      if (gone || !found || found === inner) return;
      leavePlayer(); unfollowPlayer();
      const box = h("div");
      within.replaceChildren(box);
      inner = found;
      leavePlayer = player.render({ model: inner, el: box });
      unfollowPlayer = follow(inner, { names: dress });
      codes.setPlayer(inner);
      dress();
    });
  }
  const draw = () => { drawStream(); codes.draw(); };
  const unfollow = follow(model, {
    "voices blend speakers": () => { dressVoices(); dress(); },
    "state problem source temperature seed codebooks": () => { dress(); drawStream(); },
    progress: () => { if (!model.get("progress").done) { rows = []; layStream(); } dress(); },
    player: showPlayer,
  });
  const listen = (message, buffers) => { if ("at" in message) addSound(message, buffers); };
  if (!page) model.on("msg:custom", listen);
  if (model.get("state") === "generating") { layStream(); send({ do: "resend" }); }
  const unwatch = watchTheme(el, draw), leaveMicrophone = page ? () => {} : watchMicrophone((why) => { barred = why; dress(); });
  dressVoices(); dress(); draw(); showPlayer();
  return () => {
    gone = true; recording?.drop(); growing.stop(); leavePlayer(); unfollowPlayer(); codes.leave(); leaveMicrophone(); kernel.leave(); unfollow(); unwatch();
    if (!page) model.off("msg:custom", listen);
  };
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

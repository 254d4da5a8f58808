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

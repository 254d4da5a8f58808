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

export default { ...hooks, render };

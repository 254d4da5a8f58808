// The page of a code: what is known about it, speech that has it, and a recording of one's own.

function render({ model, el }) {
  const page = model.get("page"), { tries, rate, most } = model.get("about"), hrefs = () => model.get("hrefs") ?? {};
  const title = h("div", { class: "vq-bar" }), tiles = h("div", { class: "vq-tiles vq-facts" }), note = h("div", { class: "vq-note" });
  const examples = h("div", { class: "vq-within" }), panels = h("div", { class: "vq-panels" }), trial = h("div", { class: "vq-within" });
  const file = h("input", { type: "file", accept: "audio/*,.flac,.opus,.oga", hidden: true, "aria-label": "recording", onchange: () => { if (file.files[0]) load(file.files[0]); file.value = ""; } });
  const choose = h("button", { class: "vq-choose", onclick: () => file.click(), title: "or drop one on this page" }, "Try it on a recording…");
  const found = h("span", { class: "vq-note vq-found", role: "status" }), problem = h("div", { class: "vq-problem", role: "alert", hidden: true });
  el.append(title, tiles, examples, note, panels, ...(tries ? [h("div", { class: "vq-bar", style: "margin:10px 0 0" }, choose, file, found)] : []), problem, trial);
  prepareRoot(el, "code", `code ${model.get("name")}`, onkey);
  const kernel = watchKernel(model, el, () => { dress(); dressTrial(); });
  let complaint = "";

  // ---- facts
  const known = (token) => token >= 0 && (!page || hrefs()[token]);
  function open(token) {
    if (!known(token)) return;
    if (hrefs()[token]) { location.href = hrefs()[token]; return; }
    if (kernel.gone) return;
    complaint = "";
    model.send({ do: "open", number: token });
  }
  /** A button that opens the page of a code; grey where that needs the kernel, which is gone. */
  function opener(token, name, title, text) {
    const node = h("button", { class: name, title, onclick: () => open(token) }, ...text);
    allow(node, kernel.gone && !hrefs()[token] ? GONE : "");
    return node;
  }
  function dress() {
    const before = model.get("history").at(-1);
    refill(title, h("div", { class: "vq-title", style: "margin:0" }, [model.get("title"), `code ${model.get("name")}`].filter(Boolean).join(" · ")), h("span", { class: "vq-grow" }),
      ...(before ? [opener(before[0], "vq-back", "key Backspace", symbol("←", `code ${before[1]}`))] : []),
      ...(hrefs().index ? [h("a", { href: hrefs().index }, "all codes")] : []));
    el.setAttribute("aria-label", `code ${model.get("name")}`);
    el.dataset.token = model.get("token");
    refill(tiles, ...model.get("tiles").map(([name, value, remark]) => h("div", { class: "vq-tile" }, h("span", {}, name), h("b", {}, value), h("small", {}, remark))));
    tiles.style.setProperty("--tiles", model.get("tiles").length);
    note.textContent = model.get("note");
    note.hidden = !note.textContent;
    refill(panels, ...model.get("panels").map((panel) => h("section", { class: "vq-panel" }, h("h4", {}, panel.name), panel.rows.length ? table(panel) : histogram(panel), panel.note ? h("div", { class: "vq-note" }, panel.note) : null)));
  }
  function table({ rows }) {
    const most = Math.max(...rows.map(([, share]) => share), 1e-9);
    return h("table", {}, ...rows.map(([name, share, texts, token]) => h("tr", {},
      h("th", { scope: "row" }, known(token) ? opener(token, "vq-to", `open the page of code ${name}`, [name]) : name),
      h("td", { class: "vq-share" }, h("div", { style: `width:${((100 * share) / most).toFixed(1)}%` })),
      ...texts.map((text) => h("td", {}, text)))));
  }
  function histogram({ name, bars, behind, ticks }) {
    const most = Math.max(...bars, ...behind, 1e-9), tall = (value) => `height:${((100 * value) / most).toFixed(1)}%`;
    return h("div", { class: "vq-histogram", role: "img", "aria-label": `histogram: ${name}` },
      h("div", { class: "vq-bars" }, ...bars.map((value, n) => h("div", {}, behind.length ? h("i", { style: tall(behind[n]) }) : null, h("b", { style: tall(value) })))),
      h("div", { class: "vq-ticks" }, ...ticks.map(([at, text]) => h("span", { style: `left:${100 * at}%` }, text))));
  }
  function dressTrial() {
    const { name, moments } = model.get("result");
    const times = (moments ?? []).slice(0, 8).map(([start, end, far]) => h("button", { class: "vq-moment", title: `distance ${far.toPrecision(3)}: click to play`, onclick: () => playMoment(start, end) }, `${formatTime(start)} s`));
    refill(found, ...(moments ? [`${name}: ${moments.length || "no"} moment${moments.length === 1 ? "" : "s"} of code ${model.get("name")} `, ...times, moments.length > 8 ? ` and ${moments.length - 8} more` : ""] : []));
    allow(choose, kernel.gone ? GONE : "");
    problem.textContent = complaint || model.get("problem");
    problem.hidden = !problem.textContent;
  }

  // ---- players
  let gone = false;
  const inner = {}, leaves = {};
  function showPlayer(name, box) {
    modelWithin(model, name).then((model) => {
      if (gone || inner[name] === model) return;
      leaves[name]?.();
      inner[name] = model;
      const root = h("div");
      box.replaceChildren(...(model ? [root] : []));
      leaves[name] = model ? player.render({ model, el: root }) : null;
    });
  }
  function playMoment(start, end) {
    const shown = inner.trial, middle = (start + end) / 2;
    if (!shown) return;
    put(shown, { playing: false });
    put(shown, { loop: [Math.max(0, middle - 0.25), middle + 0.25], position: Math.max(0, middle - 0.25) });
    put(shown, { playing: true });
  }

  // ---- a recording
  async function load(blob) {
    complaint = "";
    try {
      const sound = await decode(blob, blob.name, rate, most);
      if (kernel.gone) return;
      model.send({ do: "try", name: blob.name, rate: sound.rate }, undefined, [sound.pcm.buffer]);
    } catch (error) { complaint = error.message ?? String(error); dressTrial(); }
  }
  if (tries) takeDrops(el, () => !kernel.gone, load);
  function onkey({ key }) {
    if (key === "Backspace" && model.get("history").length) open(model.get("history").at(-1)[0]);
    else return false;
    return true;
  }

  const unfollow = follow(model, {
    "token name tiles panels note history": dress,
    "result problem": dressTrial,
    player: () => showPlayer("player", examples),
    trial: () => showPlayer("trial", trial),
  });
  const unwatch = watchTheme(el, () => {});
  dress(); dressTrial(); showPlayer("player", examples); showPlayer("trial", trial);
  return () => { gone = true; kernel.leave(); unfollow(); unwatch(); Object.values(leaves).forEach((leave) => leave?.()); };
}

export default { ...hooks, render };

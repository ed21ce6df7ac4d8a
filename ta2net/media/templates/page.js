"use strict";
// The player, and the curve around the frame it shows. All text goes in as text, never as HTML.
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const film = byId("film");
  const count = data.ticks.length;
  const starts = new Float64Array(count + 1); // of each frame in s of the film, and its end
  let ticks = 0;
  data.ticks.forEach((length, index) => {
    ticks += length;
    starts[index + 1] = ticks / data.ticks_per_s;
  });
  const end = starts[count];
  const middle = (index) => (starts[index] + starts[index + 1]) / 2;
  const clamp = (value, least, most) => Math.min(Math.max(value, least), most);
  // hits and labels by their place among the frames of the film
  const hits = data.hits.map((hit) => ({ ...hit, index: hit.frame - data.first }));
  const rows = new Map([...document.querySelectorAll("#hits tbody tr")].map((row) => [Number(row.dataset.frame), row]));
  const strips = new Map([...document.querySelectorAll(".strip")].map((strip) => [Number(strip.dataset.frame), strip]));

  let now = 0; // the frame on show
  let view = Math.min(end, data.view_s); // s of film that the near curve shows
  let from = 0; // where it begins
  let dragging = false;
  let marked = null; // the hit whose row is marked

  const at = (second) => {
    let low = 0;
    let high = count - 1;
    while (low < high) {
      const half = (low + high + 1) >> 1;
      if (starts[half] <= second) low = half;
      else high = half - 1;
    }
    return low;
  };

  const clock = (second) => {
    const thousandths = Math.round(Math.abs(second) * 1000);
    const two = (value) => String(value).padStart(2, "0");
    const whole = Math.floor(thousandths / 1000);
    const minutes = Math.floor(whole / 60);
    const hours = Math.floor(minutes / 60);
    const start = hours ? `${hours}:${two(minutes % 60)}` : `${minutes}`;
    return `${second < 0 ? "-" : ""}${start}:${two(whole % 60)}.${String(thousandths % 1000).padStart(3, "0")}`;
  };
  const told = (index) => {
    const score = data.score[index];
    const said = score === null ? "no score" : (score / data.score_steps).toFixed(2);
    return [`frame ${data.first + index}`, `${clock(data.begin_s + starts[index])}`, said];
  };

  // The film

  const load = () => {
    const held = byId("film-data");
    const text = atob(held.textContent);
    const bytes = new Uint8Array(text.length);
    for (let place = 0; place < text.length; place += 1) bytes[place] = text.charCodeAt(place);
    held.remove();
    film.src = URL.createObjectURL(new Blob([bytes], { type: data.media_type }));
  };

  const seek = (index) => {
    const target = clamp(index, 0, count - 1);
    // the middle of its time: at the start, rounding may show the frame before; and not once more where the
    // film stands already, as Chromium takes a second seek within the last frame for one to the end
    if (!film.paused || at(film.currentTime) !== target) film.currentTime = middle(target);
    show(target);
  };
  const step = (frames) => {
    film.pause();
    seek(now + frames);
  };
  const toHit = (direction) => {
    const ahead = direction > 0 ? hits.find((hit) => hit.index > now) : hits.findLast((hit) => hit.index < now);
    if (ahead) seek(ahead.index);
  };
  const toggle = () => {
    if (!film.paused) film.pause();
    else film.play().catch((error) => complain(`The film cannot be played: ${error.message}`));
  };
  const again = () => {
    film.currentTime = Math.max(0, middle(now) - 0.5);
    if (film.paused) toggle();
  };
  const speeds = [
    [1, "1\u00d7", "as filmed"],
    [0.5, "\u00bd\u00d7", "half"],
    [0.25, "\u00bc\u00d7", "a quarter"],
  ];
  let speed = 0;
  const slower = () => {
    speed = (speed + 1) % speeds.length;
    const [rate, sign, name] = speeds[speed];
    film.playbackRate = rate;
    byId("speed").textContent = sign;
    byId("speed").setAttribute("aria-label", `Speed: ${name}`);
  };
  const complain = (message) => {
    byId("trouble").textContent = message;
    byId("trouble").hidden = false;
  };

  const PLAY = "M5 3.5v13l11-6.5z";
  const PAUSE = "M5 4h3.5v12H5zM11.5 4H15v12h-3.5z";
  const dress = () => {
    byId("play").setAttribute("aria-label", film.paused ? "Play" : "Pause");
    byId("play").querySelector("path").setAttribute("d", film.paused ? PLAY : PAUSE);
  };
  film.addEventListener("play", dress);
  film.addEventListener("pause", dress);
  film.addEventListener("error", () => complain("This browser cannot play the film; the curve and the pictures below need no player."));
  if ("requestVideoFrameCallback" in film) {
    const shown = (_, frame) => {
      // a seek has set the frame itself; its picture comes later
      if (!film.paused && !film.seeking) show(at(frame.mediaTime + 0.5 / data.ticks_per_s));
      film.requestVideoFrameCallback(shown);
    };
    film.requestVideoFrameCallback(shown);
  } else {
    film.addEventListener("timeupdate", () => {
      if (!film.paused && !film.seeking) show(at(film.currentTime));
    });
  }

  // Drawing

  const drawn = (parent, name, attributes, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  };

  const near = byId("near");
  const BOTTOM = 26; // px for times and labels
  const TOP = 20; // px for markers of certain hits
  let width = 0;
  let height = 0;
  const xOf = (second) => ((second - from) / view) * width;
  const yOf = (probability) => TOP + (1 - probability) * (height - TOP - BOTTOM);

  const drawCurve = (first, last) => {
    const perFrame = width / Math.max(1, last - first + 1);
    const pieces = [];
    let piece = [];
    const push = (index) => piece.push([xOf(middle(index)), yOf(data.score[index] / data.score_steps)]);
    const stride = Math.max(1, Math.floor(0.5 / perFrame)); // two points of a pixel are enough
    for (let index = first; index <= last; index += stride) {
      let lowest = null;
      let highest = null;
      for (let one = index; one < Math.min(index + stride, last + 1); one += 1) {
        if (data.score[one] === null) continue;
        if (lowest === null || data.score[one] < data.score[lowest]) lowest = one;
        if (highest === null || data.score[one] > data.score[highest]) highest = one;
      }
      if (lowest === null) {
        if (piece.length) pieces.push(piece);
        piece = [];
        continue;
      }
      push(Math.min(lowest, highest));
      if (lowest !== highest) push(Math.max(lowest, highest));
    }
    if (piece.length) pieces.push(piece);
    for (const points of pieces) {
      const line = points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L");
      drawn(near, "path", { class: "area", d: `M${points[0][0]} ${yOf(0)}L${line}L${points.at(-1)[0]} ${yOf(0)}Z` });
      drawn(near, "path", { class: "curve", d: `M${line}` });
      if (perFrame >= 7) for (const [x, y] of points) drawn(near, "circle", { class: "dot", cx: x, cy: y, r: 2 });
    }
  };

  const drawTimes = () => {
    const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600];
    const between = steps.find((one) => (one / view) * width >= 70) ?? 7200;
    const first = Math.ceil((data.begin_s + from) / between);
    for (let number = first; number * between - data.begin_s <= from + view; number += 1) {
      const x = xOf(number * between - data.begin_s);
      drawn(near, "path", { class: "axis", d: `M${x} ${yOf(0)}v5` });
      const text = clock(number * between).replace(/\.000$/, "").replace(/(\.\d)00$/, "$1");
      if (x > 12 && x < width - 16) drawn(near, "text", { x, y: height - 4, "text-anchor": "middle" }, text);
    }
  };

  const drawNear = () => {
    near.replaceChildren();
    const first = at(Math.max(0, from));
    const last = at(Math.min(end, from + view));
    drawn(near, "path", { class: "axis", d: `M0 ${yOf(0)}H${width}M0 ${yOf(1)}H${width}` });
    drawTimes();
    for (const [start, stop] of data.labels) {
      if (stop < first || start > last) continue;
      const [left, right] = [xOf(starts[start]), xOf(starts[stop + 1])];
      drawn(near, "path", { class: "mark", d: `M${(left + right) / 2} ${TOP}V${yOf(0)}` });
      drawn(near, "path", { class: "mark foot", d: `M${left} ${yOf(0) + 3}H${Math.max(right, left + 3)}` });
    }
    drawn(near, "path", { class: "threshold", d: `M0 ${yOf(data.threshold)}H${width}` });
    drawCurve(first, last);
    for (const hit of hits) {
      if (hit.index < first || hit.index > last) continue;
      const [x, y] = [xOf(middle(hit.index)), yOf(hit.probability)];
      const marker = drawn(near, "g", { class: hit.index === now ? "marker now" : "marker", "data-frame": hit.frame });
      drawn(marker, "line", { x1: x, x2: x, y1: y, y2: yOf(0) });
      drawn(marker, "rect", { x: x - 9, y: y - 20, width: 18, height: 24 });
      drawn(marker, "path", { d: `M${x - 6} ${y - 14}h12L${x} ${y - 3}z` });
      drawn(marker, "title", {}, `${hit.time}, frame ${hit.frame}, probability ${hit.probability.toFixed(2)}`);
    }
    drawn(near, "path", { class: "playhead", d: `M${xOf(middle(now))} 0V${yOf(0)}` });
  };

  const hover = (event) => {
    for (const old of near.querySelectorAll(".hover, .hairline")) old.remove();
    if (!event) return;
    const index = under(event);
    const x = xOf(middle(index));
    drawn(near, "line", { class: "hairline", x1: x, x2: x, y1: 0, y2: yOf(0) });
    const right = x > width / 2;
    drawn(near, "text", { class: "hover", x: right ? x - 7 : x + 7, y: 12, "text-anchor": right ? "end" : "start" }, told(index).join(" \u00b7 "));
  };

  const drawPlaces = () => {
    const places = byId("places");
    places.replaceChildren();
    const size = places.viewBox.baseVal;
    for (const hit of hits) {
      const away = Math.abs(middle(hit.index) - middle(now));
      if (hit.x === null || (away > data.glow_s && hit.index !== now)) continue;
      const circle = { cx: hit.x * size.width, cy: hit.y * size.height, r: 0.05 * Math.min(size.width, size.height) * (1 + away / data.glow_s) };
      const group = drawn(places, "g", { opacity: 1 - 0.8 * (away / data.glow_s) });
      drawn(group, "circle", { ...circle, class: "edge" });
      drawn(group, "circle", circle);
    }
  };

  const markRow = () => {
    const hit = hits.find((one) => one.index === now) ?? null;
    if (hit === marked) return;
    for (const old of document.querySelectorAll("tr.now, .strip.now")) old.classList.remove("now");
    marked = hit;
    if (!hit) return;
    strips.get(hit.frame)?.classList.add("now");
    const row = rows.get(hit.frame);
    row.classList.add("now");
    const box = row.closest(".scroll"); // scrolls the list, not the page
    const top = row.offsetTop - box.querySelector("thead").offsetHeight;
    if (top < box.scrollTop || row.offsetTop + row.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = top - box.clientHeight / 3;
  };

  const follow = () => {
    const where = (middle(now) - from) / view;
    if (!dragging && (where < 0 || where > 1 || (where > 0.92 && !film.paused))) from = middle(now) - (film.paused ? 0.5 : 0.1) * view;
    from = clamp(from, 0, Math.max(0, end - view));
  };

  const show = (index) => {
    now = index;
    follow();
    drawNear();
    drawPlaces();
    markRow();
    const [frame, time, score] = told(now);
    const bold = document.createElement("b");
    bold.textContent = frame;
    byId("readout").replaceChildren(bold, ` \u00b7 ${time} \u00b7 ${score}`);
    byId("needle").setAttribute("d", `M${middle(now) / end} 0V1`);
    byId("window").setAttribute("x", from / end);
    byId("window").setAttribute("width", view < end ? view / end : 0);
  };

  const zoom = (factor) => {
    view = clamp(view * factor, Math.min(end, 0.5), end);
    from = middle(now) - view / 2;
    byId("span").textContent = `${view < 10 ? view.toFixed(1) : Math.round(view)} s`;
    show(now);
  };

  // What people do

  const under = (event) => {
    const box = near.getBoundingClientRect();
    return at(clamp(from + ((event.clientX - box.left) / box.width) * view, 0, end));
  };
  near.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const marker = event.target.closest("g.marker");
    if (marker) {
      seek(Number(marker.dataset.frame) - data.first);
      return;
    }
    dragging = true;
    near.setPointerCapture(event.pointerId);
    seek(under(event));
  });
  near.addEventListener("pointermove", (event) => {
    if (dragging) seek(under(event));
    hover(event);
  });
  for (const name of ["pointerup", "pointercancel"]) near.addEventListener(name, () => { dragging = false; });
  near.addEventListener("pointerleave", () => hover(null));
  const overview = byId("whole");
  const jump = (event) => {
    const box = overview.getBoundingClientRect();
    from = clamp(((event.clientX - box.left) / box.width) * end - view / 2, 0, Math.max(0, end - view));
    seek(at(clamp(((event.clientX - box.left) / box.width) * end, 0, end)));
  };
  overview.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    overview.setPointerCapture(event.pointerId);
    jump(event);
  });
  overview.addEventListener("pointermove", (event) => {
    if (overview.hasPointerCapture(event.pointerId)) jump(event);
  });

  document.addEventListener("click", (event) => {
    const target = event.target.closest(".seek, #hits tbody tr");
    if (target) seek(Number(target.dataset.frame) - data.first);
    // after a click of the mouse the space bar plays again, instead of pressing the button once more
    if (event.detail > 0) event.target.closest("button")?.blur();
  });
  film.addEventListener("click", toggle);
  const deeds = {
    previous: () => toHit(-1),
    back: () => step(-1),
    play: toggle,
    forth: () => step(1),
    next: () => toHit(1),
    again,
    speed: slower,
    wider: () => zoom(2),
    closer: () => zoom(0.5),
  };
  for (const [id, deed] of Object.entries(deeds)) byId(id).addEventListener("click", deed);
  const keys = {
    " ": toggle,
    ArrowLeft: deeds.back,
    ArrowRight: deeds.forth,
    p: deeds.previous,
    n: deeds.next,
    r: again,
    s: slower,
    "+": deeds.closer,
    "=": deeds.closer,
    "-": deeds.wider,
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " " && event.target.closest("button, a")) return; // presses what has the focus
    const deed = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!deed) return;
    event.preventDefault();
    deed();
  });

  new ResizeObserver(() => {
    [width, height] = [near.clientWidth, near.clientHeight];
    near.setAttribute("viewBox", `0 0 ${width} ${height}`);
    show(now);
  }).observe(near);
  // report.html#frame-25 opens at that frame
  const asked = () => {
    const found = /^#frame-(\d{1,9})$/.exec(location.hash);
    if (found) seek(Number(found[1]) - data.first);
  };
  window.addEventListener("hashchange", asked);
  zoom(1);
  load();
  asked();
})();

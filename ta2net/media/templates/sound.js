"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("data").textContent);
  const sound = byId("sound");
  const picture = byId("picture");
  const box = picture.parentElement;
  const LEAD_S = 0.3; // heard before a label, so that its attack is not cut

  const play = (second) => {
    sound.currentTime = Math.max(0, second);
    sound.play();
  };
  const draw = () => {
    const x = sound.currentTime * data.px_per_s;
    byId("needle").setAttribute("d", `M${x} 0V${picture.height.baseVal.value}`);
    const seen = x - box.scrollLeft;
    if (!sound.paused && (seen < 0 || seen > 0.9 * box.clientWidth)) box.scrollLeft = x - 0.1 * box.clientWidth;
  };
  const mark = (index) => {
    for (const old of document.querySelectorAll(".now")) old.classList.remove("now");
    for (const one of document.querySelectorAll(`[data-label="${index}"]`)) one.classList.add("now");
  };
  const toLabel = (index) => {
    if (!(index in data.labels)) return;
    mark(index);
    play(data.labels[index] - LEAD_S);
    box.scrollLeft = data.labels[index] * data.px_per_s - 0.3 * box.clientWidth;
  };
  const last = () => Number(document.querySelector("tr.now")?.dataset.label ?? -1);

  const tick = () => {
    draw();
    if (!sound.paused) requestAnimationFrame(tick);
  };
  sound.addEventListener("play", tick);
  sound.addEventListener("seeked", draw);
  picture.addEventListener("click", (event) => {
    const label = event.target.closest(".mark");
    if (label) toLabel(Number(label.dataset.label));
    else play((event.clientX - picture.getBoundingClientRect().left) / data.px_per_s);
  });
  document.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-label]");
    if (row) toLabel(Number(row.dataset.label));
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("audio")) return;
    const key = event.key.toLowerCase();
    if (key === "n") toLabel(last() + 1);
    else if (key === "p") toLabel(Math.max(0, last() - 1));
    else if (key === " " && !event.target.closest("button")) {
      event.preventDefault();
      if (sound.paused) sound.play();
      else sound.pause();
    }
  });
})();

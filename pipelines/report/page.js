"use strict";
// Draws the plots that can be pointed at: those near the window first, all of them before the page is printed.
(function () {
  const CONFIG = { responsive: true, displayModeBar: false };
  const TOUCH = window.matchMedia("(pointer: coarse)").matches;
  const PRINTED = 680;
  const NARROW = 480;
  const PAUSE = 60;
  const places = Array.from(document.querySelectorAll("[data-plot]"));
  const drawn = new Set();

  function layoutOf(own) {
    const ground = { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: TOUCH ? false : "zoom" };
    const room = { margin: { l: 70, r: 20, t: 12, b: 60 }, legend: { orientation: "h", y: -0.2, yanchor: "top" } };
    return Object.assign({ font: { family: "inherit", size: 12 }, hovermode: "closest" }, ground, room, own);
  }

  // The library lies in the page as text, and is run when something is drawn: the page is there before.
  function library() {
    if (window.Plotly) return;
    const script = document.createElement("script");
    script.textContent = document.getElementById("plotly").textContent;
    document.head.append(script);
  }

  function draw(place) {
    if (drawn.has(place)) return;
    drawn.add(place);
    library();
    const spec = JSON.parse(place.nextElementSibling.textContent);
    const layout = layoutOf(spec.layout);
    if (place.clientWidth < NARROW) Object.assign(layout, { font: { family: "inherit", size: 10 } });
    Plotly.newPlot(place, spec.data, layout, CONFIG);
  }

  // Near the window at once, the others one after another: none of them keeps the page from opening.
  const shown = (place) => place.offsetParent !== null;
  const watch = new IntersectionObserver(function (entries) {
    entries.filter((entry) => entry.isIntersecting).forEach((entry) => draw(entry.target));
  }, { rootMargin: "200px" });

  function next() {
    const place = places.find((one) => !drawn.has(one) && shown(one));
    if (!place) return;
    draw(place);
    window.setTimeout(next, PAUSE);
  }
  window.addEventListener("load", function () {
    window.setTimeout(function () {
      places.forEach((place) => watch.observe(place));
      next();
    }, PAUSE);
  });

  window.addEventListener("beforeprint", function () {
    places.filter(shown).forEach(draw);
    drawn.forEach((place) => Plotly.relayout(place, { width: PRINTED }));
  });
  window.addEventListener("afterprint", function () {
    drawn.forEach((place) => Plotly.relayout(place, { width: null, autosize: true }));
  });
})();

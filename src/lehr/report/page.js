"use strict";
// Words for the point that is nearest to the pointer, or that arrow keys have reached.
for (const figure of document.querySelectorAll("figure.chart")) {
  const points = JSON.parse(figure.querySelector("script").textContent);
  const svg = figure.querySelector("svg"), mark = figure.querySelector(".mark"), output = figure.querySelector("output");
  if (!points.length) continue;
  let at = -1;
  const show = (place) => {
    at = Math.max(0, Math.min(points.length - 1, place));
    const [x, y, words] = points[at];
    mark.setAttribute("cx", x);
    mark.setAttribute("cy", y);
    mark.setAttribute("visibility", "visible");
    output.textContent = words;
  };
  const nearest = (event) => {
    const box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal;
    const x = (event.clientX - box.left) / box.width * view.width;
    const y = (event.clientY - box.top) / box.height * view.height;
    let best = 0, least = Infinity;
    points.forEach(([px, py], place) => {
      const distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < least) { least = distance; best = place; }
    });
    show(best);
  };
  svg.addEventListener("pointermove", nearest);
  svg.addEventListener("pointerdown", nearest);
  figure.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) { event.preventDefault(); show(at + step); }
  });
}

// A surface of squares, drawn from the farthest to the nearest.
const ramp = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
const colour = (share) => {
  const place = Math.max(0, Math.min(0.9999, share)) * (ramp.length - 1), low = Math.floor(place), part = place - low;
  return "rgb(" + ramp[low].map((from, k) => Math.round(from + (ramp[low + 1][k] - from) * part)).join(",") + ")";
};
for (const figure of document.querySelectorAll("figure.surface")) {
  const { z, extent } = JSON.parse(figure.querySelector("script").textContent);
  const canvas = figure.querySelector("canvas"), pen = canvas.getContext("2d"), output = figure.querySelector("output");
  // One by one: a large grid has more values than a call may have arguments.
  const [low, high] = z.flat().reduce(([least, most], value) => (
    value === null ? [least, most] : [Math.min(least, value), Math.max(most, value)]
  ), [Infinity, -Infinity]);
  const span = high - low || 1, count = z.length;
  let turn = -0.9, tilt = 0.55, held = null;
  const draw = () => {
    const width = canvas.clientWidth || 400, height = width * 0.75, scale = window.devicePixelRatio || 1;
    canvas.width = width * scale;
    canvas.height = height * scale;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    const size = width * 0.33, [ct, st, cp, sp] = [Math.cos(turn), Math.sin(turn), Math.cos(tilt), Math.sin(tilt)];
    const project = (a, b, value) => {
      const x = 2 * a / (count - 1) - 1, y = 2 * b / (z[0].length - 1) - 1, up = (value - low) / span - 0.5;
      const right = x * ct - y * st, deep = x * st + y * ct;
      return [width / 2 + size * right, height / 2 + size * (deep * sp - 1.15 * up * cp), deep * cp + 1.15 * up * sp];
    };
    const squares = [];
    for (let a = 0; a + 1 < count; a++) {
      for (let b = 0; b + 1 < z[0].length; b++) {
        const corners = [[a, b], [a + 1, b], [a + 1, b + 1], [a, b + 1]];
        const values = corners.map(([p, q]) => z[p][q]);
        if (values.includes(null)) continue;
        const places = corners.map(([p, q], k) => project(p, q, values[k]));
        const depth = places.reduce((sum, place) => sum + place[2], 0);
        squares.push([depth, places, 1 - (values.reduce((sum, value) => sum + value, 0) / 4 - low) / span]);
      }
    }
    squares.sort((one, other) => one[0] - other[0]);
    for (const [, places, share] of squares) {
      pen.beginPath();
      places.forEach(([x, y], k) => (k ? pen.lineTo(x, y) : pen.moveTo(x, y)));
      pen.closePath();
      pen.fillStyle = pen.strokeStyle = colour(share);
      pen.fill();
      pen.lineWidth = 0.6;
      pen.stroke();
    }
    const degrees = (angle) => Math.round(angle * 180 / Math.PI);
    output.textContent = `from ${low.toPrecision(6)} to ${(low + span).toPrecision(6)}, directions from ${extent[0]} to ` +
      `${extent[1]}; turned by ${degrees(turn)}°, tilted by ${degrees(tilt)}° (drag, or arrow keys)`;
  };
  const move = (right, down) => {
    turn += right;
    tilt = Math.max(0.05, Math.min(1.5, tilt + down));
    draw();
  };
  canvas.addEventListener("pointerdown", (event) => {
    held = [event.clientX, event.clientY];
    canvas.setPointerCapture?.(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!held) return;
    move((held[0] - event.clientX) / 120, (event.clientY - held[1]) / 120);
    held = [event.clientX, event.clientY];
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { held = null; });
  figure.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: [-0.15, 0], ArrowLeft: [0.15, 0], ArrowUp: [0, -0.1], ArrowDown: [0, 0.1] }[event.key];
    if (steps) { event.preventDefault(); move(...steps); }
  });
  window.addEventListener("resize", draw);
  window.addEventListener("beforeprint", draw);
  draw();
}

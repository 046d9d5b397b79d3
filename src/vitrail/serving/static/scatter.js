// Many points at once, drawn by WebGL: moved, zoomed and chosen with a lasso. 100,000 points are one call per frame.
const VERTEX = `
attribute vec2 place; attribute vec4 colour;
uniform vec2 centre, scale; uniform float size;
varying vec4 shown;
void main() {
  gl_Position = vec4((place - centre) * scale, 0.0, 1.0);
  gl_PointSize = size * (colour.a > 0.99 ? 1.35 : 1.0);
  shown = colour;
}`;
const FRAGMENT = `
precision mediump float; varying vec4 shown;
void main() {
  float far = length(gl_PointCoord - 0.5) * 2.0;
  float alpha = shown.a * (1.0 - smoothstep(0.8, 1.0, far));
  if (alpha < 0.02) discard;
  gl_FragColor = vec4(shown.rgb * alpha, alpha);
}`;

/** A scatter plot on `canvas`, with `over` (a canvas of the same size) for the lasso. `xy` are pairs of numbers. */
export class Scatter {
  constructor(canvas, over, xy, { chosen, pointed }) {
    Object.assign(this, { canvas, over, xy, chosen, pointed, n: xy.length / 2 });
    this.gl = canvas.getContext("webgl", { antialias: false, premultipliedAlpha: true, preserveDrawingBuffer: true });
    if (!this.gl) throw new Error("This browser has no WebGL, which draws the map. The table below shows the samples.");
    const { gl } = this;
    const program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    gl.useProgram(program);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    this.at = Object.fromEntries(["centre", "scale", "size"].map((name) => [name, gl.getUniformLocation(program, name)]));
    this.colours = new Uint8Array(4 * this.n).fill(128);
    this.buffers = [[xy, "place", 2, gl.FLOAT, false], [this.colours, "colour", 4, gl.UNSIGNED_BYTE, true]].map(([data, name, size, type, whole]) => {
      const buffer = gl.createBuffer();
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.bufferData(gl.ARRAY_BUFFER, data, gl.DYNAMIC_DRAW);
      const place = gl.getAttribLocation(program, name);
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, size, type, whole, 0, 0);
      return buffer;
    });
    this.watching = new ResizeObserver(() => this.draw());
    this.watching.observe(canvas);
    this.listen();
    this.whole();
  }

  /** Shows all points. */
  whole() {
    const box = [Infinity, Infinity, -Infinity, -Infinity];
    for (let i = 0; i < this.n; i++)
      for (const k of [0, 1]) {
        box[k] = Math.min(box[k], this.xy[2 * i + k]);
        box[k + 2] = Math.max(box[k + 2], this.xy[2 * i + k]);
      }
    this.centre = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
    const { clientWidth: w, clientHeight: h } = this.canvas;
    const fits = (size, length) => (1.85 * length) / (Math.min(w, h) * Math.max(size, 1e-9));
    this.zoom = Math.min(fits(box[2] - box[0], w), fits(box[3] - box[1], h)) || 1;
    this.first = this.zoom;
    this.draw();
  }

  /** `colour(i)` gives red, green, blue, alpha of point i, 0 to 255. */
  paint(colour) {
    for (let i = 0; i < this.n; i++) this.colours.set(colour(i), 4 * i);
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, this.buffers[1]);
    this.gl.bufferSubData(this.gl.ARRAY_BUFFER, 0, this.colours);
    this.draw();
  }

  draw() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = undefined;
      const { gl, canvas } = this;
      const dpr = Math.min(devicePixelRatio, 2);
      for (const c of [canvas, this.over]) {
        const [w, h] = [Math.round(canvas.clientWidth * dpr), Math.round(canvas.clientHeight * dpr)];
        if (c.width !== w || c.height !== h) Object.assign(c, { width: w, height: h });
      }
      gl.viewport(0, 0, canvas.width, canvas.height);
      gl.clear(gl.COLOR_BUFFER_BIT);
      gl.uniform2fv(this.at.centre, this.centre);
      gl.uniform2fv(this.at.scale, this.scales());
      gl.uniform1f(this.at.size, dpr * Math.min(14, Math.max(2.5, 160 / Math.sqrt(this.n)) * Math.sqrt(this.zoom / this.first)));
      gl.drawArrays(gl.POINTS, 0, this.n);
      this.frames = (this.frames ?? 0) + 1;
    });
  }

  scales() {
    const { clientWidth: w, clientHeight: h } = this.canvas;
    const side = Math.min(w, h) || 1;
    return [this.zoom * side / (w || 1), this.zoom * side / (h || 1)];
  }

  /** The place on the map under a place of the canvas. */
  under(x, y) {
    const [sx, sy] = this.scales();
    return [this.centre[0] + (2 * x / this.canvas.clientWidth - 1) / sx, this.centre[1] + (1 - 2 * y / this.canvas.clientHeight) / sy];
  }

  /** The point nearest to a place of the canvas, within 12 pixels; −1 for none. */
  nearest(x, y) {
    const [px, py] = this.under(x, y);
    let best = (12 * (this.under(1, 0)[0] - this.under(0, 0)[0])) ** 2, found = -1;
    for (let i = 0; i < this.n; i++) {
      const d = (this.xy[2 * i] - px) ** 2 + (this.xy[2 * i + 1] - py) ** 2;
      if (d < best) [best, found] = [d, i];
    }
    return found;
  }

  /** The points inside a polygon on the map. */
  inside(polygon) {
    const found = [];
    for (let i = 0; i < this.n; i++) {
      const x = this.xy[2 * i], y = this.xy[2 * i + 1];
      let is = false;
      for (let a = 0, b = polygon.length - 1; a < polygon.length; b = a++) {
        const [ax, ay] = polygon[a], [bx, by] = polygon[b];
        if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) is = !is;
      }
      if (is) found.push(i);
    }
    return found;
  }

  move(dx, dy) {
    const [sx, sy] = this.scales();
    this.centre[0] -= (2 * dx) / this.canvas.clientWidth / sx;
    this.centre[1] += (2 * dy) / this.canvas.clientHeight / sy;
    this.draw();
  }

  closer(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const before = this.under(x, y);
    this.zoom = Math.min(this.zoom * factor, 400 * this.first);
    const after = this.under(x, y);
    this.centre[0] += before[0] - after[0];
    this.centre[1] += before[1] - after[1];
    this.draw();
  }

  listen() {
    const { over } = this;
    const where = (event) => [event.offsetX, event.offsetY];
    let line = null, last = null;
    over.addEventListener("pointerdown", (event) => {
      over.setPointerCapture(event.pointerId);
      if (event.shiftKey || event.button || this.moves) last = where(event);
      else line = [where(event)];
    });
    over.addEventListener("pointermove", (event) => {
      const here = where(event);
      if (last) {
        this.move(here[0] - last[0], here[1] - last[1]);
        last = here;
      } else if (line) {
        line.push(here);
        this.trace(line);
      } else this.pointed?.(this.nearest(...here), here);
    });
    over.addEventListener("pointerup", (event) => {
      if (line) {
        const one = line.length < 4 ? this.nearest(...where(event)) : -1;
        this.chosen(line.length < 4 ? (one < 0 ? [] : [one]) : this.inside(line.map(([x, y]) => this.under(x, y))));
      }
      line = last = null;
      this.trace([]);
    });
    over.addEventListener("pointerleave", () => this.pointed?.(-1));
    over.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.closer(Math.exp(-event.deltaY / 400), ...where(event));
    }, { passive: false });
    over.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[event.key];
      if (step) this.move(...step);
      else if (event.key === "+" || event.key === "=") this.closer(1.4);
      else if (event.key === "-") this.closer(1 / 1.4);
      else if (event.key === "0") this.whole();
      else return;
      event.preventDefault();
    });
  }

  /** Draws the lasso so far. */
  trace(line) {
    const context = this.over.getContext("2d");
    context.clearRect(0, 0, this.over.width, this.over.height);
    if (line.length < 2) return;
    const dpr = this.over.width / this.over.clientWidth;
    context.beginPath();
    line.forEach(([x, y]) => context.lineTo(x * dpr, y * dpr));
    context.closePath();
    context.fillStyle = "rgba(80, 130, 240, 0.15)";
    context.strokeStyle = "rgb(80, 130, 240)";
    context.lineWidth = 1.5 * dpr;
    context.fill();
    context.stroke();
  }

  end() {
    this.watching.disconnect();
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}

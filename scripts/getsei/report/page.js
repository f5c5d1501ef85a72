"use strict";
(() => {
  const root = document.documentElement, theme = document.getElementById("theme");
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  theme.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; views.forEach(v => v.draw()); });

  const dialog = document.getElementById("large"), large = dialog.querySelector("img");
  document.querySelectorAll(".zoom").forEach(button => button.addEventListener("click", () => {
    const image = button.querySelector("img");
    large.src = image.src; large.alt = image.alt; dialog.showModal();
  }));
  dialog.addEventListener("click", event => { if (event.target === dialog) dialog.close(); });

  document.querySelectorAll("a.png").forEach(link => link.addEventListener("click", () => { link.href = link.closest("figure").querySelector("img").src; }));

  const links = new Map([...document.querySelectorAll("nav a")].map(a => [a.hash.slice(1), a]));
  const seen = new IntersectionObserver(entries => entries.forEach(e => {
    const link = links.get(e.target.id);
    if (link && e.isIntersecting) { links.forEach(a => a.classList.remove("here")); link.classList.add("here"); }
  }), { rootMargin: "-20% 0px -70% 0px" });
  links.forEach((_, id) => { const part = document.getElementById(id); if (part) seen.observe(part); });

  const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const views = [];

  class View {
    constructor(box) {
      this.box = box; this.canvas = box.querySelector("canvas"); this.pen = this.canvas.getContext("2d");
      const s = this.scene = JSON.parse(document.getElementById(box.dataset.scene).textContent);
      this.n = s.kind.length; this.frames = s.times.length; this.frame = this.frames - 1;
      this.fractions = new Int16Array(bytes(s.positions).buffer); this.labels = bytes(s.labels);
      this.ion = new Int32Array(this.n).fill(-1); s.ions.forEach((atom, i) => { this.ion[atom] = i; });
      this.by = "state"; this.rest = true; this.hidden = new Set(); this.sprites = new Map();
      const [a, b] = s.cell; this.copies = [];
      for (let i = 0; i < 2; i++) for (let j = 0; j < 2; j++) this.copies.push([0, 1, 2].map(k => i * a[k] + j * b[k]));
      this.middle = [0, 1, 2].map(k => (2 * s.cell[0][k] + 2 * s.cell[1][k] + s.cell[2][k]) / 2);
      this.place = new Float32Array(this.n * 4 * 3); this.order = null; this.posed = -1;
      this.reset(); this.wire(); this.key();
      new ResizeObserver(() => { this.size(); this.draw(); }).observe(this.canvas); this.size(); this.draw();
    }
    reset() { // the long axis lies along the wider side of the view
      const tall = this.canvas.clientWidth < this.canvas.clientHeight * 1.15;
      const c = Math.cos, s = Math.sin, t = 0.32, p = 0.28;
      const base = tall ? [[1, 0, 0], [0, 0, 1], [0, -1, 0]] : [[0, 0, 1], [1, 0, 0], [0, 1, 0]];
      const turn = tall ? [[c(t), 0, s(t)], [0, 1, 0], [-s(t), 0, c(t)]] : [[1, 0, 0], [0, c(t), -s(t)], [0, s(t), c(t)]];
      const tilt = tall ? [[1, 0, 0], [0, c(p), -s(p)], [0, s(p), c(p)]] : [[c(p), 0, s(p)], [0, 1, 0], [-s(p), 0, c(p)]];
      this.turn = View.times(tilt, View.times(turn, base)); this.zoom = 1;
    }
    static times(x, y) { return x.map(row => [0, 1, 2].map(k => row[0] * y[0][k] + row[1] * y[1][k] + row[2] * y[2][k])); }
    rotate(dx, dy) {
      const c = Math.cos, s = Math.sin;
      const about = View.times([[1, 0, 0], [0, c(dy), -s(dy)], [0, s(dy), c(dy)]], [[c(dx), 0, s(dx)], [0, 1, 0], [-s(dx), 0, c(dx)]]);
      this.turn = View.times(about, this.turn); this.draw();
    }
    size() {
      const ratio = Math.min(2, devicePixelRatio || 1), c = this.canvas;
      c.width = Math.max(1, c.clientWidth * ratio); c.height = Math.max(1, c.clientHeight * ratio); this.ratio = ratio;
    }
    wire() {
      const c = this.canvas; let from = null;
      c.addEventListener("pointerdown", e => { from = [e.clientX, e.clientY]; c.setPointerCapture(e.pointerId); c.style.cursor = "grabbing"; });
      c.addEventListener("pointermove", e => { if (!from) return; this.rotate((e.clientX - from[0]) * 0.008, (e.clientY - from[1]) * 0.008); from = [e.clientX, e.clientY]; });
      const up = () => { from = null; c.style.cursor = "grab"; };
      c.addEventListener("pointerup", up); c.addEventListener("pointercancel", up);
      c.addEventListener("wheel", e => { if (document.activeElement !== c) return; e.preventDefault(); this.scale(e.deltaY < 0 ? 1.1 : 1 / 1.1); }, { passive: false });
      const keys = { ArrowLeft: () => this.rotate(-0.1, 0), ArrowRight: () => this.rotate(0.1, 0), ArrowUp: () => this.rotate(0, -0.1), ArrowDown: () => this.rotate(0, 0.1),
        "+": () => this.scale(1.2), "=": () => this.scale(1.2), "-": () => this.scale(1 / 1.2), "0": () => { this.reset(); this.draw(); }, " ": () => this.play() };
      c.addEventListener("keydown", e => { if (keys[e.key]) { e.preventDefault(); keys[e.key](); } });
      const get = name => this.box.querySelector(`[data-do=${name}]`);
      this.slider = get("time"); this.slider.max = this.frames - 1; this.button = get("play"); this.output = this.box.querySelector("output");
      this.slider.addEventListener("input", () => this.show(+this.slider.value));
      this.button.addEventListener("click", () => this.play());
      get("in").addEventListener("click", () => this.scale(1.25)); get("out").addEventListener("click", () => this.scale(0.8));
      get("reset").addEventListener("click", () => { this.reset(); this.draw(); });
      get("rest").addEventListener("change", e => { this.rest = e.target.checked; this.draw(); });
      this.box.querySelectorAll("input[type=radio]").forEach(r => r.addEventListener("change", () => { this.by = r.value; this.hidden.clear(); this.key(); this.draw(); }));
      this.show(this.frame);
    }
    scale(by) { this.zoom = Math.min(12, Math.max(0.4, this.zoom * by)); this.draw(); }
    show(frame) { this.frame = frame; this.slider.value = frame; this.output.textContent = `${this.scene.times[frame].toPrecision(3)} ps`; this.draw(); }
    play() {
      if (this.timer) { clearInterval(this.timer); this.timer = 0; this.button.textContent = "▶"; return; }
      this.button.textContent = "❚❚";
      this.timer = setInterval(() => this.show((this.frame + 1) % this.frames), 120);
    }
    key() {
      const list = this.by === "state" ? this.scene.states : this.scene.elements, box = this.box.querySelector(".key");
      box.replaceChildren(...list.map((entry, i) => {
        const button = document.createElement("button"), dot = document.createElement("i");
        button.type = "button"; button.setAttribute("aria-pressed", "true"); dot.style.background = entry.colour;
        button.append(dot, this.by === "state" ? `${i} ${entry.name}` : `${entry.name} (${entry.n})`);
        button.addEventListener("click", () => {
          const off = this.hidden.has(i); off ? this.hidden.delete(i) : this.hidden.add(i);
          button.setAttribute("aria-pressed", String(off)); this.draw();
        });
        return button;
      }));
    }
    sprite(colour, radius) {
      const size = Math.max(2, Math.round(radius * 2)), id = colour + size;
      if (!this.sprites.has(id)) {
        const c = document.createElement("canvas"); c.width = c.height = size + 2;
        const pen = c.getContext("2d"), r = size / 2, m = r + 1;
        const shade = pen.createRadialGradient(m - r * 0.35, m - r * 0.4, r * 0.1, m, m, r);
        shade.addColorStop(0, "#ffffff"); shade.addColorStop(0.35, colour); shade.addColorStop(1, colour);
        pen.fillStyle = shade; pen.beginPath(); pen.arc(m, m, r, 0, 7); pen.fill();
        pen.strokeStyle = "rgba(0,0,0,.45)"; pen.lineWidth = Math.min(1, size / 8); pen.stroke();
        this.sprites.set(id, c);
      }
      return this.sprites.get(id);
    }
    pose() { // where the atoms of this frame are, in Å from the middle
      if (this.posed === this.frame) return;
      const s = this.scene, [a, b, c] = s.cell, start = this.frame * this.n * 3; let k = 0;
      for (const copy of this.copies) for (let i = 0; i < this.n; i++) {
        const x = this.fractions[start + 3 * i] / 32767, y = this.fractions[start + 3 * i + 1] / 32767, z = this.fractions[start + 3 * i + 2] / 32767;
        for (let d = 0; d < 3; d++) this.place[k++] = x * a[d] + y * b[d] + z * c[d] + copy[d] - this.middle[d];
      }
      this.posed = this.frame;
    }
    draw() {
      const pen = this.pen, w = this.canvas.width, h = this.canvas.height, s = this.scene, t = this.turn;
      if (!this.order) this.order = Uint32Array.from({ length: this.n * 4 }, (_, i) => i);
      if (w < 2) return;
      this.pose(); pen.clearRect(0, 0, w, h);
      const long = Math.hypot(...s.cell[2]), wide = 2 * Math.max(Math.hypot(...s.cell[0]), Math.hypot(...s.cell[1]));
      const unit = this.zoom * Math.min(Math.max(w, h) / (1.06 * long), Math.min(w, h) / (1.5 * wide));
      const m = this.n * 4, px = new Float32Array(m), py = new Float32Array(m), pz = new Float32Array(m), p = this.place;
      for (let i = 0; i < m; i++) {
        const x = p[3 * i], y = p[3 * i + 1], z = p[3 * i + 2];
        px[i] = w / 2 + unit * (t[0][0] * x + t[0][1] * y + t[0][2] * z);
        py[i] = h / 2 + unit * (t[1][0] * x + t[1][1] * y + t[1][2] * z);
        pz[i] = t[2][0] * x + t[2][1] * y + t[2][2] * z;
      }
      this.order.sort((i, j) => pz[j] - pz[i]);
      this.frameOfCell(pen, unit, w, h, t);
      let drawn = 0;
      for (const i of this.order) {
        if (px[i] < -20 || px[i] > w + 20 || py[i] < -20 || py[i] > h + 20) continue;
        const atom = i % this.n, element = s.elements[s.kind[atom]], ion = this.ion[atom];
        let colour = element.colour, radius = element.radius;
        if (this.by === "state") {
          if (ion >= 0) {
            const label = this.labels[this.frame * s.ions.length + ion] - 1;
            if (this.hidden.has(label)) continue;
            colour = label < 0 ? "#d9d9d9" : s.states[label].colour; radius = 0.75;
          } else { if (!this.rest) continue; colour = "#b9bec6"; radius *= 0.7; }
        } else if (this.hidden.has(s.kind[atom]) || (ion < 0 && !this.rest)) continue;
        const picture = this.sprite(colour, Math.max(1, radius * unit));
        pen.drawImage(picture, px[i] - picture.width / 2, py[i] - picture.height / 2); drawn++;
      }
      this.canvas.dataset.drawn = drawn;
    }
    frameOfCell(pen, unit, w, h, t) {
      const [a, b, c] = this.scene.cell, corner = (i, j, k) => {
        const v = [0, 1, 2].map(d => 2 * i * a[d] + 2 * j * b[d] + k * c[d] - this.middle[d]);
        return [0, 1].map(r => (r ? h : w) / 2 + unit * (t[r][0] * v[0] + t[r][1] * v[1] + t[r][2] * v[2]));
      };
      pen.strokeStyle = dark() ? "rgba(220,230,245,.4)" : "rgba(60,70,85,.4)"; pen.lineWidth = this.ratio; pen.beginPath();
      for (const i of [0, 1]) for (const j of [0, 1]) for (const [x, y] of [[[0, i, j], [1, i, j]], [[i, 0, j], [i, 1, j]], [[i, j, 0], [i, j, 1]]]) {
        pen.moveTo(...corner(...x)); pen.lineTo(...corner(...y));
      }
      pen.stroke();
    }
  }
  const waiting = new IntersectionObserver(entries => entries.forEach(e => {
    if (e.isIntersecting && !e.target.dataset.ready) { e.target.dataset.ready = "yes"; views.push(new View(e.target)); }
  }), { rootMargin: "600px" });
  document.querySelectorAll(".viewer").forEach(box => waiting.observe(box));
})();

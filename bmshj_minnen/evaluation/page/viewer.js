"use strict";

/** Two pictures in one place, with a movable border between them. */
class Viewer {
  constructor() {
    const [stage, slider, zooms] = ["stage", "split", "zoom"].map((id) => document.getElementById(id));
    this.stage = stage;
    this.slider = slider;
    this.sides = ["left", "right"].map((name) => document.getElementById(`${name}_side`));
    this.divider = document.getElementById("divider");
    this.size = [1, 1];
    this.zoom = "fit"; // Or screen pixels per picture pixel.
    this.centre = [0.5, 0.5]; // Point of the picture in the middle of the stage, in 0..1.
    this.split = 50; // Position of the border, in per cent of the stage.
    slider.addEventListener("input", () => this.moveTo(Number(slider.value)));
    zooms.addEventListener("change", (event) => {
      const zoom = event.target.value;
      this.setZoom(zoom === "fit" ? zoom : Number(zoom));
    });
    stage.addEventListener("keydown", (event) => this.onKey(event));
    stage.addEventListener("pointerdown", (event) => this.onDrag(event));
    stage.addEventListener("dragstart", (event) => event.preventDefault());
    new ResizeObserver(() => this.place()).observe(stage.parentElement);
  }

  /** Sets the size of the photograph, and shows the whole photograph. */
  fit(width, height) {
    this.size = [width, height];
    this.setZoom("fit");
  }

  /** Shows {picture, original, bits, message} on a side, 0 or 1, in one of three ways. */
  setSide(index, source, show) {
    const side = this.sides[index];
    const [base, top] = side.querySelectorAll("img");
    const address = show === "bits" ? source.bits : source.picture;
    side.classList.toggle("difference", show === "difference");
    side.classList.toggle("empty", !address);
    side.querySelector("p").textContent = "No bits per position: not a model";
    const addresses = [show === "difference" ? source.original : "", address];
    [base, top].forEach((image, i) => {
      image.onerror = () => {
        side.classList.add("empty");
        side.querySelector("p").textContent = `Cannot show ${image.getAttribute("src")}`;
      };
      if (addresses[i]) image.src = addresses[i];
      else image.removeAttribute("src");
      [image.width, image.height] = this.size;
    });
  }

  setZoom(zoom) {
    this.zoom = zoom;
    if (zoom === "fit") this.centre = [0.5, 0.5];
    this.place();
    document.querySelector(`input[name=zoom][value="${zoom}"]`).checked = true;
  }

  moveTo(split) {
    this.split = Math.min(100, Math.max(0, split));
    this.slider.value = this.split;
    this.place();
  }

  /** Moves the visible part by screen pixels. */
  pan(dx, dy) {
    this.centre[0] -= dx / (this.scale * this.size[0]);
    this.centre[1] -= dy / (this.scale * this.size[1]);
    this.place();
  }

  place() {
    const [width, height] = this.size;
    const room = this.stage.parentElement.clientWidth;
    const fitted = Math.min(room / width, (0.75 * window.innerHeight) / height);
    this.stage.style.width = `${Math.round(fitted * width)}px`;
    this.stage.style.height = `${Math.round(fitted * height)}px`;
    this.slider.style.width = this.stage.style.width;
    this.scale = this.zoom === "fit" ? fitted : this.zoom / window.devicePixelRatio;
    const shown = [fitted * width, fitted * height];
    const offset = [0, 1].map((i) => {
      const full = this.scale * this.size[i];
      const half = Math.min(0.5, shown[i] / full / 2);
      this.centre[i] = Math.min(1 - half, Math.max(half, this.centre[i]));
      return shown[i] / 2 - this.centre[i] * full;
    });
    const transform = `translate(${offset[0]}px, ${offset[1]}px) scale(${this.scale})`;
    for (const side of this.sides) {
      side.classList.toggle("crisp", this.scale * window.devicePixelRatio > 1.5);
      for (const image of side.querySelectorAll("img")) image.style.transform = transform;
    }
    this.stage.classList.toggle("zoomed", this.scale > fitted);
    this.sides[0].style.clipPath = `inset(0 ${100 - this.split}% 0 0)`;
    this.sides[1].style.clipPath = `inset(0 0 0 ${this.split}%)`;
    this.divider.style.left = `${this.split}%`;
  }

  onKey(event) {
    const zooms = ["fit", 1, 2, 4];
    const at = zooms.indexOf(this.zoom);
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[
      event.key
    ] || [0, 0];
    const zoomed = this.stage.classList.contains("zoomed");
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "+" || event.key === "=") this.setZoom(zooms[Math.min(3, at + 1)]);
    else if (event.key === "-") this.setZoom(zooms[Math.max(0, at - 1)]);
    else if (event.key === "0") this.setZoom("fit");
    else if (zoomed && !event.shiftKey && (x || y)) this.pan(-40 * x, -40 * y);
    else if (x) this.moveTo(this.split + 2 * x);
    else return;
    event.preventDefault();
  }

  onDrag(event) {
    const border = this.divider.contains(event.target);
    if (event.button || !(border || this.stage.classList.contains("zoomed"))) return;
    let last = [event.clientX, event.clientY];
    const move = (moved) => {
      const box = this.stage.getBoundingClientRect();
      if (border) this.moveTo((100 * (moved.clientX - box.left)) / box.width);
      else this.pan(moved.clientX - last[0], moved.clientY - last[1]);
      last = [moved.clientX, moved.clientY];
    };
    const end = () => this.stage.removeEventListener("pointermove", move);
    this.stage.setPointerCapture(event.pointerId);
    this.stage.addEventListener("pointermove", move);
    for (const name of ["pointerup", "pointercancel"]) {
      this.stage.addEventListener(name, end, { once: true });
    }
  }
}

/// Drawings in SVG. Colours and dashes are classes of the style.
let consoleCharts = #"""
    const SVG = "http://www.w3.org/2000/svg";

    /** An SVG element. */
    function shape(name, attributes = {}, children = []) {
      const element = document.createElementNS(SVG, name);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      element.append(...children);
      return element;
    }

    /** An HTML element. Text becomes a text node, whatever is in it. */
    export function html(name, attributes = {}, ...children) {
      const element = document.createElement(name);
      for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
      element.append(...children);
      return element;
    }

    function drawing(label, width, height, children) {
      return shape("svg", {
        viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label,
      }, children);
    }

    /** @param entries [{name, value, className, isLine, opacity}] */
    export function legend(entries) {
      return html("ul", { class: "legend" }, ...entries.map((entry) => {
        const mark = entry.isLine
          ? shape("path", { d: "M0 6H22", class: `series ${entry.className}` })
          : shape("rect", {
            x: 5, y: 0.5, width: 11, height: 11, class: entry.className, "fill-opacity": entry.opacity ?? 1,
          });
        const sample = shape("svg", { viewBox: "0 0 22 12", "aria-hidden": "true" }, [mark]);
        return html("li", {}, sample, entry.value === undefined ? entry.name : `${entry.name} ${entry.value}`);
      }));
    }

    const LINE_WIDTH = 600;
    const LINE_HEIGHT = 130;

    /**
     * Lines over time; gaps where a value is null.
     * @param series [{name, value, className, points}], each with `pointsMax` points at most, the newest last.
     */
    export function lineChart(label, series, { pointsMax, top, topText, span }) {
      const axes = [0, 0.5, 1].map((share) => shape("path", {
        d: `M0 ${share * LINE_HEIGHT}H${LINE_WIDTH}`, class: "axis",
      }));
      const lines = series.map((line) => shape("path", {
        d: path(line.points, pointsMax, top), class: `series ${line.className}`,
      }));
      return [
        html("div", { class: "scale" }, html("span", {}, topText)),
        html("div", { class: "chart" }, drawing(label, LINE_WIDTH, LINE_HEIGHT, [...axes, ...lines])),
        html("div", { class: "scale" }, html("span", {}, span), html("span", {}, "now")),
        legend(series.map((line) => ({ ...line, isLine: true }))),
      ];
    }

    function path(points, pointsMax, top) {
      const first = pointsMax - points.length;
      let text = "";
      let isDrawing = false;
      points.forEach((value, index) => {
        if (value === null) {
          isDrawing = false;
          return;
        }
        const x = (first + index) / (pointsMax - 1) * LINE_WIDTH;
        const y = LINE_HEIGHT - value / top * LINE_HEIGHT;
        text += `${isDrawing ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
        isDrawing = true;
      });
      return text;
    }

    /** One bar of several parts. @param parts [{name, value, size, className, opacity}] */
    export function stack(label, parts) {
      const total = Math.max(1, parts.reduce((sum, part) => sum + part.size, 0));
      let x = 0;
      const pieces = parts.filter((part) => part.size > 0).map((part) => {
        const width = part.size / total * LINE_WIDTH;
        x += width;
        return shape("rect", {
          x: x - width, y: 0, width, height: 22, class: part.className, "fill-opacity": part.opacity ?? 1,
        });
      });
      return [html("div", { class: "stack" }, drawing(label, LINE_WIDTH, 22, pieces)), legend(parts)];
    }

    /** A bar for each number. */
    export function bars(label, values, firstText, lastText) {
      const top = Math.max(1, ...values);
      const width = LINE_WIDTH / values.length;
      const pieces = values.map((value, index) => {
        const height = value === 0 ? 0 : Math.max(2, value / top * 80);
        return shape("rect", {
          x: index * width + 2, y: 84 - height, width: width - 4, height, class: "blue",
        });
      });
      return [
        html("div", { class: "bars" }, drawing(label, LINE_WIDTH, 84, [
          ...pieces, shape("path", { d: `M0 84H${LINE_WIDTH}`, class: "axis" }),
        ])),
        html("div", { class: "scale" }, html("span", {}, firstText), html("span", {}, lastText)),
      ];
    }

    /** A bar for a share of 1, for a cell of a table. */
    export function share(value) {
      const width = Math.max(1, value * LINE_WIDTH);
      const image = drawing("", LINE_WIDTH, 12, [shape("rect", { x: 0, y: 0, width, height: 12, class: "blue" })]);
      image.setAttribute("height", "12");
      image.setAttribute("aria-hidden", "true");
      return image;
    }

    const CELL_CLASSES = {
      ".": "empty", o: "green", R: "purple", r: "purple", I: "orange", M: "gray", "~": "quiet", "+": "quiet",
      "?": "bad-fill",
    };

    /** The opacity of a slab, by its tenths of live bytes. */
    const opacity = (tenths) => (2 + tenths) / 11;

    /** The map of slabs. @param cells a character for each, as `larder inspect` prints them. */
    export function slabMap(label, cells) {
      const columns = cells.length > 256 ? 64 : 32;
      const rows = Math.ceil(cells.length / columns);
      const pieces = [...cells].map((cell, index) => shape("rect", {
        x: index % columns * 10 + 0.75, y: Math.floor(index / columns) * 10 + 0.75, width: 8.5, height: 8.5,
        class: CELL_CLASSES[cell] ?? "blue", "fill-opacity": cell >= "0" && cell <= "9" ? opacity(Number(cell)) : 1,
      }));
      return [
        drawing(label, columns * 10, rows * 10, pieces),
        legend([
          { name: "live items (paler: emptier)", className: "blue" },
          { name: "open for writing", className: "green" },
          { name: "large items", className: "purple" },
          { name: "index", className: "orange" },
          { name: "tables", className: "gray" },
          { name: "emptied, not yet free", className: "quiet" },
          { name: "free", className: "empty" },
        ]),
      ];
    }

    """#

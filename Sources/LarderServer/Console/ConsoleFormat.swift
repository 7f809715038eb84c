/// The formats of numbers, bytes and times on the page.
let consoleFormat = #"""
    /** A number with few digits: 12,345 or 3.2. */
    export function number(value) {
      if (value === null || !Number.isFinite(value)) return "–";
      const places = Math.abs(value) < 10 && !Number.isInteger(value) ? 1 : 0;
      return value.toLocaleString("en", { minimumFractionDigits: places, maximumFractionDigits: places });
    }

    export function bytes(value) {
      const units = ["bytes", "KB", "MB", "GB", "TB"];
      let unit = 0;
      while (value >= 1024 && unit < units.length - 1) {
        value /= 1024;
        unit += 1;
      }
      return `${unit > 0 && value < 100 ? value.toFixed(1) : number(Math.round(value))} ${units[unit]}`;
    }

    /** A share of 1 in percent. */
    export function percent(value) {
      return value === null || !Number.isFinite(value) ? "–" : `${(value * 100).toFixed(1)} %`;
    }

    /** A length of time, given in nanoseconds. */
    export function nanoseconds(value) {
      if (value < 1e3) return `${value} ns`;
      if (value < 1e6) return `${value / 1e3} µs`;
      if (value < 1e9) return `${value / 1e6} ms`;
      return `${value / 1e9} s`;
    }

    /** A length of time, given in milliseconds. */
    export function duration(value) {
      const seconds = Math.floor(value / 1000);
      if (seconds < 120) return `${seconds} s`;
      if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
      if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
      return `${Math.floor(seconds / 86400)} days`;
    }

    """#

/// The console's script: it asks for `/status.json` once a second and fills the page in. It puts every text into the
/// page as a text node.
let consoleScript = #"""
    import { bars, html, lineChart, share, slabMap, stack } from "/charts.js";
    import { bytes, duration, nanoseconds, number, percent } from "/format.js";

    const POLL_MS = 1000;
    const ANSWER_MS_MAX = 4000;
    const SAMPLES_MAX = 121;
    const LATENCY_SAMPLES_MAX = 61;
    const SPAN = "2 minutes ago";

    const byId = (id) => document.getElementById(id);
    const cacheChoice = byId("cache");

    /** The answers of the last two minutes, the newest last. */
    let samples = [];

    // Polling

    async function poll() {
      const began = performance.now();
      if (!document.hidden) {
        try {
          take(await ask("/status.json", { cache: cacheChoice.value }));
        } catch (error) {
          showState(`No answer: ${error.message}`, true);
        }
      }
      setTimeout(poll, Math.max(0, POLL_MS - (performance.now() - began)));
    }

    async function ask(path, fields) {
      const query = Object.entries(fields).filter(([, value]) => value !== "")
        .map(([name, value]) => `${name}=${encodeURIComponent(value.toWellFormed())}`).join("&");
      const answer = await fetch(`${path}?${query}`, { signal: AbortSignal.timeout(ANSWER_MS_MAX) });
      const result = await answer.json();
      if (!answer.ok) throw new Error(result.error ?? `status ${answer.status}`);
      return result;
    }

    function take(status) {
      const last = samples.at(-1);
      if (last && (last.pid !== status.pid || status.monotonic_ms < last.monotonic_ms)) samples = [];
      samples.push(status);
      if (samples.length > SAMPLES_MAX) samples.shift();
      showState(status.not_ready ?? "Ready", status.not_ready !== null);
      byId("version").textContent = status.larder_version;
      fillChoice(status.caches);
      draw(status);
    }

    /** Screen readers read the state out when it is set, so it is set when it changes. */
    function showState(text, isBad) {
      const state = byId("state");
      if (state.textContent === text) return;
      state.textContent = text;
      state.className = isBad ? "bad" : "";
    }

    function fillChoice(caches) {
      const names = caches.map((cache) => cache.name);
      if (names.join("\n") === [...cacheChoice.options].map((option) => option.value).join("\n")) return;
      cacheChoice.replaceChildren(...names.map((name) => html("option", { value: name }, name)));
    }

    // Rates

    const cacheOf = (status, name) => status.caches.find((cache) => cache.name === name);

    /** A counter's growth a second between two answers; null if it was set back. */
    function rate(before, after, name, counter) {
      const earlier = before && cacheOf(before, name);
      const later = cacheOf(after, name);
      const seconds = before ? (after.monotonic_ms - before.monotonic_ms) / 1000 : 0;
      if (!earlier || !later || seconds <= 0 || later[counter] < earlier[counter]) return null;
      return (later[counter] - earlier[counter]) / seconds;
    }

    const ratesOf = (name, counter) =>
      samples.slice(1).map((sample, index) => rate(samples[index], sample, name, counter));

    function ratio(hits, misses) {
      return hits === null || misses === null || hits + misses === 0 ? null : hits / (hits + misses);
    }

    // Drawing

    function draw(status) {
      const name = cacheChoice.value;
      const rates = {};
      for (const counter of ["gets", "sets", "hits", "misses"]) rates[counter] = ratesOf(name, counter);
      drawRates(rates);
      drawRatio(rates);
      drawFigures(status, name, rates);
      drawLatency(status);
      drawMemory(status.memory);
      drawCaches(status, name);
      drawKeys(status);
      drawClients(status);
    }

    function drawFigures(status, name, rates) {
      const cache = cacheOf(status, name);
      if (!cache) return;
      const last = (counter) => rates[counter].at(-1) ?? null;
      const figures = [
        ["Gets a second", number(last("gets"))],
        ["Sets a second", number(last("sets"))],
        ["Hit ratio", percent(ratio(last("hits"), last("misses")))],
        ["Items", number(cache.items)],
        ["Live bytes", bytes(cache.bytes)],
        ["Of the limit", percent(cache.bytes / cache.limit_bytes)],
        ["Clients", number(status.connections.current)],
        ["Cores in use", coresInUse()],
        ["Runs for", duration(status.uptime_ms)],
        ["Process", String(status.pid)],
      ];
      byId("figures").replaceChildren(...figures.map(([term, value]) =>
        html("div", {}, html("dt", {}, term), html("dd", { "data-figure": term }, value))));
    }

    /** CPU time of the server in the last second. */
    function coresInUse() {
      if (samples.length < 2) return "–";
      const [before, after] = samples.slice(-2);
      return ((after.cpu_us - before.cpu_us) / 1000 / (after.monotonic_ms - before.monotonic_ms)).toFixed(2);
    }

    function drawRates(rates) {
      const series = [
        { name: "hits", className: "blue", points: rates.hits },
        { name: "misses", className: "orange dashed", points: rates.misses },
        { name: "sets", className: "green dotted", points: rates.sets },
      ];
      for (const line of series) line.value = number(line.points.at(-1) ?? null);
      const top = niceTop(Math.max(1, ...series.flatMap((line) => line.points)));
      const label = series.map((line) => `${line.name} ${line.value}`).join(", ");
      byId("rates").replaceChildren(...lineChart(`Requests a second: ${label}`, series, {
        pointsMax: SAMPLES_MAX - 1, top, topText: number(top), span: SPAN,
      }));
    }

    /** The next of 1, 2 and 5 times a power of ten. */
    function niceTop(value) {
      const power = 10 ** Math.floor(Math.log10(value));
      return [1, 2, 5, 10].map((step) => step * power).find((top) => top >= value);
    }

    function drawRatio(rates) {
      const points = rates.hits.map((hits, index) => ratio(hits, rates.misses[index]));
      const value = percent(points.at(-1) ?? null);
      byId("ratio").replaceChildren(...lineChart(`Hit ratio: ${value}`, [
        { name: "hit ratio", value, className: "blue", points },
      ], { pointsMax: SAMPLES_MAX - 1, top: 1, topText: "100 %", span: SPAN }));
    }

    // Latency

    function drawLatency(status) {
      const { bounds_ns: bounds, counts, timed_one_in: timedOneIn } = status.durations;
      byId("timed-one-in").textContent = timedOneIn;
      const before = samples.at(-Math.min(samples.length, LATENCY_SAMPLES_MAX)).durations.counts;
      const sums = new Array(bounds.length + 1).fill(0);
      const rows = [];
      for (const [command, after] of Object.entries(counts)) {
        const grown = after.map((count, bucket) => count - before[command][bucket]);
        const timed = grown.reduce((sum, count) => sum + count, 0);
        grown.forEach((count, bucket) => { sums[bucket] += count; });
        if (timed === 0) continue;
        rows.push([command, number(timed), ...[0.5, 0.99, 1].map((share) => boundOf(grown, timed * share, bounds))]);
      }
      const last = bounds.at(-1);
      byId("latency-bars").replaceChildren(...bars(
        "How many requests took how long", sums, `up to ${nanoseconds(bounds[0])}`, `over ${nanoseconds(last)}`));
      fillTable("latency", rows, "No request was timed");
    }

    /** The bound of the bucket in which the request of this rank is. */
    function boundOf(counts, rank, bounds) {
      let sum = 0;
      const bucket = counts.findIndex((count) => {
        sum += count;
        return sum >= rank && sum > 0;
      });
      return bucket < bounds.length ? `≤ ${nanoseconds(bounds[bucket])}` : `> ${nanoseconds(bounds.at(-1))}`;
    }

    // Memory

    function drawMemory(memory) {
      if (!memory) byId("memory").replaceChildren(html("p", { class: "note" }, "The cache reads its file."));
      if (!memory || memory.cache !== cacheChoice.value) return;
      const parts = [
        ["live items", "live_bytes", "blue"], ["holes", "hole_bytes", "blue", 0.4], ["emptied", "limbo_bytes", "quiet"],
        ["index", "index_bytes", "orange"], ["tables", "metadata_bytes", "gray"], ["free", "free_bytes", "empty"],
      ].map(([name, field, className, opacity]) => (
        { name, className, opacity, size: memory[field], value: bytes(memory[field]) }));
      const text = parts.map((part) => `${part.name} ${part.value}`).join(", ");
      byId("memory").replaceChildren(...stack(`Memory: ${text}`, parts));
      const share = memory.slabs_per_cell;
      const cell = share === 1 ? "a slab" : `${share} slabs`;
      byId("map").replaceChildren(
        html("p", { class: "note" }, `A square is ${cell} of ${bytes(memory.slab_bytes)}.`),
        ...slabMap(`Map of the slabs. ${text}`, memory.map));
      drawBuckets(memory.time_buckets);
    }

    function drawBuckets(buckets) {
      const most = Math.max(1, ...buckets.map((bucket) => bucket.bytes));
      fillTable("buckets", buckets.map((bucket) => [
        bucketName(bucket), bytes(bucket.bytes), number(bucket.slabs), share(bucket.bytes / most),
      ]), "There are no items");
    }

    function bucketName({ ends_in_ms: left, buckets }) {
      if (left === null) return "never";
      const name = left <= 0 ? "now" : `within ${duration(left)}`;
      return buckets > 1 ? `${name} (${buckets} buckets)` : name;
    }

    // Tables

    function drawCaches(status, chosen) {
      const before = samples.at(-2);
      const rows = status.caches.map(({ name, items, bytes: used, limit_bytes: limit, ...cache }) => {
        const [gets, sets, hits, misses] = ["gets", "sets", "hits", "misses"]
          .map((counter) => rate(before, status, name, counter));
        const file = cache.file ? cache.file.path : "–";
        const row = [
          name, number(items), bytes(used), bytes(limit), number(gets), number(sets), percent(ratio(hits, misses)),
          number(cache.evictions), number(cache.expirations), file,
        ];
        return Object.assign(row, { className: name === chosen ? "chosen" : "" });
      });
      fillTable("caches", rows, "There are no caches");
      const more = status.caches_left_out;
      byId("caches-note").textContent = more > 0 ? `${more} more are not shown.` : "";
    }

    function drawKeys({ hot_keys: hotKeys, prefixes }) {
      fillTable("hot-keys", (hotKeys ?? []).map(({ key, per_second: rate }) => [keyText(key), number(rate)]),
        hotKeys ? "No key was read" : "Off. stats hotkeys on, or -o hot_keys, counts them.");
      fillTable("prefixes", (prefixes ?? []).map(({ prefix, gets, hits, sets, deletes }) => [
        keyText(prefix), ...[gets, hits, sets, deletes].map(number),
      ]), prefixes ? "No key with a prefix was used" : "Off. stats detail on, or -D, counts them.");
    }

    /** A key in percent-encoding as text. A key that is not UTF-8 stays as it is. */
    function keyText(encoded) {
      try {
        return decodeURIComponent(encoded);
      } catch {
        return encoded;
      }
    }

    /** How the server serves a client. */
    const STATES = {
      reading: "reads requests", readingValue: "reads a value", skipping: "skips a refused value",
      sending: "sends an answer", watching: "sends what is watched", new: "new",
    };

    function drawClients({ clients, connections }) {
      byId("clients-note").textContent =
        `Connected: ${number(connections.current)} of at most ${number(connections.maximum)}.`
        + ` Shown: ${number(clients.length)}. Accepted: ${number(connections.total)}.`
        + ` Refused: ${number(connections.refused)}.`;
      fillTable("clients", clients.map((client) => [
        client.address, client.listener, STATES[client.state] ?? client.state, duration(client.silent_ms),
      ]), "No client is connected");
    }

    function fillTable(id, rows, textIfEmpty) {
      const body = byId(id).tBodies[0];
      const columns = byId(id).tHead.rows[0].cells.length;
      const lines = rows.map((row) => {
        const line = html("tr", {}, ...row.map((cell) => html("td", {}, cell)));
        if (row.className) line.className = row.className;
        return line;
      });
      if (lines.length === 0) lines.push(html("tr", {}, html("td", { colspan: columns }, textIfEmpty)));
      body.replaceChildren(...lines);
    }

    // Search

    byId("search").addEventListener("submit", async (event) => {
      event.preventDefault();
      const key = byId("key").value;
      const found = byId("found");
      try {
        found.replaceChildren(...facts(key, await ask("/key.json", { cache: cacheChoice.value, key })));
      } catch (error) {
        found.replaceChildren(html("p", { class: "bad" }, `The search failed: ${error.message}`));
      }
    });

    function facts(key, item) {
      const name = html("code", {}, key);
      if (!item.found) return [html("p", {}, name, " is not in the cache.")];
      const marks = [["is_stale", "stale"], ["is_win_sent", "being made anew"], ["key_is_binary", "binary key"]];
      const rows = [
        ["Value", bytes(item.value_bytes)],
        ["Takes", `${bytes(item.memory_bytes)} of memory`],
        ["Flags", String(item.flags)],
        ["Expires", item.expires_in_ms === null ? "never" : `in ${duration(item.expires_in_ms)}`],
        [item.was_fetched ? "Last access" : "Stored", `${duration(item.seconds_since_access * 1000)} ago`],
        ["Fetched", item.was_fetched ? "yes" : "not yet"],
        ["CAS", item.cas],
        ...marks.filter(([field]) => item[field]).map(([, text]) => ["Mark", text]),
      ];
      return [
        html("p", {}, name, " is in the cache."),
        html("dl", {}, ...rows.flatMap(([term, value]) => [html("dt", {}, term), html("dd", {}, value)])),
      ];
    }

    // The list of keys

    /** Where the next page begins, with the cache and the prefix of the list. */
    let nextPage = null;

    async function listKeys(page) {
      const note = byId("listed-note");
      try {
        const { keys, cursor } = await ask("/keys.json", page);
        byId("listed").replaceChildren(...keys.map((key) => html("li", {}, html("code", {}, keyText(key)))));
        note.textContent = cursor === null ? `${number(keys.length)} keys, and no further page.`
          : `${number(keys.length)} keys of this page.`;
        nextPage = cursor === null ? null : { ...page, cursor };
      } catch (error) {
        note.textContent = `The list failed: ${error.message}`;
        nextPage = null;
      }
      byId("more").hidden = nextPage === null;
    }

    byId("list").addEventListener("submit", (event) => {
      event.preventDefault();
      listKeys({ cache: cacheChoice.value, prefix: byId("prefix").value, cursor: "0", limit: "50" });
    });

    byId("more").addEventListener("click", () => listKeys(nextPage));

    cacheChoice.addEventListener("change", () => {
      if (samples.length > 0) draw(samples.at(-1));
    });

    poll();

    """#

/// The console's document. The script fills it in.
let consolePage = #"""
    <!DOCTYPE html>
    <html lang="en">
    <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>Larder</title>
    <link rel="icon" href="/icon.svg">
    <link rel="stylesheet" href="/console.css">
    <script type="module" src="/console.js"></script>
    </head>
    <body>
    <header>
      <h1>Larder <span id="version"></span></h1>
      <p id="state" role="status">Waiting for the server</p>
      <p><label for="cache">Cache</label> <select id="cache"></select></p>
    </header>
    <main>
    <noscript>
      <p>This page needs JavaScript. <a href="/metrics">/metrics</a> has the same figures as text.</p>
    </noscript>

    <dl id="figures" aria-label="Now"></dl>

    <section class="across" aria-labelledby="search-heading">
      <h2 id="search-heading">Search for a key</h2>
      <form id="search" autocomplete="off">
        <label for="key">Key</label>
        <input id="key" type="text" maxlength="250" required spellcheck="false" autocapitalize="off">
        <button>Search</button>
      </form>
      <div id="found" role="status"></div>
    </section>

    <section class="across" aria-labelledby="list-heading">
      <h2 id="list-heading">Keys</h2>
      <form id="list" autocomplete="off">
        <label for="prefix">Begin with</label>
        <input id="prefix" type="text" maxlength="250" spellcheck="false" autocapitalize="off">
        <button id="list-button">List</button>
      </form>
      <p class="note" id="listed-note" role="status"></p>
      <ul id="listed"></ul>
      <button id="more" type="button" hidden>Next page</button>
    </section>

    <section aria-labelledby="rates-heading">
      <h2 id="rates-heading">Requests a second</h2>
      <div id="rates"></div>
    </section>

    <section aria-labelledby="ratio-heading">
      <h2 id="ratio-heading">Hit ratio</h2>
      <div id="ratio"></div>
    </section>

    <section aria-labelledby="latency-heading">
      <h2 id="latency-heading">Latency in the last minute</h2>
      <p class="note">The time that the server worked on requests of all caches. One of
        <span id="timed-one-in">256</span> is timed.</p>
      <div id="latency-bars"></div>
      <div class="wide" role="region" aria-labelledby="latency-heading" tabindex="0">
        <table id="latency">
          <thead><tr><th>Command</th><th>Timed</th><th>Median</th><th>99 %</th><th>Slowest</th></tr></thead>
          <tbody></tbody>
        </table>
      </div>
    </section>

    <section class="beside" aria-labelledby="memory-heading">
      <h2 id="memory-heading">Memory</h2>
      <div id="memory"></div>
      <h3 id="map-heading">Slabs</h3>
      <div id="map"></div>
      <h3 id="buckets-heading">Time buckets</h3>
      <p class="note">Items that expire together lie together. A slab is freed when its time is over.</p>
      <div class="wide" role="region" aria-labelledby="buckets-heading" tabindex="0">
        <table id="buckets">
          <thead><tr><th>Expire</th><th>Live bytes</th><th>Slabs</th>
            <th><span class="hidden">Share</span></th></tr></thead>
          <tbody></tbody>
        </table>
      </div>
    </section>

    <section class="across" aria-labelledby="caches-heading">
      <h2 id="caches-heading">Caches</h2>
      <p class="note" id="caches-note"></p>
      <div class="wide" role="region" aria-labelledby="caches-heading" tabindex="0">
        <table id="caches">
          <thead><tr><th>Cache</th><th>Items</th><th>Bytes</th><th>Limit</th><th>Gets/s</th><th>Sets/s</th>
            <th>Hit ratio</th><th>Evicted</th><th>Expired</th><th>File</th></tr></thead>
          <tbody></tbody>
        </table>
      </div>
    </section>

    <section aria-labelledby="hot-keys-heading">
      <h2 id="hot-keys-heading">Hot keys</h2>
      <div class="wide" role="region" aria-labelledby="hot-keys-heading" tabindex="0">
        <table id="hot-keys">
          <thead><tr><th>Key</th><th>Reads/s</th></tr></thead>
          <tbody></tbody>
        </table>
      </div>
    </section>

    <section aria-labelledby="prefixes-heading">
      <h2 id="prefixes-heading">Prefixes</h2>
      <div class="wide" role="region" aria-labelledby="prefixes-heading" tabindex="0">
        <table id="prefixes">
          <thead><tr><th>Prefix</th><th>Gets</th><th>Hits</th><th>Sets</th><th>Deletes</th></tr></thead>
          <tbody></tbody>
        </table>
      </div>
    </section>

    <section class="across" aria-labelledby="clients-heading">
      <h2 id="clients-heading">Clients</h2>
      <p class="note" id="clients-note"></p>
      <div class="wide" role="region" aria-labelledby="clients-heading" tabindex="0">
        <table id="clients">
          <thead><tr><th>Address</th><th>Listener</th><th>State</th><th>Silent</th></tr></thead>
          <tbody></tbody>
        </table>
      </div>
    </section>
    </main>
    <footer>
      <nav aria-label="Other pages">
        <a href="/metrics">/metrics</a> <a href="/healthz">/healthz</a> <a href="/readyz">/readyz</a>
        <a href="/status.json">/status.json</a>
      </nav>
    </footer>
    </body>
    </html>

    """#

/// The icon: a jar.
let consoleIcon = #"""
    <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
    <rect x="9" y="3" width="14" height="5" rx="1.5" fill="#b45309"/>
    <rect x="6" y="9" width="20" height="20" rx="4" fill="#2563eb"/>
    <rect x="10" y="15" width="12" height="8" rx="1" fill="#ffffff"/>
    </svg>

    """#
